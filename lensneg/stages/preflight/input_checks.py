"""Gate 1's checks of what the user gave: config, code, sweep files, catalogues, output."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from lensneg import storage
from lensneg.catalogs.catalog import Catalog, read_catalog
from lensneg.catalogs.footprint import inside_cells, mistaken_unit
from lensneg.errors import InputError, RunStateError, StorageError
from lensneg.rules.selection import needed_columns
from lensneg.schema.catalog_spec import Role
from lensneg.schema.check import Check, brief
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.config import Config
from lensneg.schema.run import CatalogInput, SweepInput
from lensneg.stages.preflight.inspection import Inspection
from lensneg.survey.fits_layout import FITS_BLOCK
from lensneg.survey.inputs import probe_input
from lensneg.survey.listing import FOLDER_REMEDY, NOT_READ_REMEDY, SweepFolder, look_into
from lensneg.survey.names import Cell, cell_of, cell_of_input, is_gzipped, is_table, overlapping

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


def sweeps(found: Inspection) -> Iterator[Check]:
    """List the sweep files, and read their headers."""
    uri, leave_out, why = found.request.sweeps, found.request.leave_out, ""
    folder = SweepFolder([], [], [], 0, 0)
    try:
        folder = look_into(uri, leave_out)
    except FileNotFoundError:
        why = "; there is no such folder, and no such table"
    except _FAILURES as error:
        why = f"; {error}"
    named, found.ignored_files = folder.sweeps, folder.others + folder.left_out
    kind = "tables" if any(is_table(info.uri) for info in named) else "sweep files"
    counts = f"{len(named):,} {kind}, {folder.others:,} other files (ignored)"
    if leave_out:
        counts += f", {folder.left_out:,} left out as asked"
    yield Check(
        name="sweeps_listed",
        passed=bool(named),
        expected="sweep-AAAcBBB-DDDcEEE.fits or .fits.gz files, or .csv or .parquet tables in their place",
        actual=f"{counts} below {uri}{why}",
        remedy=FOLDER_REMEDY,
    )
    yield Check.of_faults(
        "sweep_names",
        folder.not_read,
        expected="nothing that is named almost like a sweep file, or may not be looked at",
        found=f"{len(named):,} names",
        saying="not read: ",
        remedy=NOT_READ_REMEDY,
    )
    if not named:
        return
    if kind == "sweep files":
        yield _disjoint({info.uri: cell_of(info.uri) for info in named})
    yield from _headers(found, named, folder.not_files)
    if kind == "tables":  # their boxes are known only now
        yield _disjoint({sweep.uri: cell_of_input(sweep) for sweep in found.sweeps})


def _disjoint(cells: dict[str, Cell]) -> Check:
    overlap = overlapping(list(cells.values()))
    return Check.of_faults(
        "sweeps_disjoint",
        [storage.basename(uri) for uri, other in zip(cells, overlap, strict=True) if other],
        expected="each part of the sky in one file",
        found=f"{len(cells):,} cells",
        saying="their cells overlap: ",
        remedy="remove the copies: both .fits and .fits.gz, or two releases, would double every object; join "
        "tables of one part of the sky",
    )


def _headers(found: Inspection, infos: list[storage.FileInfo], not_files: list[str]) -> Iterator[Check]:
    needed = needed_columns(found.config) if found.config else NEEDED_COLUMNS
    with ThreadPoolExecutor(_PROBE_THREADS) as threads:
        probed = list(threads.map(lambda info: _probe(info, needed), infos))
    broken = [result for result in probed if isinstance(result, str)]
    broken += [
        f"{entry}: a folder or a broken link, under the name of a sweep file; remove or rename it"
        for entry in not_files
    ]
    sound = [result for result in probed if not isinstance(result, str)]
    found.sweeps = inputs = [sweep for sweep, _ in sound]
    yield Check.of_faults(
        "sweeps_readable",
        broken,
        expected="the headers and size of a DR10 sweep file in each, or its columns in a table",
        found=f"{len(inputs):,} files",
        saying=f"{len(broken)} unfit: ",
        remedy="fetch the named files again, or remove what is not a sweep file of DR10; correct tables",
        shown=3,
    )
    if not inputs:
        return
    plain = [info for info in inputs if not (is_gzipped(info.uri) or is_table(info.uri))]
    unpadded = [info.name for info in plain if info.size % FITS_BLOCK]
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
    yield Check.of_faults(
        "sweeps_standard",
        [f"{sweep.name}: {oddity}" for sweep, oddities in sound for oddity in oddities],
        expected="files that keep to the FITS standard",
        found=f"{len(inputs):,} files",
        remedy="their rows are read; if they should be the survey's own files, compare their checksums",
        shown=3,
        critical=False,
    )
    releases = sorted({info.release for info in inputs if info.rows})
    allowed = set(found.config.sweeps.releases) if found.config else set(releases)
    yield Check(
        name="one_release",
        passed=bool(releases) and set(releases) <= allowed,
        expected=f"RELEASE {' or '.join(map(str, sorted(allowed)))} (sweeps.releases of the config)",
        actual=", ".join(map(str, releases)) or "no rows at all",
        remedy="use files of a release that the config lists, or list this one in a new config",
    )


def _probe(info: storage.FileInfo, needed: tuple[str, ...]) -> tuple[SweepInput, tuple[str, ...]] | str:
    """Read the headers of a sweep file; return it with its oddities, or what is wrong with it."""
    try:
        file = probe_input(info, needed)
    except (*_FAILURES, OSError) as error:
        return str(error)
    rows = {"rows": file.n_rows, "release": file.release, "row_bytes": file.row_bytes}
    sweep = SweepInput(**info._asdict(), **rows, box=file.box)
    return sweep, file.oddities


def catalogs(found: Inspection) -> Iterator[Check]:
    """Read the catalogues, and check that they belong to the sweeps."""
    request, cells = found.request, found.cells
    for role, spec in [(role, spec) for role, specs in request.catalogs.items() for spec in specs]:
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
    if request.spectroscopic and found.config:
        section = found.config.spectroscopic
        yield Check(
            name="spectroscopic_in_config",
            passed=section is not None,
            expected="a section spectroscopic of the config, as there is a spectroscopic catalogue",
            actual=f'a radius of {section.radius_arcsec:g}"' if section else "no such section",
            where=request.config,
            remedy="copy the section from configs/negative_sampling_v1.yaml into a new version of the config",
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
    if role != "positives":
        yield Check(
            name=f"catalog_in_footprint:{name}",
            passed=inside > 0,
            expected="at least one position inside the cells of the sweep files",
            actual=f"{inside:,} of {len(ra):,}",
            remedy="this catalogue keeps nothing clear; is it the right one?",
            critical=False,
        )


def output_writable(found: Inspection) -> Iterator[Check]:
    """Write a file into the run's folder, and remove it. The folder of a published run is left as it is."""
    probe = storage.join(found.files.root, "preflight.txt")
    expected = "an output prefix that can be written to"
    try:
        if storage.exists(found.files.manifest):
            return
        storage.write_bytes(probe, b"gate 1 can write here\n")
        storage.delete(probe)
    except _FAILURES as error:
        remedy = "create the folder or bucket, or grant this role s3:PutObject on it"
        yield Check.of_error("output_writable", expected, error, remedy=remedy)
        return
    found.writable = True
    yield Check(name="output_writable", passed=True, expected=expected, actual=found.files.root, remedy="")
