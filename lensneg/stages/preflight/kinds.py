"""Inputs of a wrong kind, named before anything starts: a sweep as catalogue, a catalogue as sweep."""

from typing import Final

from lensneg import storage
from lensneg.catalogs.catalog import Catalog
from lensneg.catalogs.footprint import mistaken_unit
from lensneg.catalogs.sources import read_any
from lensneg.errors import CatalogError, InputError, SweepError
from lensneg.schema.catalog_spec import option_of
from lensneg.schema.config import Config
from lensneg.schema.input_name import hats_pixel, input_name
from lensneg.schema.request import RunRequest, is_remote
from lensneg.stages.preflight.input_checks import positives_in_sweeps
from lensneg.survey.inputs import probe_input
from lensneg.survey.listing import FOLDER_REMEDY, look_into
from lensneg.survey.names import is_table, sweep_cell
from lensneg.survey.pixels import Area, area_of
from lensneg.survey.table_rows import table_columns

#: Bytes of tables that are read to learn their boxes. Gate 1 reads larger ones.
_QUICKLY_READ: Final = 32 << 20

#: Tables of a folder whose columns are looked at.
_LOOKED_INTO: Final = 8


def recognise_inputs(request: RunRequest, config: Config) -> list[str]:
    """Read the catalogues of a request, and the names of its sweep files.

    Parameters
    ----------
    request : RunRequest
        The run that is to start. Its files exist.
    config : Config
        The run's config.

    Returns
    -------
    list of str
        A line for each catalogue: what was recognised.

    Raises
    ------
    InputError
        If a catalogue cannot be read, a sweep file is given as a catalogue, a catalogue as sweep files, or no
        positive lies in the sweep files.
    """
    cells = _cells(request)
    lines, positives = [], list[Catalog]()
    for role, specs in request.catalogs.items():
        for spec in specs:
            try:
                catalog = read_any(spec, role, config.positives.columns)
            except CatalogError as error:
                where = f"{option_of(role)} {error.where}"
                raise CatalogError(error.what, where=where, remedy=error.remedy) from error
            lines.append(f"{option_of(role)} {spec.uri}: {catalog.summary}")
            positives += [catalog] if role == "positives" and isinstance(catalog, Catalog) else []
    check = positives_in_sweeps(positives, cells, config.sweeps.releases) if cells else None
    if check and not check.passed and any(len(catalog.ra) for catalog in positives):
        remedy = check.remedy
        for c in positives:
            if not c.unit_stated and (other := mistaken_unit(c.ra, c.dec, list(cells.values()))):
                remedy = f"they look like {other.name}: say so, {c.spec.uri}?unit={other.option}"
        what = f"no positive lies inside the sweep files: {check.actual}"
        raise InputError(what, where=f"--sweeps {request.sweeps}", remedy=remedy)
    return lines


def _cells(request: RunRequest) -> dict[str, Area]:
    """Return the areas of the sweep files by name. None for tables whose boxes take long to read."""
    uri = request.sweeps
    where = f"--sweeps {uri}"
    if storage.is_file(uri) and not (is_table(uri) or is_remote(uri)):
        if sweep_cell(storage.basename(uri)) is not None:
            raise SweepError("this is one sweep file", where=where, remedy="name the folder that holds it")
        what = "this is a file, and neither a folder of sweep files nor a table in their place"
        raise SweepError(what, where=where, remedy=f"is it a catalogue (--positives)? {FOLDER_REMEDY}")
    listed = look_into(uri, request.leave_out).sweeps
    tables = [info for info in listed if is_table(info.uri)]
    for info in tables[:_LOOKED_INTO]:
        columns = {name.strip().lower() for name in table_columns(info)}
        if columns and columns.isdisjoint(("release", "brickid", "objid", "maskbits")):
            what = f"{storage.basename(info.uri)} is no table of sweep sources: "
            what += "it has none of RELEASE, BRICKID, OBJID, MASKBITS"
            raise SweepError(what, where=where, remedy=f"is it a catalogue (--positives)? {FOLDER_REMEDY}")
    if not tables:
        names = [storage.basename(info.uri) for info in listed]
        return {name: cell for name in names if (cell := sweep_cell(name)) is not None}
    if all(hats_pixel(info.uri) for info in tables):
        return {input_name(info.uri): area_of(info.uri) for info in tables}
    if sum(info.size for info in tables) > _QUICKLY_READ:
        return {}
    try:
        boxes = {info.uri: probe_input(info).box for info in tables}
    except SweepError:
        return {}  # gate 1 says what is wrong with each
    return {input_name(uri): area_of(uri, box) for uri, box in boxes.items() if box}
