"""The kinds of sources and the laws that their columns follow, with all tuned numbers."""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg.rules.elementary import LN_10
from lensneg.schema.sweep_columns import MASKBITS

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
Generator = np.random.Generator
Position = tuple[float, float]

RELEASE: Final = 10002  # DR10.1
FLUX: Final = -0.4 * LN_10  # flux = exp(FLUX * (mag - 22.5))


class Population(NamedTuple):
    """A kind of source, and the laws that its columns follow.

    Counts rise as 10^(slope m) up to ``limit`` in z. Colours are normal (mean, sigma). The radius in arcsec
    and the Sersic index are log-normal (median, sigma). ``shape`` is the sigma of e1 and of e2. ``light`` is
    0 for sources without optical flux, and ``gaia`` is 1 for sources in Gaia's catalogue.
    """

    type: str
    share: float
    slope: float
    limit: float
    g_r: float
    g_r_sigma: float
    r_z: float
    r_z_sigma: float
    z_w1: float
    radius: float
    radius_sigma: float
    shape: float
    sersic: float
    sersic_sigma: float
    light: float
    gaia: float


# fmt: off
#: Shares add up to those of the types in DR10.1: PSF 47.6 %, REX 39.7 %, EXP 8.0 %, DEV 3.0 %, SER 1.7 %,
#: DUP 0.01 %. The other numbers are tuned by hand.
POPULATIONS: Final = {
    #                       type share slope limit  g-r   +-   r-z   +-  z-W1 radius       e sersic light gaia
    "star":     Population("PSF", .150, .18, 20.6,  .80, .45,  .60, .50, -1.2,   0,   0,   0,   0,   0, 1, 1),
    "point":    Population("PSF", .326, .35, 23.6,  .70, .60,  .70, .60,  -.5,   0,   0,   0,   0,   0, 1, 0),
    "round":    Population("REX", .277, .50, 23.0, 1.00, .35,  .75, .30,   .7, .55, .45,   0,   1,   0, 1, 0),
    "dwarf":    Population("REX", .120, .50, 23.0,  .45, .20,  .35, .20,   .2, .60, .45,   0,   1,   0, 1, 0),
    "disk":     Population("EXP", .080, .40, 22.4,  .65, .30,  .55, .25,   .6, .85, .40, .30,   1,   0, 1, 0),
    "early":    Population("DEV", .030, .35, 21.0, 1.45, .25, 1.25, .30,   .8, .85, .40, .15,   4,   0, 1, 0),
    "spheroid": Population("SER", .008, .30, 20.4, 1.35, .30,  .85, .20,   .7, .95, .40, .17, 3.3, .30, 1, 0),
    "spiral":   Population("SER", .009, .30, 20.4,  .75, .25,  .50, .20,   .6, 1.0, .40, .26, 1.3, .35, 1, 0),
    "gaia_dup": Population("DUP", 1e-4, .18, 20.6,  .80, .40,  .60, .40, -1.2,   0,   0,   0,   0,   0, 0, 1),
}
# fmt: on

#: Rates of mask bits, 1 % unless given: one source in eight is in a mask that negatives avoid.
MASK_RATES: Final = dict.fromkeys(MASKBITS, 0.01)
MASK_RATES.update(NPRIMARY=0.0005, BRIGHT=0.03, MEDIUM=0.06, CLUSTER=0.001)
MASK_RATES.update(WISEM1=0.04, WISEM2=0.02, BAILOUT=0.0015)
UNMASKED: Final = 0.875


class Band(NamedTuple):
    """A band: 5-sigma depth of an exposure (AB), A/E(B-V) (DR10 catalogs page), seeing, median exposures."""

    name: str
    depth: float
    extinction: float
    psfsize: float
    median_nobs: float


BANDS: Final = (
    Band("G", 23.6, 3.214, 1.45, 5.0),
    Band("R", 23.1, 2.165, 1.30, 5.2),
    Band("I", 22.6, 1.592, 1.25, 4.5),
    Band("Z", 22.2, 1.211, 1.23, 5.8),
)
#: Exposures of a source minus those of its brick; all values are equally likely.
JITTER: Final = np.array([-1, 0, 0, 1])
