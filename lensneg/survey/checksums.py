"""The survey's lists of SHA-256 checksums, as sha256sum writes them."""

import re
from typing import Final, NamedTuple, Self

from lensneg.errors import InputError

_LINE: Final = re.compile(r"([0-9a-fA-F]{64})\s+[ *]?(\S+)")


class ChecksumList(NamedTuple):
    """A list of checksums.

    Attributes
    ----------
    name : str
        Its file name, which ends in ``.sha256sum``.
    text : str
        Its content.
    sha256 : dict of str to str
        Lower-case hexadecimal SHA-256 by file name.
    """

    name: str
    text: str
    sha256: dict[str, str]

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Read a list of checksums.

        Parameters
        ----------
        text : str
            A SHA-256, two spaces and a file name in each line. The folder of the file is ignored.
        source : str
            Where the text comes from; errors name it.

        Returns
        -------
        ChecksumList
            The list, with the file name of the source.

        Raises
        ------
        InputError
            If a line is not one of a checksum list, or a name has two checksums.

        Examples
        --------
        >>> listed = ChecksumList.parse("ab" * 32 + "  sweep-000m005-005p000.fits", "folder/list")
        >>> listed.name, listed.sha256["sweep-000m005-005p000.fits"][:4]
        ('list.sha256sum', 'abab')
        """
        found: dict[str, str] = {}
        for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
            if not line:
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                what = f"line {number}: got {line!r:.60}; expected a SHA-256 and a file name"
                raise InputError(what, where=source, remedy="give a list that sha256sum wrote")
            name, digest = match[2].rpartition("/")[2], match[1].lower()
            if found.setdefault(name, digest) != digest:
                raise InputError(f"line {number}: {name} has another checksum further up", where=source)
        name = source.rpartition("/")[2].removesuffix(".sha256sum")
        return cls(f"{name}.sha256sum", text, found)
