"""The area of the sky that an input covers: the cell of a sweep file, or the pixel of a HATS partition."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg.healpy_without_plots import healpy
from lensneg.rules.sky import healpix_pixel, unit_vectors
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.input_name import hats_pixel, input_name
from lensneg.schema.run import SweepInput
from lensneg.survey.names import Cell, cell_of, overlapping, sweep_cell

#: The order of the finest pixels that a HATS catalogue numbers.
_FINEST: Final = 29


class Pixel(NamedTuple):
    """A HEALPix pixel in the NESTED scheme, the area of a HATS partition."""

    order: int
    number: int

    def holds(self, ra: FloatArray, dec: FloatArray) -> BoolArray:
        """Return which positions lie in the pixel.

        Parameters
        ----------
        ra, dec : ndarray of float64, shape (n,)
            Positions in degrees.

        Returns
        -------
        ndarray of bool, shape (n,)
            True for the positions in the pixel.

        Examples
        --------
        >>> Pixel(4, 1216).holds(np.array([1.0, 20.0]), np.array([2.0, 2.0])).tolist()
        [True, False]
        """
        return np.asarray(healpix_pixel(1 << self.order, ra, dec) == self.number)

    @property
    def centre(self) -> tuple[float, float]:
        """RA and Dec of the middle."""
        ra, dec = healpy.pix2ang(1 << self.order, self.number, nest=True, lonlat=True)
        return float(ra), float(dec)

    @property
    def corners(self) -> list[tuple[float, float]]:
        """RA and Dec of points of the edge: the corners, and some between them."""
        edge = healpy.boundaries(1 << self.order, self.number, step=4, nest=True)
        ra, dec = healpy.vec2ang(edge.T, lonlat=True)
        return list(zip(ra.tolist(), dec.tolist(), strict=True))

    @property
    def square_degrees(self) -> float:
        """The area."""
        return float(healpy.nside2pixarea(1 << self.order, degrees=True))

    @property
    def finest(self) -> range:
        """The numbers of the finest pixels in it."""
        shift = 2 * (_FINEST - self.order)
        return range(self.number << shift, (self.number + 1) << shift)


Area = Cell | Pixel


def area_of(uri: str, box: tuple[float, float, float, float] | None = None) -> Area:
    """Return the area that an input covers.

    Parameters
    ----------
    uri : str
        Name or URI of a sweep file, or of a table in its place.
    box : tuple of float, optional
        The box of a table's positions: lower and upper RA, lower and upper Dec.

    Returns
    -------
    Cell or Pixel
        Of a HATS partition its pixel. Else that of a sweep file's name, which a table may have too; of a
        table with another name its box.

    Raises
    ------
    SweepError
        If there is no box, and the name is not one of a sweep file.

    Examples
    --------
    >>> area_of("sky/Norder=4/Dir=0/Npix=1216.parquet")
    Pixel(order=4, number=1216)
    >>> area_of("sweep-000m005-005p000.parquet", (0.1, 4.9, -5.1, -0.1))
    Cell(ra_min=0.0, ra_max=5.0, dec_min=-5.0, dec_max=0.0)
    """
    if pixel := hats_pixel(uri):
        return Pixel(*pixel)
    if box is None:
        return cell_of(uri)
    return sweep_cell(f"{input_name(uri).rpartition('.')[0]}.fits") or Cell(*box)


def area_of_input(sweep: SweepInput) -> Area:
    """Return the area that an input of a run covers.

    Parameters
    ----------
    sweep : SweepInput
        A sweep file, or a table in the place of sweep files.

    Returns
    -------
    Cell or Pixel
        As of :func:`area_of`.
    """
    return area_of(sweep.uri, sweep.box)


def radius_of(area: Area) -> float:
    """Return how far the farthest point of an area is from its centre.

    Parameters
    ----------
    area : Cell or Pixel
        The area.

    Returns
    -------
    float
        Radians. It is pi for a cell that is wider than half the sky, as its corners are then not farthest.

    Examples
    --------
    >>> radius_of(Cell(0, 10, -5, 5)) == radius_of(Cell(350, 360, -5, 5)), radius_of(Cell(0, 360, 0, 1))
    (True, 3.141592653589793)
    """
    if isinstance(area, Cell) and area.ra_max - area.ra_min > 180:
        return float(np.pi)
    corners = _vectors(area.corners)
    return float(np.arccos(np.clip((corners @ _vectors([area.centre])[0]).min(), -1, 1)))


def _vectors(positions: list[tuple[float, float]]) -> npt.NDArray[np.float64]:
    ra, dec = np.array(positions).T
    return unit_vectors(ra, dec)


def overlapping_inputs(areas: Mapping[str, Area]) -> list[tuple[str, str]]:
    """Return the pairs of inputs that have some of the sky in common.

    Parameters
    ----------
    areas : mapping of str to Cell or Pixel
        The area of each input by URI. The files of one partition, in a folder of their own, count as one.

    Returns
    -------
    list of (str, str)
        The URIs of both. A pixel is paired with the widest one around it.

    Examples
    --------
    >>> places = ("a/Norder=1/Dir=0/Npix=3.parquet", "a/Norder=2/Dir=0/Npix=12.parquet",
    ...     "a/Norder=2/Dir=0/Npix=11/x.parquet", "a/Norder=2/Dir=0/Npix=11/y.parquet")
    >>> overlapping_inputs({place: area_of(place) for place in places})
    [('a/Norder=1/Dir=0/Npix=3.parquet', 'a/Norder=2/Dir=0/Npix=12.parquet')]
    """
    cells = {uri: area for uri, area in areas.items() if isinstance(area, Cell)}
    uris = list(cells)
    found = [(uris[one], uris[other]) for one, other in overlapping(list(cells.values()))]
    # By partition, so that its files are not compared with each other.
    partitions: dict[str, tuple[Pixel, str]] = {}
    for uri, area in areas.items():
        if isinstance(area, Pixel):
            folder = uri.rpartition("/")[0]
            partitions.setdefault(folder if "/Npix=" in folder else uri, (area, uri))
    widest: tuple[Pixel, str] | None = None
    for pixel, uri in sorted(partitions.values(), key=lambda entry: (entry[0].finest.start, entry[0].order)):
        if widest is not None and pixel.finest.start < widest[0].finest.stop:
            found.append((widest[1], uri))  # HEALPix pixels are disjoint, or one lies within the other
        else:
            widest = pixel, uri
    return found
