"""What the report's figures share: colours, lines, and the SVG that takes its colours from the page.

matplotlib draws them. Text is kept as text, and an image of the sky is embedded as pixels. A figure has no
references to other files.
"""

import io
import re
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from lensneg.schema.columns import POSITIVE
from lensneg.schema.config import SPLIT_ORDER

#: Colours that colour-blind people tell apart, on white and on black (Okabe and Ito 2008). In a print without
#: colours they differ in brightness, and the lines of samples differ in their dashes.
SAMPLE_COLOURS: Final = {"N1": "#2b83c6", "N2": "#e69f00", POSITIVE: "#c2548f"}

LINES: Final[dict[str, Any]] = {"N1": "-", "N2": (0, (4, 1.5)), POSITIVE: (0, (1.2, 1))}

SPLIT_COLOURS: Final = dict(zip(SPLIT_ORDER, ("#2b83c6", "#e69f00", "#c2548f"), strict=True))

#: Colours that stand for the page's own in matplotlib's SVG.
INK, RULE = "#010203", "#040506"

STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.linewidth": 0.8,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.5,
}


def svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element whose ids no other figure of the page has."""
    sink = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(sink, format="svg", transparent=True, dpi=160, metadata={"Date": None})
    text = sink.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", text)
    # The page sets the width; the height follows from the viewBox.
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace(INK, "currentColor").replace(RULE, "var(--rule)").strip()
