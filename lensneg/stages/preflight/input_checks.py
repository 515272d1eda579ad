"""Gate 1's checks of what the user gave: config, code, sweep files, catalogues, output."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from lensneg import storage
from lensneg.catalogs.catalog import Catalog
from lensneg.catalogs.footprint import how_far, inside_cells, mistaken_unit
from lensneg.catalogs.sources import SourceCatalog, read_any
from lensneg.errors import InputError, RunStateError, StorageError
from lensneg.rules.selection import needed_columns
from lensneg.schema.catalog_spec import ROLES, SOURCE_ROLES, Role
from lensneg.schema.check import Check, brief
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.config import Config
from lensneg.schema.input_name import input_name
from lensneg.schema.run import CatalogInput, SweepInput
from lensneg.stages.preflight.inspection import Inspection
from lensneg.storage.errors import told
from lensneg.survey.fits_layout import FITS_BLOCK
from lensneg.survey.inputs import probe_input
from lensneg.survey.listing import FOLDER_REMEDY, NOT_READ_REMEDY, SweepFolder, look_into
from lensneg.survey.names import is_gzipped, is_table
from lensneg.survey.pixels import Area, area_of, area_of_input, overlapping_inputs
from lensneg.survey.table_rows import table_row_groups
from lensneg.survey.versions import release_text, versions_of

#: Errors that fail a check. A TransientError does not: the state machine tries again.
_FAILURES: Final = (InputError, RunStateError, StorageError)

#: Threads that read the headers of sweep files. On S3 each file costs a round trip.
_PROBE_THREADS: Final = 32


#: What a catalogue of each of these roles lists.
_KINDS: Final = {
    "spectroscopic": "spectroscopic lenses",
    "suspects": "suspects",
    "hard_negatives": "hard negatives",
}


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
    yield from _headers(found, named, folder.not_files)
    areas = {sweep.uri: area_of_input(sweep) for sweep in found.sweeps}  # those of tables are known only now
    if kind == "sweep files":
        areas = {info.uri: area_of(info.uri) for info in named}
    yield _disjoint(areas, {sweep.uri: sweep.release for sweep in found.sweeps if sweep.rows})


def _disjoint(areas: dict[str, Area], releases: dict[str, int]) -> Check:
    """Check that no two files hold the same sky. Where they hold it in two releases, these are named."""
    faults = []
    for one, other in overlapping_inputs(areas):
        names = [input_name(one), input_name(other)]
        if len({releases.get(one), releases.get(other)} - {None}) == 2:
            names = [f"{names[0]} of {release_text(releases[one])}"]
            names.append(f"{input_name(other)} of {release_text(releases[other])}")
        faults.append(" and ".join(names))
    return Check.of_faults(
        "sweeps_disjoint",
        faults,
        expected="each part of the sky in one file, and so in one release",
        found=f"{len(areas):,} cells",
        saying="their cells overlap: ",
        remedy="leave one of each pair out (--leave-out NAME): both .fits and .fits.gz, or two releases, "
        "would double every object; join tables of one part of the sky",
    )


def _headers(found: Inspection, infos: list[storage.FileInfo], not_files: list[str]) -> Iterator[Check]:
    needed = needed_columns(found.config) if found.config else NEEDED_COLUMNS
    versions = versions_of(found.config.sweeps.releases if found.config else ())
    survey = "".join(f"{version.name} " for version in versions[:1]) if len(versions) == 1 else ""
    folders = ", ".join(version.folder for version in versions if version.folder)
    folders = f" (from {folders})" if folders else ""
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
        expected=f"the headers and size of a {survey}sweep file in each, or its columns in a table",
        found=f"{len(inputs):,} files",
        saying=f"{len(broken)} unfit: ",
        remedy=f"fetch the named files again{folders}, or remove what is no such sweep file; correct tables",
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
        expected="files as the survey writes them, by the FITS standard",
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
        expected=f"RELEASE {' or '.join(map(release_text, sorted(allowed)))} (sweeps.releases of the config)",
        actual=", ".join(map(release_text, releases)) or "no rows at all",
        remedy="use files of a release that the config lists, or a config for this one: "
        "negative_sampling_dr9_south and negative_sampling_dr9_north are for DR9, and docs/science.md "
        "(Releases) says how to make one for DR11",
    )


def _probe(info: storage.FileInfo, needed: tuple[str, ...]) -> tuple[SweepInput, tuple[str, ...]] | str:
    """Read the headers of a sweep file; return it with its oddities, or what is wrong with it."""
    try:
        file = probe_input(info, needed)
    except (*_FAILURES, OSError) as error:
        return told(error)
    rows = {"rows": file.n_rows, "release": file.release, "row_bytes": file.row_bytes}
    needed_bytes = sum(group.n_bytes for group in table_row_groups(file)) if is_table(info.uri) else 0
    sweep = SweepInput(**info._asdict(), **rows, box=file.box, needed_bytes=needed_bytes)
    return sweep, file.oddities


def catalogs(found: Inspection) -> Iterator[Check]:
    """Read the catalogues, and check that they belong to the sweeps."""
    request, cells = found.request, found.cells
    extra = found.config.positives.columns if found.config else ()
    for role, spec in [(role, spec) for role, specs in request.catalogs.items() for spec in specs]:
        name, expected = f"catalog_readable:{storage.basename(spec.uri)}", "positions in degrees"
        remedy = "name the columns with FILE?ra=COLUMN&dec=COLUMN; RA and Dec must be in degrees"
        if role in SOURCE_ROLES:
            expected = "positions in degrees, or TARGETIDs"
        try:
            catalog = read_any(spec, role, extra)
            info = storage.stat(spec.uri)
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
            others=len(catalog.others.ra) if isinstance(catalog, Catalog) else 0,
        )
        found.catalogs.append((source, catalog))
        yield Check(
            name=name,
            passed=len(catalog.ra) > 0,
            expected=expected,
            actual=catalog.summary,
            where=spec.uri,
            remedy=remedy,
        )
        if np.isfinite(catalog.ra).any() and cells:
            yield from _belongs(found, role, catalog)
    positives = found.positives
    if cells:
        named = {sweep.name: area_of_input(sweep) for sweep in found.sweeps}
        yield positives_in_sweeps(positives, named, found.config.sweeps.releases if found.config else ())
    for name in extra:
        there = any(name.lower() in catalog.columns for catalog in positives)
        yield Check(
            name="columns_in_catalogs",
            passed=there,
            expected=f"a catalogue of positives with a column {name!r} (positives.columns of the config)",
            actual=f"{'one' if there else 'none'} of {len(positives)}",
            where=request.config,
            remedy="correct the name in a new version of the config, or take it out",
        )
    for role in ROLES[2:]:
        if request.catalogs[role] and found.config:
            has_section = getattr(found.config, role) is not None
            example = "negative_sampling_v1" if role == "spectroscopic" else "negative_sampling_v2"
            yield Check(
                name=f"{role}_in_config",
                passed=has_section,
                expected=f"a section {role} of the config, as there is a catalogue of {_KINDS[role]}",
                actual="there" if has_section else "no such section",
                where=request.config,
                remedy=f"copy the section from configs/{example}.yaml into a new version of the config",
            )


def positives_in_sweeps(
    positives: list[Catalog], cells: dict[str, Area], releases: Iterable[int] = ()
) -> Check:
    """Check that a positive lies in the sweep files.

    Parameters
    ----------
    positives : list of Catalog
        The catalogues of positives.
    cells : dict of str to Cell or Pixel
        The areas of the sweep files, by the file's name.
    releases : iterable of int
        Those that the config lists.

    Returns
    -------
    Check
        If none does, it says how far the nearest file is, and which files would be needed.
    """
    ra = np.concatenate([np.empty(0), *(catalog.ra for catalog in positives)])
    dec = np.concatenate([np.empty(0), *(catalog.dec for catalog in positives)])
    inside = int(inside_cells(ra, dec, list(cells.values())).sum())
    far = f"; {how_far(ra, dec, cells, versions_of(releases))}" if len(ra) and not inside else ""
    return Check(
        name="positives_in_sweeps",
        passed=inside > 0,
        expected="at least one positive inside the cells of the sweep files",
        actual=f"{inside:,} of {len(ra):,}{far}",
        remedy="give sweep files of the sky that the catalogue covers (lensneg sweeps fetch --near CATALOGUE "
        "--to FOLDER); are the coordinates degrees?",
    )


def _belongs(found: Inspection, role: Role, catalog: Catalog | SourceCatalog) -> Iterator[Check]:
    """Check that a catalogue's coordinates are degrees, and that some lie in the sweeps."""
    name, placed = storage.basename(catalog.spec.uri), np.isfinite(catalog.ra)
    ra, dec = catalog.ra[placed], catalog.dec[placed]
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
            remedy="this catalogue changes nothing; is it the right one?",
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
    place = f"runs/{found.files.run_id}"
    yield Check(name="output_writable", passed=True, expected=expected, actual=place, remedy="")
