"""The report as one HTML page."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
from jinja2 import Environment, PackageLoader, Template

from lensneg.page.failing_cuts import FailingCuts
from lensneg.schema.run import RunRecord
from lensneg.schema.run_cost import RunCost
from lensneg.schema.validation import ValidationRecord


@dataclass(frozen=True)
class PageContent:
    """What the page shows.

    Attributes
    ----------
    validation : ValidationRecord
        The run's verdicts and numbers.
    cost : RunCost or None
        What the run took.
    figures, histograms : mapping of str to str
        SVG by name. The histograms are named by quantity.
    examples : mapping of str to list of dict
        A few rows of each category.
    time_line : str
        SVG. Empty if no times of the states are known.
    lenses : pyarrow.Table or None
        What the catalogues say of the positives. None if the run has not matched them.
    failing : tuple of FailingCuts or None
        The positives that fail a cut of the negatives, by stratum. None if the config does not flag them.
    run : RunRecord
        The run's inputs.
    published : str
        The manifest's folder below the output folder. Empty if the run is not published.
    quarantined : bool
        Whether the run is quarantined.
    """

    validation: ValidationRecord
    cost: RunCost | None
    figures: Mapping[str, str]
    histograms: Mapping[str, str]
    examples: Mapping[str, list[dict[str, Any]]]
    time_line: str
    lenses: pa.Table | None
    failing: tuple[FailingCuts, ...] | None
    run: RunRecord
    published: str
    quarantined: bool


def render_page(content: PageContent) -> str:
    """Return the report's HTML: one file without references to other files.

    Parameters
    ----------
    content : PageContent
        What the page shows.

    Returns
    -------
    str
        The HTML.
    """
    return _template().render(vars(content))


@cache
def _template() -> Template:
    """Return the page's template. To compile it takes longer than to render it."""
    loader = PackageLoader("lensneg.page", "")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"thousands": "{:,}".format, "short": _short}
    environment.filters |= {"log_share": _log_share, "decades": _decades}
    return environment.get_template("report.html.j2")


def _short(value: float) -> str:
    """Return a number in few characters, e.g. 47.2 k or 2.02 G."""
    for limit, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= limit:
            return f"{value / (1e3 if limit == 1e4 else limit):.3g}{letter}"
    return f"{value:,}"


def _decades(whole: int) -> list[int]:
    """Return ticks of a logarithmic scale: every second power of ten from 1 on, and the whole."""
    return [*(10**power for power in range(0, len(str(whole)) - 2, 2)), whole]


def _log_share(value: float, whole: float) -> float:
    """Return the length of a bar on a logarithmic scale from 1 to ``whole``, in percent."""
    return round(100 * math.log10(max(value, 1)) / math.log10(max(whole, 10)), 2)
