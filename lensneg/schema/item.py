"""Map items: the rows of a sweep file that one task filters, and its results."""

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.pool import Footer, RowGroup
from lensneg.schema.record import Record, damage_of


class PzFile(Record):
    """The ``-pz`` file of a sweep file, as it was when the run was planned."""

    uri: str
    size: int
    etag: str

    @property
    def info(self) -> storage.FileInfo:
        """The file with its size and ETag, for a comparison with the file as it is now.

        Returns
        -------
        FileInfo
        """
        return storage.FileInfo(self.uri, self.size, self.etag)


class Item(Record):
    """A map item: some rows of a sweep file, and perhaps of its ``-pz`` file.

    ``size`` and ``etag`` are those of the file when the run was planned. ``n_bytes`` is what the item reads.
    """

    id: str
    sweep: str
    size: int
    etag: str
    first_row: int
    n_rows: int
    n_bytes: int
    pz: PzFile | None = None


_ITEMS = TypeAdapter(list[Item])


def read_items(uri: str) -> list[Item]:
    """Read items.json.

    Parameters
    ----------
    uri : str
        The file.

    Returns
    -------
    list of Item
        The items of a run.

    Raises
    ------
    RunStateError
        If it is missing, truncated, or not written by this version of lensneg.
    """
    try:
        return _ITEMS.validate_json(storage.read_bytes(uri))
    except FileNotFoundError as error:
        raise RunStateError("missing", where=uri, remedy="PlanFanOut writes it, so start there") from error
    except ValidationError as error:
        raise RunStateError(damage_of(error), where=uri, remedy=Item.damaged_remedy) from error


def write_items(uri: str, items: list[Item]) -> None:
    """Write items.json, which Step Functions reads.

    Parameters
    ----------
    uri : str
        The file.
    items : list of Item
        The items of a run.
    """
    storage.write_json(uri, [item.as_json() for item in items])


class NotRead(Record):
    """Rows of a sweep file that a run did not read: those of an item that failed and was tolerated."""

    sweep: str
    first_row: int
    rows: int
    reason: str

    @property
    def text(self) -> str:
        """The file, the rows and the reason in one line."""
        last = self.first_row + self.rows - 1
        return f"{self.sweep}, rows {self.first_row:,} to {last:,}: {self.reason}"


class StratumCount(Record):
    """Rows of the pool in one stratum and pool."""

    nobs_z_bin: str
    type_bin: str
    pool: str
    rows: int


class ItemStats(Record):
    """The file stats/<item>.json: what an item's rows became, and the code and config that filtered them.

    ``brick_ranges`` are those of the pool's TARGETIDs; see :func:`lensneg.rules.sources.brick_ranges`.
    Its SHA-256 values are those of the item's tables; ``positives_sha256`` is empty where there is none.
    """

    item: Item
    config_sha256: str
    code_version: str
    rows_in: int
    rows_kept: int
    cut: dict[str, int]
    unusable: dict[str, int] = Field(default_factory=dict)
    counts: tuple[StratumCount, ...]
    confusers: dict[str, int]
    candidate_matches: int
    brick_ranges: tuple[tuple[int, int], ...] = ()
    row_groups: tuple[RowGroup, ...]
    bytes_read: int
    pool_bytes: int
    pool_sha256: str
    pool_footer: Footer
    positives_bytes: int
    positives_sha256: str
    seconds: float
    #: When the item was done, so that a report tells what an earlier execution did.
    ended: AwareDatetime | None = None


class ItemError(Record):
    """The file errors/<item>.json: the error of an item that is not done."""

    item: str
    message: str
