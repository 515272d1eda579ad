"""A lens catalogue as the user names it."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field

from lensneg import storage
from lensneg.errors import InputError

#: Names under which catalogues carry right ascension, declination and a name, without case. The first
#: that is there is taken; a catalogue that has none needs a mapping.
COLUMN_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "ra": ("ra", "ra [deg]", "target_ra", "ra_deg", "raj2000", "ra_j2000", "_raj2000"),
    "dec": ("dec", "dec [deg]", "target_dec", "dec_deg", "dej2000", "dec_j2000", "_dej2000"),
    "name": ("name", "id", "targetid", "object", "lens_name"),
}


class CatalogSpec(BaseModel):
    """A catalogue as the user names it: a file, and where its columns are not the usual ones, which.

    ``where`` keeps only the rows whose column holds one of the given values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str
    ra: str | None = None
    dec: str | None = None
    name: str | None = None
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> CatalogSpec:
        """Read ``FILE`` or ``FILE?ra=COLUMN&dec=COLUMN&name=COLUMN&where.COLUMN=VALUE,VALUE``.

        Examples
        --------
        >>> CatalogSpec.parse("/data/c.csv?ra=ALPHA&where.grading=confident").where
        {'grading': ('confident',)}
        """
        uri, _, query = text.partition("?")
        columns: dict[str, str] = {}
        where: dict[str, tuple[str, ...]] = {}
        for key, value in parse_qsl(query, keep_blank_values=True):
            if key.startswith("where."):
                where[key.removeprefix("where.")] = tuple(value.split(","))
            elif key in COLUMN_ALIASES and value:
                columns[key] = value
            else:
                raise InputError(
                    f"{key!r} is not an option of a catalogue; expected ra=, dec=, name= with a column's name, or "
                    "where.COLUMN=VALUE,VALUE",
                    where=repr(text),
                )
        return cls(uri=storage.normalize(uri), where=where, **columns)
