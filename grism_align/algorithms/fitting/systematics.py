"""Errors that neighbouring sources share, such as those of a distortion, and what they do to a solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.joint import Measurements
    from grism_align.algorithms.fitting.sources import SourceUnknowns

# Cells along a side of what a pointing measured.
_CELLS = 4
# Less of the weight than this compares different cells: rounding.
_NONE = 1e-6


@dataclass(frozen=True, eq=False)
class WeightedFit:
    """A weighted least-squares solution, the sources' positions among its unknowns.

    Parameters
    ----------
    measured : Measurements
        M measurements; those by a reference catalog are an acquisition of their own.
    design : (2 M, P) sparse matrix
        Derivatives of all x, then of all y, by the parameters.
    sources : SourceUnknowns
        The sources' unknowns, and the weights.
    residual : (M, 2) ndarray, arcsec
        Residuals.
    response : float
        Of the derivative of a weighted residual by the residual, in its weight; below one where it is robust.
    """

    measured: Measurements
    design: sparse.csr_matrix
    sources: SourceUnknowns
    residual: NDArray[np.float64]
    response: float


@dataclass(frozen=True, eq=False)
class CellMoments:
    """What errors that are common to a cell do to a solution.

    Cells are the quarters of each detector whose place is unknown, the same ones in all exposures, and else a
    quarter of a side in one acquisition.

    Parameters
    ----------
    cells : (2 M, C) sparse matrix
        Derivatives of all x, then of all y, by the cells' errors; of quarters first.
    by_cell : (P, C) sparse matrix
        What each cell's error adds to the right sides of the normal equations.
    squares : float
        Sum of the squares of K, the cells' normal matrix without the parameters.
    trace : float
        The trace of K.
    found : float
        Sum of the squares of the cells' weighted residuals.
    total : float
        Sum of all weights.

    Notes
    -----
    With H the cells' indicators, r the residuals and K = H'QH, where Q = W - W J (J'W J)^-1 J'W and J are the
    derivatives by parameters and sources (and by motions, with what is expected of them), sums Z = H'W r have
    E|Z|^2 = tr K + s^2 tr K^2 if each cell is off by an error of s. Dithers of one acquisition share it, so
    their differences do not have it.
    """

    cells: sparse.csr_matrix
    by_cell: sparse.csr_matrix
    squares: float
    trace: float
    found: float
    total: float

    @property
    def are_none(self) -> bool:
        """Whether nothing compares different cells."""
        return self.trace < _NONE * self.total

    def variance(self, taken: float) -> float:
        """Return the variance of one axis, beyond what independent errors explain, arcsec^2.

        Parameters
        ----------
        taken : float
            Trace of what the parameters take up: of the covariance times `by_cell` times its transpose.
        """
        expected = self.trace - taken
        # The parameters take up the same share of errors as of noise.
        squares = self.squares * expected / max(self.trace, 1e-300)
        beyond = self.found - expected
        # Less than its own error may be chance.
        return beyond / squares if beyond > np.sqrt(2.0 * squares) else 0.0


def cell_moments(fit: WeightedFit) -> CellMoments:
    """Return what the residuals of a solution, and its weights, are like by cell.

    Parameters
    ----------
    fit : WeightedFit
        The solution.
    """
    cells = cell_columns(fit.measured)
    weight = fit.sources.weight.T.ravel()
    # What is left of the weights once the sources have taken theirs.
    moments = fit.sources.moments(cells, cells)
    sums = cells.T @ (weight * fit.residual.T.ravel()) / fit.response
    return CellMoments(
        cells=cells,
        by_cell=fit.sources.moments(fit.design, cells),
        squares=float(moments.power(2).sum()),
        trace=float(moments.diagonal().sum()),
        found=float(sums @ sums),
        total=float(weight.sum()),
    )


def cell_columns(measured: Measurements) -> sparse.csr_matrix:
    """Return the derivatives of all x, then of all y, by errors of cells, (2 M, C): first of quarters.

    Parameters
    ----------
    measured : Measurements
        M measurements.
    """
    cell = cells_of(measured)
    m, c, rows = len(cell), int(cell.max()) + 1, np.flatnonzero(cell >= 0)
    at = np.concatenate([rows, m + rows]), np.concatenate([cell[rows], c + cell[rows]])
    cells = sparse.csr_matrix((np.ones(2 * len(rows)), at), shape=(2 * m, 2 * c))
    return (
        cells if measured.mounted is None else sparse.hstack([measured.mounted.of_quarters(), cells]).tocsr()
    )


def cells_of(measured: Measurements) -> NDArray[np.int64]:
    """Tell the cell of each measurement, (M,): a quarter of a side, in one acquisition or the catalog.

    Where places of detectors are unknown, those of the other detectors alone have one; -1 for none.

    Parameters
    ----------
    measured : Measurements
        M measurements.
    """
    own = measured.pointing >= 0
    pointing, xy = measured.pointing[own], measured.xy[own]
    count = np.maximum(np.bincount(pointing, minlength=measured.n_pointings), 1)
    center = np.column_stack([np.bincount(pointing, axis, len(count)) / count for axis in xy.T])
    arm = measured.xy.copy()
    arm[own] -= center[pointing]
    spread = np.quantile(np.abs(arm[own]), 0.95)
    place = np.floor(_CELLS / 2 * arm / max(spread, 1e-300)).astype(np.int64)
    acquisition = np.where(own, measured.acquisitions[measured.pointing], -1) + 1
    place -= place.min(axis=0)
    number = np.ravel_multi_index((acquisition, *place.T), (acquisition.max() + 1, *(place.max(axis=0) + 1)))
    if measured.mounted is not None:
        number[~own | measured.mounted.is_own] = -1
    return np.unique(number, return_inverse=True)[1].ravel() - int(number.min() < 0)
