"""The rates of a calibration as a picture: a panel for each category, a line for each type."""

import io
from collections.abc import Sequence
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from lensneg.page.calibration import RateRow

#: A colour and a mark for each type, which differ for colour-blind readers and in print (Okabe and Ito).
_LOOKS: Final = {
    "SER": ("#0072b2", "o"),
    "DEV": ("#d55e00", "s"),
    "REX": ("#009e73", "^"),
    "EXP": ("#cc79a7", "D"),
}

#: Width of a bin of magnitude, by which open bins are drawn.
_STEP: Final = 0.5

#: Types are drawn so far apart that no bar hides another.
_APART: Final = 0.06

_COLUMNS: Final = 2


@mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
def rates_png(table: Sequence[RateRow], title: str) -> bytes:
    """Draw the rates against magnitude.

    Parameters
    ----------
    table : sequence of RateRow
        The result of :meth:`lensneg.page.calibration.PoolRates.table`.
    title : str
        What the rates are of.

    Returns
    -------
    bytes
        PNG.
    """
    categories = list(dict.fromkeys(row.category for row in table))
    lines = -(-len(categories) // _COLUMNS)
    figure = Figure(figsize=(9, 2.7 * lines + 0.7), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(lines, _COLUMNS, sharex=True, squeeze=False).ravel()
    for axes, category in zip(panels, categories, strict=False):
        for number, (kind, (colour, mark)) in enumerate(_LOOKS.items()):
            rows = [row for row in table if (row.category, row.type) == (category, kind) and row.is_bin]
            shift = _APART * (number - 1.5)
            axes.errorbar(
                [_middle(row) + shift for row in rows],
                [row.rate.rate for row in rows],
                yerr=[row.rate.error for row in rows],
                color=colour,
                marker=mark,
                markersize=4,
                linewidth=1,
                capsize=2,
                label=kind,
            )
        axes.set_title(category.replace("_", " "))
        axes.set_ylim(0, min(1.04, axes.get_ylim()[1]))
        axes.grid(True, linewidth=0.4, alpha=0.5)
        axes.set_ylabel("share of the pool's sources")
        axes.set_xlabel("r magnitude")
        axes.tick_params(labelbottom=True)
    for axes in panels[len(categories) :]:
        axes.set_axis_off()
    panels[0].legend(frameon=False)
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=150, metadata={"Software": None})
    return sink.getvalue()


def _middle(row: RateRow) -> float:
    if row.mag_r_from is None:
        return float(row.mag_r_to or 0) - _STEP / 2
    return row.mag_r_from + _STEP / 2
