"""Symmetric matrices of blocks near the diagonal: the normal matrices of surfaces made of B-splines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Blocks beside and below the one of the diagonal, plus itself: cubic B-splines overlap with three others.
N_BLOCKS = 4


def factorised(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Cholesky factor of a positive definite matrix.

    Parameters
    ----------
    blocks : (N_BLOCKS, n, m, m) ndarray
        Block ``[k, i]`` stands in row i + k and column i of the blocks; those that would lie outside are not
        used.

    Returns
    -------
    (N_BLOCKS * m, n * m) ndarray
        In LAPACK's banded storage, for `solved`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix isn't positive definite.
    """
    from scipy.linalg import cholesky_banded

    n_blocks, n, m, _ = blocks.shape
    band = np.zeros((n_blocks * m, n, m))
    row, column = np.mgrid[:m, :m]
    for k in range(n_blocks):
        below = k * m + row - column
        lower = below >= 0
        band[below[lower], :, column[lower]] = blocks[k][:, row[lower], column[lower]].T
    return np.asarray(cholesky_banded(band.reshape(n_blocks * m, n * m), lower=True, check_finite=False))


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
