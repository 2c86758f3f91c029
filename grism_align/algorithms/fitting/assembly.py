"""Put what measurements, priors and sources add to normal equations into the fronts that eliminate it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy import sparse

    from grism_align.algorithms.fitting.design import Design
    from grism_align.algorithms.fitting.dissection import Dissection
    from grism_align.algorithms.fitting.joint import Measurements
    from grism_align.algorithms.fitting.sources import SourceUnknown, SourceUnknowns

# Rows of the small dense matrices that are multiplied by themselves.
_ROWS = 64


class Entries:
    """Single elements of the equations, by front.

    Parameters
    ----------
    pairs : (2, K) ndarray of int
        Unknowns that each element is for. Those above the diagonal, in the order of elimination, are taken.
    dissection : Dissection
        The order.
    """

    def __init__(self, pairs: NDArray[np.int64], dissection: Dissection) -> None:
        self._dissection, self._pairs = dissection, pairs
        rank = dissection.rank[pairs]
        front = dissection.front_of[rank[0]]
        upper = np.flatnonzero(rank[0] <= rank[1])
        self._order = upper[np.argsort(front[upper], kind="stable")]
        ends = np.searchsorted(front[self._order], np.arange(len(dissection.fronts) + 1))
        self._slices = [slice(*ends[n : n + 2]) for n in range(len(dissection.fronts))]
        self._flat = np.empty(len(self._order), dtype=np.int64)
        for own, at in zip(dissection.fronts, self._slices, strict=True):
            i, j = (own.local(each[self._order[at]]) for each in rank)
            self._flat[at] = i * own.size + j

    def of(
        self, values: NDArray[np.float64], scale: NDArray[np.float64]
    ) -> Callable[[int], NDArray[np.float64]]:
        """Return what gives the elements of a front, by its number.

        Parameters
        ----------
        values : (K,) ndarray
            The elements.
        scale : (P,) ndarray
            What they are to be multiplied by, for both unknowns of each.
        """
        i, j = self._pairs[:, self._order]
        ordered = values[self._order] * scale[i] * scale[j]

        def assembled(number: int) -> NDArray[np.float64]:
            size, at = self._dissection.fronts[number].size, self._slices[number]
            flat = np.bincount(self._flat[at], ordered[at], size * size)
            return flat.reshape(size, size).astype(np.float64, copy=False)

        return assembled


class SourceBlocks:
    """What neighbouring sources take off the equations, as small dense matrices.

    Parameters
    ----------
    measured : Measurements
        M measurements.
    design : Design
        Their derivatives.
    dissection : Dissection
        The order of the unknowns.
    """

    def __init__(self, measured: Measurements, design: Design, dissection: Dissection) -> None:
        self._design, self._dissection = design, dissection
        self._n_measured, self._n_sources = len(measured.source), int(measured.source.max()) + 1
        source, pointing = measured.source[design.rows], design.pointing
        earliest = np.full(self._n_sources, len(dissection.rank))
        # All unknowns of a pointing are eliminated in one front.
        np.minimum.at(earliest, source, dissection.rank[pointing])
        # Those by a catalog alone tie nothing.
        self._sources = np.argsort(earliest, kind="stable")[
            : np.count_nonzero(earliest < len(dissection.rank))
        ]
        front = dissection.front_of[earliest[self._sources]]
        self._runs = _Runs(front, len(dissection.fronts))
        block, row = np.zeros((2, self._n_sources), dtype=np.int64)
        block[self._sources] = self._runs.block
        row[self._sources] = self._runs.row
        self._index(block[source], row[source], pointing)

    def _index(self, block: NDArray[np.int64], row: NDArray[np.int64], pointing: NDArray[np.int64]) -> None:
        """Find the columns of each block, and where in it the derivatives of each measurement go."""
        design, number = self._design, len(self._runs.front)
        pointings, column, first = _numbered(block, pointing, number, design.n_pointings)
        groups, term, first_group = _numbered(block, design.group[pointing], number, design.n_groups)
        n_shifts, n_groups = np.diff(first), np.diff(first_group)
        self._width = n_shifts + design.n_terms * n_groups
        height = np.bincount(self._runs.block, minlength=number)
        self._ends = np.concatenate([[0], np.cumsum(height * self._width)])
        start = self._ends[block] + row * self._width[block]
        terms = np.arange(design.n_terms)[:, None]
        self._slots = [start + column, *(start + n_shifts[block] + terms * n_groups[block] + term)]
        self._columns = [
            np.array(
                [
                    np.concatenate([axis * design.n_pointings + own, design.terms(those).ravel()])
                    for axis in (0, 1)
                ]
            )
            for own, those in zip(
                np.split(pointings, first[1:-1]), np.split(groups, first_group[1:-1]), strict=True
            )
        ]

    def of(
        self, sources: SourceUnknowns, scale: NDArray[np.float64]
    ) -> Callable[[int, NDArray[np.float64]], NDArray[np.float64]]:
        """Return what takes what its sources take off a front, by its number.

        Parameters
        ----------
        sources : SourceUnknowns
            The sources' unknowns, and the weights.
        scale : (P,) ndarray
            What all is to be multiplied by.
        """
        dense = [(axis, self._dense(axis, own)) for axis in (0, 1) for own in sources.each]

        def add(number: int, full: NDArray[np.float64]) -> NDArray[np.float64]:
            front = self._dissection.fronts[number]
            for block in self._runs.of(number):
                columns = self._columns[block]
                local = front.local(self._dissection.rank[columns])
                for axis, values in dense:
                    own = values[self._ends[block] : self._ends[block + 1]].reshape(-1, self._width[block])
                    own = own * scale[columns[axis]]
                    full[np.ix_(local[axis], local[axis])] -= own.T @ own
            return full

        return add

    def _dense(self, axis: int, own: SourceUnknown) -> NDArray[np.float64]:
        """Return what the measurements of one axis tell of an unknown of the sources, block after block."""
        weighted = own.weighted[axis * self._n_measured + self._design.rows]
        pairs = zip(self._slots, self._design.lever[axis], strict=True)
        total = sum(np.bincount(slot, weighted * lever, self._ends[-1]) for slot, lever in pairs)
        root = np.sqrt(own.inverse[axis * self._n_sources + self._sources])
        return np.asarray(total * np.repeat(root, self._width[self._runs.block]))


def outer_products(
    columns: sparse.csc_matrix, dissection: Dissection
) -> Callable[[int], NDArray[np.float64]]:
    """Return what gives the elements of columns (P, C) times their transpose that belong to a front.

    Parameters
    ----------
    columns : (P, C) sparse matrix
        What one column has, one front must have.
    dissection : Dissection
        The order of the unknowns.
    """
    rows = columns.T.tocsr()
    rows = rows[np.diff(rows.indptr) > 0]
    rank = dissection.rank[rows.indices]
    rows = type(rows)((rows.data, rank, rows.indptr), (rows.shape[0], len(dissection.rank)))
    earliest = np.minimum.reduceat(rank, rows.indptr[:-1]) if len(rank) else rank
    order = np.argsort(earliest, kind="stable")
    rows = rows[order]
    runs = _Runs(dissection.front_of[earliest[order]], len(dissection.fronts))

    def assembled(number: int) -> NDArray[np.float64]:
        front = dissection.fronts[number]
        full = np.zeros((front.size, front.size))
        for block in runs.of(number):
            mine = rows[runs.starts[block] : runs.starts[block + 1]]
            seen = np.unique(mine.indices)
            dense, local = mine[:, seen].toarray(), front.local(seen)
            full[np.ix_(local, local)] += dense.T @ dense
        return full

    return assembled


class _Runs:
    """Blocks of rows, each of one front, from the fronts (N,) of the rows, rising."""

    def __init__(self, front: NDArray[np.int64], n_fronts: int) -> None:
        within = np.arange(len(front)) - np.searchsorted(front, front)
        begins = within % _ROWS == 0
        self.block = np.cumsum(begins) - 1
        self.row = within % _ROWS
        first = np.flatnonzero(begins)
        self.starts = np.append(first, len(front))
        self.front = front[first]
        self._ends = np.searchsorted(self.front, np.arange(n_fronts + 1))

    def of(self, number: int) -> range:
        """Return the blocks of a front."""
        return range(self._ends[number], self._ends[number + 1])


def _numbered(
    block: NDArray[np.int64], item: NDArray[np.int64], n_blocks: int, n_items: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the items of each block; each one's number there; and where the items of each block begin."""
    found, place = np.unique(block * n_items + item, return_inverse=True)
    first = np.searchsorted(found, n_items * np.arange(n_blocks + 1))
    return found % n_items, place.ravel() - first[block], first
