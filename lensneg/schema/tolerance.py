"""The tolerance of a share, in which a gate adds chance to a fixed tolerance.

A share p of n independent rows has a standard deviation of sqrt(p (1 - p) / n). It is negligible in a run on
the whole survey. In a mini-test of two files it is larger than any useful fixed tolerance, so a gate that
ignored it would fail by chance. The shares of a split are checked one by one in the same way, because each
count of a multinomial distribution is binomial.
"""

import math
from typing import NamedTuple


class Tolerance(NamedTuple):
    """The allowed deviation of a share from its expected value: a fixed part, and one for chance.

    Attributes
    ----------
    fixed : float
        From the config, as a fraction.
    sigma : float
        Standard deviation of the share.
    sigmas : float
        The number of standard deviations that are allowed.
    """

    fixed: float
    sigma: float
    sigmas: float

    @property
    def total(self) -> float:
        """The whole tolerance, as a fraction."""
        return self.fixed + self.sigmas * self.sigma

    def __str__(self) -> str:
        """Return the tolerance in percentage points, with its two parts.

        Examples
        --------
        >>> str(Tolerance(0.05, 0.002, 4.0))
        '± 5.8 points (5 fixed + 4σ of chance, σ = 0.2)'
        """
        return (
            f"± {100 * self.total:.3g} points ({100 * self.fixed:g} fixed + {self.sigmas:g}σ of chance, "
            f"σ = {100 * self.sigma:.2g})"
        )


def binomial(fixed: float, share: float, n: float, sigmas: float) -> Tolerance:
    """Return the tolerance of a share of n independent rows.

    Parameters
    ----------
    fixed : float
        The fixed tolerance, as a fraction.
    share : float
        The expected share, 0 to 1.
    n : float
        The effective number of independent rows. If it is 0, the standard deviation is 1.
    sigmas : float
        The number of standard deviations that are allowed.

    Returns
    -------
    Tolerance
        The fixed tolerance and the binomial standard deviation.

    Examples
    --------
    >>> binomial(0.1, 0.5, 100, 4.0).total
    0.30000000000000004
    """
    return Tolerance(fixed, math.sqrt(share * (1 - share) / n) if n > 0 else 1.0, sigmas)
