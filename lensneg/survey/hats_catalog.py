"""The layout of HATS catalogues that lensneg writes: partitions, and what a catalogue says of itself.

A partition is a HEALPix pixel, of the lowest order at which it holds no more than a number of rows. Its rows
are ordered by their pixel of order 29. Source: hats-import 0.11 (catalog/run_import.py, map_reduce.py) and
hats (io/paths.py, catalog/dataset/table_properties.py). The date of creation is left out, as a catalogue
depends on its rows alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

#: The order of the pixels that rows are ordered by, and the column that holds them.
INDEX_ORDER: Final = 29
INDEX_COLUMN: Final = "_healpix_29"


class Partition(NamedTuple):
    """A partition: its pixel's order and NESTED number, its first pixel of order 29, and the next one's."""

    order: int
    pixel: int
    begin: int
    end: int

    @property
    def path(self) -> str:
        """Return its file below ``dataset``.

        Returns
        -------
        str
        """
        return f"Norder={self.order}/Dir={self.pixel // 10_000 * 10_000}/Npix={self.pixel}.parquet"


def partitions_of(
    rows_between: Callable[[int, int], int], most: int, deepest: int = INDEX_ORDER
) -> Iterator[Partition]:
    """Yield the partitions of a catalogue, in the order of their pixels.

    Parameters
    ----------
    rows_between : callable
        Returns the number of rows from one pixel of order 29 up to another.
    most : int
        Rows of a partition, unless its order is the deepest.
    deepest : int
        The highest order of a partition.

    Yields
    ------
    Partition
        With at least one row.
    """
    open_ = [(0, pixel) for pixel in reversed(range(12))]
    while open_:
        order, pixel = open_.pop()
        width = 4 ** (INDEX_ORDER - order)
        rows = rows_between(pixel * width, (pixel + 1) * width)
        if 0 < rows <= most or (order == deepest and rows):
            yield Partition(order, pixel, pixel * width, (pixel + 1) * width)
        elif rows:
            open_ += [(order + 1, 4 * pixel + child) for child in (3, 2, 1, 0)]


class CatalogFile(NamedTuple):
    """A file of a catalogue: its place below the catalogue's folder, and its content."""

    name: str
    content: bytes


def catalog_files(
    partitions: Sequence[tuple[Partition, pq.FileMetaData]], *, name: str, builder: str, rows: int, most: int
) -> Iterator[CatalogFile]:
    """Yield the files in which a catalogue says what it is, when its partitions are written.

    Parameters
    ----------
    partitions : sequence of (Partition, FileMetaData)
        At least one, with the footer of its file.
    name : str
        The catalogue's name.
    builder : str
        What wrote it.
    rows : int
        Rows in all.
    most : int
        Rows of the largest partition that is allowed.

    Yields
    ------
    CatalogFile
        The catalogue's schema and footers, its list of partitions, and its properties.
    """
    footers = []
    for partition, footer in partitions:
        footer.set_file_path(partition.path)
        footers.append(footer)
    schema = footers[0].schema.to_arrow_schema()
    yield CatalogFile("dataset/_common_metadata", _metadata(schema))
    yield CatalogFile("dataset/_metadata", _metadata(schema, footers))
    lines = ["Norder,Npix", *(f"{partition.order},{partition.pixel}" for partition, _ in partitions)]
    yield CatalogFile("partition_info.csv", "\n".join([*lines, ""]).encode("ascii"))
    properties = {
        "obs_collection": name,
        "dataproduct_type": "object",
        "hats_nrows": rows,
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_col_healpix": INDEX_COLUMN,
        "hats_col_healpix_order": INDEX_ORDER,
        "hats_npix_suffix": ".parquet",
        "hats_max_rows": most,
        "hats_order": max(partition.order for partition, _ in partitions),
        "hats_builder": builder,
        "hats_version": "v1.0",
    }
    lines = ["#HATS catalog", *(f"{key}={value}" for key, value in properties.items()), ""]
    for file_name in ("hats.properties", "properties"):
        yield CatalogFile(file_name, "\n".join(lines).encode("ascii"))


def _metadata(schema: pa.Schema, footers: Iterable[pq.FileMetaData] = ()) -> bytes:
    """Return a Parquet file without rows, with the row groups of other files."""
    empty, whole = pa.BufferOutputStream(), pa.BufferOutputStream()
    pq.write_metadata(schema, empty)
    metadata = pq.read_metadata(pa.BufferReader(empty.getvalue()))
    for footer in footers:
        metadata.append_row_groups(footer)
    metadata.write_metadata_file(whole)
    return bytes(whole.getvalue().to_pybytes())
