"""Solve symmetric equations front by front, with those elements of the inverse that are asked for.

Each front is a small dense matrix: the unknowns that are eliminated there, and those that this ties to each
other (Duff & Reid 1983, the multifrontal method). Elements of the inverse follow from the last front back to
the first, without the others (Takahashi et al. 1973). A single front is the dense solution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.dissection import Dissection

# Added to the diagonal: far below what a measurement adds, far above rounding.
_LEAST = 1e-13


class _Pivot:
    """What is eliminated in a front."""

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        self._size = len(matrix)
        try:
            self._factor = cho_factor(matrix + _LEAST * np.eye(len(matrix)), check_finite=False)
        except LinAlgError:
            whole = np.triu(matrix) + np.triu(matrix, 1).T
            self._inverse = np.linalg.pinv(whole, rcond=1e-12, hermitian=True)
            self._factor = None

    def solve(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solve for right sides (K, N)."""
        if self._factor is None:
            return np.asarray(self._inverse @ right)
        return np.asarray(cho_solve(self._factor, right, check_finite=False))

    def inverse(self) -> NDArray[np.float64]:
        """Return the inverse (K, K)."""
        return self.solve(np.eye(self._size))


@dataclass(frozen=True, eq=False)
class Perturbation:
    """What a change of the matrix, to first order, does to each front.

    Parameters
    ----------
    trace : float
        Of the inverse times the change.
    of_pivots : list of (K, K) ndarray
        Inverse of what is eliminated times its change.
    of_followers : list of (K, B) ndarray
        Change of `Elimination.followers`.
    """

    trace: float
    of_pivots: list[NDArray[np.float64]]
    of_followers: list[NDArray[np.float64]]


class Elimination:
    """Equations in the order of a dissection, solved.

    Parameters
    ----------
    dissection : Dissection
        The order.
    assembled : callable
        Gives the elements of the matrix that belong to a front, by its number: a new array, (K + B, K + B),
        of which the part below the diagonal counts nothing in its first K columns.

    Attributes
    ----------
    followers : list of (K, B) ndarray
        How, in each front, what is eliminated follows from its boundary, but for the sign.
    """

    def __init__(self, dissection: Dissection, assembled: Callable[[int], NDArray[np.float64]]) -> None:
        self._dissection = dissection
        self._pivots: list[_Pivot] = []
        self.followers: list[NDArray[np.float64]] = []

        def eliminate(number: int, full: NDArray[np.float64]) -> NDArray[np.float64]:
            n = dissection.fronts[number].n_own
            pivot, beside = _Pivot(full[:n, :n]), full[:n, n:]
            self._pivots.append(pivot)
            self.followers.append(pivot.solve(beside))
            return np.asarray(full[n:, n:] - beside.T @ self.followers[-1])

        self._sweep(assembled, eliminate)

    def _sweep(
        self,
        assembled: Callable[[int], NDArray[np.float64]],
        eliminate: Callable[[int, NDArray[np.float64]], NDArray[np.float64]],
    ) -> None:
        """Assemble front after front, and hand on what the elimination of each leaves of it."""
        fronts = self._dissection.fronts
        waiting: dict[int, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {}
        for number, front in enumerate(fronts):
            full = assembled(number)
            for boundary, left in waiting.pop(number, ()):
                at = front.local(boundary)
                full[np.ix_(at, at)] += left
            left = eliminate(number, full)
            if front.parent >= 0:
                waiting.setdefault(front.parent, []).append((front.boundary, left))

    def solve(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solve for right sides.

        Parameters
        ----------
        right : (P, N) ndarray
            By unknown, as is the solution.
        """
        dissection = self._dissection
        x = right[dissection.order].copy()
        steps = list(zip(dissection.fronts, self._pivots, self.followers, strict=True))
        for front, _, follower in steps:
            x[front.boundary] -= follower.T @ x[front.start : front.stop]
        for front, pivot, follower in reversed(steps):
            own = slice(front.start, front.stop)
            x[own] = pivot.solve(x[own]) - follower @ x[front.boundary]
        return np.asarray(x[dissection.rank])

    def perturbed(self, assembled: Callable[[int], NDArray[np.float64]]) -> Perturbation:
        """Return what a change of the matrix does.

        Parameters
        ----------
        assembled : callable
            Gives the elements of the change that belong to a front, by its number, the whole of it.
        """
        trace, of_pivots, of_followers = 0.0, [], []

        def eliminate(number: int, full: NDArray[np.float64]) -> NDArray[np.float64]:
            nonlocal trace
            n, pivot, follower = (
                self._dissection.fronts[number].n_own,
                self._pivots[number],
                self.followers[number],
            )
            own, beside = full[:n, :n], full[:n, n:]
            turned = own @ follower
            of_pivots.append(pivot.solve(own))
            of_followers.append(pivot.solve(beside - turned))
            trace += float(np.trace(of_pivots[-1]))
            half = follower.T @ (beside - 0.5 * turned)
            return np.asarray(full[n:, n:] - half - half.T)

        self._sweep(assembled, eliminate)
        return Perturbation(trace, of_pivots, of_followers)

    def inverse(
        self, change: Perturbation | None = None
    ) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64] | None]]:
        """Yield the elements of the inverse that belong to each front, the last front first.

        Parameters
        ----------
        change : Perturbation, optional
            Any.

        Yields
        ------
        number : int
            Of the front.
        inverse : (K, K) ndarray
            For what is eliminated there.
        changed : (K, K) ndarray or None
            The same of the inverse times the change times the inverse, if there is one.
        """
        fronts = self._dissection.fronts
        children: dict[int, list[int]] = {}
        for number, front in enumerate(fronts):
            children.setdefault(front.parent, []).append(number)
        empty = np.zeros((0, 0))
        beyond = dict.fromkeys(children[-1], (empty, empty))
        for number in reversed(range(len(fronts))):
            n = fronts[number].n_own
            full, changed = self._inverse_of(number, *beyond.pop(number), change)
            for child in children.get(number, ()):
                at = fronts[number].local(fronts[child].boundary)
                index = np.ix_(at, at)
                beyond[child] = full[index], empty if changed is None else changed[index]
            yield number, full[:n, :n], None if changed is None else changed[:n, :n]

    def _inverse_of(
        self,
        number: int,
        beyond: NDArray[np.float64],
        beyond_changed: NDArray[np.float64],
        change: Perturbation | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the inverse of a whole front, and what the change makes of it, from that of its boundary."""
        follower, own = self.followers[number], self._pivots[number].inverse()
        beside = -follower @ beyond
        full = _symmetric(own - beside @ follower.T, beside, beyond)
        if change is None:
            return full, None
        moved = change.of_followers[number]
        beside_changed = moved @ beyond - follower @ beyond_changed
        changed = change.of_pivots[number] @ own - beside_changed @ follower.T + beside @ moved.T
        return full, _symmetric(changed, beside_changed, beyond_changed)


def _symmetric(
    own: NDArray[np.float64], beside: NDArray[np.float64], beyond: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.block([[own, beside], [beside.T, beyond]])
