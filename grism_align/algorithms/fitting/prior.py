"""What the pointing of a telescope tells beforehand about its corrections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: Linear terms of a group, of which a geometry takes the first few: roll, scale and two shears.
N_TERMS = 4
# Corrections beyond this many of their errors count ever less: some pointings are wrong for once.
_USUAL = 3.0


@dataclass(frozen=True, eq=False)
class PointingPrior:
    """Expected size of the corrections, all about zero, and the corrections made so far.

    A pointing's shift is that of its group plus one of its own.

    Parameters
    ----------
    shift : (E, 2) ndarray, arcsec
        Of each pointing so far, at its group's centre.
    terms : (G, 4) ndarray
        Of each group so far: roll (rad), scale and two shears.
    center : (G, 2) ndarray, arcsec
        The groups' centres.
    group : (E,) ndarray of int
        Each pointing's group.
    dither, offset : float, arcsec
        Standard deviation, on one axis, of a pointing's own shift and of a group's.
    term_errors : (4,) ndarray
        Standard deviations of the terms.
    shift_weight, offset_weight, term_weight : (E,), (G,) and (G, 4) ndarray
        Robust weights, 0 to 1.
    """

    shift: NDArray[np.float64]
    terms: NDArray[np.float64]
    center: NDArray[np.float64]
    group: NDArray[np.int64]
    dither: float
    offset: float
    term_errors: NDArray[np.float64]
    shift_weight: NDArray[np.float64]
    offset_weight: NDArray[np.float64]
    term_weight: NDArray[np.float64]

    def precision(self, n_terms: int) -> NDArray[np.float64]:
        """Return the inverse covariance of the parameters (shifts x, shifts y, each term of all groups)."""
        e, g = len(self.group), len(self.center)
        own, shared = self.shift_precisions()
        # The group's shift is eliminated, which ties its pointings to each other.
        out = np.zeros((2 * e + n_terms * g,) * 2)
        for number in range(g):
            rows = np.flatnonzero(self.group == number)
            block = np.diag(own[rows]) - np.outer(own[rows], own[rows]) / shared[number]
            out[np.ix_(rows, rows)] = out[np.ix_(e + rows, e + rows)] = block
        terms = (self.term_weight / self.term_errors**2)[:, :n_terms]
        out[range(2 * e, len(out)), range(2 * e, len(out))] = terms.T.ravel()
        return out

    def shift_precisions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return inverse variances, arcsec^-2, of pointings' own shifts (E,) and of groups' means (G,)."""
        own = self.shift_weight / self.dither**2
        shared = np.bincount(self.group, own, len(self.center)) + self.offset_weight / self.offset**2
        return own, np.asarray(shared)

    def so_far(self, n_terms: int) -> NDArray[np.float64]:
        """Return the corrections so far in the order of the parameters."""
        return np.concatenate([self.shift.T.ravel(), self.terms[:, :n_terms].T.ravel()])

    def common_moves(self, n_terms: int) -> NDArray[np.float64]:
        """Return what a shift, roll or scale of everything does to the parameters, a column each."""
        e, g = len(self.group), len(self.center)
        arm = (self.center - self.center.mean(axis=0))[self.group]
        out = np.zeros((2 * e + n_terms * g, 2 + n_terms))
        out[:e, 0] = out[e : 2 * e, 1] = 1.0
        for term, matrix in enumerate(GENERATORS[:n_terms]):
            out[: 2 * e, 2 + term] = (arm @ matrix.T).T.ravel()
            out[2 * e + term * g : 2 * e + (term + 1) * g, 2 + term] = 1.0
        return out


#: What each term does to a position: roll, scale, and the two shears.
GENERATORS = np.array(
    [
        [[0.0, 1.0], [-1.0, 0.0]],
        [[1.0, 0.0], [0.0, 1.0]],
        [[1.0, 0.0], [0.0, -1.0]],
        [[0.0, 1.0], [1.0, 0.0]],
    ]
)


def prior_normal(
    prior: PointingPrior, n_terms: int, *, is_unanchored: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the prior's normal matrix and right side for what is added to the corrections so far.

    Parameters
    ----------
    prior : PointingPrior
        The prior.
    n_terms : int
        Terms that are fitted.
    is_unanchored : bool
        Whether a common move of all pointings is unknown, as it is where pointings fix the frame: their
        own pointing errors then are those of all. The prior is made blind to it.
    """
    matrix = prior.precision(n_terms)
    if is_unanchored:
        moves = prior.common_moves(n_terms)
        weighed = matrix @ moves
        matrix = matrix - weighed @ np.linalg.pinv(moves.T @ weighed, hermitian=True) @ weighed.T
    return matrix, -matrix @ prior.so_far(n_terms)


def prior_reweighted(
    prior: PointingPrior, parameters: NDArray[np.float64], n_terms: int, *, is_unanchored: bool
) -> PointingPrior:
    """Give the prior the weights that a solution tells (Cauchy's, which never vanish).

    Parameters
    ----------
    prior : PointingPrior
        The prior.
    parameters : ndarray
        What the solution adds to the corrections so far.
    n_terms, is_unanchored
        As for `prior_normal`.
    """
    e, g = len(prior.group), len(prior.center)
    total = prior.so_far(n_terms) + parameters
    if is_unanchored:
        moves, weight = prior.common_moves(n_terms), prior.precision(n_terms)
        weighed = weight @ moves
        total = total - moves @ (np.linalg.pinv(moves.T @ weighed, hermitian=True) @ (weighed.T @ total))
    shift = total[: 2 * e].reshape(2, e).T
    own, shared = prior.shift_precisions()
    mean = np.column_stack([np.bincount(prior.group, own * axis, g) / shared for axis in shift.T])
    terms = np.zeros((g, N_TERMS))
    terms[:, :n_terms] = total[2 * e :].reshape(n_terms, g).T
    return replace(
        prior,
        shift_weight=_cauchy(np.hypot(*(shift - mean[prior.group]).T) / (np.sqrt(2) * prior.dither)),
        offset_weight=_cauchy(np.hypot(*mean.T) / (np.sqrt(2) * prior.offset)),
        term_weight=_cauchy(np.abs(terms) / prior.term_errors),
    )


def _cauchy(pull: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + (pull / _USUAL) ** 2))
