"""Normal equations of a joint solution, its sources eliminated, and their solution under constraints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy import sparse

    from grism_align.algorithms.fitting.sources import SourceUnknowns


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Normal equations of P corrections.

    Parameters
    ----------
    matrix : (P, P) ndarray
        Normal matrix.
    right : (P,) ndarray
        Right side.
    """

    matrix: NDArray[np.float64]
    right: NDArray[np.float64]


def normal_equations(
    observed: NDArray[np.float64], design: sparse.csr_matrix, sources: SourceUnknowns
) -> NormalEquations:
    """Set up the normal equations for given weights, the sources eliminated.

    Parameters
    ----------
    observed : (M, 2) ndarray, arcsec
        Measured positions.
    design : (2 M, P) sparse matrix
        Derivatives of all x, then of all y, by the corrections.
    sources : SourceUnknowns
        The sources' unknowns, and the weights.
    """
    left = sources.taken_off(design)
    return NormalEquations((design.T @ left).toarray(), -(left.T @ observed.T.ravel()))


def constrained(
    system: NormalEquations, frame: NDArray[np.float64]
) -> tuple[NDArray[np.float64], Callable[[], NDArray[np.float64]]]:
    """Solve normal equations under the frame's constraints; the covariance when asked for.

    Parameters
    ----------
    system : NormalEquations
        The equations.
    frame : (C, P) ndarray
        Rows whose products with the corrections are zero.

    Notes
    -----
    The constraints, taken as one more measurement, make the system definite; conditioning on them then
    makes them exact. What neither tells (the roll of a group of one source) stays zero.
    """
    # A roll in arcsec per arcsec and a shift in arcsec differ by orders of magnitude.
    size = 1.0 / np.sqrt(np.maximum(np.diag(system.matrix), 1e-300))
    rows = frame * size
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    solve = _solver(system.matrix * np.outer(size, size) + rows.T @ rows)
    tied = solve(rows.T)
    held = np.linalg.solve(rows @ tied, tied.T) if len(rows) else np.zeros((0, len(size)))

    def covariance() -> NDArray[np.float64]:
        inverse = solve(np.eye(len(size))) - tied @ held
        # The variance of what the frame fixes is zero but for rounding, which may be negative.
        known = np.diag(inverse) > 1e-12
        return np.where(np.outer(known, known), inverse, 0.0) * np.outer(size, size)

    scaled = size * system.right
    return size * (solve(scaled) - tied @ (held @ scaled)), covariance


def _solver(matrix: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return what solves for any right side."""
    try:
        # Far below what a measurement adds, far above rounding.
        factor = cho_factor(matrix + 1e-13 * np.eye(len(matrix)), lower=True)
    except LinAlgError:
        inverse = np.linalg.pinv(matrix, rcond=1e-12, hermitian=True)
        return lambda right: np.asarray(inverse @ right)
    return lambda right: np.asarray(cho_solve(factor, right))
