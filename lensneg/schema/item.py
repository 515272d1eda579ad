"""Map items: rows of sweep files to work on, and what became of them."""

from pydantic import TypeAdapter, ValidationError

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.pool import RowGroup
from lensneg.schema.record import Record, faults_of


class Item(Record):
    """A map item: some rows of a sweep file.

    ``size`` and ``etag`` are those of the file when the run was planned; ``n_bytes`` is what the item reads.
    """

    id: str
    sweep: str
    size: int
    etag: str
    first_row: int
    n_rows: int
    n_bytes: int


_ITEMS = TypeAdapter(list[Item])


def read_items(uri: str) -> list[Item]:
    """Read items.json.

    Raises
    ------
    RunStateError
        If it is missing, truncated, or not what lensneg of this version writes.
    """
    try:
        return _ITEMS.validate_json(storage.read_bytes(uri))
    except FileNotFoundError as error:
        raise RunStateError("missing", where=uri, remedy="PlanFanOut writes it, so start there") from error
    except ValidationError as error:
        raise RunStateError(
            f"damaged, or of another version of lensneg: {faults_of(error)[0]}",
            where=uri,
            remedy=Item.damaged_remedy,
        ) from error


def write_items(uri: str, items: list[Item]) -> None:
    """Write items.json, which Step Functions reads as it is."""
    storage.write_json(uri, _ITEMS.dump_python(items, mode="json"))


class StratumCount(Record):
    """Rows of the pool in one stratum and pool."""

    nobs_z_bin: str
    type_bin: str
    pool: str
    rows: int


class ItemStats(Record):
    """stats/<item>.json: what became of an item's rows, and of which code and config it is the work."""

    item: Item
    config_sha256: str
    code_version: str
    rows_in: int
    rows_kept: int
    cut: dict[str, int]
    counts: tuple[StratumCount, ...]
    confusers: dict[str, int]
    candidate_matches: int
    row_groups: tuple[RowGroup, ...]
    bytes_read: int
    pool_bytes: int
    positives_bytes: int
    seconds: float


class ItemError(Record):
    """errors/<item>.json: why an item is not done, as its task said."""

    item: str
    message: str
