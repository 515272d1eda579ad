"""The report's histograms and time line. They take their colours from the page, in light and in dark mode."""

from collections.abc import Mapping
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lensneg.page.comparison import QUANTITIES, Quantity, Samples
from lensneg.page.figure_style import INK, LINES
from lensneg.page.figure_style import SAMPLE_COLOURS as _SAMPLE_COLOURS
from lensneg.page.figure_style import STYLE as _STYLE
from lensneg.page.figure_style import svg as _svg
from lensneg.schema.arrays import FloatArray
from lensneg.schema.run_cost import Span, TimeLine
from lensneg.schema.shortcuts import Auc, Shortcuts

_BINS: Final = 24


def histograms(samples: Samples) -> dict[str, str]:
    """Draw each quantity's distribution in each sample.

    Parameters
    ----------
    samples : mapping
        The result of :func:`lensneg.page.comparison.samples_of`; empty where there are no rows.

    Returns
    -------
    dict of str to str
        SVG, by quantity.
    """
    return {q.name: _histogram(q, samples[q.name]) for q in QUANTITIES} if samples else {}


@mpl.rc_context(_STYLE)
def _histogram(quantity: Quantity, of_sample: Mapping[str, FloatArray]) -> str:
    """Draw the share of each sample in each bin, with the standard deviation of a Poisson distribution."""
    figure = Figure(figsize=(3.5, 2.5))
    axes = figure.add_axes((0.16, 0.22, 0.81, 0.74))
    drawn = {sample: values for sample, values in of_sample.items() if len(values)}
    if drawn:
        limits = np.array([np.percentile(values, [0.5, 99.5]) for values in drawn.values()])
        low, high = limits[:, 0].min(), limits[:, 1].max()
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
        for number, (sample, values) in enumerate(drawn.items()):
            rows = np.histogram(values, edges)[0]
            look: Any = {"color": _SAMPLE_COLOURS[sample], "linewidth": 1.4}
            axes.stairs(rows / len(values), edges, linestyle=LINES[sample], **look)
            # No bar hides another.
            places = edges[:-1] + np.diff(edges) * (number + 1) / (len(drawn) + 1)
            axes.errorbar(
                places,
                rows / len(values),
                np.sqrt(rows) / len(values),
                fmt="none",
                ecolor=look["color"],
                elinewidth=0.9,
            )
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0)
    axes.set_ylabel("share of the sample", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(quantity.label + (f" [{quantity.unit}]" if quantity.unit else ""))
    return _svg(figure, f"h-{quantity.name}")


@mpl.rc_context(_STYLE)
def time_line(name: str, line: TimeLine) -> str:
    """Draw when each state was planned to begin and end, and when it did.

    Parameters
    ----------
    name : str
        A name for the ids in the SVG, unique on the page.
    line : TimeLine
        The states. They have an actual or a planned time.

    Returns
    -------
    str
        SVG.
    """
    rows = len(line.states)
    figure = Figure(figsize=(10.4, 0.5 * rows + 1))
    axes = figure.add_axes((0.16, 0.62 / (0.5 * rows + 1), 0.82, 0.5 * rows / (0.5 * rows + 1)))
    of_run = "this run" if line.on_aws else "this run, on this machine: no cost"
    bars = (("planned on AWS", "#2b83c6", -0.2), (of_run, "#e69f00", 0.2))
    for (label, colour, offset), kind in zip(bars, ("planned", "actual"), strict=True):
        spans = [(row, span) for row, state in enumerate(line.states) if (span := getattr(state, kind))]
        axes.barh(
            [row + offset for row, _ in spans],
            [span.seconds for _, span in spans],
            left=[span.begin for _, span in spans],
            height=0.34,
            color=colour,
            edgecolor=colour,
            linewidth=1.2,  # a state of no length is a line
            label=label,
        )
        for row, span in spans:
            text = _span_label(span, with_usd=kind == "planned" or line.on_aws)
            axes.annotate(text, (span.end, row + offset), (5, 0), textcoords="offset points", va="center")
    for row, state in enumerate(line.states):
        if state.actual is None:
            axes.annotate(state.note, (0, row + 0.2), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(rows), [state.state for state in line.states])
    axes.set_ylim(rows - 0.5, -0.5)
    low, high = axes.dataLim.intervalx
    axes.set_xlim(min(low, 0), high + 0.22 * (high - low))  # the last bars have labels, too
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)
    axes.set_xlabel("seconds after Preflight began")
    axes.legend(loc="upper right", frameon=False)
    return _svg(figure, name)


def _span_label(span: Span, *, with_usd: bool) -> str:
    seconds = f"{span.seconds:,.{1 if span.seconds >= 1 else 2}f} s"
    return f"{seconds}, {span.usd:.4f} USD" if with_usd and span.usd is not None else seconds


@mpl.rc_context(_STYLE)
def shortcut_bars(name: str, shortcuts: Shortcuts) -> str:
    """Draw how well each column, and all columns of a kind, tell positives from negatives.

    Parameters
    ----------
    name : str
        A name for the ids in the SVG, unique on the page.
    shortcuts : Shortcuts
        The shortcut audit.

    Returns
    -------
    str
        SVG.
    """
    return _svg(shortcut_figure(shortcuts), name)


def shortcut_figure(shortcuts: Shortcuts) -> Figure:
    """Return the figure of :func:`shortcut_bars`. Groups stand apart, so it needs no colours."""
    lines: list[tuple[str, str, Auc | None, Auc | None] | None] = []
    for together in shortcuts.combined:
        lines += [(together.label, INK, together.overall, together.within_strata)]
        colour = _SAMPLE_COLOURS["N2" if together.kind == "nuisance" else "N1"]
        of_kind = (column for column in shortcuts.columns if column.kind == together.kind)
        lines += [(c.label, colour, c.overall, c.within_strata) for c in of_kind]
        lines += [None]
    height = 0.25 * len(lines) + 0.75
    figure = Figure(figsize=(8.6, height))
    axes = figure.add_axes((0.26, 0.55 / height, 0.71, 0.25 * len(lines) / height))
    rows = [(row, line) for row, line in enumerate(lines) if line is not None]
    if bars := [(row, colour, overall) for row, (_, colour, overall, _) in rows if overall is not None]:
        places, colours, overall = zip(*bars, strict=True)
        aucs, errors = np.array([(auc.auc, auc.error) for auc in overall]).T
        axes.barh(places, aucs - 0.5, left=0.5, height=0.62, color=colours, alpha=0.55, linewidth=0)
        axes.errorbar(aucs, places, xerr=errors, fmt="none", ecolor=INK, elinewidth=1, capsize=3)
    within = [(auc.auc, row) for row, (_, _, _, auc) in rows if auc is not None]
    axes.plot(*np.reshape(within, (-1, 2)).T, "D", markersize=4.5, markerfacecolor="none", color=INK)
    axes.axvline(0.5, color=INK, linewidth=1)
    if shortcuts.limit is not None:
        axes.axvline(shortcuts.limit, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate("limit", (shortcuts.limit, -0.7), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks([row for row, _ in rows], [line[0] for _, line in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(lines) - 1, -1)
    axes.set_xlim(min(0.45, axes.dataLim.x0), 1)
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)
    axes.set_xlabel("AUC: 0.5 is chance")
    return figure
