"""prices.yaml: what AWS charges."""

import datetime
from typing import Annotated

from pydantic import Field

from lensneg import storage
from lensneg.cost.rates import Section, Text
from lensneg.schema.resources import CONFIGS
from lensneg.schema.strict_yaml import parse_yaml


class Price(Section):
    """A price: so many dollars for so many units."""

    usd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    per: Annotated[int, Field(ge=1)]
    unit: Text
    source: Text

    @property
    def each(self) -> float:
        """Dollars for one unit."""
        return self.usd / self.per


class Prices(Section):
    """prices.yaml: what AWS charged in a region on a day."""

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


def load_prices(uri: str = str(CONFIGS / "prices.yaml")) -> Prices:
    """Read a table of prices.

    Parameters
    ----------
    uri : str
        By default configs/prices.yaml.

    Returns
    -------
    Prices

    Raises
    ------
    InputError
        With every fault: its key, its value and what was expected.
    """
    return parse_yaml(Prices, storage.read_text(uri, "--prices"), uri, "configs/prices.yaml")
