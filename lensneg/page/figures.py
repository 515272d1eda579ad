"""The report's figures, as SVG that takes its colours from the page: ink follows light and dark.

matplotlib draws them. Text stays text; an image of the sky is embedded as pixels. Nothing refers to anything
outside the figure.
"""

import io
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from astropy.coordinates import SkyCoord
from matplotlib.colors import ListedColormap, LogNorm, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lensneg.healpy_without_plots import healpy
from lensneg.page.comparison import QUANTITIES, SAMPLES, Samples
from lensneg.schema.arrays import FloatArray
from lensneg.schema.config import SPLIT_ORDER
from lensneg.survey.names import Cell

#: Colours of samples and of splits that are told apart on paper, on white and on black.
SAMPLE_COLOURS: Final = {"N1": "#3f8fd2", "N2": "#e08a1e", "positive": "#d6336c"}

SPLIT_COLOURS: Final = {"train": "#3f8fd2", "val": "#e0a21e", "test": "#d6336c"}

#: Stand-ins in the drawing, which the page replaces by its own colours.
_INK, _RULE = "#010203", "#040506"

#: The sky is centred here, so that the plane of the Galaxy falls to the edges; RA grows to the left.
_CENTRE_RA: Final = 120.0

#: Pixels of the map of the whole sky.
_MAP_SHAPE: Final = (560, 1120)

#: The sky is binned for density in pixels of about a degree, for splits in the rule's own.
_DENSITY_NSIDE: Final = 64

_SPLIT_NSIDE: Final = 128

#: Points in the close-up of one field, at most.
_FIELD_POINTS: Final = 6_000

_FIELD_DEG: Final = 5.0

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
def _map_grid() -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return RA and Dec in degrees of each pixel of the map, and which pixels are sky.

    The inverse of Mollweide's projection (Snyder 1987, USGS Professional Paper 1395, p. 251).
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


def _sky_axes(figure: Figure, image: Any, **options: Any) -> Any:
    """Put an image of the whole sky on a figure, under a graticule; return the image."""
    box = (0.06, 0.26, 0.88, 0.72)
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
    return drawn


@cache
def _galactic_plane() -> tuple[FloatArray, FloatArray]:
    plane = SkyCoord(l=np.linspace(0, 360, 721), b=np.zeros(721), unit="deg", frame="galactic").icrs
    lon = (_CENTRE_RA - plane.ra.deg + 180) % 360 - 180
    lat = np.asarray(plane.dec.deg, dtype=np.float64)
    lat[np.abs(np.diff(lon, prepend=lon[0])) > 180] = np.nan  # the line leaves one edge for the other
    return np.radians(lon), np.radians(lat)


def _sky_figure() -> Figure:
    # The map's box must be twice as wide as high, or image and graticule part.
    width = 5.2
    return Figure(figsize=(width, width * 0.88 / 2 / 0.72))


def density_map(name: str, image: npt.NDArray[np.float64], label: str) -> str:
    """Draw a density on the whole sky.

    Parameters
    ----------
    name : str
    image : ndarray of float64, shape of the map
        Of :func:`cells_image` or :func:`pixels_image`; NaN where there is nothing.
    label : str
        With the unit.
    """
    with mpl.rc_context(_STYLE):
        figure = _sky_figure()
        values = image[np.isfinite(image)]
        low, high = np.percentile(values, [20, 99]) if len(values) else (0.0, 1.0)
        wide = low > 0 and high / low > 30
        norm = LogNorm(low, high) if wide else Normalize(0, high)
        drawn = _sky_axes(figure, image, cmap="viridis", norm=norm)
        bar = figure.colorbar(drawn, cax=figure.add_axes((0.22, 0.17, 0.56, 0.03)), orientation="horizontal")
        if not wide:
            bar.locator = MaxNLocator(5)
            bar.update_ticks()
        bar.outline.set_visible(False)
        bar.set_label(label)
        return _svg(figure, name)


def cells_image(cells: Mapping[Cell, float]) -> npt.NDArray[np.float64]:
    """Return sources per square degree of each cell as an image of the sky."""
    ra, dec, sky = _map_grid()
    image = np.full(_MAP_SHAPE, np.nan)
    for cell, rows in cells.items():
        height = np.sin(np.radians(cell.dec_max)) - np.sin(np.radians(cell.dec_min))
        area = (cell.ra_max - cell.ra_min) * np.degrees(height)
        if rows > 0:
            image[sky & cell.holds(ra, dec)] = rows / area
    return image


def pixels_image(healpix_64: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return rows per square degree as an image of the sky, from each row's pixel."""
    counts = np.bincount(healpix_64, minlength=healpy.nside2npix(_DENSITY_NSIDE)).astype(np.float64)
    counts[counts == 0] = np.nan
    density = counts / healpy.nside2pixarea(_DENSITY_NSIDE, degrees=True)
    ra, dec, sky = _map_grid()
    image = np.full(_MAP_SHAPE, np.nan)
    image[sky] = density[healpy.ang2pix(_DENSITY_NSIDE, ra[sky], dec[sky], nest=True, lonlat=True)]
    return image


def split_map(name: str, healpix_128: npt.NDArray[np.integer], split: npt.NDArray[np.int64]) -> str:
    """Draw the splits on the whole sky: a pixel has one, which is the point of them."""
    of_pixel = np.full(healpy.nside2npix(_SPLIT_NSIDE), np.nan)
    of_pixel[healpix_128] = split
    ra, dec, sky = _map_grid()
    image = np.full(_MAP_SHAPE, np.nan)
    image[sky] = of_pixel[healpy.ang2pix(_SPLIT_NSIDE, ra[sky], dec[sky], nest=True, lonlat=True)]
    with mpl.rc_context(_STYLE):
        figure = _sky_figure()
        colours = ListedColormap([SPLIT_COLOURS[split_name] for split_name in SPLIT_ORDER])
        _sky_axes(figure, image, cmap=colours, vmin=-0.5, vmax=2.5)
        _legend(figure, SPLIT_COLOURS, 0.13)
        return _svg(figure, name)


def _legend(figure: Figure, colours: Mapping[str, str], y: float) -> None:
    for i, (text, colour) in enumerate(colours.items()):
        x = 0.5 + (i - (len(colours) - 1) / 2) * 0.16
        figure.text(x - 0.035, y, "■", color=colour, fontsize=12, ha="center", va="center")
        figure.text(x - 0.01, y, text, va="center")


def field_map(
    name: str, ra: FloatArray, dec: FloatArray, split: npt.NDArray[np.int64], positive: npt.NDArray[np.bool_]
) -> str:
    """Draw the field that holds most rows, source by source.

    Parameters
    ----------
    name : str
    ra, dec : ndarray of float64, shape (n,)
        Degrees, of all rows.
    split : ndarray of int, shape (n,)
        Index into ``SPLIT_ORDER``.
    positive : ndarray of bool, shape (n,)
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 3.9))
        axes = figure.add_axes((0.14, 0.21, 0.83, 0.77))
        ra_0, dec_0 = _densest(ra, dec)
        here = np.flatnonzero((np.abs(ra - ra_0) <= _FIELD_DEG / 2) & (np.abs(dec - dec_0) <= _FIELD_DEG / 2))
        shown = here[:: max(1, len(here) // _FIELD_POINTS)]
        for i, split_name in enumerate(SPLIT_ORDER):
            dots = shown[(split[shown] == i) & ~positive[shown]]
            axes.scatter(ra[dots], dec[dots], s=5, lw=0, color=SPLIT_COLOURS[split_name], rasterized=True)
            stars = here[(split[here] == i) & positive[here]]
            axes.scatter(
                ra[stars],
                dec[stars],
                s=90,
                marker="*",
                color=SPLIT_COLOURS[split_name],
                edgecolor=_INK,
                linewidth=0.7,
                zorder=3,
            )
        axes.set_xlim(ra_0 + _FIELD_DEG / 2, ra_0 - _FIELD_DEG / 2)
        axes.set_ylim(dec_0 - _FIELD_DEG / 2, dec_0 + _FIELD_DEG / 2)
        axes.set_aspect(1 / max(np.cos(np.radians(dec_0)), 0.2), adjustable="box", anchor="C")
        axes.set_xlabel("right ascension [deg]")
        axes.set_ylabel("declination [deg]")
        _legend(figure, SPLIT_COLOURS, 0.035)
        return _svg(figure, name)


def _densest(ra: FloatArray, dec: FloatArray) -> tuple[float, float]:
    """Return the middle of the cell of the sweeps' grid that holds most rows."""
    column, row = np.floor(ra / _FIELD_DEG), np.floor(dec / _FIELD_DEG)
    cells, counts = np.unique(np.stack([column, row]), axis=1, return_counts=True)
    most = cells[:, int(counts.argmax())]
    return float((most[0] + 0.5) * _FIELD_DEG), float((most[1] + 0.5) * _FIELD_DEG)


def histograms(samples: Samples) -> dict[str, str]:
    """Draw each quantity's distribution in each sample; see :func:`lensneg.page.comparison.samples_of`."""
    labels = {q.name: q.label + (f" [{q.unit}]" if q.unit else "") for q in QUANTITIES}
    return {name: _histogram(name, labels[name], of_sample) for name, of_sample in samples.items()}


def _histogram(name: str, label: str, of_sample: Mapping[str, FloatArray]) -> str:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(3.5, 2.35))
        axes = figure.add_axes((0.03, 0.24, 0.94, 0.72))
        limits = [np.percentile(v, [0.5, 99.5]) for v in of_sample.values() if len(v)]
        if limits:
            low, high = min(pair[0] for pair in limits), max(pair[1] for pair in limits)
            edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
            for sample in SAMPLES:
                values = of_sample[sample]
                if not len(values):
                    continue
                heights = np.histogram(values, edges)[0] / len(values)
                colour = SAMPLE_COLOURS[sample]
                axes.stairs(heights, edges, color=colour, linewidth=1.6 if sample == "positive" else 1.3)
                if sample == "positive":
                    axes.stairs(heights, edges, fill=True, color=to_rgba(colour, 0.16))
            axes.set_xlim(edges[0], edges[-1])
            axes.set_ylim(0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(label)
        return _svg(figure, f"h-{name}")
