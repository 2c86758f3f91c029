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

    def precision_entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return rows, columns and elements of the inverse covariance (N, N), acquisitions eliminated.

        Which elements there are does not depend on the weights.
        """
        own, total = self._precisions()
        order = np.argsort(self.acquisition, kind="stable")
        number = np.bincount(self.acquisition, minlength=len(total))
        # each value with all of its acquisition
        times = number[self.acquisition[order]]
        first = np.repeat((np.cumsum(number) - number)[self.acquisition[order]], times)
        step = np.arange(len(first)) - np.repeat(np.cumsum(times) - times, times)
        i, j = np.repeat(order, times), order[first + step]
        elements = -own[i] * own[j] / total[self.acquisition[i]]
        elements[i == j] += own[i[i == j]]
        return i, j, elements

    def weighed(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the inverse covariance (N, N) times columns (N, K)."""
        own, total = self._precisions()
        sums = [np.bincount(self.acquisition, own * c, len(total)) / total for c in columns.T]
        mean = np.array(sums).reshape(-1, len(total)).T[self.acquisition]
        return np.asarray(own[:, None] * (columns - mean))

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

    def _parts(self, n_terms: int) -> list[tuple[SharedPrior, slice]]:
        """Return the priors of the shifts x, the shifts y and each term, with their places."""
        e, g = len(self.group), len(self.center)
        shifts = [(self.of_shifts, slice(axis * e, (axis + 1) * e)) for axis in (0, 1)]
        firsts = [2 * e + term * g for term in range(n_terms)]
        terms = zip(self.of_terms[:n_terms], firsts, strict=True)
        return shifts + [(one, slice(first, first + g)) for one, first in terms]

    def precision_entries(
        self, n_terms: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return the inverse covariance of the parameters (shifts x, shifts y, each term of all groups).

        That is rows, columns and elements; which there are does not depend on the weights.
        """
        found = []
        for one, place in self._parts(n_terms):
            i, j, elements = one.precision_entries()
            found.append((place.start + i, place.start + j, elements))
        i, j, elements = (np.concatenate(part) for part in zip(*found, strict=True))
        return i, j, elements

    def weighed(self, columns: NDArray[np.float64], n_terms: int) -> NDArray[np.float64]:
        """Return the inverse covariance times columns (P, K)."""
        return np.concatenate([one.weighed(columns[place]) for one, place in self._parts(n_terms)])

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
    n_terms : int
        Terms that are fitted.
    is_unanchored : bool
        Whether a common move of all pointings is unknown, as it is where pointings fix the frame: their
        own pointing errors then are those of all. The prior is blind to it.
    """
    e, g = len(prior.group), len(prior.center)
    total = prior.so_far(n_terms) + parameters
    if is_unanchored:
        moves = prior.common_moves(n_terms)
        weighed = prior.weighed(moves, n_terms)
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
