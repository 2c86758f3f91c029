"""In which order unknowns are eliminated, so that little fills in: nested dissection of what ties them.

Unknowns that no measurement ties directly meet only through others between them. So a field is cut in two,
the unknowns along the cut come last, and each half is cut again (George 1973, "Nested dissection of a regular
finite element mesh").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from scipy import sparse

# Unknowns that are eliminated at once, without a further cut.
_SMALL = 256
# A cut whose own unknowns are more than this share of what it cuts is none.
_MOST_CUT = 0.5


@dataclass(frozen=True, eq=False)
class Front:
    """Unknowns that are eliminated together, and those that this ties to each other. All are by rank.

    Parameters
    ----------
    start, stop : int
        Ranks of the first unknown that is eliminated and of the first after them.
    boundary : (B,) ndarray of int
        Ranks of the later unknowns that are tied to them, rising.
    parent : int
        Number of the front that follows, which has all of the boundary; -1 for none.
    """

    start: int
    stop: int
    boundary: NDArray[np.int64]
    parent: int

    @property
    def n_own(self) -> int:
        """Unknowns that are eliminated."""
        return self.stop - self.start

    @property
    def size(self) -> int:
        """All unknowns."""
        return self.n_own + len(self.boundary)

    def local(self, rank: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places in the front, the eliminated first, of unknowns that it has."""
        beyond = self.n_own + np.searchsorted(self.boundary, rank)
        return np.asarray(np.where(rank < self.stop, rank - self.start, beyond))


@dataclass(frozen=True, eq=False)
class Dissection:
    """An order of elimination.

    Parameters
    ----------
    order : (P,) ndarray of int
        Unknowns in the order in which they are eliminated.
    rank : (P,) ndarray of int
        Place of each unknown in that order.
    fronts : tuple of Front
        Those of what is eliminated first come first.
    """

    order: NDArray[np.int64]
    rank: NDArray[np.int64]
    fronts: tuple[Front, ...]

    @property
    def front_of(self) -> NDArray[np.int64]:
        """Number of the front in which each rank is eliminated, (P,)."""
        return np.repeat(np.arange(len(self.fronts)), [front.n_own for front in self.fronts])

    @property
    def fill(self) -> int:
        """Elements of the factor."""
        return sum(front.n_own * (front.n_own + len(front.boundary)) for front in self.fronts)


def dissected(
    tied: sparse.csr_matrix, place: NDArray[np.float64], owner: NDArray[np.int64], *, small: int = _SMALL
) -> Dissection:
    """Order unknowns by nested dissection.

    Parameters
    ----------
    tied : (V, V) sparse matrix
        Which of V bodies are tied to each other; symmetric.
    place : (V, 2) ndarray
        Where each is.
    owner : (P,) ndarray of int
        Body that each unknown is of; -1 for those that are tied to all, which come last.
    small : int
        Unknowns that are not worth a cut.
    """
    size = np.bincount(owner[owner >= 0], minlength=len(place))
    parts, parent = _parts(tied, place, size, small)
    reach = _reaches(parts, parent, tied)
    body_first = np.concatenate([[0], np.cumsum(size)])
    by_body = np.argsort(np.where(owner < 0, len(place), owner), kind="stable")
    n_last = int((owner < 0).sum())

    def unknowns(bodies: Iterable[int]) -> NDArray[np.int64]:
        found = [by_body[body_first[body] : body_first[body + 1]] for body in bodies]
        return np.concatenate([np.zeros(0, np.int64), *found])

    own = [unknowns(part) for part in parts]
    last = by_body[len(by_body) - n_last :]
    if n_last:
        parent = [len(parts) if one < 0 else one for one in parent] + [-1]
        own, reach = [*own, last], [*reach, set()]
    order = np.concatenate(own)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    stops = np.cumsum([len(part) for part in own])
    fronts = []
    for number, (stop, part) in enumerate(zip(stops.tolist(), own, strict=True)):
        boundary = np.sort(rank[unknowns(sorted(reach[number]))])
        if n_last and number < len(parts):
            boundary = np.concatenate([boundary, rank[last]])
        fronts.append(Front(stop - len(part), stop, boundary, parent[number]))
    return Dissection(order, rank, tuple(fronts))


def _parts(
    tied: sparse.csr_matrix, place: NDArray[np.float64], size: NDArray[np.int64], small: int
) -> tuple[list[NDArray[np.int64]], list[int]]:
    """Return the bodies that are eliminated together, the first first, and the part that follows each."""
    parts: list[NDArray[np.int64]] = []
    parent: list[int] = []

    def cut(bodies: NDArray[np.int64]) -> list[int]:
        """Order some bodies, and return the numbers of the parts that nothing among them follows."""
        pieces = _pieces(bodies, tied, place, size) if size[bodies].sum() > small else None
        if pieces is None:
            pieces = bodies[:0], bodies[:0], bodies
        before = [root for half in pieces[:2] if len(half) for root in cut(half)]
        if not len(pieces[2]):
            return before
        parts.append(pieces[2])
        parent.append(-1)
        for root in before:
            parent[root] = len(parts) - 1
        return [len(parts) - 1]

    cut(np.arange(len(place)))
    return parts, parent


def _pieces(
    bodies: NDArray[np.int64], tied: sparse.csr_matrix, place: NDArray[np.float64], size: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None:
    """Return two pieces that nothing ties, and what lies between; None where too much does."""
    xy = place[bodies]
    axis = int(np.ptp(xy[:, 1]) > np.ptp(xy[:, 0]))
    ordered = bodies[np.argsort(xy[:, axis], kind="stable")]
    half = int(np.searchsorted(np.cumsum(size[ordered]), 0.5 * size[ordered].sum()))
    low, high = ordered[:half], ordered[half:]
    across = tied[low][:, high]
    of_low = np.diff(across.indptr) > 0
    of_high = np.bincount(across.indices, minlength=len(high)) > 0
    if size[low[of_low]].sum() <= size[high[of_high]].sum():
        pieces = low[~of_low], high, low[of_low]
    else:
        pieces = low, high[~of_high], high[of_high]
    if not len(pieces[0]) or not len(pieces[1]) or size[pieces[2]].sum() > _MOST_CUT * size[bodies].sum():
        return None
    return pieces


def _reaches(parts: list[NDArray[np.int64]], parent: list[int], tied: sparse.csr_matrix) -> list[set[int]]:
    """Return the bodies of later parts that the elimination of each part ties to each other."""
    reach: list[set[int]] = [set() for _ in parts]
    done: set[int] = set()
    for number, part in enumerate(parts):
        done.update(part.tolist())
        reach[number].update(tied[part].indices.tolist())
        reach[number] -= done
        if parent[number] >= 0:
            reach[parent[number]] |= reach[number]
    return reach
