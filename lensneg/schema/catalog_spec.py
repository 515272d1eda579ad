"""A lens catalogue as the user names it."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode

from pydantic import Field

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.record import Record

#: What a column of a catalogue can be to us.
ColumnRole = Literal["ra", "dec", "name"]
COLUMN_ROLES: Final[tuple[ColumnRole, ...]] = ("ra", "dec", "name")


class CatalogSpec(Record):
    """A catalogue as the user names it: a file, and where its columns are not the usual ones, which.

    ``where`` keeps only the rows whose column holds one of the given values.
    """

    uri: str
    ra: str | None = None
    dec: str | None = None
    name: str | None = None
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> CatalogSpec:
        """Read ``FILE`` or ``FILE?ra=COLUMN&dec=COLUMN&name=COLUMN&where.COLUMN=VALUE,VALUE``.

        Raises
        ------
        InputError
            If an option is unknown, or the file is named by something else than a path or an S3 URI.

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
            elif key in COLUMN_ROLES and value:
                columns[key] = value
            else:
                raise InputError(
                    f"{key!r} is not an option of a catalogue; expected ra=, dec=, name= with a column's "
                    "name, or where.COLUMN=VALUE,VALUE",
                    where=repr(text),
                )
        return cls(uri=storage.normalize(uri), where=where, **columns)

    @property
    def text(self) -> str:
        """The catalogue as the command line takes it, the inverse of :meth:`parse`.

        Examples
        --------
        >>> CatalogSpec.parse("/data/c.csv?ra=ALPHA&where.grade=A,B").text
        '/data/c.csv?ra=ALPHA&where.grade=A%2CB'
        """
        options: list[tuple[str, str]] = [
            (role, column) for role in COLUMN_ROLES if (column := getattr(self, role))
        ]
        options += [(f"where.{column}", ",".join(values)) for column, values in self.where.items()]
        return self.uri + (f"?{urlencode(options)}" if options else "")
