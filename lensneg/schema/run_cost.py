"""cost.json: what a run took, beside what the cost model says of a run like it on AWS."""

from lensneg.schema.record import Record


class MapCost(Record):
    """What the map took; the rates are those of one task, null where nothing was read."""

    items: int
    task_seconds: float
    rows: int
    bytes_read: int
    bytes_written: int
    megabytes_per_task_second: float | None
    rows_per_task_second: float | None


class DrawCost(Record):
    """What the Spark job took, in all and by step."""

    seconds: float
    steps: dict[str, float]
    candidates: int
    row_groups_read: int | None
    row_groups_total: int | None


class Billed(Record):
    """What EMR Serverless billed, as far as it says so."""

    vcpu_hours: float | None
    memory_gb_hours: float | None
    storage_gb_hours: float | None


class EstimatedPart(Record):
    """A part of the estimate; ``seconds`` is what it adds to the wall time."""

    name: str
    usd: float
    seconds: float


class EstimatedRun(Record):
    """The model's dollars and seconds for the same files on AWS."""

    concurrency: int
    memory_mb: int
    prices: str
    seconds: float
    usd: float
    map_task_seconds: float
    map_usd: float
    lambda_usd_per_second: float
    parts: tuple[EstimatedPart, ...]


class RunCost(Record):
    """cost.json.

    Attributes
    ----------
    map : MapCost
    draw : DrawCost or None
        None where the run did not get so far.
    billed : Billed or None
        None on one machine.
    estimate : EstimatedRun or None
        None, with ``estimate_missing`` saying why, where the model has no rates or prices.
    map_usd : float or None
        The measured seconds of the map at the model's memory and price.
    """

    map: MapCost
    draw: DrawCost | None
    billed: Billed | None
    estimate: EstimatedRun | None
    estimate_missing: str | None
    map_usd: float | None
