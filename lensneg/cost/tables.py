"""The tables of the cost model: rates.yaml, with rates and sizes of sweep files, and prices.yaml."""

import datetime
from operator import attrgetter
from typing import Annotated, Final

from pydantic import ConfigDict, Field, GetPydanticSchema
from pydantic_core.core_schema import chain_schema, no_info_plain_validator_function

from lensneg import storage
from lensneg.schema.record import Record
from lensneg.schema.resources import CONFIGS
from lensneg.schema.strict_yaml import parse_yaml

#: Units of the rates and prices.
MB: Final = 1_000_000
MIB: Final = 1 << 20
GIB: Final = 1 << 30

Text = Annotated[str, Field(min_length=1)]


class _Section(Record):
    """A mapping of rates.yaml or prices.yaml. Values of another type are refused, not converted."""

    model_config = ConfigDict(strict=True)


class _Entry(_Section):
    """A rate as it is written in the file."""

    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    unit: Text
    source: Text


_TAKE_VALUE: Final = no_info_plain_validator_function(attrgetter("value"))
#: Makes pydantic read an entry of the file and keep its value.
_VALUE: Final = GetPydanticSchema(
    lambda number, of: chain_schema([of.generate_schema(_Entry), _TAKE_VALUE, of(number)])
)
Rate = Annotated[float, _VALUE]
#: A rate that is a divisor, or has no meaning at zero.
PositiveRate = Annotated[float, Field(gt=0), _VALUE]
Share = Annotated[float, Field(le=1), _VALUE]


class Rates(_Section):
    """The values of rates.yaml. The file explains each key and gives its unit and source."""

    # The map: reading.
    map_rate: PositiveRate
    network_burst_rate: PositiveRate
    network_rate: PositiveRate
    network_burst: Rate
    warm_burst: Rate
    connection_rate: PositiveRate
    read_connections: PositiveRate
    read_part: PositiveRate
    header_read: Rate
    gunzip_rate: PositiveRate
    gzip_ratio: PositiveRate
    # The map: everything else.
    init_seconds: Rate
    cold_start_seconds: Rate
    item_seconds: Rate
    write_rate: PositiveRate
    child_seconds: Rate
    child_start_rate: PositiveRate
    child_start_transitions: Rate
    get_limit: PositiveRate
    retry_share: Share
    pool_share: Share
    pool_row_bytes: Rate
    log_bytes: Rate
    # The other functions.
    task_memory: PositiveRate
    task_seconds: Rate
    header_seconds: Rate
    request_seconds: Rate
    transition_seconds: Rate
    run_puts: Rate
    # The draw.
    application_start_seconds: Rate
    spark_start_seconds: Rate
    warm_vcpu: Rate
    warm_memory: Rate
    idle_seconds: Rate
    spark_open_seconds: Rate
    spark_read_rate: PositiveRate
    draw_read_share: Share
    draw_gets: Rate
    draw_seconds: Rate
    check_seconds: Rate
    executor_cores: PositiveRate
    job_vcpu: PositiveRate
    job_memory: PositiveRate
    # The fetch in the Region.
    archive_rate: PositiveRate

    def pool_bytes(self, rows: int) -> float:
        """Return the bytes in pool files that come from a number of rows of sweep files."""
        return rows * self.pool_share * self.pool_row_bytes


class SweepSizes(_Section):
    """Bytes of uncompressed sweep files, for listings that give no sizes."""

    source: Text
    known_bytes: dict[str, Annotated[int, Field(ge=1)]]
    other_bytes: Annotated[int, Field(ge=1)]


class RatesFile(_Section):
    """rates.yaml: the rates, and the sizes of sweep files."""

    sweeps: SweepSizes
    rates: Rates


class Price(_Section):
    """A price in dollars for a number of units."""

    usd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    per: Annotated[int, Field(ge=1)]
    unit: Text
    source: Text

    @property
    def each(self) -> float:
        """Dollars for one unit."""
        return self.usd / self.per


class Prices(_Section):
    """prices.yaml: the prices of AWS in a region on a day."""

    date: datetime.date
    region: Text
    lambda_gb_second: Price
    lambda_request: Price
    step_functions_transition: Price
    emr_vcpu_hour: Price
    emr_gb_hour: Price
    s3_get: Price
    s3_put: Price
    s3_gb_month: Price
    logs_gb: Price

    def lambda_usd(self, seconds: float, memory: float, invocations: int) -> float:
        """Return the dollars of a function with so many MB, for its seconds and its invocations."""
        return seconds * memory / 1024 * self.lambda_gb_second.each + invocations * self.lambda_request.each

    def job_usd(
        self, rates: Rates, seconds: float, vcpu_hours: float | None, memory_gb_hours: float | None
    ) -> float:
        """Return the dollars of a job's hours; where they are not known, of the workers of rates.yaml."""
        cores = rates.job_vcpu * seconds / 3600 if vcpu_hours is None else vcpu_hours
        memory = rates.job_memory * seconds / 3600 if memory_gb_hours is None else memory_gb_hours
        return cores * self.emr_vcpu_hour.each + memory * self.emr_gb_hour.each

    def map_transitions_usd(self, rates: Rates, items: int, child_states: int) -> float:
        """Return the dollars of the transitions of a map's items."""
        return items * (child_states + rates.child_start_transitions) * self.step_functions_transition.each


def load_rates(uri: str | None = None) -> RatesFile:
    """Read a file of rates.

    Parameters
    ----------
    uri : str, optional
        The file; by default configs/rates.yaml.

    Returns
    -------
    RatesFile

    Raises
    ------
    InputError
        With every fault: its key, its value and what was expected.
    """
    text = storage.read_text(uri, "--rates") if uri else _shipped("rates.yaml")
    return parse_yaml(RatesFile, text, uri or "configs/rates.yaml", "configs/rates.yaml")


def load_prices(uri: str | None = None) -> Prices:
    """Read a table of prices.

    Parameters
    ----------
    uri : str, optional
        The file; by default configs/prices.yaml.

    Returns
    -------
    Prices

    Raises
    ------
    InputError
        With every fault: its key, its value and what was expected.
    """
    text = storage.read_text(uri, "--prices") if uri else _shipped("prices.yaml")
    return parse_yaml(Prices, text, uri or "configs/prices.yaml", "configs/prices.yaml")


def _shipped(name: str) -> str:
    """Return a file of the package. Storage does not read it, as on AWS that takes files of S3 alone."""
    return (CONFIGS / name).read_text(encoding="utf-8")
