"""The file cost.json: what a run took, and what the cost model estimates for the same run on AWS."""

from typing import Self

from pydantic import AwareDatetime

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


class Span(Record):
    """A part of the time line, in seconds after its start. ``usd`` is None if there is no table of prices."""

    begin: float
    end: float
    seconds: float
    usd: float | None

    @classmethod
    def of(cls, begin: float, end: float, usd: float | None) -> Self:
        """Return a span, rounded to milliseconds and to millionths of a dollar.

        Parameters
        ----------
        begin, end : float
            Seconds after the start of the time line.
        usd : float or None
            Its dollars.

        Returns
        -------
        Span
            The span.
        """
        rounded = None if usd is None else round(usd, 6)
        return cls(begin=round(begin, 3), end=round(end, 3), seconds=round(end - begin, 3), usd=rounded)


class StateCost(Record):
    """A state: its planned time and cost on AWS, and those of the run's last execution.

    ``actual`` is None if that execution did not go through the state. ``note`` then tells why.
    """

    state: str
    planned: Span | None
    actual: Span | None
    note: str = ""


class TimeLine(Record):
    """The states of a run, in order.

    Attributes
    ----------
    started : datetime or None
        The start of the time line, when the last execution entered Preflight. A mini-test before it has
        negative times. None if no times were written.
    on_aws : bool
        Whether the run was made on AWS. On one machine it costs nothing.
    states : tuple of StateCost
        The states that do some work.
    planned_usd_of_all : float or None
        The planned dollars that belong to no single state: transitions, small files in S3.
    """

    started: AwareDatetime | None
    on_aws: bool
    states: tuple[StateCost, ...]
    planned_usd_of_all: float | None


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
    time_line : TimeLine
        The states, planned and actual.
    """

    map: MapCost
    draw: DrawCost | None
    billed: Billed | None
    estimate: EstimatedRun | None
    estimate_missing: str | None
    map_usd: float | None
    time_line: TimeLine
