"""The cost of fetching the sweep files in the Region: Lambda, Step Functions, requests to S3."""

import math
from dataclasses import dataclass
from typing import Final

from lensneg.cost.listing import Listing
from lensneg.cost.model import LAMBDA_LIMIT_SECONDS
from lensneg.cost.tables import MB, MIB, Prices, Rates
from lensneg.schema.fetch import LAST_SECONDS
from lensneg.storage.multipart import COPY_PART, PART
from lensneg.storage.s3 import PART_BYTES

#: MB of the FetchSweep function in template.yaml.
FETCH_MEMORY_MB: Final = 1024

#: Transitions of an execution besides its files; of a file's first invocation, with the start of its child;
#: and of each further one.
_TRANSITIONS, _FIRST, _MORE = 4, 4, 3

#: Requests for a file besides those for its bytes and for its record. PUT and LIST: for the upload's record,
#: to begin, list and complete the upload, and to begin and complete the copy. GET and HEAD: to look at the
#: file, at the object and at the records.
_PUTS, _GETS = 6, 10


@dataclass(frozen=True)
class FetchCost:
    """Dollars by part."""

    lambda_usd: float
    step_functions_usd: float
    s3_usd: float

    @property
    def total(self) -> float:
        """Dollars of all parts."""
        return self.lambda_usd + self.step_functions_usd + self.s3_usd


def fetch_cost(
    prices: Prices, *, files: int, fetched: int, size: int, invocations: int, seconds: float
) -> FetchCost:
    """Return the cost of a fetch.

    Parameters
    ----------
    prices : Prices
        Prices of AWS.
    files : int
        Number of files that were looked at.
    fetched : int
        Number of files that were fetched.
    size : int
        Bytes of these.
    invocations : int
        Number of invocations of FetchSweep.
    seconds : float
        Their time.

    Returns
    -------
    FetchCost
    """
    transitions = _TRANSITIONS + files * _FIRST + (invocations - files) * _MORE
    puts = files + fetched * _PUTS + _requests(size, fetched, PART) + _requests(size, fetched, COPY_PART)
    gets = files * _GETS + _requests(size, fetched, PART_BYTES)
    return FetchCost(
        prices.lambda_usd(seconds, FETCH_MEMORY_MB, invocations),
        transitions * prices.step_functions_transition.each,
        puts * prices.s3_put.each + gets * prices.s3_get.each,
    )


def _requests(size: int, files: int, part: int) -> int:
    """Return the requests for bytes of files, whose last parts are half full on average."""
    return math.ceil(size / part + files / 2) if files else 0


@dataclass(frozen=True)
class PlannedFetch:
    """A fetch before it starts.

    Attributes
    ----------
    cost : FetchCost
        Its cost.
    seconds : float
        The time until the last file is there.
    """

    cost: FetchCost
    seconds: float


def plan_fetch(listing: Listing, max_concurrency: int, rates: Rates, prices: Prices) -> PlannedFetch:
    """Estimate the cost and the duration of a fetch, as if no file were there.

    A file comes at the rate of one connection to the survey's server. It is then read back and copied at the
    rate of a function's network.

    Parameters
    ----------
    listing : Listing
        The files.
    max_concurrency : int
        The number of files that are fetched at the same time.
    rates : Rates
        Measured rates.
    prices : Prices
        Prices of AWS.

    Returns
    -------
    PlannedFetch
    """
    files, size = len(listing.sweeps), listing.bytes
    work = size / (rates.archive_rate * MB) + 2 * size / (rates.network_rate * MIB)
    seconds = work + files * rates.init_seconds
    each = rates.archive_rate * MB * (LAMBDA_LIMIT_SECONDS - LAST_SECONDS)  # bytes of an invocation
    invocations = sum(max(1, math.ceil(sweep.size / each)) for sweep in listing.sweeps)
    cost = fetch_cost(prices, files=files, fetched=files, size=size, invocations=invocations, seconds=seconds)
    return PlannedFetch(cost, seconds / min(max_concurrency, max(1, files)))
