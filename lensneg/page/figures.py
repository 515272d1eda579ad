"""The report's figures, as SVG that takes its colours from the page, in light and in dark mode.

matplotlib draws them. Text is kept as text, and an image of the sky is embedded as pixels. A figure has no
references to other files.
"""

import io
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from astropy.coordinates import SkyCoord
from matplotlib.colors import ListedColormap, LogNorm, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lensneg.healpy_without_plots import healpy
from lensneg.page.comparison import QUANTITIES, Quantity, Samples
from lensneg.page.sample_sky import FIELD_DEG, Field
from lensneg.schema.arrays import BoolArray, FloatArray, IntArray
from lensneg.schema.columns import POSITIVE
from lensneg.schema.config import SPLIT_ORDER
from lensneg.schema.run_cost import Span, TimeLine
from lensneg.schema.shortcuts import Auc, Shortcuts
from lensneg.survey.pixels import Area

#: Colours of samples and of splits that differ enough on paper, on white and on black.
_SAMPLE_COLOURS: Final = {"N1": "#3f8fd2", "N2": "#e08a1e", POSITIVE: "#d6336c"}

_SPLIT_COLOURS: Final = dict(zip(SPLIT_ORDER, ("#3f8fd2", "#e0a21e", "#d6336c"), strict=True))

#: Colours that stand for the page's own in matplotlib's SVG.
_INK, _RULE = "#010203", "#040506"

#: The centre of the sky maps, chosen so that the plane of the Galaxy is near the edges. RA grows to the left.
_CENTRE_RA: Final = 120.0

#: Rows and columns of the image of the whole sky.
_MAP_SHAPE: Final = (560, 1120)

#: The largest number of points in the map of one field.
_FIELD_POINTS: Final = 6_000

_BINS: Final = 36

_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _RULE,
    "axes.linewidth": 0.8,
    "xtick.color": _RULE,
    "ytick.color": _RULE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _RULE,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.5,
}


def _svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element whose ids no other figure of the page has."""
    sink = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(sink, format="svg", transparent=True, dpi=160, metadata={"Date": None})
    svg = sink.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", svg)
    # The page sets the width; the height follows from the viewBox.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace(_INK, "currentColor").replace(_RULE, "var(--rule)").strip()


@cache
def _map_grid() -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return RA and Dec in degrees of each pixel of the image, and which pixels are sky.

    This is the inverse of the Mollweide projection (Snyder 1987, USGS Professional Paper 1395, p. 251).
    """
    rows, columns = _MAP_SHAPE
    y = 1 - (np.arange(rows)[:, None] + 0.5) * 2 / rows
    x = (np.arange(columns)[None, :] + 0.5) * 2 / columns - 1
    theta = np.arcsin(y)
    sky = x**2 + y**2 < 1
    with np.errstate(invalid="ignore", divide="ignore"):
        lon = 180 * x / np.cos(theta)
        lat = np.degrees(np.arcsin((2 * theta + np.sin(2 * theta)) / np.pi))
    ra = np.where(sky, (_CENTRE_RA - lon) % 360, 0.0)
    return ra, np.where(sky, np.broadcast_to(lat, ra.shape), 0.0), sky


def _sky_figure(image: FloatArray, **options: Any) -> tuple[Figure, Any]:
    """Draw an image of the whole sky under a graticule; return the figure and the drawn image."""
    box = (0.06, 0.26, 0.88, 0.72)
    # The box must be twice as wide as high. Otherwise image and graticule do not match.
    figure = Figure(figsize=(5.2, 5.2 * 0.88 / 2 / 0.72))
    under = figure.add_axes(box)
    drawn = under.imshow(image, extent=(-1, 1, -1, 1), aspect="auto", interpolation="none", **options)
    under.set_axis_off()
    axes = figure.add_axes(box, projection="mollweide")
    axes.patch.set_alpha(0)
    axes.grid(True)
    ticks = np.arange(-120, 121, 60)
    axes.set_xticks(np.radians(ticks), [f"{(_CENTRE_RA - t) % 360:.0f}°" for t in ticks], fontsize=8)
    axes.set_yticks(np.radians([-60, -30, 0, 30, 60]), ["−60°", "−30°", "0°", "+30°", "+60°"], fontsize=8)
    lon, lat = _galactic_plane()
    axes.plot(lon, lat, color=_INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.7)
    return figure, drawn


@cache
def _galactic_plane() -> tuple[FloatArray, FloatArray]:
    """Return longitudes and latitudes in radians of the plane of the Galaxy on the map."""
    plane = SkyCoord(l=np.linspace(0, 360, 721), b=np.zeros(721), unit="deg", frame="galactic").icrs
    lon = (_CENTRE_RA - plane.ra.deg + 180) % 360 - 180
    lat = np.asarray(plane.dec.deg, dtype=np.float64)
    lat[np.abs(np.diff(lon, prepend=lon[0])) > 180] = np.nan  # no line from one edge to the other
    return np.radians(lon), np.radians(lat)


@mpl.rc_context(_STYLE)
def density_map(name: str, image: FloatArray, label: str) -> str:
    """Draw a density on the whole sky.

    Parameters
    ----------
    name : str
        A name for the ids in the SVG, unique on the page.
    image : ndarray of float64
        The result of :func:`cells_image` or :func:`pixels_image`; NaN where there are no rows.
    label : str
        With the unit.

    Returns
    -------
    str
        SVG.
    """
    values = image[np.isfinite(image)]
    low, high = np.percentile(values, [20, 99]) if len(values) else (0.0, 1.0)
    wide = low > 0 and high / low > 30
    norm = LogNorm(low, high) if wide else Normalize(0, high)
    figure, drawn = _sky_figure(image, cmap="viridis", norm=norm)
    bar = figure.colorbar(drawn, cax=figure.add_axes((0.22, 0.17, 0.56, 0.03)), orientation="horizontal")
    if not wide:
        bar.locator = MaxNLocator(5)
        bar.update_ticks()
    bar.outline.set_visible(False)
    bar.set_label(label)
    return _svg(figure, name)


def cells_image(cells: Mapping[Area, float]) -> FloatArray:
    """Return an image of the sky with the sources per square degree of the area of each sweep."""
    ra, dec, sky = _map_grid()
    image = np.full(_MAP_SHAPE, np.nan)
    for cell, rows in cells.items():
        if rows > 0:
            image[sky & cell.holds(ra, dec)] = rows / cell.square_degrees
    return image


def pixels_image(rows: IntArray) -> FloatArray:
    """Return an image of the sky with the rows per square degree, from the rows in each pixel of nside 64."""
    return _healpix_image(np.where(rows > 0, rows, np.nan) / healpy.nside2pixarea(64, degrees=True))


def _healpix_image(values: FloatArray) -> FloatArray:
    """Return an image of the sky with the value of each HEALPix pixel, in nested order."""
    ra, dec, sky = _map_grid()
    nside = healpy.npix2nside(len(values))
    image = np.full(_MAP_SHAPE, np.nan)
    image[sky] = values[healpy.ang2pix(nside, ra[sky], dec[sky], nest=True, lonlat=True)]
    return image


@mpl.rc_context(_STYLE)
def split_map(name: str, of_pixel: FloatArray) -> str:
    """Draw the splits of the pixels of nside 128 on the whole sky: indices in ``SPLIT_ORDER``, or NaN."""
    colours = ListedColormap(list(_SPLIT_COLOURS.values()))
    figure, _ = _sky_figure(_healpix_image(of_pixel), cmap=colours, vmin=-0.5, vmax=2.5)
    _split_legend(figure, 0.13)
    return _svg(figure, name)


def _split_legend(figure: Figure, y: float) -> None:
    for place, (text, colour) in zip((-1, 0, 1), _SPLIT_COLOURS.items(), strict=True):
        x = 0.5 + place * 0.16
        figure.text(x - 0.035, y, "■", color=colour, fontsize=12, ha="center", va="center")
        figure.text(x - 0.01, y, text, va="center")


@mpl.rc_context(_STYLE)
def field_map(name: str, field: Field) -> str:
    """Draw the sources of a field.

    Parameters
    ----------
    name : str
        A name for the ids in the SVG, unique on the page.
    field : Field
        The sources.

    Returns
    -------
    str
        SVG.
    """
    figure = Figure(figsize=(5.2, 3.9))
    axes = figure.add_axes((0.14, 0.21, 0.83, 0.77))
    (ra_0, dec_0), ra, dec, split, positive = field
    here = np.arange(len(ra))
    shown = here[:: max(1, len(here) // _FIELD_POINTS)]
    star: Any = {"s": 90, "marker": "*", "edgecolor": _INK, "linewidth": 0.7, "zorder": 3}
    for i, colour in enumerate(_SPLIT_COLOURS.values()):
        dots = shown[(split[shown] == i) & ~positive[shown]]
        axes.scatter(ra[dots], dec[dots], s=5, lw=0, color=colour, rasterized=True)
        stars = here[(split == i) & positive]
        axes.scatter(ra[stars], dec[stars], color=colour, **star)
    axes.set_xlim(ra_0 + FIELD_DEG / 2, ra_0 - FIELD_DEG / 2)
    axes.set_ylim(dec_0 - FIELD_DEG / 2, dec_0 + FIELD_DEG / 2)
    axes.set_aspect(1 / max(np.cos(np.radians(dec_0)), 0.2), adjustable="box", anchor="C")
    axes.set_xlabel("right ascension [deg]")
    axes.set_ylabel("declination [deg]")
    _split_legend(figure, 0.035)
    return _svg(figure, name)


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
    figure = Figure(figsize=(3.5, 2.35))
    axes = figure.add_axes((0.03, 0.24, 0.94, 0.72))
    drawn = {sample: values for sample, values in of_sample.items() if len(values)}
    if drawn:
        limits = np.array([np.percentile(values, [0.5, 99.5]) for values in drawn.values()])
        low, high = limits[:, 0].min(), limits[:, 1].max()
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
        for sample, values in drawn.items():
            heights = np.histogram(values, edges)[0] / len(values)
            colour = _SAMPLE_COLOURS[sample]
            axes.stairs(heights, edges, color=colour, linewidth=1.6 if sample == POSITIVE else 1.3)
            if sample == POSITIVE:
                axes.stairs(heights, edges, fill=True, color=to_rgba(colour, 0.16))
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
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
    bars = (("planned on AWS", "#3f8fd2", -0.2), (of_run, "#e08a1e", 0.2))
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
        lines += [(together.label, _INK, together.overall, together.within_strata)]
        colour = _SAMPLE_COLOURS["N2" if together.kind == "nuisance" else "N1"]
        of_kind = (column for column in shortcuts.columns if column.kind == together.kind)
        lines += [(c.label, colour, c.overall, c.within_strata) for c in of_kind]
        lines += [None]
    height = 0.25 * len(lines) + 0.75
    figure = Figure(figsize=(8.6, height))
    axes = figure.add_axes((0.26, 0.55 / height, 0.71, 0.25 * len(lines) / height))
    rows = [(row, line) for row, line in enumerate(lines) if line is not None]
    for row, (_, colour, overall, within) in rows:
        if overall is not None:
            axes.barh(row, overall.auc - 0.5, left=0.5, height=0.62, color=colour, alpha=0.55, linewidth=0)
            axes.errorbar(overall.auc, row, xerr=overall.error, color=_INK, linewidth=1, capsize=3)
        if within is not None:
            axes.plot(within.auc, row, "D", markersize=4.5, markerfacecolor="none", color=_INK)
    axes.axvline(0.5, color=_INK, linewidth=1)
    if shortcuts.limit is not None:
        axes.axvline(shortcuts.limit, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate("limit", (shortcuts.limit, -0.7), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks([row for row, _ in rows], [line[0] for _, line in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(lines) - 1, -1)
    axes.set_xlim(min(0.45, axes.dataLim.x0), 1)
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)
    axes.set_xlabel("AUC: 0.5 is chance")
    return figure
