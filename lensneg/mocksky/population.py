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
#: DUP 0.01 %. Colours of "round", "early" and "spheroid" are those of real lenses of these types. The other
#: numbers are tuned by hand, so that the pool has the rates of the real one (docs/science.md).
POPULATIONS: Final = {
    #                       type share slope limit  g-r   +-   r-z   +-  z-W1 radius       e sersic light gaia
    "star":     Population("PSF", .150, .18, 20.6,  .80, .45,  .60, .50, -1.2,   0,   0,   0,   0,   0, 1, 1),
    "point":    Population("PSF", .326, .35, 23.6,  .70, .60,  .70, .60,  -.5,   0,   0,   0,   0,   0, 1, 0),
    "round":    Population("REX", .277, .65, 23.2, 1.00, .31, 1.08, .26,   .7, .55, .32,   0,   1,   0, 1, 0),
    "dwarf":    Population("REX", .120, .65, 23.2,  .72, .14,  .75, .20,   .2, .60, .32,   0,   1,   0, 1, 0),
    "disk":     Population("EXP", .080, .60, 22.2,  .95, .28, 1.00, .25,   .6, .82, .27, .32,   1,   0, 1, 0),
    "early":    Population("DEV", .030, .50, 22.0, 1.66, .29, 1.39, .35,   .8, .80, .22, .12,   4,   0, 1, 0),
    "spheroid": Population("SER", .008, .65, 20.6, 1.67, .30, 1.05, .30,   .7, .83, .27, .17, 2.7, .35, 1, 0),
    "spiral":   Population("SER", .009, .65, 20.6,  .95, .28,  .95, .20,   .6, .83, .27, .30, 1.3, .35, 1, 0),
    "gaia_dup": Population("DUP", 1e-4, .18, 20.6,  .80, .40,  .60, .40, -1.2,   0,   0,   0,   0,   0, 0, 1),
}
# fmt: on

#: Rates of mask bits, 1 % unless given: one source in eight is in a mask that negatives avoid.
MASK_RATES: Final = dict.fromkeys(MASKBITS, 0.01)
MASK_RATES.update(NPRIMARY=0.0005, BRIGHT=0.03, MEDIUM=0.06, CLUSTER=0.001)
MASK_RATES.update(WISEM1=0.04, WISEM2=0.02, BAILOUT=0.0015)
UNMASKED: Final = 0.875

#: Bits that a lens may have by chance, as negatives may.
HARMLESS: Final = 1 << MASKBITS["WISEM1"] | 1 << MASKBITS["WISEM2"]


class Band(NamedTuple):
    """A band: 5-sigma depth of an exposure (AB), A/E(B-V) (DR10 catalogs page), and seeing."""

    name: str
    depth: float
    extinction: float
    psfsize: float


BANDS: Final = (
    Band("G", 23.6, 3.214, 1.45),
    Band("R", 23.1, 2.165, 1.30),
    Band("I", 22.6, 1.592, 1.25),
    Band("Z", 22.2, 1.211, 1.23),
)
#: Exposures of a source minus those of its brick; all values are equally likely.
JITTER: Final = np.repeat([-1, 0, 1], [1, 13, 2])
