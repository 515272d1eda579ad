"""A sweep file in the place of a lens catalogue."""

from collections.abc import Sequence

from lensneg import storage
from lensneg.catalogs.find_columns import COLUMN_ALIASES
from lensneg.errors import CatalogError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.survey.names import looks_like_a_sweep, sweep_cell

_REMEDY = "name a catalogue of lenses here, and the folder of the sweep files in --sweeps"


def check_name_is_no_sweep(uri: str) -> None:
    """Refuse a file with the name of a sweep file, which may be too large to look into.

    Parameters
    ----------
    uri : str
        The file.

    Raises
    ------
    CatalogError
        If the name is one of a sweep file, or almost.
    """
    name = storage.basename(uri)
    if sweep_cell(name) is not None or looks_like_a_sweep(name):
        raise CatalogError("this is a sweep file, not a lens catalogue", where=uri, remedy=_REMEDY)


def check_is_no_sweep(columns: Sequence[str], spec: CatalogSpec) -> None:
    """Refuse a table of the survey's sources.

    Parameters
    ----------
    columns : sequence of str
        The table's columns.
    spec : CatalogSpec
        The catalogue as the user named it.

    Raises
    ------
    CatalogError
        If the table has all columns of a sweep, and none that only a catalogue has: names or grades. A
        catalogue may have been joined with the survey.
    """
    names = {column.strip().lower() for column in columns}
    of_lenses = {*COLUMN_ALIASES["name"], *COLUMN_ALIASES["grade"]} & names or spec.name or spec.grade
    if not of_lenses and names.issuperset(column.lower() for column in NEEDED_COLUMNS):
        what = (
            "this is a table of sweep sources, not a lens catalogue: it has all columns of a sweep, and no "
        )
        raise CatalogError(
            what + "names or grades of lenses", where=spec.uri, remedy=f"{_REMEDY}; or say ?name=COLUMN"
        )
