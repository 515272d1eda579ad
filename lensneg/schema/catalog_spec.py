"""A lens catalogue as a user names it: a file, and the columns to read."""

from typing import Final, Literal, Self, get_args
from urllib.parse import quote, unquote

from pydantic import Field

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.record import Record

#: The columns of a catalogue that lensneg reads.
ColumnRole = Literal["ra", "dec", "name", "grade"]
COLUMN_ROLES: Final[tuple[ColumnRole, ...]] = get_args(ColumnRole)

#: What a run takes a catalogue for. The lenses of every role are kept clear of.
Role = Literal["positives", "exclude", "spectroscopic"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

#: The unit that a user states. Hours are those of right ascension: declination is then in degrees.
Unit = Literal["deg", "hour", "rad"]

#: What happens to the rows of positives that ``where`` does not select.
Others = Literal["exclude", "ignore"]

_CHOICES: Final = {"unit": get_args(Unit), "others": get_args(Others)}

_OPTIONS: Final = (
    "expected ra=, dec=, name= or grade= with a column's name, where.COLUMN=VALUE,VALUE, unit=deg, hour or "
    "rad, or others=exclude or ignore"
)


class CatalogSpec(Record):
    """A lens catalogue as a user names it.

    Attributes
    ----------
    uri : str
        The file.
    ra, dec, name, grade : str or None
        The columns of right ascension, declination, name and grade. None for a column with a usual name.
    where : dict of str to tuple of str
        Only rows in which each of these columns has one of the given values are selected.
    unit : str or None
        The unit of numbers, whatever the file says: ``deg``, ``hour`` or ``rad``.
    others : str
        What happens to the rows of a catalogue of positives that ``where`` does not select. They are lenses
        too. So they are excluded from the negatives, or with ``ignore`` they are not.
    """

    uri: str
    ra: str | None = None
    dec: str | None = None
    name: str | None = None
    grade: str | None = None
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    unit: Unit | None = None
    others: Others = "exclude"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text that a user gives.

        Parameters
        ----------
        text : str
            ``FILE`` or ``FILE?ra=COLUMN&dec=COLUMN&name=COLUMN&where.COLUMN=VALUE,VALUE&unit=UNIT``, and
            ``others=WHAT``, with any of the options. Values are taken literally, without the blanks around
            them. In a value, a comma is written as ``%2C`` and an ampersand as ``%26``.

        Returns
        -------
        CatalogSpec
            The catalogue, with an absolute path or a URI.

        Raises
        ------
        InputError
            If an option is unknown or given twice, or the file is neither a path nor an S3 URI.

        Examples
        --------
        >>> CatalogSpec.parse("/data/c.csv?ra=ALPHA&where.grading=A, A+").where
        {'grading': ('A', 'A+')}
        """
        uri, _, query = text.partition("?")
        options: dict[str, str] = {}
        where: dict[str, tuple[str, ...]] = {}
        for option in filter(None, query.split("&")):
            key, mark, value = option.partition("=")
            key = unquote(key).strip()
            what = ""
            if key in options or key.removeprefix("where.") in where:
                what = f"{key!r} is given twice"
            elif key.startswith("where.") and mark:
                where[key.removeprefix("where.")] = tuple(unquote(part).strip() for part in value.split(","))
                continue
            elif key not in (*COLUMN_ROLES, *_CHOICES) or not value.strip():
                what = f"{key!r} is not an option of a catalogue"
            options[key] = value = unquote(value).strip()
            if key in _CHOICES and value not in _CHOICES[key]:
                what = f"{key}={value!r} is not possible"
            if what:
                raise InputError(f"{what}; {_OPTIONS}", where=repr(text))
        return cls.model_validate({"uri": storage.normalize(uri), "where": where, **options})

    @property
    def text(self) -> str:
        """The text that :meth:`parse` takes.

        Examples
        --------
        >>> CatalogSpec.parse("/data/c.csv?ra=ALPHA&where.grade=A,B").text
        '/data/c.csv?ra=ALPHA&where.grade=A,B'
        """
        options: dict[str, str] = {
            str(role): _quoted(c) for role in COLUMN_ROLES if (c := getattr(self, role))
        }
        options |= {f"where.{_quoted(c)}": ",".join(map(_quoted, v)) for c, v in self.where.items()}
        options |= {"unit": self.unit} if self.unit else {}
        options |= {"others": self.others} if self.others != "exclude" else {}
        return self.uri + (f"?{'&'.join(f'{k}={v}' for k, v in options.items())}" if options else "")


def _quoted(text: str) -> str:
    return quote(text, safe=" +()[]/:;")
