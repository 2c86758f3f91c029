"""The rigid motion between matched positions, in least squares and robustly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.fit import robust_weights
from grism_align.algorithms.fitting.floor import estimate_floor

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Rounds of robust weights, of a fit that begins close to where it ends.
_ROUNDS = 4


def rigid_motion(
    source: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rotation (2, 2) and shift (2,) that take (N, 2) positions to others, in least squares."""
    share = weight / weight.sum()
    middle, goal = share @ source, share @ target
    arm, reached = source - middle, target - goal
    products = (share[:, None] * reached).T @ arm
    angle = np.arctan2(products[0, 1] - products[1, 0], products[0, 0] + products[1, 1])
    matrix = _rotation(float(angle))
    return matrix, goal - matrix @ middle


def _rotation(angle: float) -> NDArray[np.float64]:
    """Return the matrix that lets position angles grow by an angle, rad."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s], [-s, c]])


def robust_motion_weights(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    error: NDArray[np.float64],
    matrix: NDArray[np.float64],
    shift: NDArray[np.float64],
    clip: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights of pairs in a robust fit of a rigid motion, and the errors that residuals show.

    Parameters
    ----------
    source, target : (N, 2) ndarray, arcsec
        Positions and what they are taken to.
    error : (N,) ndarray, arcsec
        Standard error of one axis of their difference.
    matrix, shift : (2, 2) ndarray, (2,) ndarray in arcsec
        A rotation and a shift close to the fitted ones.
    clip : float
        Residuals beyond this many sigma get no weight.

    Returns
    -------
    weight : (N,) ndarray, arcsec^-2
        Biweights over squared errors; if hardly a pair has one, as if all agreed.
    total : (N,) ndarray, arcsec
        The errors, with what they leave unexplained.
    """
    used = np.ones(len(source), dtype=bool)
    for number in range(_ROUNDS):
        residual = source @ matrix.T + shift - target
        # It takes most of the time, and hardly changes on the way: as the fit begins, and as it ends.
        if number in {0, _ROUNDS - 1}:
            total = np.hypot(error, estimate_floor(residual[used], error[used], 0.0))
        share = robust_weights(np.hypot(residual[:, 0], residual[:, 1]) / total, clip)
        if share.sum() < 2:
            share = np.ones(len(source))
        used, weight = share > 0, share / total**2
        matrix, shift = rigid_motion(source, target, weight)
    return weight, total
