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

# The criteria that a config may leave out, with the limits of negative_sampling_v2. The sources meet none of
# the first four.
BIG = {"SHAPE_R": 1.5}
SATUR_R, BAILOUT, BRIGHT, ITERATIVE, WALKER = 1 << 3, 1 << 10, 1 << 1, 1 << 13, 1 << 10
WELL = {"FLUX_IVAR_R": 4.0, "FLUX_R": 50.0, "RCHISQ_R": 1.5}  # S/N is 50 x 2 = 100
FURTHER_CASES: list[tuple[str, Row, bool]] = [
    ("disk_proxy", red(4.0, TYPE="EXP", SHAPE_R=up(1.2)), True),
    ("disk_proxy", red(4.0, TYPE="EXP", SHAPE_R=below(1.2)), False),
    ("disk_proxy", red(4.0, TYPE="SER", SHAPE_R=1.5, SERSIC=2.5), True),
    ("disk_proxy", red(4.0, TYPE="SER", SHAPE_R=1.5, SERSIC=above(2.5)), False),
    ("disk_proxy", red(4.0, TYPE="SER", SHAPE_R=1.5, SERSIC=NAN), False),
    ("disk_proxy", red(4.0, TYPE="REX", SHAPE_R=1.5), False),
    ("merger_proxy", red(4.0, TYPE="REX", SHAPE_R=1.5, FRACFLUX_R=0.25), True),
    ("merger_proxy", red(4.0, TYPE="REX", SHAPE_R=up(1.2), FRACFLUX_R=9.0), True),
    ("blend_proxy", red(4.0, TYPE="REX", SHAPE_R=below(1.2), FRACFLUX_R=9.0), True),
    ("blend_proxy", red(4.0, TYPE="REX", SHAPE_R=1.5, FRACFLUX_R=below(0.25)), True),
    ("blend_proxy", red(4.0, FRACFLUX_R=up(0.2)), True),
    ("blend_proxy", red(4.0, FRACFLUX_R=below(0.2)), False),
    ("blend_proxy", red(4.0, FRACFLUX_R=NAN), False),
    ("blend_proxy", red(4.0, FITBITS=ITERATIVE), True),
    ("blend_proxy", red(4.0, FITBITS=ITERATIVE | WALKER), True),
    ("blend_proxy", red(4.0, FITBITS=WALKER), False),
    ("residual_proxy", red(50.0, **WELL | {"RCHISQ_R": up(1.3)}), True),
    ("residual_proxy", red(50.0, **WELL | {"RCHISQ_R": below(1.3)}), False),
    ("residual_proxy", red(50.0, **WELL | {"RCHISQ_R": NAN}), False),
    ("residual_proxy", red(50.0, **WELL), True),
    ("residual_proxy", red(below(50.0), **WELL | {"FLUX_R": below(50.0)}), False),
    ("residual_proxy", red(50.0, **WELL | {"FLUX_IVAR_R": below(4.0)}), False),
    ("residual_proxy", red(50.0, **WELL | {"FLUX_IVAR_R": -4.0}), False),
    ("residual_proxy", red(50.0, **WELL, MW_TRANSMISSION_R=0.5), True),
    ("artefact_proxy", red(4.0, MASKBITS=SATUR_R), True),
    ("artefact_proxy", red(4.0, MASKBITS=BAILOUT | BRIGHT), True),
    ("artefact_proxy", red(4.0, MASKBITS=BRIGHT), False),
]

#: Sources that meet several criteria: the first of these, and all of them.
SEVERAL = [
    ({"TYPE": "DEV", "FLUX_R": 50.0, "FLUX_G": 12.5, "FRACFLUX_R": 0.3, "MASKBITS": SATUR_R}, (0, 6, 8)),
    (red(4.0, TYPE="EXP", SHAPE_R=1.5, SHAPE_E1=0.6, FRACFLUX_R=0.3), (1, 4, 5, 6)),
    (
        red(50.0, **WELL, TYPE="EXP", SHAPE_R=2.5, FRACFLUX_R=0.3, MASKBITS=SATUR_R),
        (3, 4, 5, 6, 7, 8),
    ),
    (red(50.0, **WELL, SERSIC=2.6, MASKBITS=SATUR_R), (7, 8)),
]
