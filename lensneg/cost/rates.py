"""rates.yaml: how fast each part of a run is, how much it needs, and how large sweep files are."""

from operator import attrgetter
from typing import Annotated, Final

from pydantic import ConfigDict, Field, GetPydanticSchema
from pydantic_core.core_schema import chain_schema, no_info_plain_validator_function

from lensneg import storage
from lensneg.schema.record import Record
from lensneg.schema.resources import CONFIGS
from lensneg.schema.strict_yaml import parse_yaml

#: The units that the rates and prices are in.
MB: Final = 1_000_000
MIB: Final = 1 << 20
GIB: Final = 1 << 30

Text = Annotated[str, Field(min_length=1)]


class Section(Record):
    """A mapping of rates.yaml or prices.yaml: values of another type are refused, not converted."""

    model_config = ConfigDict(strict=True)


class _Entry(Section):
    """A rate as the file writes it."""

    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    unit: Text
    source: Text


_TAKE_VALUE: Final = no_info_plain_validator_function(attrgetter("value"))
#: How pydantic reads a number that has an entry in the file: it keeps the entry's value.
_VALUE: Final = GetPydanticSchema(
    lambda number, of: chain_schema([of.generate_schema(_Entry), _TAKE_VALUE, of(number)])
)
Rate = Annotated[float, _VALUE]
#: Something is divided by it, or it means nothing at zero.
PositiveRate = Annotated[float, Field(gt=0), _VALUE]
Share = Annotated[float, Field(le=1), _VALUE]


class Rates(Section):
    """The values of rates.yaml, which explains each key and has its unit and source."""

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
    executor_cores: PositiveRate
    job_vcpu: PositiveRate
    job_memory: PositiveRate

    def pool_bytes(self, rows: int) -> float:
        """Return the bytes that so many rows of sweep files leave in pool files."""
        return rows * self.pool_share * self.pool_row_bytes


class SweepSizes(Section):
    """Bytes of uncompressed sweep files, for listings that give no sizes."""

    source: Text
    known_bytes: dict[str, Annotated[int, Field(ge=1)]]
    other_bytes: Annotated[int, Field(ge=1)]


class RatesFile(Section):
    """rates.yaml: the rates, and the sizes of sweep files."""

    sweeps: SweepSizes
    rates: Rates


def load_rates(uri: str = str(CONFIGS / "rates.yaml")) -> RatesFile:
    """Read a file of rates.

    Parameters
    ----------
    uri : str
        By default configs/rates.yaml.

    Returns
    -------
    RatesFile

    Raises
    ------
    InputError
        With every fault: its key, its value and what was expected.
    """
    return parse_yaml(RatesFile, storage.read_text(uri, "--rates"), uri, "configs/rates.yaml")
