"""The survey's lists of SHA-256 checksums, as sha256sum writes them."""

from __future__ import annotations

import re

from lensneg.errors import InputError

_LINE = re.compile(r"([0-9a-fA-F]{64})\s+[ *]?(\S+)")


def parse_checksums(text: str, source: str) -> dict[str, str]:
    """Read a list of checksums.

    Parameters
    ----------
    text : str
        ``SHA-256, two spaces, name`` a line; a name's folder is not looked at.
    source : str
        Where the text comes from; named in errors.

    Returns
    -------
    dict
        Lower-case hexadecimal SHA-256 by file name.

    Raises
    ------
    InputError
        If a line is none of a checksum list, or a name has two checksums.

    Examples
    --------
    >>> parse_checksums("ab" * 32 + "  sweep-000m005-005p000.fits", "list")["sweep-000m005-005p000.fits"][:4]
    'abab'
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise InputError(
                f"line {number}: got {line.strip()!r:.60}; expected a SHA-256 and a file name, as sha256sum "
                "writes them",
                where=source,
            )
        name, digest = match[2].rpartition("/")[2], match[1].lower()
        if found.setdefault(name, digest) != digest:
            raise InputError(f"line {number}: {name} has another checksum further up", where=source)
    return found
