"""The rows of a run's manifest or sample, some columns at a time and in batches."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pyarrow as pa

from lensneg import storage
from lensneg.errors import LensnegError
from lensneg.page import acceptance, comparison
from lensneg.schema.columns import PARTS
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest, Part
from lensneg.schema.tables import read_batches
from lensneg.shortcuts.columns import NEEDED

#: The columns that summary and figures need.
_COLUMNS: Final = (
    "confuser_category",
    "healpix_64",
    "healpix_128",
    *acceptance.NEEDED,
    *comparison.NEEDED,
    *NEEDED,
)

#: Reads some columns of rows, in batches.
Read = Callable[[Sequence[str]], Iterator[pa.Table]]


class SampleRows:
    """The rows of a run. They are read anew whenever columns are asked for, so they are never all in memory.

    Parameters
    ----------
    uris : dict of str to list of str
        The Parquet files of each part, in order.
    """

    def __init__(self, uris: dict[Part, list[str]]) -> None:
        self._uris = uris

    def both(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield columns of the negatives, then of the positives."""
        for part in PARTS:
            yield from self._part(part, columns)

    def negatives(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield columns of the negatives."""
        return self._part("negatives", columns)

    def _part(self, part: Part, columns: Sequence[str]) -> Iterator[pa.Table]:
        for uri in self._uris[part]:
            yield from read_batches(uri, columns)


def open_rows(files: RunFiles) -> SampleRows | None:
    """Open the published manifest, or else the sample.

    Parameters
    ----------
    files : RunFiles
        The run.

    Returns
    -------
    SampleRows or None
        None if there are no rows, or they cannot be read.
    """
    try:
        if storage.exists(files.manifest):
            manifest = Manifest.open(files.manifest)
            rows = SampleRows({part: manifest.files(part) for part in PARTS})
        else:
            rows = SampleRows({part: files.sample_parts(part) for part in PARTS})
        # A page that is damaged shows only when it is read.
        found = sum(len(table) for table in rows.both(_COLUMNS))
    except (OSError, KeyError, pa.ArrowException, LensnegError):
        return None
    return rows if found else None
