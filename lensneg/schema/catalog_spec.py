"""A lens catalogue as a user names it: a file, and the columns to read."""

from typing import Final, Literal, Self, get_args
from urllib.parse import parse_qsl, urlencode

from pydantic import Field

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.record import Record

#: The columns of a catalogue that lensneg reads.
ColumnRole = Literal["ra", "dec", "name"]
COLUMN_ROLES: Final[tuple[ColumnRole, ...]] = get_args(ColumnRole)


class CatalogSpec(Record):
    """A lens catalogue as a user names it.

    Attributes
    ----------
    uri : str
        The file.
    ra, dec, name : str or None
        The columns of right ascension, declination and name. None for a column with a usual name.
    where : dict of str to tuple of str
        Only rows in which each of these columns has one of the given values are read.
    """

    uri: str
    ra: str | None = None
    dec: str | None = None
    name: str | None = None
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text that a user gives.

        Parameters
        ----------
        text : str
            ``FILE`` or ``FILE?ra=COLUMN&dec=COLUMN&name=COLUMN&where.COLUMN=VALUE,VALUE``, with any of the
            options.

        Returns
        -------
        CatalogSpec
            The catalogue, with an absolute path or a URI.

        Raises
        ------
        InputError
            If an option is unknown, or the file is neither a path nor an S3 URI.

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
        """The text that :meth:`parse` takes.

        Examples
        --------
        >>> CatalogSpec.parse("/data/c.csv?ra=ALPHA&where.grade=A,B").text
        '/data/c.csv?ra=ALPHA&where.grade=A%2CB'
        """
        options: dict[str, str] = {role: column for role in COLUMN_ROLES if (column := getattr(self, role))}
        options |= {f"where.{column}": ",".join(values) for column, values in self.where.items()}
        return self.uri + (f"?{urlencode(options)}" if options else "")
