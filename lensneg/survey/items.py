"""Sweep files cut into map items."""

import math
from itertools import pairwise
from typing import Final

from lensneg import storage
from lensneg.schema.config import ExecutionConfig
from lensneg.schema.item import Item
from lensneg.schema.run import SweepInput
from lensneg.survey.names import is_gzipped, is_table

#: The most bytes of an item by default: what a function reads from S3 at 75 MiB a second
#: (configs/rates.yaml), in half of its 300 seconds (template.yaml). No file of DR10 is as large. The memory
#: of a function does not depend on the size.
MOST_ITEM_BYTES: Final = 150 * 75 << 20

#: A run of fewer files is cut into at least so many items, to be done side by side, but into none that is
#: smaller than this.
FEWEST_ITEMS: Final = 16
LEAST_ITEM_BYTES: Final = 64 << 20


def item_count(sweep: SweepInput, execution: ExecutionConfig, files: int = 1) -> int:
    """Return the number of items that a sweep file is cut into.

    By default an item is a whole file. A file is cut if a function has no time for it, or if the run has few
    files. The rule does not know the machine, so a run that is continued on another has the same items.

    Parameters
    ----------
    sweep : SweepInput
        The file.
    execution : ExecutionConfig
        The config's section with the size of an item in bytes, if it gives one.
    files : int
        The number of sweep files of the run.

    Returns
    -------
    int
        The number. It is 1 for a gzipped file and a table, which can only be read from their start, and for
        a file on a web server, which is fetched whole.
    """
    table_bytes = sweep.rows * sweep.row_bytes
    if _is_whole(sweep.uri):
        return 1
    if execution.target_item_bytes is not None:
        return max(1, round(table_bytes / execution.target_item_bytes))
    side_by_side = min(math.ceil(FEWEST_ITEMS / files), table_bytes // LEAST_ITEM_BYTES)
    return max(1, math.ceil(table_bytes / MOST_ITEM_BYTES), side_by_side)


def _is_whole(uri: str) -> bool:
    return is_gzipped(uri) or is_table(uri) or storage.is_http(uri)


def slices(sweep: SweepInput, execution: ExecutionConfig, files: int = 1) -> list[Item]:
    """Cut a sweep file into items; see :func:`item_count`.

    Parameters
    ----------
    sweep : SweepInput
        The file.
    execution : ExecutionConfig
        The config's section with the size of an item in bytes, if it gives one.
    files : int
        The number of sweep files of the run.

    Returns
    -------
    list of Item
        Consecutive slices that hold all rows; one empty item for a file without rows.
    """
    # Without what a file's name should not have: a HATS partition's name is its place in the catalogue.
    name = sweep.name.removesuffix(".gz").removesuffix(".fits").replace("/", "-").replace("=", "")
    count = item_count(sweep, execution, files)
    edges = [sweep.rows * i // count for i in range(count + 1)]
    return [
        Item(
            id=name if count == 1 else f"{name}.{i:02d}",
            sweep=sweep.uri,
            size=sweep.size,
            etag=sweep.etag,
            first_row=first,
            n_rows=last - first,
            n_bytes=(sweep.needed_bytes or sweep.size)
            if _is_whole(sweep.uri)
            else (last - first) * sweep.row_bytes,
            pz=sweep.pz,
        )
        for i, (first, last) in enumerate(pairwise(edges))
    ]


def mini_test_is_whole(files: int, execution: ExecutionConfig) -> bool:
    """Return whether a mini-test would read every file. Then the full run is its own test.

    Parameters
    ----------
    files : int
        The number of sweep files of the run.
    execution : ExecutionConfig
        The config's section with the number of files of a mini-test.

    Returns
    -------
    bool
        True if there are no more files than a mini-test takes.
    """
    return files <= execution.mini_test_files
