"""Sources at and around the limits of each N2 criterion, as changes of :data:`sweepfile.GALAXY`."""

import math
from typing import Any

import numpy as np
from sweepfile import Row

NAN = math.nan


def up(value: float) -> np.float32:
    """The smallest float32 at or above a number."""
    near = np.float32(value)
    return near if float(near) >= value else np.nextafter(near, np.float32(np.inf))


def below(value: float) -> np.float32:
    """The largest float32 below a number."""
    return np.nextafter(up(value), np.float32(-np.inf))


def above(value: float) -> np.float32:
    """The smallest float32 above a number."""
    return np.nextafter(np.float32(value), np.float32(np.inf))


def red(flux_r: Any, **changes: Any) -> Row:
    """A red source that no criterion takes, of the flux in r that a limit is tried with."""
    return {"FLUX_R": flux_r, "FLUX_G": float(flux_r) / 4, **changes}


RING = [
    # DEV: the flux alone decides
    (red(5.0, TYPE="DEV", SERSIC=4.0), True),
    (red(above(5.0), TYPE="DEV", SERSIC=4.0), True),
    (red(below(5.0), TYPE="DEV", SERSIC=4.0), False),
    (red(50.0, TYPE="DEV", SERSIC=0.0), True),
    (red(NAN, TYPE="DEV"), False),
    (red(-50.0, TYPE="DEV"), False),
    # SER: flux and Sersic index
    (red(5.0, TYPE="SER", SERSIC=4.0), True),
    (red(5.0, TYPE="SER", SERSIC=above(4.0)), True),
    (red(5.0, TYPE="SER", SERSIC=below(4.0)), False),
    (red(below(5.0), TYPE="SER", SERSIC=4.0), False),
    (red(50.0, TYPE="SER", SERSIC=6.0), True),
    (red(50.0, TYPE="SER", SERSIC=NAN), False),
    # other types never
    (red(50.0, TYPE="REX", SERSIC=4.0), False),
    (red(50.0, TYPE="EXP", SERSIC=4.0), False),
]

EDGE = {"SHAPE_E1": 0.5, "SHAPE_E2": 0.0, "SHAPE_R": 1.0}
EDGE_ON = [
    (red(4.0, TYPE="EXP", **EDGE), True),
    (red(4.0, TYPE="SER", **EDGE), True),
    (red(4.0, TYPE="DEV", **EDGE), True),
    (red(4.0, TYPE="REX", **EDGE), False),
    (red(4.0, TYPE="EXP", **EDGE | {"SHAPE_E1": above(0.5)}), True),
    (red(4.0, TYPE="EXP", **EDGE | {"SHAPE_E1": below(0.5)}), False),
    (red(4.0, TYPE="EXP", **EDGE | {"SHAPE_E1": -0.5}), True),
    (red(4.0, TYPE="EXP", **EDGE | {"SHAPE_E1": 0.0, "SHAPE_E2": -0.5}), True),
    (red(4.0, TYPE="EXP", **EDGE | {"SHAPE_E1": 0.3125, "SHAPE_E2": 0.390625}), True),  # |e| = 0.50024
    (red(4.0, TYPE="EXP", **EDGE | {"SHAPE_E1": 0.3125, "SHAPE_E2": 0.38671875}), False),  # 0.49720
    (red(4.0, TYPE="EXP", **EDGE | {"SHAPE_E1": NAN}), False),
    (red(4.0, TYPE="EXP", **EDGE | {"SHAPE_R": up(0.6)}), True),
    (red(4.0, TYPE="EXP", **EDGE | {"SHAPE_R": below(0.6)}), False),
    (red(4.0, TYPE="EXP", **EDGE | {"SHAPE_R": NAN}), False),
    (red(4.0, TYPE="EXP", **EDGE | {"SHAPE_R": 0.0, "SHAPE_E1": 0.9}), False),
]

# The flux at r = 20.5, and the flux in g at g - r = 0.4 for a flux of 100 in r.
R_20_5 = 10**0.8
G_0_4 = 100 * 10**-0.16
BLUE = [
    ({"TYPE": "REX", "FLUX_G": 100.0, "FLUX_R": 100.0}, True),
    ({"TYPE": "SER", "FLUX_G": 100.0, "FLUX_R": 100.0}, True),
    ({"TYPE": "EXP", "FLUX_G": 100.0, "FLUX_R": 100.0}, True),
    ({"TYPE": "REX", "FLUX_G": up(G_0_4), "FLUX_R": 100.0}, True),
    ({"TYPE": "REX", "FLUX_G": below(G_0_4), "FLUX_R": 100.0}, False),
    ({"TYPE": "REX", "FLUX_G": up(R_20_5), "FLUX_R": up(R_20_5)}, True),
    ({"TYPE": "REX", "FLUX_G": below(R_20_5), "FLUX_R": below(R_20_5)}, False),
    # no colour without both fluxes
    ({"TYPE": "REX", "FLUX_G": 0.0, "FLUX_R": 100.0}, False),
    ({"TYPE": "REX", "FLUX_G": -100.0, "FLUX_R": 100.0}, False),
    ({"TYPE": "REX", "FLUX_G": NAN, "FLUX_R": 100.0}, False),
    ({"TYPE": "REX", "FLUX_G": 100.0, "FLUX_R": 0.0}, False),
    ({"TYPE": "REX", "FLUX_G": 100.0, "FLUX_R": -100.0}, False),
    ({"TYPE": "REX", "FLUX_G": 100.0, "FLUX_R": NAN}, False),
    ({"TYPE": "REX", "FLUX_G": -100.0, "FLUX_R": -100.0}, False),
]

LARGE = [
    (red(3.0, TYPE="REX", SHAPE_R=2.0), True),
    (red(3.0, TYPE="SER", SHAPE_R=2.0), True),
    (red(3.0, TYPE="DEV", SHAPE_R=2.0), True),
    (red(3.0, TYPE="EXP", SHAPE_R=2.0), True),
    (red(above(3.0), TYPE="REX", SHAPE_R=above(2.0)), True),
    (red(below(3.0), TYPE="REX", SHAPE_R=2.0), False),
    (red(3.0, TYPE="REX", SHAPE_R=below(2.0)), False),
    (red(NAN, TYPE="REX", SHAPE_R=2.0), False),
    (red(3.0, TYPE="REX", SHAPE_R=NAN), False),
]

CASES = [
    *(("ring_proxy", changes, met) for changes, met in RING),
    *(("edge_on_proxy", changes, met) for changes, met in EDGE_ON),
    *(("blue_clumpy", changes, met) for changes, met in BLUE),
    *(("large_galaxy", changes, met) for changes, met in LARGE),
]
