"""Weighted, robust fits of linear transforms to matched positions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.floor import estimate_floor
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.transform import TangentPlane


_ITERATIONS = 12
# Measurements that tell the variance of a fit by their own residuals, and the least that they may tell.
_FEWEST_FOR_VARIANCE = 20
_LEAST_VARIANCE = 0.1


class WeightedResiduals:
    """What the residuals (N, 2), arcsec, and the robust weights (N,) of a fit tell."""

    residual: NDArray[np.float64]
    weight: NDArray[np.float64]

    @property
    def n_used(self) -> int:
        """Sources that kept weight."""
        return int((self.weight > 0).sum())

    @property
    def rms(self) -> float:
        """Weighted rms residual of one axis, arcsec."""
        return weighted_rms(self.residual, self.weight)


@dataclass(frozen=True, eq=False)
class LinearFit(WeightedResiduals):
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


def weighted_rms(residual: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Return the weighted rms of one axis of (N, 2) residuals; NaN where all weights are zero."""
    total = weight.sum()
    return float(np.sqrt((weight[:, None] * residual**2).sum() / (2 * total))) if total > 0 else float("nan")


def axis_rms(residual: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float]:
    """Return the weighted rms of each axis of (N, 2) residuals; NaN where all weights are zero."""
    zero = np.zeros(len(residual))
    east, north = (np.sqrt(2) * weighted_rms(np.column_stack([axis, zero]), weight) for axis in residual.T)
    return float(east), float(north)


def axis_means(square: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean of each axis of (N, 2) values of those that kept weight (N,); NaN if none did."""
    used = square[weight > 0]
    east, north = used.mean(axis=0) if len(used) else (np.nan, np.nan)
    return float(east), float(north)


def leverage(weight: NDArray[np.float64]) -> float:
    """Return the largest share of one measurement in the weight (N,) of a fit; NaN if all are zero."""
    total = weight.sum()
    return float(weight.max() / total) if total > 0 else float("nan")


def robust_weights(pull: NDArray[np.float64], clip: float) -> NDArray[np.float64]:
    """Return Tukey's biweight of normalised residual lengths; zero beyond `clip` per-axis sigmas.

    References
    ----------
    Mosteller & Tukey 1977, Data Analysis and Regression.
    """
    # The length of a two-dimensional residual exceeds a per-axis one by sqrt(2).
    reduced = np.abs(pull) / (clip * np.sqrt(2.0))
    return np.asarray(np.where(reduced < 1, (1 - np.minimum(reduced, 1) ** 2) ** 2, 0.0))


def variance_factor(
    residual: NDArray[np.float64],
    inverse: NDArray[np.float64],
    expected: NDArray[np.float64],
    weight: NDArray[np.float64],
    clip: float,
) -> float:
    """Return the variance of a robust fit, in units of what the inverse of its normal matrix says.

    Parameters
    ----------
    residual : (N, 2) ndarray
        Residuals.
    inverse : (N,) ndarray
        What was the weight in the fit: inverse squares of the errors, times `weight`.
    expected : (N,) ndarray
        Expected squares of the residuals in units of the squared errors, as the fit takes up part of them.
    weight : (N,) ndarray
        Robust weights.
    clip : float
        As for `robust_weights`.

    Returns
    -------
    float
        By the residuals themselves, where there are enough; else as for normal ones.

    References
    ----------
    Huber 1981, Robust Statistics, section 7.6: E[psi^2] / E[psi']^2.
    """
    if (weight > 0).sum() < _FEWEST_FOR_VARIANCE:
        return biweight_variance(clip)
    mean, slope, _ = _biweight_moments(clip)
    # A ratio of sums: what fixes a source all by itself has no residual, and tells nothing.
    seen = float((inverse**2 * (residual**2).sum(axis=1)).sum() / max(2 * (inverse * expected).sum(), 1e-300))
    return max(seen, _LEAST_VARIANCE) * (mean / slope) ** 2


def biweight_variance(clip: float) -> float:
    """Return the `variance_factor` of normal residuals.

    Parameters
    ----------
    clip : float
        As for `robust_weights`.
    """
    mean, slope, square = _biweight_moments(clip)
    return square * mean / slope**2


def biweight_response(clip: float) -> float:
    """Return the mean derivative of a weighted normal residual by the residual, in its mean weight.

    Parameters
    ----------
    clip : float
        As for `robust_weights`.
    """
    mean, slope, _ = _biweight_moments(clip)
    return slope / mean


@lru_cache(maxsize=8)
def _biweight_moments(clip: float) -> tuple[float, float, float]:
    """Return E[w], E[psi'] and E[psi^2] of one axis of normal two-dimensional residuals."""
    # Half the squared length of a normal residual is exponential.
    t = np.linspace(0.0, min(clip**2, 50.0), 4001)
    inner = 1.0 - t / clip**2
    density = np.exp(-t)
    mean = float(np.trapezoid(inner**2 * density, t))
    slope = mean - 2 * float(np.trapezoid(inner * t / clip**2 * density, t))
    return mean, slope, float(np.trapezoid(inner**4 * t * density, t))


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
        transform = weighted_transform(
            source, target, weight / np.hypot(error, scatter) ** 2, plane, geometry
        )
        residual = transform.apply(source) - target
        scatter = estimate_floor(residual[weight > 0], error[weight > 0], 0.0)
        new = robust_weights(np.hypot(*residual.T) / np.hypot(error, scatter), clip)
        if new.sum() < 2:
            break
        done = np.abs(new - weight).max() < 1e-3
        weight = new
        if done:
            break
    inverse = weight / np.hypot(error, scatter) ** 2
    expected = 1.0 - inverse / max(inverse.sum(), 1e-300)
    factor = variance_factor(residual, inverse, expected, weight, clip)
    covariance = factor * transform.covariance
    return LinearFit(replace(transform, covariance=covariance), residual, weight, scatter, geometry)


def weighted_transform(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    weight: NDArray[np.float64],
    plane: TangentPlane,
    geometry: str,
) -> LinearTransform:
    """Return the least-squares transform for given weights, exact for any roll, with its covariance.

    Parameters
    ----------
    source, target : (N, 2) ndarray, arcsec
        Positions and what they are taken to.
    weight : (N,) ndarray
        Inverse squares of the errors of one axis, arcsec^-2.
    plane : TangentPlane
        The plane of both.
    geometry : {'shift', 'rshift', 'rscale', 'general'}
        What is free.
    """
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
    """Return the matrix that takes positions about their centre to others, and the covariance of its terms.

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
