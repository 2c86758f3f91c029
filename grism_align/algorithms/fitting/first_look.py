"""A first look at the rolls that pointings would have of their own, from the weights of a solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from grism_align.algorithms.fitting.design import Design
from grism_align.algorithms.fitting.fit import robust_weights, variance_factor
from grism_align.algorithms.fitting.joint import LEAST_WEIGHT, group_centers, redundancy
from grism_align.algorithms.fitting.sources import SourceUnknowns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.joint import Measurements

# A pointing whose measurements have less than this weight on average may fit otherwise than it did.
_LEAST_MEAN_WEIGHT = 0.5
# The second step is with the weights that the first one tells: evidence then is good to half a unit.
_STEPS = 2


def rolls_at_weights(
    measured: Measurements, weight: NDArray[np.float64], scatter: NDArray[np.float64], clip: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the rolls that pointings would have against the first one, if each had its own.

    The equations are linear and dense, without a prior, for few pointings.

    Parameters
    ----------
    measured : Measurements
        What E pointings measured, each a group of its own, with one error for both axes.
    weight : (M,) ndarray
        Robust weights by a solution in which they share a roll.
    scatter : (K,) ndarray, arcsec
        Scatter of each noise class there.
    clip : float
        As for `solve_joint`.

    Returns
    -------
    roll : (E - 1,) ndarray, rad
        By how much position angles grow.
    covariance : (E - 1, E - 1) ndarray
        Of those.
    None
        In place of both: where the weights, or the measurements, don't tell.
    """
    n = measured.n_pointings
    least = _LEAST_MEAN_WEIGHT * np.bincount(measured.pointing, minlength=n)
    if (np.bincount(measured.pointing, weight, n) <= least).any():
        return None
    design = Design(measured, group_centers(measured), 1)
    # The first one has shift and roll of the frame.
    free = np.delete(np.arange(design.size), [0, n, 2 * n])
    matrix, observed, variance = design.matrix[:, free], measured.xy.T.ravel(), measured.variance(scatter)
    for _ in range(_STEPS):
        inverse = np.maximum(weight, LEAST_WEIGHT)[:, None] / variance
        sources = SourceUnknowns(measured, inverse, None)
        try:
            factor = cho_factor(sources.moments(matrix, matrix).toarray())
        except LinAlgError:
            return None
        found = -cho_solve(factor, matrix.T @ sources.left_of(observed))
        corrected = measured.xy + (matrix @ found).reshape(2, -1).T
        residual, left = corrected - sources.fitted(corrected).at, redundancy(measured, inverse)
        used, weight = weight, robust_weights(np.sqrt(((residual / left) ** 2 / variance).sum(axis=1)), clip)
    scale = variance_factor(residual, inverse.mean(axis=1), (left**2).mean(axis=1), used, clip)
    rolls = slice(2 * n - 2, None)
    return found[rolls], scale * cho_solve(factor, np.eye(len(free)))[rolls, rolls]
