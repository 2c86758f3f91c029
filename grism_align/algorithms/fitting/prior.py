"""What the pointing of a telescope tells beforehand about its corrections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import block_diag

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: Linear terms of a group, of which a geometry takes the first few: roll, scale and two shears.
N_TERMS = 4
# Corrections beyond this many of their errors count ever less: some pointings are wrong for once.
_USUAL = 3.0


@dataclass(frozen=True, eq=False)
class SharedPrior:
    """N values expected about zero, each that of its acquisition plus one of its own.

    Parameters
    ----------
    acquisition : (N,) ndarray of int
        Of each value, 0 to A - 1.
    own, shared : float
        Standard deviations of a value's own part and of its acquisition's.
    own_weight, shared_weight : (N,) and (A,) ndarray
        Robust weights, 0 to 1.
    """

    acquisition: NDArray[np.int64]
    own: float
    shared: float
    own_weight: NDArray[np.float64]
    shared_weight: NDArray[np.float64]

    @classmethod
    def of(cls, acquisition: NDArray[np.int64], own: float, shared: float) -> SharedPrior:
        """Make one with all weights at one.

        Parameters
        ----------
        acquisition, own, shared
            As above.
        """
        return cls(acquisition, own, shared, np.ones(len(acquisition)), np.ones(int(acquisition.max()) + 1))

    def _precisions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return inverse variances of values' own parts (N,) and of acquisitions' means (A,)."""
        own = self.own_weight / self.own**2
        total = np.bincount(self.acquisition, own, len(self.shared_weight))
        return own, np.asarray(total + self.shared_weight / self.shared**2)

    def precision(self) -> NDArray[np.float64]:
        """Return the inverse covariance (N, N), the acquisitions' parts eliminated."""
        own, total = self._precisions()
        out = np.diag(own)
        for number in range(len(total)):
            rows = np.flatnonzero(self.acquisition == number)
            out[np.ix_(rows, rows)] -= np.outer(own[rows], own[rows]) / total[number]
        return out

    def reweighted(self, values: NDArray[np.float64]) -> SharedPrior:
        """Return it with Cauchy's weights, which never vanish, for values (N, axes)."""
        own, total = self._precisions()
        mean = np.column_stack([np.bincount(self.acquisition, own * v, len(total)) / total for v in values.T])
        apart = values - mean[self.acquisition]
        return replace(self, own_weight=_cauchy(apart / self.own), shared_weight=_cauchy(mean / self.shared))


def _cauchy(pull: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (N,) for pulls (N, axes)."""
    return np.asarray(1.0 / (1.0 + (pull**2).mean(axis=1) / _USUAL**2))


@dataclass(frozen=True, eq=False)
class PointingPrior:
    """Expected size of the corrections, all about zero, and the corrections made so far.

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
    of_shifts : SharedPrior
        Of the pointings' shifts, arcsec.
    of_terms : tuple of SharedPrior
        Of each term of the groups.
    """

    shift: NDArray[np.float64]
    terms: NDArray[np.float64]
    center: NDArray[np.float64]
    group: NDArray[np.int64]
    of_shifts: SharedPrior
    of_terms: tuple[SharedPrior, ...]

    def precision(self, n_terms: int) -> NDArray[np.float64]:
        """Return the inverse covariance of the parameters (shifts x, shifts y, each term of all groups)."""
        shifts = self.of_shifts.precision()
        return np.asarray(block_diag(shifts, shifts, *(one.precision() for one in self.of_terms[:n_terms])))

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
    terms = total[2 * e :].reshape(n_terms, g)
    return replace(
        prior,
        of_shifts=prior.of_shifts.reweighted(total[: 2 * e].reshape(2, e).T),
        of_terms=tuple(
            one.reweighted(terms[number][:, None]) if number < n_terms else one
            for number, one in enumerate(prior.of_terms)
        ),
    )
