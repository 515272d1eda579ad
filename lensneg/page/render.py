"""The report as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files as package_files
from typing import TYPE_CHECKING

from lensneg.schema.run import RunRecord
from lensneg.schema.run_cost import RunCost
from lensneg.schema.validation import ValidationRecord

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True)
class PageContent:
    """What the page shows.

    Attributes
    ----------
    validation : ValidationRecord
    cost : RunCost or None
    figures, histograms : mapping of str to str
        SVG by name; histograms by quantity.
    run : RunRecord
    published : str
        URI of manifest.json; empty where the run is not published.
    quarantined : bool
    """

    validation: ValidationRecord
    cost: RunCost | None
    figures: Mapping[str, str]
    histograms: Mapping[str, str]
    run: RunRecord
    published: str
    quarantined: bool


def render_page(content: PageContent) -> str:
    """Return the report's HTML: one file that refers to nothing outside it."""
    return _template().render(vars(content))


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment

    source = package_files("lensneg.page").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["thousands"] = lambda value: f"{value:,}"
    environment.filters["short"] = _short
    environment.filters["log_share"] = _log_share
    return environment.from_string(source)


def _short(value: float) -> str:
    """Return a number as it fits into a tile: 47.2 k, 2.02 G."""
    for limit, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= limit:
            return f"{value / (1e3 if limit == 1e4 else limit):.3g}{letter}"
    return f"{value:,}"


def _log_share(value: float, whole: float) -> float:
    """Return how long a bar on a logarithmic scale from 1 to ``whole`` is, in percent."""
    return round(100 * math.log10(max(value, 1)) / math.log10(max(whole, 10)), 2)
