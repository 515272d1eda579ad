"""How far a negative must be from each lens."""

import numpy as np

from lensneg.schema.arrays import FloatArray
from lensneg.schema.config import Config


def exclusion_radius(stated: FloatArray, config: Config) -> FloatArray:
    """Return the exclusion radius of each lens.

    Parameters
    ----------
    stated : ndarray of float64, shape (n,)
        What its catalogue states, in arcseconds. NaN for the radius of the config.
    config : Config
        The config.

    Returns
    -------
    ndarray of float64, shape (n,)
        Arcseconds. At least the match radius, so that the source of a lens is never a negative.

    Examples
    --------
    >>> config = Config.load("negative_sampling_v1")
    >>> exclusion_radius(np.array([np.nan, 20.0, 0.9]), config).tolist()
    [11.0, 20.0, 1.5]
    """
    radius = np.where(np.isnan(stated), config.exclusion.known_lens_radius_arcsec, stated)
    return np.maximum(radius, config.positives.match_radius_arcsec)
