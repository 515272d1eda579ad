"""A table of a catalogue file whose columns are read one by one, whatever the file's format."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from lensneg.catalogs.frames import Frame
from lensneg.errors import CatalogError

#: A larger file is refused, because a catalogue is read whole. All lenses known in 2025 are a few megabytes.
LARGEST_BYTES: Final = 256 << 20

_TOO_LARGE: Final = "a lens catalogue is much smaller: keep its positions and names only"


@dataclass(frozen=True)
class Column:
    """A column of a catalogue file.

    Attributes
    ----------
    name : str
        The name in the file.
    read : callable
        Returns the values as text, numbers or booleans. A value that the file marks as missing is null.
    unit : str
        The unit in the file's words. Empty where the file gives none.
    holds : str
        What the values are if they are neither text, numbers nor booleans, such as ``lists``.
    frame : Frame or None
        The frame of a coordinate, if the file says it of this column or of the table.
    """

    name: str
    read: Callable[[], pa.Array]
    unit: str = ""
    holds: str = ""
    frame: Frame | None = None


@dataclass(frozen=True)
class CatalogTable:
    """A table of a catalogue file.

    Attributes
    ----------
    rows : int
        The number of rows.
    columns : tuple of Column
        The columns, in the file's order.
    title : str
        Which table of the file it is. Empty where the file has one.
    format : str
        The file's format in words.
    comments : str
        The comments before the table, of a text file.
    """

    rows: int
    columns: tuple[Column, ...]
    title: str = ""
    format: str = ""
    comments: str = ""


def check_size(n_bytes: int, uri: str, what: str = "") -> None:
    """Refuse what is larger than a catalogue can be.

    Parameters
    ----------
    n_bytes : int
        The size.
    uri : str
        The file.
    what : str
        What has this size. By default the file.

    Raises
    ------
    CatalogError
        If it is too large.
    """
    if n_bytes > LARGEST_BYTES:
        raise CatalogError(what or f"{n_bytes:,} bytes", where=uri, remedy=_TOO_LARGE)


def text_of(value: bytes) -> str:
    r"""Return text that a file holds as bytes: UTF-8, or else Latin-1.

    Parameters
    ----------
    value : bytes
        The bytes. A zero byte ends the text.

    Returns
    -------
    str
        The text without padding.

    Examples
    --------
    >>> text_of("Étoile".encode()), text_of(b"Caf\xe9  "), text_of(b"A\0rest")
    ('Étoile', 'Café', 'A')
    """
    value = value.split(b"\0", 1)[0]
    try:
        return value.decode("utf-8").strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()
