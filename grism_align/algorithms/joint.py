"""One least-squares solution for the corrections of many exposures and the positions of their sources.

Each measurement says: position in the exposure, corrected = position of the source. Both sides are
unknown; the sources' positions are eliminated, which leaves a small system for the corrections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from grism_align.algorithms.fit import extra_scatter, robust_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["JointSolution", "Measurements", "solve_joint"]

_ITERATIONS = 25
_TERMS = {"shift": 0, "rshift": 1, "rscale": 2}


@dataclass(frozen=True, eq=False)
class Measurements:
    """Positions of the same sources in several exposures, M of each.

    Parameters
    ----------
    exposure : (M,) ndarray of int
        Number of the exposure, 0 to E - 1.
    source : (M,) ndarray of int
        Number of the source, 0 to S - 1. Every source has two measurements or more.
    xy : (M, 2) ndarray, arcsec
        Measured position in the common tangent plane.
    error : (M,) ndarray, arcsec
        Standard error of one axis.
    group : (E,) ndarray of int
        Number of each exposure's group, whose exposures share roll and scale.
    fixed : (E,) ndarray of bool
        Exposures that fix the frame: their mean shift and their groups' mean roll and scale are zero.
    """

    exposure: NDArray[np.int64]
    source: NDArray[np.int64]
    xy: NDArray[np.float64]
    error: NDArray[np.float64]
    group: NDArray[np.int64]
    fixed: NDArray[np.bool_]

    @property
    def n_exposures(self) -> int:
        """Number of exposures."""
        return len(self.group)


@dataclass(frozen=True, eq=False)
class JointSolution:
    """Corrections of all exposures, about the centre of each group.

    Parameters
    ----------
    shift : (E, 2) ndarray, arcsec
        Of each exposure at its group's centre.
    roll, scale : (G,) ndarray
        Of each group: position angles grow by `roll` rad, distances by `scale`.
    center : (G, 2) ndarray, arcsec
        The groups' centres.
    covariance : (E, 4, 4) ndarray
        Of each exposure's (shift x, shift y, roll, scale).
    residual : (M, 2) ndarray, arcsec
        Corrected position minus the source's.
    weight : (M,) ndarray
        Robust weight, 0 to 1.
    scatter : float, arcsec
        Error of one axis that the given errors don't explain.
    source_xy : (S, 2) ndarray, arcsec
        Positions of the sources.
    source_error : (S,) ndarray, arcsec
        Standard errors of one axis.
    """

    shift: NDArray[np.float64]
    roll: NDArray[np.float64]
    scale: NDArray[np.float64]
    center: NDArray[np.float64]
    covariance: NDArray[np.float64]
    residual: NDArray[np.float64]
    weight: NDArray[np.float64]
    scatter: float
    source_xy: NDArray[np.float64]
    source_error: NDArray[np.float64]


def solve_joint(measured: Measurements, geometry: str, clip: float, floor: float) -> JointSolution:
    """Solve for all corrections at once, with robust weights.

    Parameters
    ----------
    measured : Measurements
        What was measured.
    geometry : {'shift', 'rshift', 'rscale'}
        A shift an exposure; and a roll a group; and a scale a group.
    clip : float
        Residuals beyond this many sigma get no weight.
    floor : float, arcsec
        Least error of a measurement besides the given ones.

    Returns
    -------
    JointSolution

    Notes
    -----
    With A the derivatives of the corrected positions by the corrections, S those by the sources and W the
    weights, eliminating the sources leaves N = A'WA - A'WS (S'WS)^-1 S'WA (Schur complement; Triggs et al.
    2000, "Bundle adjustment", section 6.1).
    """
    n_terms = _TERMS[geometry]
    center = _group_centers(measured)
    design = _design(measured, center, n_terms)
    frame = _frame_constraints(measured, n_terms)
    weight, scatter = np.ones(len(measured.source)), floor
    for _ in range(_ITERATIONS):
        sigma2 = measured.error**2 + scatter**2
        parameters, covariance, mean = _solve_weighted(measured, design, frame, weight / sigma2)
        residual = measured.xy + (design @ parameters).reshape(2, -1).T - mean[measured.source]
        leverage = _freedom(measured, weight / sigma2)
        scatter = extra_scatter((residual / leverage[:, None])[weight > 0], measured.error[weight > 0], floor)
        pull = np.hypot(*residual.T) / (leverage * np.hypot(measured.error, scatter))
        new = robust_weights(pull, clip)
        done = np.abs(new - weight).max() < 1e-3
        weight = new
        if done:
            break
    return _assembled(measured, n_terms, (parameters, covariance, mean), (residual, weight, scatter), center)


def _group_centers(measured: Measurements) -> NDArray[np.float64]:
    group = measured.group[measured.exposure]
    count = np.maximum(np.bincount(group, minlength=measured.group.max() + 1), 1)
    return np.column_stack([np.bincount(group, axis, len(count)) / count for axis in measured.xy.T])


def _design(measured: Measurements, center: NDArray[np.float64], n_terms: int) -> sparse.csr_matrix:
    """Derivatives of x of all measurements, then of y, by (shifts x, shifts y, rolls, scales)."""
    m, e, g = len(measured.source), measured.n_exposures, len(center)
    group = measured.group[measured.exposure]
    arm = measured.xy - center[group]
    rows = np.arange(m)
    ones = np.ones(m)
    entries = [(rows, measured.exposure, ones), (m + rows, e + measured.exposure, ones)]
    if n_terms > 0:
        entries += [(rows, 2 * e + group, arm[:, 1]), (m + rows, 2 * e + group, -arm[:, 0])]
    if n_terms > 1:
        entries += [(rows, 2 * e + g + group, arm[:, 0]), (m + rows, 2 * e + g + group, arm[:, 1])]
    i, j, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    return sparse.csr_matrix((values, (i, j)), shape=(2 * m, 2 * e + n_terms * g))


def _frame_constraints(measured: Measurements, n_terms: int) -> NDArray[np.float64]:
    """Rows whose products with the parameters are zero: what no measurement can tell."""
    e, g = measured.n_exposures, int(measured.group.max()) + 1
    fixed_groups = np.zeros(g)
    fixed_groups[measured.group[measured.fixed]] = 1.0
    rows = np.zeros((2 + n_terms, 2 * e + n_terms * g))
    for axis in (0, 1):
        rows[axis, axis * e : (axis + 1) * e] = measured.fixed / measured.fixed.sum()
    for term in range(n_terms):
        rows[2 + term, 2 * e + term * g : 2 * e + (term + 1) * g] = fixed_groups / fixed_groups.sum()
    return rows


def _solve_weighted(
    measured: Measurements, design: sparse.csr_matrix, frame: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Parameters, their covariance and the sources' positions for given weights."""
    m = len(weight)
    n_sources = int(measured.source.max()) + 1
    both = np.concatenate([weight, weight])
    where = np.concatenate([measured.source, n_sources + measured.source])
    spread = sparse.csr_matrix((both, (where, np.arange(2 * m))), shape=(2 * n_sources, 2 * m))
    total = np.asarray(spread.sum(axis=1)).ravel()
    inverse = sparse.diags(1.0 / np.where(total > 0, total, 1.0))
    weighted = sparse.diags(both) @ design
    by_source = spread @ design
    normal = (design.T @ weighted - by_source.T @ inverse @ by_source).toarray()
    observed = measured.xy.T.ravel()
    mean_observed = inverse @ (spread @ observed)
    right = -(weighted.T @ observed - by_source.T @ mean_observed)
    parameters, covariance = _constrained(normal, right, frame)
    mean = inverse @ (spread @ (observed + design @ parameters))
    return parameters, covariance, mean.reshape(2, -1).T


def _constrained(
    normal: NDArray[np.float64], right: NDArray[np.float64], frame: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solve the normal equations under the frame's constraints, with the covariance.

    The constraints, taken as one more measurement, make the system definite; conditioning on them then
    makes them exact. What neither tells (the roll of a group of one source) stays zero.
    """
    # A roll in arcsec per arcsec and a shift in arcsec differ by orders of magnitude.
    size = 1.0 / np.sqrt(np.maximum(np.diag(normal), 1e-300))
    scaled = normal * np.outer(size, size)
    rows = frame * size
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    system = scaled + rows.T @ rows
    try:
        # Far below what a measurement adds, far above rounding.
        factor = cho_factor(system + 1e-13 * np.eye(len(system)), lower=True)
        inverse = cho_solve(factor, np.eye(len(system)))
    except LinAlgError:
        inverse = np.linalg.pinv(system, rcond=1e-12, hermitian=True)
    tied = inverse @ rows.T
    inverse = inverse - tied @ np.linalg.solve(rows @ tied, tied.T)
    # The variance of what the frame fixes is zero but for rounding, which may be negative.
    known = np.diag(inverse) > 1e-12
    inverse = np.where(np.outer(known, known), inverse, 0.0)
    covariance = np.asarray(inverse * np.outer(size, size), dtype=np.float64)
    return covariance @ right, covariance


def _freedom(measured: Measurements, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected residual in units of the error: a source's own position takes up part of it."""
    total = np.bincount(measured.source, weight)
    share = weight / np.where(total > 0, total, 1.0)[measured.source]
    return np.asarray(np.sqrt(np.clip(1.0 - share, 0.05, 1.0)))


def _assembled(
    measured: Measurements,
    n_terms: int,
    solved: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    judged: tuple[NDArray[np.float64], NDArray[np.float64], float],
    center: NDArray[np.float64],
) -> JointSolution:
    parameters, covariance, mean = solved
    residual, weight, scatter = judged
    e, g = measured.n_exposures, len(center)
    extra = np.zeros((2, g))
    extra[:n_terms] = parameters[2 * e :].reshape(n_terms, g)
    total = np.bincount(measured.source, weight / (measured.error**2 + scatter**2), len(mean))
    return JointSolution(
        shift=parameters[: 2 * e].reshape(2, e).T,
        roll=extra[0],
        scale=extra[1],
        center=center,
        covariance=_exposure_covariances(covariance, measured.group, n_terms),
        residual=residual,
        weight=weight,
        scatter=scatter,
        source_xy=mean,
        source_error=np.sqrt(1.0 / np.where(total > 0, total, np.nan)),
    )


def _exposure_covariances(
    covariance: NDArray[np.float64], group: NDArray[np.int64], n_terms: int
) -> NDArray[np.float64]:
    e, g = len(group), int(group.max()) + 1
    index = [np.arange(e), e + np.arange(e)] + [2 * e + term * g + group for term in range(n_terms)]
    picked = np.column_stack(index)
    out = np.zeros((e, 4, 4))
    out[:, : 2 + n_terms, : 2 + n_terms] = covariance[picked[:, :, None], picked[:, None, :]]
    return out
