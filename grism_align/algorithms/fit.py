"""Weighted, robust fits of linear transforms to matched positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.transform import TangentPlane

__all__ = ["LinearFit", "extra_scatter", "fit_linear", "robust_weights"]

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
    """

    transform: LinearTransform
    residual: NDArray[np.float64]
    weight: NDArray[np.float64]
    scatter: float

    @property
    def rms(self) -> float:
        """Weighted rms residual of one axis, arcsec."""
        total = self.weight.sum()
        if total <= 0:
            return float("nan")
        return float(np.sqrt((self.weight[:, None] * self.residual**2).sum() / (2 * total)))


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
    for _ in range(40):
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
    center = np.average(source, axis=0, weights=1 / error**2)
    arm = source - center
    design = _design(arm, geometry)
    if len(source) < 3 and geometry != "shift":
        msg = f"{len(source)} sources don't determine geometry {geometry}"
        raise ValueError(msg)
    weight, scatter = np.ones(len(source)), 0.0
    for _ in range(_ITERATIONS):
        sigma = np.hypot(error, scatter)
        parameters, covariance = _solve(design, target - source, weight / sigma**2)
        residual = (design @ parameters).reshape(2, -1).T - (target - source)
        scatter = extra_scatter(residual[weight > 0], error[weight > 0], 0.0)
        new = robust_weights(np.hypot(*residual.T) / np.hypot(error, scatter), clip)
        if new.sum() < 2:
            break
        done = np.abs(new - weight).max() < 1e-4
        weight = new
        if done:
            break
    linear, jacobian = _linear_terms(parameters, geometry)
    shift = parameters[:2] - (linear - np.eye(2)) @ center
    about_center = jacobian @ covariance @ jacobian.T
    move = np.eye(6)
    move[:2, 2:] = -np.kron(np.eye(2), center)
    transform = LinearTransform(linear, shift, plane, move @ about_center @ move.T)
    return LinearFit(transform, residual, weight, scatter)


def _design(arm: NDArray[np.float64], geometry: str) -> NDArray[np.float64]:
    """Derivatives of the displacements, x of all sources and then y, by the parameters."""
    x, y = arm.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    columns = [(one, zero), (zero, one)]
    if geometry == "general":
        columns += [(x, zero), (y, zero), (zero, x), (zero, y)]
    elif geometry in ("rshift", "rscale"):
        columns.append((y, -x))  # position angles grow from north to east
        if geometry == "rscale":
            columns.append((x, y))
    return np.column_stack([np.concatenate(pair) for pair in columns])


def _solve(
    design: NDArray[np.float64], displacement: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    both = np.concatenate([weight, weight])
    normal = design.T @ (both[:, None] * design)
    covariance = np.asarray(np.linalg.pinv(normal, hermitian=True), dtype=np.float64)
    return covariance @ (design.T @ (both * displacement.T.ravel())), covariance


def _linear_terms(
    parameters: NDArray[np.float64], geometry: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matrix, and derivatives of (shift, m00, m01, m10, m11) by the parameters."""
    n = len(parameters)
    jacobian = np.zeros((6, n))
    jacobian[:2, :2] = np.eye(2)
    if geometry == "general":
        jacobian[2:, 2:] = np.eye(4)
        return np.eye(2) + parameters[2:].reshape(2, 2), jacobian
    roll = parameters[2] if n > 2 else 0.0
    scale = parameters[3] if n > 3 else 0.0
    if n > 2:
        jacobian[2:, 2] = [0, 1, -1, 0]
    if n > 3:
        jacobian[2:, 3] = [1, 0, 0, 1]
        return np.array([[1 + scale, roll], [-roll, 1 + scale]]), jacobian
    # With roll alone the map is kept a rotation, to all orders.
    c, s = np.cos(np.arctan(roll)), np.sin(np.arctan(roll))
    return np.array([[c, s], [-s, c]]), jacobian
