"""What is unknown of each source: where it is and, where weeks lie between exposures, how it moves.

Both are eliminated from the normal equations. Motions are expected to be small: most sources are galaxies, or
stars that move little, and few move much. So their distribution is Student's t, whose width all of them tell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.joint import Measurements

# Years between exposures from which on motions count: by then sources that move as is expected at first are
# 0.25 mas farther, which images of bright stars tell.
_LEAST_SPAN = 0.05
# Width of the distribution of motions of one axis, arcsec/yr: at first, and the least.
_FIRST, _LEAST = 5e-3, 1e-5
_FREEDOM = 2.0
_AXES = 2
# Sources that tell the width.
_FEWEST = 8


@dataclass(frozen=True, eq=False)
class SourceMotions:
    """What is expected of the motions of S sources.

    Parameters
    ----------
    epoch : (M,) ndarray, Julian year
        Of each measurement.
    width : float, arcsec/yr
        Of the distribution of one axis.
    narrowness : (S,) ndarray
        By how much the variance of a source is less than the square of that.
    """

    epoch: NDArray[np.float64]
    width: float
    narrowness: NDArray[np.float64]

    @property
    def precision(self) -> NDArray[np.float64]:
        """Inverse variance of the motion of each source, of one axis, (S,), (yr/arcsec)^2."""
        return self.narrowness / self.width**2

    @property
    def honest(self) -> SourceMotions:
        """What all sources together tell by it: the information that Student's t has of its middle."""
        share = (_FREEDOM + _AXES) / (_FREEDOM + _AXES + 2.0)
        return replace(self, narrowness=share * self.narrowness)

    def learned(self, sources: FittedSources) -> SourceMotions:
        """Return what is expected once motions were fitted, a step of expectation and maximisation.

        Parameters
        ----------
        sources : FittedSources
            With the motions.
        """
        tells = (sources.information > 0).all(axis=1)
        if tells.sum() < _FEWEST:
            return self
        variance = 1.0 / (sources.information + self.precision[:, None])
        squares = (sources.motion**2 + variance).sum(axis=1)
        narrowness = (_FREEDOM + _AXES) / (_FREEDOM + squares / self.width**2)
        width = np.sqrt(np.mean((narrowness * squares)[tells]) / _AXES)
        return replace(self, width=max(float(width), _LEAST), narrowness=narrowness)


def first_motions(measured: Measurements) -> SourceMotions | None:
    """Return what is expected of motions before any is known; None where too little time lies between.

    Parameters
    ----------
    measured : Measurements
        What is to be fitted, by pointings alone.
    """
    if measured.epoch is None or np.ptp(measured.epoch) < _LEAST_SPAN:
        return None
    n_sources = int(measured.source.max()) + 1
    return SourceMotions(measured.epoch[measured.pointing], _FIRST, np.ones(n_sources))


@dataclass(frozen=True, eq=False)
class FittedSources:
    """The sources as fitted.

    Parameters
    ----------
    xy : (S, 2) ndarray, arcsec
        Positions at the mean epoch of what was measured of each.
    at : (M, 2) ndarray, arcsec
        Positions at each measurement.
    motion : (S, 2) ndarray, arcsec/yr
        Motions; zero where none are fitted.
    information : (S, 2) ndarray, (yr/arcsec)^2
        Inverse variances of the motions by what was measured alone.
    """

    xy: NDArray[np.float64]
    at: NDArray[np.float64]
    motion: NDArray[np.float64]
    information: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SourceUnknown:
    """One unknown of each source and axis, 2 S in all, independent of the others for given weights.

    Parameters
    ----------
    lever : (2 M,) ndarray
        Derivatives of the measurements by it.
    weighted : (2 M,) ndarray
        The same times the weights.
    inverse : (2 S,) ndarray
        Its variance.
    """

    lever: NDArray[np.float64]
    weighted: NDArray[np.float64]
    inverse: NDArray[np.float64]


class SourceUnknowns:
    """The unknowns of the sources for given weights.

    Parameters
    ----------
    measured : Measurements
        M measurements of S sources.
    weight : (M, 2) ndarray, arcsec^-2
        Weights of x and y.
    motions : SourceMotions or None
        What is expected of motions; None where none are fitted.

    Attributes
    ----------
    each : list of SourceUnknown
        The unknowns.
    weight : (M, 2) ndarray, arcsec^-2
        As given.
    """

    def __init__(
        self, measured: Measurements, weight: NDArray[np.float64], motions: SourceMotions | None
    ) -> None:
        self._n = int(measured.source.max()) + 1
        self._where = np.concatenate([measured.source, self._n + measured.source])
        self.weight = weight
        self._all_weights = weight.T.ravel()
        place = self._unknown(np.ones(len(self._where)), np.zeros(2 * self._n))
        self.each = [place]
        self._information = np.zeros(2 * self._n)
        if motions is not None:
            epoch = np.tile(motions.epoch, 2)
            # from the mean epoch of each, where its place and its motion are independent
            lever = epoch - (place.inverse * self._summed(place.weighted * epoch))[self._where]
            motion = self._unknown(lever, np.tile(motions.precision, 2))
            self._information = self._summed(motion.weighted * lever)
            self.each.append(motion)

    def _summed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum values (2 M,) by source and axis: (2 S,)."""
        return np.asarray(np.bincount(self._where, values, 2 * self._n), dtype=np.float64)

    def _unknown(self, lever: NDArray[np.float64], precision: NDArray[np.float64]) -> SourceUnknown:
        weighted = self._all_weights * lever
        total = self._summed(weighted * lever) + precision
        return SourceUnknown(lever, weighted, 1.0 / np.where(total > 0, total, 1.0))

    def left_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return weighted values (2 M,) less what the unknowns take of them."""
        left = self._all_weights * values
        for own in self.each:
            left -= own.weighted * (own.inverse * self._summed(own.weighted * values))[self._where]
        return left

    def moments(self, first: sparse.csr_matrix, second: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return weighted products (A, B) of columns (2 M, A) and (2 M, B), less what the unknowns take."""
        out = first.T @ (sparse.diags(self._all_weights) @ second)
        rows = np.arange(len(self._where))
        for own in self.each:
            sums = sparse.csr_matrix((own.weighted, (self._where, rows)), (2 * self._n, len(rows)))
            out = out - (sums @ first).T @ (sparse.diags(own.inverse) @ (sums @ second))
        return out.tocsr()

    def fitted(self, corrected: NDArray[np.float64]) -> FittedSources:
        """Fit the sources to corrected positions (M, 2), arcsec."""
        observed = corrected.T.ravel()
        values = [own.inverse * self._summed(own.weighted * observed) for own in self.each]
        at = sum(own.lever * value[self._where] for own, value in zip(self.each, values, strict=True))
        motion = values[1] if len(values) > 1 else np.zeros_like(values[0])
        pairs = (part.reshape(2, -1).T for part in (values[0], np.asarray(at), motion, self._information))
        return FittedSources(*pairs)

    def shares(self) -> NDArray[np.float64]:
        """Return what share of each measurement's variance the unknowns take up, (M, 2)."""
        taken = sum(own.lever**2 * own.inverse[self._where] for own in self.each)
        return np.asarray(self._all_weights * taken).reshape(2, -1).T
