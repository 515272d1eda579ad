"""A lens catalogue as a user names it: a file, and the columns to read."""

from typing import Annotated, Final, Literal, Self, get_args
from urllib.parse import quote, unquote

from pydantic import Field, ValidationError

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.record import Record, faults_of

#: The columns of a catalogue that lensneg reads. ``radius`` is the exclusion radius of each lens.
ColumnRole = Literal[
    "ra", "dec", "name", "grade", "redshift", "einstein_radius", "targetid", "score", "radius"
]
COLUMN_ROLES: Final[tuple[ColumnRole, ...]] = get_args(ColumnRole)

#: What a run takes a catalogue of lenses for. The lenses of each of these roles are kept clear of.
LensRole = Literal["positives", "exclude", "spectroscopic"]
LENS_ROLES: Final[tuple[LensRole, ...]] = get_args(LensRole)

#: What a run takes a catalogue of sources for: those that may be lenses, and those that are known confusers.
SourceRole = Literal["suspects", "hard_negatives"]
SOURCE_ROLES: Final[tuple[SourceRole, ...]] = get_args(SourceRole)

#: What a run takes a catalogue for.
Role = Literal[LensRole, SourceRole]
ROLES: Final[tuple[Role, ...]] = (*LENS_ROLES, *SOURCE_ROLES)

#: The unit that a user states. Hours are those of right ascension: declination is then in degrees.
Unit = Literal["deg", "hour", "rad"]

#: The frame that a user states: that of J2000, or that of B1950.
Frame = Literal["icrs", "fk4"]

#: What happens to the rows of positives that ``where`` does not select.
Others = Literal["exclude", "ignore"]

_CHOICES: Final = {"unit": get_args(Unit), "frame": get_args(Frame), "others": get_args(Others)}

_OTHER_KEYS: Final = ("radius_arcsec", "score_min", "format")

#: The options that select rows, each before a column's name.
_SELECTIONS: Final = ("where.", "where_not.")

_OPTIONS: Final = (
    f"expected {', '.join(f'{role}=' for role in COLUMN_ROLES[:-1])} or radius= with a column's name, "
    "where.COLUMN=VALUE,VALUE or where_not.COLUMN=VALUE,VALUE, radius_arcsec=NUMBER, score_min=NUMBER, "
    "unit=deg, hour or rad, "
    "frame=icrs or fk4, format=NAME of astropy.table, or others=exclude or ignore"
)


class CatalogSpec(Record):
    """A lens catalogue as a user names it.

    Attributes
    ----------
    uri : str
        The file.
    ra, dec, name, grade, redshift, einstein_radius : str or None
        The columns of right ascension, declination, name, grade, redshift and Einstein radius. None for a
        column with a usual name. Of hard negatives, ``name`` is the name of their category.
    targetid : str or None
        Of suspects and hard negatives, the column of TARGETIDs. None for a column with the usual name.
    score, score_min : str or None, float or None
        Of suspects and hard negatives, the column of a score, and the least one of the rows that are taken.
    radius : str or None
        The column of the exclusion radius of each lens. A lens without a value has ``radius_arcsec``.
    radius_arcsec : float or None
        The exclusion radius of the catalogue's lenses. None for that of the config.
    where : dict of str to tuple of str
        Only rows in which each of these columns has one of the given values are selected.
    where_not : dict of str to tuple of str
        Rows in which one of these columns has one of the given values are not selected.
    unit : str or None
        The unit of numbers, whatever the file says: ``deg``, ``hour`` or ``rad``.
    frame : str or None
        The frame of the positions, whatever the file says: ``icrs``, or ``fk4`` for that of B1950.
    format : str or None
        The name of the file's format in astropy.table, such as ``ascii.latex``. None for the one that the
        content shows.
    others : str
        What happens to the rows of a catalogue of positives that ``where`` does not select. They are lenses
        too. So they are excluded from the negatives, or with ``ignore`` they are not.
    """

    uri: str
    ra: str | None = None
    dec: str | None = None
    name: str | None = None
    grade: str | None = None
    redshift: str | None = None
    einstein_radius: str | None = None
    radius: str | None = None
    targetid: str | None = None
    score: str | None = None
    score_min: Annotated[float, Field(allow_inf_nan=False)] | None = None
    radius_arcsec: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] | None = None
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    where_not: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    unit: Unit | None = None
    frame: Frame | None = None
    format: str | None = None
    others: Others = "exclude"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text that a user gives.

        Parameters
        ----------
        text : str
            ``FILE`` or ``FILE?ra=COLUMN&dec=COLUMN&where.COLUMN=VALUE,VALUE&unit=UNIT``, with any of the
            options, which are the attributes of this class. Values are taken literally, without the blanks
            around them. In a value, a comma is written as ``%2C`` and an ampersand as ``%26``.

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
        selections: dict[str, dict[str, tuple[str, ...]]] = {kind: {} for kind in _SELECTIONS}
        for option in filter(None, query.split("&")):
            key, mark, value = option.partition("=")
            key = unquote(key).strip()
            kind = next((kind for kind in _SELECTIONS if key.startswith(kind)), "") if mark else ""
            what = ""
            if key in options or (kind and key.removeprefix(kind) in selections[kind]):
                what = f"{key!r} is given twice"
            elif kind:
                values = tuple(unquote(part).strip() for part in value.split(","))
                selections[kind][key.removeprefix(kind)] = values
                continue
            elif key not in (*COLUMN_ROLES, *_CHOICES, *_OTHER_KEYS) or not value.strip():
                what = f"{key!r} is not an option of a catalogue"
            options[key] = value = unquote(value).strip()
            if key in _CHOICES and value not in _CHOICES[key]:
                what = f"{key}={value!r} is not possible"
            if what:
                raise InputError(f"{what}; {_OPTIONS}", where=repr(text))
        chosen = {kind.rstrip("."): columns for kind, columns in selections.items()}
        try:
            return cls.model_validate({"uri": storage.normalize(uri), **chosen, **options})
        except ValidationError as error:
            raise InputError("; ".join(faults_of(error)), where=repr(text)) from error

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
        for kind in _SELECTIONS:
            columns = getattr(self, kind.rstrip("."))
            options |= {f"{kind}{_quoted(c)}": ",".join(map(_quoted, v)) for c, v in columns.items()}
        options |= {"radius_arcsec": repr(self.radius_arcsec)} if self.radius_arcsec else {}
        options |= {"score_min": repr(self.score_min)} if self.score_min is not None else {}
        options |= {key: v for key in ("unit", "frame", "format") if (v := getattr(self, key))}
        options |= {"others": self.others} if self.others != "exclude" else {}
        return self.uri + (f"?{'&'.join(f'{k}={v}' for k, v in options.items())}" if options else "")


def option_of(role: Role) -> str:
    """Return the option of a command that takes the catalogues of a role.

    Parameters
    ----------
    role : str
        One of ``ROLES``.

    Returns
    -------
    str
        With its hyphens.

    Examples
    --------
    >>> option_of("hard_negatives")
    '--hard-negatives'
    """
    return f"--{role.replace('_', '-')}"


def _quoted(text: str) -> str:
    return quote(text, safe=" +()[]/:;")
