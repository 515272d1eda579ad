"""The file cost.json: what a run took, and what the cost model estimates for the same run on AWS."""

from lensneg.schema.record import Record


class MapCost(Record):
    """What the map took. The rates are those of one task, and null where nothing was read."""

    items: int
    task_seconds: float
    rows: int
    bytes_read: int
    bytes_written: int
    megabytes_per_task_second: float | None
    rows_per_task_second: float | None


class DrawCost(Record):
    """What the Spark job took, in total and by step."""

    seconds: float
    steps: dict[str, float]
    candidates: int
    row_groups_read: int | None
    row_groups_total: int | None


class Billed(Record):
    """What EMR Serverless billed. A value is null where the service does not report it."""

    vcpu_hours: float | None
    memory_gb_hours: float | None
    storage_gb_hours: float | None


class EstimatedPart(Record):
    """A part of the estimate. ``seconds`` is its share of the wall time."""

    name: str
    usd: float
    seconds: float


class EstimatedRun(Record):
    """The cost model's dollars and seconds for the same files on AWS."""

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
    """The file cost.json.

    Attributes
    ----------
    map : MapCost
        What the map took.
    draw : DrawCost or None
        None if the run did not reach the draw.
    billed : Billed or None
        None on one machine.
    estimate : EstimatedRun or None
        None if the model has no rates or prices; ``estimate_missing`` then gives the reason.
    map_usd : float or None
        The price of the map's measured seconds, with the memory and the prices of the estimate.
    """

    map: MapCost
    draw: DrawCost | None
    billed: Billed | None
    estimate: EstimatedRun | None
    estimate_missing: str | None
    map_usd: float | None
