"""Symmetric matrices of blocks near the diagonal: the normal matrices of surfaces made of B-splines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Splines that a cubic B-spline overlaps with on one side, and itself: blocks below the one of the diagonal,
#: and diagonals of a block.
N_BLOCKS = 4


def factorised(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Cholesky factor of a positive definite matrix.

    Parameters
    ----------
    blocks : (N_BLOCKS, n, N_BLOCKS, m) ndarray
        Block ``[k, i]`` stands in row i + k and column i of the blocks. It is symmetric, and ``[d, j]`` is in
        its row j + d and column j. What would lie outside is not used.

    Returns
    -------
    ((N_BLOCKS - 1) * (m + 1) + 1, n * m) ndarray
        In LAPACK's banded storage, for `solved`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix isn't positive definite.
    """
    from scipy.linalg import cholesky_banded

    n_blocks, n, n_diagonals, m = blocks.shape
    band = np.zeros(((n_blocks - 1) * m + n_diagonals, n, m))
    for k in range(n_blocks):
        for d in range(n_diagonals):
            values = blocks[k, :, d, : m - d]
            band[k * m + d, :, : m - d] = values
            if k > 0:
                band[k * m - d, :, d:] = values
    return np.asarray(cholesky_banded(band.reshape(len(band), n * m), lower=True, check_finite=False))


def diagonals(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the diagonals of symmetric matrices, (..., m, m), from the main one down, (..., N_BLOCKS, m).

    Those below are shorter, and filled up with zeros.
    """
    m = matrices.shape[-1]
    found = np.zeros((*matrices.shape[:-2], N_BLOCKS, m))
    for d in range(min(N_BLOCKS, m)):
        found[..., d, : m - d] = np.diagonal(matrices, -d, -2, -1)
    return found


def solved(factor: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve for one or more right-hand sides, (n * m,) or (n * m, k)."""
    from scipy.linalg import cho_solve_banded

    return np.asarray(cho_solve_banded((factor, True), right, check_finite=False))


def inner_product(factor: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the products of vectors by the inverse of a matrix, v_i' A^-1 v_j.

    Parameters
    ----------
    factor : ndarray
        Of `factorised`.
    vectors : (k, n * m) ndarray
        Rows.

    Returns
    -------
    (k, k) ndarray

    Notes
    -----
    With the factor L they are the products of L^-1 v: one substitution takes the place of two.
    """
    from scipy.linalg.lapack import dtbtrs

    half, _ = dtbtrs(factor, vectors.T, uplo="L")
    return np.asarray(half.T @ half)
