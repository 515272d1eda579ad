"""Magnitudes, the flux that stands for a magnitude limit, and ellipticity."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensneg.rules.photometry import ellipticity, faintest_flux, magnitude

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("flux", "mag"),
    [(1.0, 22.5), (10.0, 20.0), (100.0, 17.5), (0.01, 27.5), (INF, -INF)],
)
def test_magnitude(flux: float, mag: float) -> None:
    assert magnitude([flux])[0] == mag


@pytest.mark.parametrize("flux", [0.0, -0.0, -1.0, NAN, -INF])
def test_a_source_without_positive_flux_has_no_magnitude(flux: float) -> None:
    assert math.isnan(magnitude([flux])[0])


def test_magnitude_is_float64_of_the_float32_flux() -> None:
    flux = np.array([0.1], dtype=">f4")
    # log10 of 0.100000001490116..., the float32 next to 0.1, by series: -1 + 1.490116e-8 / ln 10
    expected = 22.5 + 2.5 * (1 - 1.4901161193847656e-8 / math.log(10))
    assert magnitude(flux).dtype == np.float64
    assert magnitude(flux)[0] == pytest.approx(expected, abs=1e-14)
    assert magnitude(flux)[0] != 25.0


def test_nothing_is_said_of_a_source_without_positive_flux() -> None:
    """Catalogues are full of them: numpy's warnings would say nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(magnitude([0.0, -1.0, NAN])).all()


def test_ellipticity() -> None:
    assert ellipticity([0.0, 3.0, -0.5], [0.0, -4.0, 0.0]).tolist() == [0.0, 5.0, 0.5]


def test_ellipticity_is_float64_of_the_float32_components() -> None:
    e1, e2 = np.array([0.1, 0.3], np.float32), np.array([0.2, -0.4], dtype=">f4")
    found = ellipticity(e1, e2)
    assert found.dtype == np.float64
    expected = [math.hypot(*pair) for pair in zip(e1.tolist(), e2.tolist(), strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-15)


#: Bits of the float32 numbers 0, the smallest positive one, 1, the largest one, and infinity.
ZERO_BITS, SMALLEST_BITS, ONE_BITS, LARGEST_BITS, INFINITE_BITS = 0, 1, 0x3F800000, 0x7F7FFFFF, 0x7F800000


@given(st.floats(-80, 140))
def test_the_faintest_flux_is_where_the_magnitude_falls_below_the_limit(limit: float) -> None:
    """One float32 number lower, the magnitude is not below it; 22.5 - 2.5 log10 by the C library."""
    bits = int(faintest_flux(limit).view(np.uint32))
    assert SMALLEST_BITS <= bits <= INFINITE_BITS

    def is_brighter(bits: int) -> bool:
        flux = float(np.uint32(bits).view(np.float32))
        return flux > 0 and (flux == INF or 22.5 - 2.5 * math.log10(flux) < limit)

    assert is_brighter(bits)
    assert not is_brighter(bits - 1)


@pytest.mark.parametrize("limit", [-1e300, -100.0, -73.8, 0.0, 17.3, 19.999, 20.0, 25.0, 100.0, 134.5, 1e300])
def test_fluxes_above_the_faintest_are_those_whose_magnitude_is_below_the_limit(limit: float) -> None:
    """For 1.3 million fluxes: next to the limit, over all exponents, not positive, and not numbers."""
    near = int(faintest_flux(limit).view(np.uint32)) + np.arange(-(1 << 19), (1 << 19) + 1)
    bits = np.concatenate(
        [
            near[(near >= ZERO_BITS) & (near <= INFINITE_BITS)],
            np.arange(ZERO_BITS, INFINITE_BITS, 9973),
            [ZERO_BITS, SMALLEST_BITS, ONE_BITS, LARGEST_BITS, INFINITE_BITS],
        ]
    ).astype(np.uint32)
    fluxes = np.concatenate([bits.view(np.float32), -bits.view(np.float32), np.array([NAN], np.float32)])
    assert ((fluxes >= faintest_flux(limit)) == (magnitude(fluxes) < limit)).all()
