"""Sources of many exposures as one list, which grows where an exposure looks and is touched nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.matching.match import mutual_nearest
from grism_align.values.plane_list import PlaneList

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from grism_align.values.transform import LinearTransform

# Tiles along a side of the first list.
_TILES = 4
# In place of a tile.
_NOWHERE = np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class SeenSources:
    """Sources and how many exposures saw each.

    Parameters
    ----------
    positions : PlaneList
        N sources.
    count : (N,) ndarray of int
        Exposures that saw each.
    """

    positions: PlaneList
    count: NDArray[np.int64]

    @classmethod
    def by_one(cls, own: PlaneList) -> SeenSources:
        """Take the sources of one exposure."""
        return cls(own, np.ones(len(own), np.int64))

    def moved(self, transform: LinearTransform) -> SeenSources:
        """Move the positions."""
        return SeenSources(self.positions.moved(transform), self.count)

    def rows(self, index: NDArray[np.int64]) -> SeenSources:
        """Pick some rows."""
        return SeenSources(self.positions.rows(index), self.count[index])


class Tiles:
    """Which positions, numbered from zero, lie in which tile of a plane.

    Parameters
    ----------
    side : float, arcsec
        Of a tile.
    """

    def __init__(self, side: float) -> None:
        self._side = max(side, 1e-3)
        self._rows: dict[tuple[int, int], list[int]] = {}
        self._tile = np.full((16, 2), _NOWHERE)

    @classmethod
    def for_list(cls, xy: NDArray[np.float64]) -> Tiles:
        """Make those that suit a list of positions (N, 2), arcsec."""
        known = xy[np.isfinite(xy).all(axis=1)]
        return cls(float(np.ptp(known, axis=0).max()) / _TILES if len(known) else 1.0)

    def put(self, row: NDArray[np.int64], xy: NDArray[np.float64]) -> None:
        """Put rows (N,) where their positions (N, 2) are, wherever they were before."""
        most = int(row.max(initial=-1)) + 1
        if most > len(self._tile):
            self._tile = np.concatenate([self._tile, np.full((2 * most - len(self._tile), 2), _NOWHERE)])
        known = np.isfinite(xy).all(axis=1)
        tile = np.floor(np.nan_to_num(xy, posinf=0.0, neginf=0.0) / self._side).astype(np.int64)
        before = self._tile[row]
        moved = np.flatnonzero(known & (tile != before).any(axis=1))
        if len(moved) == 0:
            return
        for number, (x, y) in zip(row[moved].tolist(), before[moved].tolist(), strict=True):
            if x != _NOWHERE:
                self._rows[x, y].remove(number)
        # Those that come to one tile come together.
        moved = moved[np.lexsort(tile[moved].T)]
        ends = np.flatnonzero((tile[moved[1:]] != tile[moved[:-1]]).any(axis=1)) + 1
        for part in np.split(moved, ends):
            for x, y in tile[part[:1]].tolist():
                self._rows.setdefault((x, y), []).extend(row[part].tolist())
        self._tile[row[moved]] = tile[moved]

    def near(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the rows, rising, of all tiles that a box touches, arcsec."""
        (x0, y0), (x1, y1) = (
            np.floor(np.array(edge) / self._side).astype(np.int64).tolist() for edge in (low, high)
        )
        if (x1 - x0 + 1) * (y1 - y0 + 1) > len(self._rows):
            touched = (rows for (x, y), rows in self._rows.items() if x0 <= x <= x1 and y0 <= y <= y1)
        else:
            keys = ((x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1))
            touched = (self._rows.get(key, []) for key in keys)
        return np.sort(np.array([row for rows in touched for row in rows], dtype=np.int64))


def box_of(xy: NDArray[np.float64], margin: float) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return corners of the box around finite positions (N, 2), and a margin; None if there are none."""
    known = xy[np.isfinite(xy).all(axis=1)]
    return (known.min(axis=0) - margin, known.max(axis=0) + margin) if len(known) else None


class UnitedSources:
    """A list of sources that others are united with.

    Parameters
    ----------
    first : SeenSources
        The sources to begin with, on the list's frame.
    """

    def __init__(self, first: SeenSources) -> None:
        self._n = 0
        self._numbers = np.zeros((5, max(2 * len(first.count), 16)))
        self._count = np.zeros(self._numbers.shape[1], dtype=np.int64)
        self._tiles = Tiles.for_list(first.positions.xy)
        self.n_twice = 0
        self._append(first)

    def __len__(self) -> int:
        return self._n

    def seen(self, rows: NDArray[np.int64] | slice = slice(None)) -> SeenSources:
        """Return the sources, or some rows of them, as they now are."""
        x, y, error, mag, epoch = self._numbers[:, : self._n][:, rows]
        positions = PlaneList(np.column_stack([x, y]), error.copy(), mag.copy(), epoch.copy())
        return SeenSources(positions, self._count[: self._n][rows].copy())

    def near(self, xy: NDArray[np.float64], margin: float) -> NDArray[np.int64]:
        """Return the rows within a margin of the box around positions (N, 2), arcsec, and some beyond."""
        box = box_of(xy, margin)
        return np.zeros(0, np.int64) if box is None else self._tiles.near(*box)

    def same(self, other: PlaneList, radius: float) -> NDArray[np.int64]:
        """Return pairs (K, 2) of rows of this list and of another that coincide within a radius, arcsec."""
        rows = self.near(other.xy, radius)
        pairs = mutual_nearest(self._numbers[:2, rows].T, other.xy, radius)
        return np.column_stack([rows[pairs[:, 0]], pairs[:, 1]])

    def join(self, other: SeenSources, same: NDArray[np.int64]) -> None:
        """Take in others; those that are the same become one, at the weighted mean position.

        Parameters
        ----------
        other : SeenSources
            The others.
        same : (K, 2) ndarray of int
            As `same` gives them.
        """
        i, j = same.T
        theirs = other.positions
        mine = self._numbers[:, i]
        wa, wb = mine[2] ** -2.0, theirs.error[j] ** -2.0
        share = wb / (wa + wb)
        before = self._count[i]
        self._numbers[:2, i] += share * (theirs.xy[j].T - mine[:2])
        self._numbers[2, i] = (wa + wb) ** -0.5
        self._numbers[3, i] = np.fmin(mine[3], theirs.mag[j])
        self._numbers[4, i] += share * (theirs.epoch[j] - mine[4])
        self._count[i] += other.count[j]
        self.n_twice += int(((before < 2) & (self._count[i] > 1)).sum())
        self._tiles.put(i, self._numbers[:2, i].T)
        is_new = np.ones(len(theirs), dtype=bool)
        is_new[j] = False
        self._append(other.rows(np.flatnonzero(is_new)))

    def _append(self, more: SeenSources) -> None:
        positions, end = more.positions, self._n + len(more.count)
        if end > self._numbers.shape[1]:
            wider = np.zeros((5, 2 * end - self._numbers.shape[1]))
            self._numbers = np.concatenate([self._numbers, wider], axis=1)
            self._count = np.concatenate([self._count, np.zeros(wider.shape[1], np.int64)])
        new = slice(self._n, end)
        self._numbers[:, new] = *positions.xy.T, positions.error, positions.mag, positions.epoch
        self._count[new] = more.count
        self._tiles.put(np.arange(self._n, end), positions.xy)
        self.n_twice += int((more.count > 1).sum())
        self._n = end


def united(lists: Iterable[PlaneList], radius: float) -> SeenSources:
    """Unite the sources of several exposures.

    Parameters
    ----------
    lists : iterable of PlaneList
        At least one.
    radius : float, arcsec
        Within which two sources are one.
    """
    return united_growing(lists, radius).seen()


def united_growing(lists: Iterable[PlaneList], radius: float) -> UnitedSources:
    """Unite the sources of several exposures to a list that may grow; as `united`."""
    first, *others = lists
    out = UnitedSources(SeenSources.by_one(first))
    for own in others:
        out.join(SeenSources.by_one(own), out.same(own, radius))
    return out
