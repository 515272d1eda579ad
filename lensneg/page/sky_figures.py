"""The report's maps: the whole sky, or the part of it that holds the sweep files."""

from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from astropy.coordinates import SkyCoord
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lensneg.healpy_without_plots import healpy
from lensneg.page.figure_style import INK, SPLIT_COLOURS, STYLE, svg
from lensneg.page.sample_sky import FIELD_DEG, Field
from lensneg.rules.sky import unit_vectors
from lensneg.schema.arrays import BoolArray, FloatArray, IntArray
from lensneg.survey.pixels import Area
from lensneg.survey.releases import release_cells

#: The centre of the map of the whole sky: the plane of the Galaxy is near the edges. RA grows to the left.
_CENTRE_RA: Final = 120.0

#: A part of the sky of at most so many degrees is drawn without the rest, unless it comes so near to a pole.
_WIDEST: Final = (150.0, 75.0)
_NORTHERNMOST: Final = 80.0

#: Areas of fewer square degrees are few. A group of them reaches so many degrees from the centre of one.
_FEW: Final = 800.0
_GROUP: Final = 20.0

#: The share of a part's extent that is drawn around it, and the least number of degrees.
_MARGIN: Final = (0.06, 1.0)

#: Rows and columns of the image of the whole sky, and columns of that of a part.
_MAP_SHAPE: Final = (560, 1120)
_PART_COLUMNS: Final = 900

#: Inches across a map, and below a part of the sky: axis, colour bar and labels.
_WIDTH: Final = 5.2
_BELOW: Final = 1.25

#: The largest number of points in the map of one field.
_FIELD_POINTS: Final = 6_000


class View:
    """What a map shows: the whole sky in Mollweide's projection, or a part of it.

    A part is drawn with equal steps of declination, and of right ascension times the cosine of its middle
    declination.

    Parameters
    ----------
    areas : iterable of Area
        What the map has to show. None stands for the whole sky.
    """

    def __init__(self, areas: Iterable[Area] = ()) -> None:
        self.part = _part_of(list(areas))

    @cached_property
    def grid(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        """RA and Dec in degrees of each pixel of the image, and which pixels are sky."""
        if self.part is None:
            return _mollweide_grid()
        middle, half, south, north = self.part
        x = (np.arange(_PART_COLUMNS) + 0.5) / _PART_COLUMNS * 2 - 1
        rows = max(1, round(_PART_COLUMNS / 2 / half / self.shrink * (north - south)))
        y = (np.arange(rows) + 0.5) / rows
        ra, dec = np.meshgrid((middle - half * x) % 360, north - (north - south) * y)
        return ra, dec, np.abs(dec) <= 90

    @property
    def shrink(self) -> float:
        """By how much a degree of right ascension is shorter than one of declination, in a part."""
        assert self.part is not None
        return float(np.cos(np.radians((self.part[2] + self.part[3]) / 2)))

    def figure(self, image: FloatArray, **options: Any) -> tuple[Figure, Any]:
        """Draw an image under a graticule and the survey's outline; return the figure and the drawn image."""
        if self.part is None:
            box = (0.06, 0.26, 0.88, 0.72)
            # The box must be twice as wide as high. Otherwise image and graticule do not match.
            figure = Figure(figsize=(_WIDTH, _WIDTH * box[2] / 2 / box[3]))
            under = figure.add_axes(box)
            under.set_axis_off()
            drawn = under.imshow(image, extent=(-1, 1, -1, 1), aspect="auto", interpolation="none", **options)
            axes = figure.add_axes(box, projection="mollweide")
            axes.patch.set_alpha(0)
            ticks = np.arange(-120, 121, 60)
            axes.set_xticks(np.radians(ticks), [f"{(_CENTRE_RA - t) % 360:.0f}°" for t in ticks], fontsize=8)
            axes.set_yticks(
                np.radians([-60, -30, 0, 30, 60]), ["−60°", "−30°", "0°", "+30°", "+60°"], fontsize=8
            )
        else:
            middle, half, south, north = self.part
            shape = (north - south) / (2 * half * self.shrink)
            height = min(max(0.83 * _WIDTH * shape, 1.6), 3.9) + _BELOW
            figure = Figure(figsize=(_WIDTH, height))
            box = (0.14, _BELOW / height, 0.83, 0.98 - _BELOW / height)
            axes = figure.add_axes(box)
            extent = (-half, half, south, north)
            drawn = axes.imshow(image, extent=extent, aspect=1 / self.shrink, interpolation="none", **options)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{(middle - x) % 360:g}°"))
            axes.xaxis.set_major_locator(_RoundRa(middle))
            axes.yaxis.set_major_formatter(
                FuncFormatter(lambda y, _: f"{y:+g}°".replace("-", "−") if y else "0°")
            )
            axes.set_xlabel("right ascension")
            axes.set_ylabel("declination")
            axes.set_xlim(-half, half)
            axes.set_ylim(south, north)
        axes.grid(True)
        self._draw(axes, *_galactic_plane(), linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.7)
        self._draw(axes, *_outline(), linewidth=0.9)
        return figure, drawn

    def _draw(self, axes: Any, ra: FloatArray, dec: FloatArray, **options: Any) -> None:
        """Draw lines through positions; NaN ends a line."""
        middle = _CENTRE_RA if self.part is None else self.part[0]
        x = (middle - ra + 180) % 360 - 180
        y = np.array(dec)
        y[np.abs(np.diff(x, prepend=x[0])) > 180] = np.nan  # no line from one edge to the other
        if self.part is None:
            x, y = np.radians(x), np.radians(y)
        axes.plot(x, y, color=INK, **options)


class _RoundRa(MaxNLocator):
    """Ticks at round right ascensions."""

    def __init__(self, middle: float) -> None:
        super().__init__(6, steps=[1, 2, 5, 10])
        self._middle = middle

    def tick_values(self, vmin: float, vmax: float) -> Any:
        return self._middle - np.asarray(super().tick_values(self._middle - vmax, self._middle - vmin))


def closer(areas: Iterable[Area]) -> View:
    """Return the view of all areas or, where these are few and far apart, of the largest group of them.

    Parameters
    ----------
    areas : iterable of Area
        The sweep files' areas.

    Returns
    -------
    View
        What the maps of the sample show.
    """
    areas = list(areas)
    whole = View(areas)
    if not areas or whole.part is not None or sum(area.square_degrees for area in areas) > _FEW:
        return whole
    centres = unit_vectors(*np.array([area.centre for area in areas]).T)
    near = centres @ centres.T > np.cos(np.radians(_GROUP))
    largest = near[near.sum(axis=1).argmax()]
    return View(area for area, is_near in zip(areas, largest, strict=True) if is_near)


def _part_of(areas: list[Area]) -> tuple[float, float, float, float] | None:
    """Return middle RA, half the extent in RA, and limits in Dec of what a map shows; None for the sky."""
    if not areas:
        return None
    ra, dec = np.array([corner for area in areas for corner in (*area.corners, area.centre)]).T
    edges = np.sort(ra % 360)
    gaps = np.diff(edges, append=edges[0] + 360)
    widest = int(gaps.argmax())
    extent, first = 360 - float(gaps[widest]), float(edges[(widest + 1) % len(edges)])
    south, north = float(dec.min()), float(dec.max())
    if extent > _WIDEST[0] or north - south > _WIDEST[1] or max(-south, north) > _NORTHERNMOST:
        return None
    margin = max(_MARGIN[0] * max(extent, north - south), _MARGIN[1])
    return (first + extent / 2) % 360, extent / 2 + margin, south - margin, north + margin


@cache
def _mollweide_grid() -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return RA and Dec in degrees of each pixel of the image of the whole sky, and which pixels are sky.

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


@cache
def _galactic_plane() -> tuple[FloatArray, FloatArray]:
    """Return RA and Dec in degrees of the plane of the Galaxy."""
    plane = SkyCoord(l=np.linspace(0, 360, 721), b=np.zeros(721), unit="deg", frame="galactic").icrs
    return np.asarray(plane.ra.deg, dtype=np.float64), np.asarray(plane.dec.deg, dtype=np.float64)


@cache
def _outline() -> tuple[FloatArray, FloatArray]:
    """Return RA and Dec in degrees of the outline of DR10.1's sweep files; NaN between its sides."""
    cells = {(cell.ra_min, cell.dec_min) for cell in release_cells().values()}
    along, lines = np.linspace(0, 5, 6), []
    for ra, dec in cells:
        for across, up in ((5, 0), (-5, 0), (0, 5), (0, -5)):
            if ((ra + across) % 360, dec + up) not in cells and (across or -90 < dec + max(up, 0) < 90):
                x = ra + (along if up else max(across, 0) + 0 * along)
                y = dec + (along if across else max(up, 0) + 0 * along)
                lines += [np.append(x, np.nan), np.append(y, np.nan)]
    return np.concatenate(lines[::2]) % 360, np.concatenate(lines[1::2])


@mpl.rc_context(STYLE)
def density_map(name: str, image: FloatArray, label: str, view: View) -> str:
    """Draw a density.

    Parameters
    ----------
    name : str
        A name for the ids in the SVG, unique on the page.
    image : ndarray of float64
        The result of :func:`cells_image` or :func:`pixels_image`; NaN where there are no rows.
    label : str
        With the unit.
    view : View
        That of the image.

    Returns
    -------
    str
        SVG.
    """
    values = image[np.isfinite(image)]
    low, high = np.percentile(values, [20, 99]) if len(values) else (0.0, 1.0)
    wide = low > 0 and high / low > 30
    norm = LogNorm(low, high) if wide else Normalize(0, high)
    figure, drawn = view.figure(image, cmap="viridis", norm=norm)
    bar = figure.colorbar(
        drawn,
        cax=figure.add_axes((0.22, 0.53 / figure.get_figheight(), 0.56, 0.025)),
        orientation="horizontal",
    )
    if not wide:
        bar.locator = MaxNLocator(5)
        bar.update_ticks()
    bar.outline.set_visible(False)
    bar.set_label(label)
    return svg(figure, name)


def cells_image(cells: Mapping[Area, float], view: View) -> FloatArray:
    """Return an image of the sky with the sources per square degree of the area of each sweep."""
    ra, dec, sky = view.grid
    image = np.full(ra.shape, np.nan)
    for cell, rows in cells.items():
        if rows > 0:
            image[sky & cell.holds(ra, dec)] = rows / cell.square_degrees
    return image


def pixels_image(rows: IntArray, view: View) -> FloatArray:
    """Return an image of the sky with the rows per square degree, from the rows in each pixel of nside 64."""
    return _healpix_image(np.where(rows > 0, rows, np.nan) / healpy.nside2pixarea(64, degrees=True), view)


def _healpix_image(values: FloatArray, view: View) -> FloatArray:
    """Return an image of the sky with the value of each HEALPix pixel, in nested order."""
    ra, dec, sky = view.grid
    nside = healpy.npix2nside(len(values))
    image = np.full(ra.shape, np.nan)
    image[sky] = values[healpy.ang2pix(nside, ra[sky], dec[sky], nest=True, lonlat=True)]
    return image


@mpl.rc_context(STYLE)
def split_map(name: str, of_pixel: FloatArray, view: View) -> str:
    """Draw the splits of the pixels of nside 128: indices in ``SPLIT_ORDER``, or NaN."""
    colours = ListedColormap(list(SPLIT_COLOURS.values()))
    figure, _ = view.figure(_healpix_image(of_pixel, view), cmap=colours, vmin=-0.5, vmax=2.5)
    _split_legend(figure, 0.4 / figure.get_figheight())
    return svg(figure, name)


def _split_legend(figure: Figure, y: float) -> None:
    for place, (text, colour) in zip((-1, 0, 1), SPLIT_COLOURS.items(), strict=True):
        x = 0.5 + place * 0.16
        figure.text(x - 0.035, y, "■", color=colour, fontsize=12, ha="center", va="center")
        figure.text(x - 0.01, y, text, va="center")


@mpl.rc_context(STYLE)
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
    star: Any = {"s": 90, "marker": "*", "edgecolor": INK, "linewidth": 0.7, "zorder": 3}
    for i, colour in enumerate(SPLIT_COLOURS.values()):
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
    return svg(figure, name)
