"""What chance allows, against simulated coins."""

import numpy as np

from lensneg.schema.tolerance import binomial


def test_binomial_bounds_are_those_of_coins() -> None:
    """Of many samples of 400 coins, as many as the normal law says are within each bound."""
    rng = np.random.default_rng(2)
    shares = rng.binomial(400, 0.3, 200_000) / 400
    for sigmas, inside in ((1.0, 0.683), (2.0, 0.954), (3.0, 0.997)):
        bound = binomial(0.0, 0.3, 400, sigmas)
        assert abs((np.abs(shares - 0.3) <= bound.total + 1 / 800).mean() - inside) < 0.02
