"""Weighted, robust fits of linear transforms to matched positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.transform import TangentPlane

__all__ = ["LinearFit", "extra_scatter", "fit_linear", "robust_weights", "weighted_rms"]

# Median of the chi-square distribution with one degree of freedom.
_MEDIAN_CHI2 = 0.4549
_ITERATIONS = 12


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A fitted transform and how well it fits.

    Parameters
    ----------
    transform : LinearTransform
        With its covariance.
    residual : (N, 2) ndarray, arcsec
        Fitted minus target.
    weight : (N,) ndarray
        Robust weight, 0 to 1, on top of the errors.
    scatter : float, arcsec
        Error of one axis that the given errors don't explain.
    geometry : str
        What was fitted.
    """

    transform: LinearTransform
    residual: NDArray[np.float64]
    weight: NDArray[np.float64]
    scatter: float
    geometry: str

    @property
    def n_used(self) -> int:
        """Sources that kept weight."""
        return int((self.weight > 0).sum())

    @property
    def rms(self) -> float:
        """Weighted rms residual of one axis, arcsec."""
        return weighted_rms(self.residual, self.weight)


def weighted_rms(residual: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Weighted rms of one axis of (N, 2) residuals; NaN where all weights are zero."""
    total = weight.sum()
    return float(np.sqrt((weight[:, None] * residual**2).sum() / (2 * total))) if total > 0 else float("nan")


def robust_weights(pull: NDArray[np.float64], clip: float) -> NDArray[np.float64]:
    """Tukey's biweight of normalised residual lengths; zero beyond `clip` per-axis sigmas.

    References
    ----------
    Mosteller & Tukey 1977, Data Analysis and Regression.
    """
    # The length of a two-dimensional residual exceeds a per-axis one by sqrt(2).
    reduced = np.abs(pull) / (clip * np.sqrt(2.0))
    return np.asarray(np.where(reduced < 1, (1 - np.minimum(reduced, 1) ** 2) ** 2, 0.0))


def extra_scatter(residual: NDArray[np.float64], error: NDArray[np.float64], floor: float) -> float:
    """The scatter that, added to the errors in quadrature, gives residuals of unit width.

    Parameters
    ----------
    residual : (N, 2) ndarray
        Residuals of the two axes.
    error : (N,) ndarray
        Known errors of one axis, same unit.
    floor : float
        Least value returned.

    Returns
    -------
    float
    """

    def excess(scatter: float) -> float:
        chi2 = residual**2 / (error**2 + scatter**2)[:, None]
        return float(np.median(chi2)) - _MEDIAN_CHI2

    if len(residual) < 3 or excess(floor) <= 0:
        return floor
    low, high = floor, max(floor, 2.0 * float(np.median(np.abs(residual))) / np.sqrt(_MEDIAN_CHI2)) + 1e-12
    # To a part in ten thousand of where it began: weights need no more.
    for _ in range(14):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return float(0.5 * (low + high))


def fit_linear(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    error: NDArray[np.float64],
    plane: TangentPlane,
    geometry: str,
    clip: float,
) -> LinearFit:
    """Fit a transform that takes `source` to `target`, with robust weights.

    Parameters
    ----------
    source, target : (N, 2) ndarray, arcsec
        Matched positions in the tangent plane.
    error : (N,) ndarray, arcsec
        Standard error of one axis of their difference.
    plane : TangentPlane
        The plane of both.
    geometry : {'shift', 'rshift', 'rscale', 'general'}
        What is free: shift; and roll; and scale; all linear terms.
    clip : float
        Residuals beyond this many sigma get no weight.

    Returns
    -------
    LinearFit

    Raises
    ------
    ValueError
        If there are too few sources for the geometry.
    """
    if len(source) < 3 and geometry != "shift":
        msg = f"{len(source)} sources don't determine geometry {geometry}"
        raise ValueError(msg)
    weight, scatter = np.ones(len(source)), 0.0
    for _ in range(_ITERATIONS):
        transform = _fit_weighted((source, target), weight / np.hypot(error, scatter) ** 2, plane, geometry)
        residual = transform.apply(source) - target
        scatter = extra_scatter(residual[weight > 0], error[weight > 0], 0.0)
        new = robust_weights(np.hypot(*residual.T) / np.hypot(error, scatter), clip)
        if new.sum() < 2:
            break
        done = np.abs(new - weight).max() < 1e-3
        weight = new
        if done:
            break
    return LinearFit(transform, residual, weight, scatter, geometry)


def _fit_weighted(
    pairs: tuple[NDArray[np.float64], NDArray[np.float64]],
    weight: NDArray[np.float64],
    plane: TangentPlane,
    geometry: str,
) -> LinearTransform:
    """The least-squares transform for given weights, exact for any roll, with its covariance."""
    source, target = pairs
    from_center = np.average(source, axis=0, weights=weight)
    to_center = np.average(target, axis=0, weights=weight)
    arm, goal = source - from_center, target - to_center
    matrix, matrix_covariance = _fit_matrix(arm, goal, weight, geometry)
    # shift = mean target - matrix @ mean source
    covariance = np.zeros((6, 6))
    covariance[:2, :2] = np.eye(2) / weight.sum()
    spread = np.vstack([-np.kron(np.eye(2), from_center), np.eye(4)])
    covariance += spread @ matrix_covariance @ spread.T
    return LinearTransform(matrix, to_center - matrix @ from_center, plane, covariance)


def _fit_matrix(
    arm: NDArray[np.float64], goal: NDArray[np.float64], weight: NDArray[np.float64], geometry: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matrix that takes positions about their centre to others, and the covariance of its terms.

    A rotation is the one of Procrustes: the angle of the best similarity.
    """
    if geometry == "shift":
        return np.eye(2), np.zeros((4, 4))
    moments = (weight[:, None] * arm).T @ arm
    products = (weight[:, None] * goal).T @ arm
    if geometry == "general":
        inverse = np.linalg.pinv(moments, hermitian=True)
        return np.asarray(products @ inverse), np.kron(np.eye(2), inverse)
    size = max(float(np.trace(moments)), 1e-300)
    cosine, sine = products[0, 0] + products[1, 1], products[0, 1] - products[1, 0]
    if geometry == "rscale":
        a, b = cosine / size, sine / size
        terms = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, -1.0, 0.0]])
        return np.array([[a, b], [-b, a]]), terms.T @ terms / size
    angle = np.arctan2(sine, cosine)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([-s, c, -c, -s])
    return np.array([[c, s], [-s, c]]), np.outer(turn, turn) / size
