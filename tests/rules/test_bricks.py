"""The survey's bricks: centres against desiutil's and the grid counted plainly, pixels against astropy."""

import math

import numpy as np
import pytest
from astropy.wcs import WCS

from lensneg.rules.bricks import brick_centres, brick_columns, image_pixels

#: Name, RA and Dec of some bricks, as desiutil.brick 4.0.1 has them.
OF_DESIUTIL = [
    ("0616m030", 61.625, -3.0),
    ("3368p012", 336.875, 1.25),
    ("1833p307", 183.3387096774194, 30.75),
    ("0331p645", 33.17307692307692, 64.5),
    ("0307m685", 30.789473684210524, -68.5),
    ("2346m455", 234.60474308300394, -45.5),
    ("2732p402", 273.2667876588022, 40.25),
    ("1800m900", 180.0, -90.0),
    ("1800p900", 180.0, 90.0),
    ("3598p000", 359.875, 0.0),
]


@pytest.mark.parametrize(("name", "ra", "dec"), OF_DESIUTIL)
def test_centres_are_those_of_desiutil(name: str, ra: float, dec: float) -> None:
    found = brick_centres([name])
    assert (found[0][0], found[1][0]) == (pytest.approx(ra, abs=1e-12), dec)


def test_every_name_of_every_fifth_row_gives_its_own_centre() -> None:
    """Rows and columns as desiutil describes them, in plain Python."""
    names, centres, counts = [], [], []
    for row in range(721):
        dec = row / 4 - 90
        nearest = max(0.0, abs(dec) - 0.125)
        count = 1 if row in (0, 720) else 2 * math.ceil(1440 * math.cos(math.radians(nearest)) / 2)
        counts.append(count)
        for column in range(count) if row % 5 == 0 else ():
            ra = 360 / count * (column + 0.5)
            digits = f"{ra * 10_000:07.0f}", f"{abs(dec) * 10_000:06.0f}"
            names.append(f"{digits[0][:4]}{'p' if dec >= 0 else 'm'}{digits[1][:3]}")
            centres.append((ra, dec))
    assert sum(counts) == 662_174  # the survey's bricks
    assert brick_columns().tolist() == counts
    assert len(set(names)) == len(names) > 100_000
    np.testing.assert_allclose(np.transpose(brick_centres(names)), centres, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["", "x", "1498q017", "1498p01", "14980p017", "1499p017", "1498p016", "3600p000", "1800p901",
             "٣٥٩٨p000", "1498m000"],
)  # fmt: skip
def test_a_name_of_no_brick_has_no_centre(name: str) -> None:
    assert np.isnan(brick_centres([name])).all()


def test_pixels_are_those_of_the_tangential_projection() -> None:
    """As astropy projects with the header that legacypipe gives a brick's image (wcs_for_brick)."""
    rng = np.random.default_rng(3)
    for _, ra_0, dec_0 in OF_DESIUTIL[:7]:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval, wcs.wcs.crpix = [ra_0, dec_0], [1800.5, 1800.5]
        wcs.wcs.cd = np.diag([-0.262 / 3600, 0.262 / 3600])
        dec = dec_0 + rng.uniform(-0.125, 0.125, 50)
        ra = ra_0 + rng.uniform(-0.125, 0.125, 50) / math.cos(math.radians(dec_0))
        found = image_pixels(ra, dec, np.full(50, ra_0), np.full(50, dec_0))
        np.testing.assert_allclose(found, wcs.all_world2pix(ra, dec, 0), rtol=0, atol=1e-6)
        # A brick is at most 0.25 degrees wide, and its image 0.262: a margin of 82 pixels.
        assert np.min(found) > 80
        assert np.max(found) < 3599 - 80


def test_pixels_across_ra_0() -> None:
    x, y = image_pixels(np.array([359.999, 0.001]), np.zeros(2), np.full(2, 0.0), np.zeros(2))
    np.testing.assert_allclose(x, 1799.5 + np.array([3.6, -3.6]) / 0.262, atol=1e-6)
    np.testing.assert_allclose(y, 1799.5)
