"""The files that hold every number of the model: rates.yaml and prices.yaml, each value with its source."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Final, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.resources import CONFIGS
from lensneg.schema.sweep_columns import sweep_dtype

#: The default inputs.
PRICES_FILE: Final = str(CONFIGS / "prices.yaml")
RATES_FILE: Final = str(CONFIGS / "rates.yaml")

#: Bytes of a row of a sweep file, and about those of its headers.
ROW_BYTES: Final = sweep_dtype().itemsize
HEADER_BYTES: Final = 16 * 2880

M = TypeVar("M", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Rate(_Section):
    """An assumption of the model: its value, and between which values it may lie."""

    value: Number
    unit: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    low: Number
    high: Number

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"value {self.value:g} must lie between low {self.low:g} and high {self.high:g}")
        return self


class PositiveRate(Rate):
    """A rate that something is divided by, or that is meaningless at zero."""

    @model_validator(mode="after")
    def _above_zero(self) -> Self:
        if self.low <= 0:
            raise ValueError(f"low {self.low:g} must be above 0")
        return self


class Share(Rate):
    """A fraction."""

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if self.high > 1:
            raise ValueError(f"high {self.high:g} must be at most 1")
        return self


class SweepFacts(_Section):
    """What is known of the survey's files, for listings that give no sizes."""

    source: Annotated[str, Field(min_length=1)]
    files: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]
    known_bytes: dict[str, Annotated[int, Field(ge=HEADER_BYTES)]]

    @model_validator(mode="after")
    def _some_unknown(self) -> Self:
        if self.rest_rows < 0 or self.files <= len(self.known_bytes):
            raise ValueError("known_bytes holds more files or rows than files and rows say there are")
        return self

    @property
    def rest_rows(self) -> int:
        """Mean rows of a file whose size is not known."""
        known = sum(rows_of(size) for size in self.known_bytes.values())
        return (self.rows - known) // max(1, self.files - len(self.known_bytes))


class Rates(_Section):
    """rates.yaml. The file explains each key; ``low`` and ``high`` are what the sensitivity is made with."""

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
    spark_start_seconds: Rate
    spark_open_seconds: Rate
    spark_read_rate: PositiveRate
    draw_read_share: Share
    draw_gets: Rate
    draw_seconds: Rate
    gather_seconds: Rate
    driver_vcpu: PositiveRate
    driver_memory: PositiveRate
    executors: PositiveRate
    executor_vcpu: PositiveRate
    executor_memory: PositiveRate


class RatesFile(_Section):
    """rates.yaml: the rates, and what is known of the files."""

    sweeps: SweepFacts
    rates: Rates


class Price(_Section):
    """A price: so many dollars for so many units."""

    usd: Number
    per: Annotated[int, Field(ge=1)]
    unit: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]

    @property
    def each(self) -> float:
        """Dollars for one unit."""
        return self.usd / self.per


class Prices(_Section):
    """prices.yaml: what AWS charged in a region on a day."""

    date: datetime.date
    region: Annotated[str, Field(min_length=1)]
    lambda_gb_second: Price
    lambda_request: Price
    step_functions_transition: Price
    emr_vcpu_hour: Price
    emr_gb_hour: Price
    s3_get: Price
    s3_put: Price
    s3_gb_month: Price
    logs_gb: Price


def load_rates(uri: str) -> RatesFile:
    """Read a file of rates.

    Raises
    ------
    InputError
        With every fault: its key, its value and what was expected.
    """
    return _load(RatesFile, uri, "--rates", "configs/rates.yaml")


def load_prices(uri: str) -> Prices:
    """Read a table of prices.

    Raises
    ------
    InputError
        With every fault: its key, its value and what was expected.
    """
    return _load(Prices, uri, "--prices", "configs/prices.yaml")


def read_text(uri: str, option: str) -> str:
    """Return a file's text; its errors name the option that gave it."""
    try:
        return storage.read_bytes(storage.normalize(uri)).decode()
    except FileNotFoundError as error:
        raise InputError(f"{option} {uri}: no such file", remedy="check the path") from error
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(f"{option} {uri}: not a text file") from error


def _load(model: type[M], uri: str, option: str, example: str) -> M:
    text = read_text(uri, option)
    try:
        data = yaml.safe_load(text)
    except Exception as error:  # PyYAML raises many kinds on a value that does not fit its tag
        raise InputError(f"not a readable YAML file: {error}", where=uri) from error
    if not isinstance(data, dict):
        raise InputError(
            f"expected a mapping, got {type(data).__name__}", where=uri, remedy=f"start from {example}"
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [_fault(fault, example) for fault in error.errors(include_url=False)]
        raise InputError(
            f"{uri}: {len(faults)} fault{'s' if len(faults) > 1 else ''}:\n  " + "\n  ".join(faults)
        ) from error


def _fault(fault: Any, example: str) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "(whole file)"
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it, or check its spelling"
    if fault["type"] == "missing":
        return f"{key}: missing; see {example}"
    return f"{key}: got {fault['input']!r:.80}; {fault['msg'].removeprefix('Value error, ')}"


def rows_of(size: int) -> int:
    """Return the rows of an uncompressed sweep file of so many bytes."""
    return max(0, size - HEADER_BYTES) // ROW_BYTES
