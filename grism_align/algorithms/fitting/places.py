"""Where detectors lie in the field of their telescope, as unknowns of a joint solution.

Each detector of a camera is off its nominal place by the same amount in all pointings. Few detectors are tied
to all pointings, so they are eliminated last: what the pointings make of them is a border of the equations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.design import Design
    from grism_align.algorithms.fitting.normal import NormalEquations
    from grism_align.algorithms.fitting.sources import SourceUnknowns

# Degrees of freedom of offsets, which are Student's: some places are wrong for once. And their axes.
_FREEDOM, _AXES, _TURNS = 6.0, 2, 10
# Their variance in squares of the width of the middle of their distribution.
_VARIANCE = (_FREEDOM + _AXES) / (_FREEDOM - 2.0)
# How fast that falls with what measurements tell: to 5 % of what the distribution itself gives.
_CUT_OFF = 4.0
# How wide that may be, each as likely beforehand: the mean variance is one.
_WIDTHS = 2.0 ** -np.arange(9)
_WIDTHS /= np.sqrt(_VARIANCE * np.mean(_WIDTHS**2))


@dataclass(frozen=True, eq=False)
class PlacePrior:
    """What is known beforehand of the places of D detectors.

    Parameters
    ----------
    taken : (D, 2) ndarray, arcsec
        Offsets along V2 and V3 that measured positions have already.
    error : float, arcsec
        Expected size of a whole offset, of one axis.
    """

    taken: NDArray[np.float64]
    error: float

    def precision(self, offset: NDArray[np.float64], width: float = 1.0) -> NDArray[np.float64]:
        """Return inverse variances (D,), arcsec^-2, of offsets in a distribution so many errors wide."""
        return np.asarray((width * self.error) ** -2.0 / self._far_out(offset, width))

    def log_density(self, offset: NDArray[np.float64], width: float) -> float:
        """Return the logarithm of the probability density there, but for what all widths have in common."""
        far_out = self._far_out(offset, width)
        return -float((0.5 * (_FREEDOM + _AXES) * np.log(far_out) + _AXES * np.log(width)).sum())

    def _far_out(self, offset: NDArray[np.float64], width: float) -> NDArray[np.float64]:
        return np.asarray(1.0 + (offset / (width * self.error)) ** 2 @ np.ones(_AXES) / (_FREEDOM + _AXES))


@dataclass(frozen=True, eq=False)
class MountedDetectors:
    """Which detector measured what.

    Parameters
    ----------
    number : (M,) ndarray of int
        Number of the detector of each measurement, 0 to D - 1; -1 where its place is not asked for.
    axes : (M, 2, 2) ndarray
        Directions of V2 and V3 on the plane of the measurements, as columns.
    arm : (M, 2) ndarray, arcsec
        From the middle of the detector to the measurement, in that plane.
    prior : PlacePrior
        What is known of the detectors.
    """

    number: NDArray[np.int64]
    axes: NDArray[np.float64]
    arm: NDArray[np.float64]
    prior: PlacePrior

    @property
    def is_own(self) -> NDArray[np.bool_]:
        """Whether each measurement is of a detector whose place is asked for, (M,)."""
        return np.asarray(self.number >= 0)

    def matrix(self) -> sparse.csr_matrix:
        """Return the derivatives of all x, then of all y, by offsets along V2 and V3 in turn, (2 M, 2 D)."""
        return self._moved_by(self.number[self.is_own], len(self.prior.taken))

    def of_quarters(self) -> sparse.csr_matrix:
        """Return the same by offsets of the quarters of each detector, (2 M, 8 D)."""
        own = self.is_own
        v2, v3 = np.linalg.solve(self.axes[own], self.arm[own][:, :, None])[:, :, 0].T
        return self._moved_by(4 * self.number[own] + 2 * (v2 > 0) + (v3 > 0), 4 * len(self.prior.taken))

    def _moved_by(self, number: NDArray[np.int64], n: int) -> sparse.csr_matrix:
        """Return the derivatives by offsets of n parts, given that of each of the own measurements."""
        m, rows = len(self.number), np.flatnonzero(self.is_own)
        at = np.stack([rows, m + rows])[:, None].repeat(2, axis=1)
        columns = np.broadcast_to(2 * number + np.arange(2)[:, None], at.shape)
        values = np.moveaxis(self.axes[rows], 0, -1)
        return sparse.csr_matrix((values.ravel(), (at.ravel(), columns.ravel())), shape=(2 * m, 2 * n))

    def left(self, tells: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what share of squared residuals (M, 2) places leave, given what measurements tell."""
        own, precision = self.is_own, self.prior.precision(self.prior.taken)
        number = np.where(own, self.number, 0)
        total = [np.bincount(number[own], axis[own], len(precision)) + precision for axis in tells.T]
        return np.where(own[:, None], 1.0 - tells / np.column_stack(total)[number], 1.0)


@dataclass(frozen=True, eq=False)
class PlaceEquations:
    """Normal equations of the whole offsets of D detectors, everything else eliminated, without a prior.

    Parameters
    ----------
    normal : (2 D, 2 D) ndarray, arcsec^-2
        Of offsets along V2 and V3, detector by detector.
    right : (2 D,) ndarray, arcsec^-1
        Right side.
    shared : (2 D, 8 D) ndarray, arcsec^-1
        What errors of the quarters of detectors, of their size, add to the right side.
    """

    normal: NDArray[np.float64]
    right: NDArray[np.float64]
    shared: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[PlaceEquations], n_detectors: int) -> PlaceEquations:
        """Join the equations of parts that have nothing but detectors in common.

        Parameters
        ----------
        parts : sequence of PlaceEquations
            Any number.
        n_detectors : int
            D.
        """
        n = 2 * n_detectors
        return cls(
            sum((one.normal for one in parts), np.zeros((n, n))),
            sum((one.right for one in parts), np.zeros(n)),
            sum((one.shared for one in parts), np.zeros((n, 4 * n))),
        )

    def solved(self, prior: PlacePrior) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the whole offsets (D, 2), arcsec, and their covariance (2 D, 2 D) by independent errors.

        Parameters
        ----------
        prior : PlacePrior
            What is known of them.

        Notes
        -----
        How wide they are distributed all of them tell. Each width counts by its evidence.
        """
        each = [self._of_width(prior, width) for width in _WIDTHS.tolist()]
        evidence = np.array([one for _, _, one in each])
        share = np.exp(evidence - evidence.max())
        share /= share.sum()
        offset = np.tensordot(share, [one for one, _, _ in each], axes=1)
        covariance = np.zeros_like(self.normal)
        for weight, (one, inverse, _) in zip(share, each, strict=True):
            apart = (one - offset).ravel()
            covariance += weight * (inverse + np.outer(apart, apart))
        return offset, covariance

    def _of_width(
        self, prior: PlacePrior, width: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Return offsets, covariance and the logarithm of the evidence of a width (Laplace's).

        What nothing tells is as uncertain as Student's distribution is wide, which its middle doesn't show;
        what measurements tell of an offset cuts off what lies far out.
        """
        offset = prior.taken
        for _ in range(_TURNS):
            known = prior.precision(offset, width).repeat(2)
            moved = np.linalg.solve(self.normal + np.diag(known), self.right).astype(np.float64)
            offset = moved.reshape(-1, 2)
        at = offset.ravel()
        fits = (self.right - 0.5 * self.normal @ at) @ at
        fits -= 0.5 * np.linalg.slogdet(self.normal + np.diag(known))[1]
        farther = 1.0 + (_VARIANCE - 1.0) / (1.0 + _CUT_OFF * np.diag(self.normal) / known)
        covariance = np.linalg.inv(self.normal + np.diag(known / farther))
        return offset, covariance.astype(np.float64), float(fits) + prior.log_density(offset, width)


@dataclass(frozen=True, eq=False)
class Border:
    """The places of detectors beside P corrections that were solved for without them.

    Parameters
    ----------
    matrix : (2 M, 2 D) sparse matrix
        Derivatives of the measurements by the offsets.
    equations : PlaceEquations
        Of the offsets.
    following : (P, 2 D) ndarray
        What a change of an offset does to the corrections.
    step : (2 D,) ndarray, arcsec
        What is to be added to the offsets taken.
    inverse : (2 D, 2 D) ndarray, arcsec^2
        Covariance of the offsets, with their prior, by independent errors.
    shared : (P, 8 D) ndarray, arcsec
        What errors of the quarters of detectors, of their size, do to the corrections while detectors stay.
    """

    matrix: sparse.csr_matrix
    equations: PlaceEquations
    following: NDArray[np.float64]
    step: NDArray[np.float64]
    inverse: NDArray[np.float64]
    shared: NDArray[np.float64]

    def left_of(self, by_cell: sparse.csr_matrix, of_places: sparse.csr_matrix) -> NDArray[np.float64]:
        """Return what errors of cells add to the equations of the offsets, (2 D, C), others eliminated.

        Parameters
        ----------
        by_cell : (P, C) sparse matrix
            What these add to the right side of the corrections.
        of_places : (2 D, C) sparse matrix
            What they add to that of the offsets.
        """
        return np.asarray(of_places.toarray() + (by_cell.T @ self.following).T)

    def with_shared(self, of_places: NDArray[np.float64], of_corrections: NDArray[np.float64]) -> Border:
        """Add what errors of quarters add to the equations of the offsets, and do to the corrections."""
        equations = replace(self.equations, shared=of_places)
        return replace(self, equations=equations, shared=of_corrections)


def border_of(
    mounted: MountedDetectors,
    matrix: sparse.csr_matrix,
    design: Design,
    sources: SourceUnknowns,
    solved: tuple[NormalEquations, NDArray[np.float64]],
) -> Border:
    """Let detectors move as well.

    Parameters
    ----------
    mounted : MountedDetectors
        Which detector measured what.
    matrix : (2 M, 2 D) sparse matrix
        Its derivatives.
    design : Design
        The derivatives by the corrections.
    sources : SourceUnknowns
        The sources' unknowns, and the weights.
    solved : NormalEquations and (M, 2) ndarray
        The equations of the corrections, and positions as these correct them while detectors stay, arcsec.

    Notes
    -----
    With the normal matrix N of corrections (p) and offsets (d), the sources eliminated, corrections follow
    by -N_pp^-1 N_pd, and what is left of N_dd is N_dd - N_dp N_pp^-1 N_pd.
    """
    equations, corrected = solved
    beside = sources.moments(design.matrix, matrix).toarray()
    scaled = np.zeros((len(equations.scale), beside.shape[1]))
    scaled[: design.size] = beside * equations.scale[: design.size, None]
    following = -(equations.scale[:, None] * equations.solved(scaled))[: design.size]
    normal = sources.moments(matrix, matrix).toarray() + beside.T @ following
    taken = mounted.prior.taken
    right = normal @ taken.ravel() - matrix.T @ sources.left_of(corrected.T.ravel())
    n = matrix.shape[1]
    own = PlaceEquations(normal, right, np.zeros((n, 4 * n)))
    offset, inverse = own.solved(mounted.prior)
    step = (offset - taken).ravel()
    return Border(matrix, own, following, step, inverse, np.zeros((design.size, 4 * n)))
