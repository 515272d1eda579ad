"""A classifier of all columns together, by gradient-boosted trees of scikit-learn."""

from typing import Final

import numpy as np

from lensneg.schema.arrays import BoolArray, FloatArray, IntArray

#: With fewer positives the classifier learns chance alone.
LEAST_POSITIVES: Final = 20

#: Parts of the sky. Each is scored by a classifier of the other ones.
FOLDS: Final = 5

#: Fixed, so that the same rows have the same scores. Small trees, since positives are few.
_PARAMETERS: Final = {
    "learning_rate": 0.05,
    "max_iter": 100,
    "max_leaf_nodes": 8,
    "max_features": 0.5,
    "l2_regularization": 1.0,
    "early_stopping": False,
    "random_state": 0,
}


def folds_of(pixel: IntArray) -> IntArray:
    """Return the fold of each row. A pixel is in one fold, and the folds have about as many rows.

    Parameters
    ----------
    pixel : ndarray of int, shape (n,)
        The pixel of each row.

    Returns
    -------
    ndarray of int, shape (n,)
        From 0; at most :data:`FOLDS` different ones.
    """
    from sklearn.model_selection import GroupKFold  # takes a second, and only this module needs it

    fold = np.zeros(len(pixel), dtype=np.int64)
    pixels = len(np.unique(pixel))
    if pixels > 1:
        split = GroupKFold(min(FOLDS, pixels)).split(pixel, groups=pixel)
        for number, (_, scored) in enumerate(split):
            fold[scored] = number
    return fold


def scores_of(features: FloatArray, is_positive: BoolArray, fold: IntArray) -> FloatArray:
    """Return how much each row resembles the positives of the other folds.

    Parameters
    ----------
    features : ndarray of float64, shape (n, k)
        The columns. NaN is a value of its own.
    is_positive : ndarray of bool, shape (n,)
        Which rows are positives.
    fold : ndarray of int, shape (n,)
        The result of :func:`folds_of`.

    Returns
    -------
    ndarray of float64, shape (n,)
        Those of two folds cannot be compared. NaN where the other folds lack positives or negatives.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    scores = np.full(len(features), np.nan)
    # Threads would wait for each other on a busy machine, and Lambda has no more than two.
    with threadpool_limits(1):
        for number in np.unique(fold):
            scored = fold == number
            known = np.isfinite(features[~scored]).any(axis=0)
            if len(np.unique(is_positive[~scored])) == 2 and known.any():
                model = HistGradientBoostingClassifier(**_PARAMETERS)
                model.fit(features[~scored][:, known], is_positive[~scored])
                scores[scored] = model.decision_function(features[scored][:, known])
    return scores
