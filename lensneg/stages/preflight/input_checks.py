"""Gate 1's checks of what the user gave: config, code, sweep files, catalogues, output."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from lensneg import storage
from lensneg.catalogs.catalog import Catalog, read_catalog
from lensneg.catalogs.footprint import inside_cells, mistaken_unit
from lensneg.errors import InputError, RunStateError, StorageError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.check import Check, brief
from lensneg.schema.code_version import code_version
from lensneg.schema.config import Config
from lensneg.schema.run import CatalogInput, Role, SweepInput
from lensneg.stages.preflight.inspection import Inspection
from lensneg.survey.fits_layout import FITS_BLOCK
from lensneg.survey.fits_rows import probe_sweep
from lensneg.survey.names import is_gzipped, looks_like_a_sweep, sweep_cell

#: Errors that fail a check. A TransientError does not: the state machine tries again.
_FAILURES: Final = (InputError, RunStateError, StorageError)

#: Threads that read the headers of sweep files. On S3 each file costs a round trip.
_PROBE_THREADS: Final = 32


def config_valid(found: Inspection) -> Iterator[Check]:
    """Read the config."""
    uri, expected = found.request.config, "a config that fits its schema"
    try:
        config, found.config_text = Config.load_with_text(uri)
    except _FAILURES as error:
        remedy = "correct the file; configs/negative_sampling_v1.yaml explains every key"
        yield Check.of_error("config_valid", expected, error, remedy=remedy)
        return
    found.config, actual = config, f"{config.name} {config.version}"
    yield Check(name="config_valid", passed=True, expected=expected, actual=actual, remedy="")


def code_version_known(found: Inspection) -> Iterator[Check]:
    """Check that the code can be checked out again."""
    commit = code_version().git_commit
    yield Check(
        name="code_version_known",
        passed=commit != "unknown" and not commit.endswith("-dirty"),
        expected="a clean git commit",
        actual=commit,
        remedy="before a run that is meant to be published, commit your changes, and install lensneg from "
        "the checkout, so that the run can be repeated",
        critical=False,
    )


def sweeps(found: Inspection) -> Iterator[Check]:
    """List the sweep files, and read their headers."""
    uri = found.request.sweeps
    listed, not_files, why = [], [], ""
    try:
        listed, not_files = storage.list_files(uri), storage.list_non_files(uri)
    except FileNotFoundError:
        why = "; there is no such folder"
    except _FAILURES as error:
        why = f"; {error}"
    named = [(info, cell) for info in listed if (cell := sweep_cell(storage.basename(info.uri)))]
    found.ignored_files = len(listed) - len(named)
    yield Check(
        name="sweeps_listed",
        passed=bool(named),
        expected="sweep-AAAcBBB-DDDcEEE.fits or .fits.gz files",
        actual=f"{len(named):,} sweep files, {found.ignored_files:,} other files (ignored) below {uri}{why}",
        remedy="give the folder or prefix that holds the sweep files",
    )
    if not named:
        return
    yield Check.of_faults(
        "sweep_names",
        [name for info in listed if looks_like_a_sweep(name := storage.basename(info.uri))],
        expected="no file that is named almost like a sweep file",
        found=f"{len(named):,} names",
        saying="left out: ",
        remedy="if they are inputs, give them back the names that the survey gave them",
        critical=False,
    )
    cells = Counter(cell for _, cell in named)
    yield Check.of_faults(
        "sweeps_disjoint",
        [storage.basename(info.uri) for info, cell in named if cells[cell] > 1],
        expected="each cell of the sky in one file",
        found=f"{len(cells):,} cells",
        saying="in more than one: ",
        remedy="remove the copies: both .fits and .fits.gz, or two releases, would double every object",
    )
    yield from _headers(found, [info for info, _ in named], not_files)


def _headers(found: Inspection, infos: list[storage.FileInfo], not_files: list[str]) -> Iterator[Check]:
    with ThreadPoolExecutor(_PROBE_THREADS) as threads:
        probed = list(threads.map(_probe, infos))
    broken = [result for result in probed if isinstance(result, str)]
    broken += [
        f"{entry}: a folder or a broken link, under the name of a sweep file; remove or rename it"
        for entry in not_files
        if sweep_cell(storage.basename(entry))
    ]
    found.sweeps = inputs = [result for result in probed if not isinstance(result, str)]
    yield Check.of_faults(
        "sweeps_readable",
        broken,
        expected="the headers and size of a DR10 sweep file in each",
        found=f"{len(inputs):,} files",
        saying=f"{len(broken)} unfit: ",
        remedy="fetch the named files again, or remove what is not a sweep file of DR10",
        shown=3,
    )
    if not inputs:
        return
    unpadded = [info.name for info in inputs if info.size % FITS_BLOCK and not is_gzipped(info.uri)]
    empty = [info.name for info in inputs if not info.rows]
    odd = [f"not whole: {brief(unpadded)}"] * bool(unpadded) + [f"no rows: {brief(empty)}"] * bool(empty)
    yield Check(
        name="sweep_sizes",
        passed=not odd,
        expected=f"files of whole FITS blocks ({FITS_BLOCK} bytes), each with rows",
        actual="; ".join(odd)
        or f"{sum(info.rows for info in inputs):,} rows in {sum(info.size for info in inputs):,} bytes",
        remedy="compare with the survey's .sha256sum file, and fetch again what differs",
        critical=False,
    )
    releases = sorted({info.release for info in inputs if info.rows})
    allowed = set(found.config.sweeps.releases) if found.config else set(releases)
    yield Check(
        name="one_release",
        passed=len(releases) == 1 and set(releases) <= allowed,
        expected=f"one RELEASE out of {', '.join(map(str, sorted(allowed)))}",
        actual=", ".join(map(str, releases)) or "no rows at all",
        remedy="use files of one release, or allow it in the config (sweeps.releases)",
    )


def _probe(info: storage.FileInfo) -> SweepInput | str:
    """Read the headers of a sweep file. If they are not in order, return what is wrong."""
    try:
        file = probe_sweep(info)
    except (*_FAILURES, OSError) as error:
        return str(error)
    return SweepInput(**info._asdict(), rows=file.n_rows, release=file.release, row_bytes=file.row_bytes)


def catalogs(found: Inspection) -> Iterator[Check]:
    """Read the catalogues, and check that they belong to the sweeps."""
    request, cells = found.request, found.cells
    given: list[tuple[Role, CatalogSpec]] = [("positives", spec) for spec in request.positives]
    given += [("exclude", spec) for spec in request.exclude]
    for role, spec in given:
        name, expected = f"catalog_readable:{storage.basename(spec.uri)}", "positions in degrees"
        remedy = "name the columns with FILE?ra=COLUMN&dec=COLUMN; RA and Dec must be in degrees"
        try:
            catalog, info = read_catalog(spec, with_others=role == "positives"), storage.stat(spec.uri)
        except _FAILURES as error:
            yield Check.of_error(name, expected, error, remedy=remedy)
            continue
        source = CatalogInput(
            spec=spec,
            role=role,
            size=info.size,
            etag=info.etag,
            sha256=catalog.sha256,
            rows=catalog.rows,
            positions=len(catalog.ra),
            others=len(catalog.others.ra),
        )
        found.catalogs.append((source, catalog))
        yield Check(
            name=name,
            passed=len(catalog.ra) > 0,
            expected=expected,
            actual="; ".join((f"{len(catalog.ra):,} positions in {catalog.rows:,} rows", *catalog.remarks)),
            where=spec.uri,
            remedy=remedy,
        )
        if len(catalog.ra) and cells:
            yield from _belongs(found, role, catalog)
    if cells:
        positives = [catalog for source, catalog in found.catalogs if source.role == "positives"]
        inside = sum(int(inside_cells(c.ra, c.dec, cells).sum()) for c in positives)
        yield Check(
            name="positives_in_sweeps",
            passed=inside > 0,
            expected="at least one positive inside the cells of the sweep files",
            actual=f"{inside:,} of {sum(len(catalog.ra) for catalog in positives):,}",
            remedy="give sweep files of the sky that the catalogue covers; are the coordinates degrees?",
        )


def _belongs(found: Inspection, role: Role, catalog: Catalog) -> Iterator[Check]:
    """Check that a catalogue's coordinates are degrees, and that some lie in the sweeps."""
    name, ra, dec = storage.basename(catalog.spec.uri), catalog.ra, catalog.dec
    inside = int(inside_cells(ra, dec, found.cells).sum())
    # A unit that the file or the user states is not doubted.
    other = None if catalog.unit_stated else mistaken_unit(ra, dec, found.cells)
    actual = f"RA {ra.min():.3f} to {ra.max():.3f}, Dec {dec.min():.3f} to {dec.max():.3f}"
    remedy = ""
    if other:
        actual = (
            f"they look like {other.name}: read so, {other.inside:,} positions lie inside the sweep files, "
            f"as degrees {other.as_degrees:,}, by chance {other.by_chance:.1f}"
        )
        remedy = f"say which unit it is: {catalog.spec.uri}?unit={other.option}, or ?unit=deg"
    yield Check(
        name=f"catalog_in_degrees:{name}",
        passed=other is None,
        expected="RA and Dec in degrees, or a stated unit",
        actual=actual,
        remedy=remedy,
        critical=other is not None and other.is_evident,
    )
    if role == "exclude":
        yield Check(
            name=f"catalog_in_footprint:{name}",
            passed=inside > 0,
            expected="at least one position inside the cells of the sweep files",
            actual=f"{inside:,} of {len(ra):,}",
            remedy="this catalogue keeps nothing clear; is it the right one?",
            critical=False,
        )


def output_writable(found: Inspection) -> Iterator[Check]:
    """Write a file into the run's folder, and remove it."""
    probe = storage.join(found.files.root, "preflight.txt")
    expected = "an output prefix that can be written to"
    try:
        storage.write_bytes(probe, b"gate 1 can write here\n")
        storage.delete(probe)
    except _FAILURES as error:
        remedy = "create the folder or bucket, or grant this role s3:PutObject on it"
        yield Check.of_error("output_writable", expected, error, remedy=remedy)
        return
    found.writable = True
    yield Check(name="output_writable", passed=True, expected=expected, actual=found.files.root, remedy="")
