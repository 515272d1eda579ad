"""The columns that say of a positive which lens it is: in lenses.parquet, and in the manifest's positives.

Those of the positives also say which cut of the negatives each fails.
"""

from collections.abc import Iterable
from typing import Annotated, Final

import pyarrow as pa
from pydantic import AfterValidator, Field

#: What a manifest says of each positive's lens: the columns ``lens_name`` and so on.
LENS_FACTS: Final = ("name", "catalog", "grade", "redshift", "einstein_radius")

#: What a manifest says of a positive and the cuts of negatives.
CUT_COLUMNS: Final = ("passes_cuts", "cut")

_DESCRIPTIONS: Final = {
    "name": "name of the lens in its catalogue",
    "catalog": "file name of the catalogue",
    "grade": "grade of the lens",
    "redshift": "redshift of the lens",
    "einstein_radius": "Einstein radius",
}


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    for i, name in enumerate(names):
        if name.lower() in (*LENS_FACTS, *(other.lower() for other in names[:i])):
            raise ValueError(f"{name!r} is there already; expected other columns, each once")
    return names


#: Further columns of the catalogues that a config names.
LensColumns = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[!-~](?:[ -~]{0,60}[!-~])?$")], ...], AfterValidator(_distinct)
]


def facts_schema(extra: Iterable[str] = ()) -> pa.Schema:
    """Return the columns that a catalogue gives besides a lens's position and name.

    Parameters
    ----------
    extra : iterable of str
        Further columns of the catalogues, as ``positives.columns`` of the config names them.

    Returns
    -------
    pyarrow.Schema
        Grade, redshift, Einstein radius in arcseconds, and the further columns as text. A missing value is
        null.
    """
    return pa.schema(
        [_field(name, name) for name in LENS_FACTS[2:]] + [pa.field(n, pa.string()) for n in extra]
    )


def lens_schema(extra: Iterable[str] = ()) -> pa.Schema:
    """Return the columns of a manifest's positives that its negatives do not have.

    First those of ``CUT_COLUMNS``, then what the catalogue says of the lens.

    Parameters
    ----------
    extra : iterable of str
        As for :func:`facts_schema`.

    Returns
    -------
    pyarrow.Schema
        The columns of the catalogue have ``lens_`` before their names.
    """
    fields = [
        pa.field("passes_cuts", pa.bool_(), metadata={"description": "passes the cuts that negatives pass"}),
        pa.field("cut", pa.string(), metadata={"description": "the first cut that it fails; null for none"}),
        *(_field(name, f"lens_{name}") for name in LENS_FACTS),
    ]
    for name in extra:
        metadata = {"description": f"column {name} of the lens's catalogue"}
        fields.append(pa.field(f"lens_{name}", pa.string(), metadata=metadata))
    return pa.schema(fields)


def _field(fact: str, name: str) -> pa.Field:
    kind = pa.float64() if fact in ("redshift", "einstein_radius") else pa.string()
    unit = {"unit": "arcsec"} if fact == "einstein_radius" else {}
    return pa.field(name, kind, metadata={"description": _DESCRIPTIONS[fact], **unit})
