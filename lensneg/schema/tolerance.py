"""What chance may do to a share: the bound by which a gate widens a fixed tolerance.

A share p of n independent rows has a standard deviation of sqrt(p (1 - p) / n). On a whole survey that is
nothing; on the two files of a mini-test it is more than any tolerance worth having, and a gate without it
would fail by chance. Several shares of one whole (a split) are each judged so: each count of a multinomial
is binomial.
"""

import math
from typing import NamedTuple


class Tolerance(NamedTuple):
    """How far a share may be from what is expected: a fixed part, and one for chance.

    Attributes
    ----------
    fixed : float
        From the config, as a fraction.
    sigma : float
        Standard deviation of the share.
    sigmas : float
        How many of them are allowed.
    """

    fixed: float
    sigma: float
    sigmas: float

    @property
    def total(self) -> float:
        """The whole tolerance, as a fraction."""
        return self.fixed + self.sigmas * self.sigma

    def __str__(self) -> str:
        """Say the bound, part by part.

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
        Rows, or as many independent ones as they are worth; none leave everything to chance.
    sigmas : float

    Examples
    --------
    >>> binomial(0.1, 0.5, 100, 4.0).total
    0.30000000000000004
    """
    return Tolerance(fixed, math.sqrt(share * (1 - share) / n) if n > 0 else 1.0, sigmas)
