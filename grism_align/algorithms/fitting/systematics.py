"""Errors that neighbouring sources share, such as those of a distortion, and what they do to a solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from grism_align.algorithms.fitting.sources import SourceUnknowns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.joint import Measurements
    from grism_align.algorithms.fitting.sources import SourceMotions

# Cells along a side of what a pointing measured.
_CELLS = 4
# Less of the weight than this compares different cells: rounding.
_NONE = 1e-6


@dataclass(frozen=True, eq=False)
class WeightedFit:
    """A weighted least-squares solution, the sources' positions among its unknowns.

    Parameters
    ----------
    design : (2 M, P) sparse matrix
        Derivatives of all x, then of all y, by the parameters.
    weight : (M, 2) ndarray, arcsec^-2
        Weights of x and y, by which `covariance` is true.
    residual : (M, 2) ndarray, arcsec
        Residuals.
    covariance : (P, P) ndarray
        Of the parameters.
    response : float
        Of the derivative of a weighted residual by the residual, in its weight; below one where it is robust.
    motions : SourceMotions or None
        What is expected of the sources' motions, where these are among the unknowns.
    """

    design: sparse.csr_matrix
    weight: NDArray[np.float64]
    residual: NDArray[np.float64]
    covariance: NDArray[np.float64]
    response: float
    motions: SourceMotions | None = None


@dataclass(frozen=True, eq=False)
class Systematics:
    """What errors that are common to a cell add.

    Parameters
    ----------
    error : float, arcsec
        Standard deviation of one axis, beyond what independent errors explain.
    covariance : (P, P) ndarray
        Of the parameters, what it adds.
    """

    error: float
    covariance: NDArray[np.float64]


def shared_errors(measured: Measurements, fit: WeightedFit) -> Systematics:
    """Find the error that the measurements of one acquisition share within a cell, a quarter of a side.

    Parameters
    ----------
    measured : Measurements
        M measurements; those by a reference catalog are an acquisition of their own.
    fit : WeightedFit
        Their solution.

    Returns
    -------
    Systematics

    Notes
    -----
    With H the cells' indicators, r the residuals and K = H'QH, where Q = W - W J (J'W J)^-1 J'W and J are the
    derivatives by parameters and sources (and by motions, with what is expected of them), sums Z = H'W r have
    E|Z|^2 = tr K + s^2 tr K^2 if each cell is off by an error of s. Dithers of one acquisition share it, so
    their differences do not have it.
    """
    weight = fit.weight.T.ravel()
    cells = _cells(measured)
    weighted = sparse.diags(weight) @ cells
    # What is left of the weights once the sources have taken theirs.
    left = SourceUnknowns(measured, fit.weight, fit.motions).taken_off(cells)
    by_cell = fit.design.T @ left
    moments, of_parameters = cells.T @ left, by_cell @ by_cell.T
    before = float(moments.diagonal().sum())
    if before < _NONE * weight.sum():
        return Systematics(0.0, np.zeros_like(fit.covariance))
    expected = before - float(of_parameters.multiply(fit.covariance).sum())
    sums = weighted.T @ fit.residual.T.ravel() / fit.response
    # The parameters take up the same share of errors as of noise.
    squares = float(moments.power(2).sum()) * expected / max(before, 1e-300)
    beyond = float(sums @ sums) - expected
    # Less than its own error may be chance.
    if beyond <= np.sqrt(2.0 * squares):
        return Systematics(0.0, np.zeros_like(fit.covariance))
    variance = beyond / squares
    return Systematics(float(np.sqrt(variance)), variance * fit.covariance @ (of_parameters @ fit.covariance))


def _cells(measured: Measurements) -> sparse.csr_matrix:
    """Tell the cell of each x and each y, (2 M, C)."""
    own = measured.pointing >= 0
    pointing, xy = measured.pointing[own], measured.xy[own]
    count = np.maximum(np.bincount(pointing, minlength=measured.n_pointings), 1)
    center = np.column_stack([np.bincount(pointing, axis, len(count)) / count for axis in xy.T])
    arm = measured.xy.copy()
    arm[own] -= center[pointing]
    spread = np.quantile(np.abs(arm[own]), 0.95)
    place = np.floor(_CELLS / 2 * arm / max(spread, 1e-300)).astype(np.int64)
    acquisition = np.where(own, measured.acquisitions[measured.pointing], -1)
    _, cell = np.unique(np.column_stack([acquisition, place]), axis=0, return_inverse=True)
    cell = cell.ravel()
    m, c = len(cell), int(cell.max()) + 1
    columns = np.concatenate([cell, c + cell])
    return sparse.csr_matrix((np.ones(2 * m), (np.arange(2 * m), columns)), shape=(2 * m, 2 * c))
