"""Which measurements are of one source, and of which star of a catalog, once frames lie on the catalog."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.epoch import positions_at
from grism_align.algorithms.matching.match import LEAST_RADIUS, mutual_nearest
from grism_align.algorithms.relative.united import Tiles, box_of

# Of the nearest star, arcsec, both ways.
_PARALLAX = 2.0

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.absolute.measured import MeasuredSources
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.transform import LinearTransform, TangentPlane


def on_catalog(
    frames: Sequence[Sequence[MeasuredSources]], ties: Sequence[LinearTransform]
) -> list[MeasuredSources]:
    """Move what the exposures of all frames measured to where the ties of these to a catalog put it.

    Parameters
    ----------
    frames : sequence of sequence of MeasuredSources
        The exposures of each frame.
    ties : sequence of LinearTransform
        What takes each frame to the catalog, all in one plane.

    Returns
    -------
    list of MeasuredSources
        Frame by frame. A source that several frames saw has one number, and counts as matched.
    """
    moved = [[one.moved(tie) for one in sources] for sources, tie in zip(frames, ties, strict=True)]
    same = _same_sources(moved)
    return [_renumbered(one, same) for sources in moved for one in sources]


def _same_sources(frames: Sequence[Sequence[MeasuredSources]]) -> dict[int, int]:
    """Map the number of each source in a later frame to that of the same source in an earlier one."""
    places = [_mean_places(sources) for sources in frames]
    same: dict[int, int] = {}
    for later, (numbers, xy) in enumerate(places):
        for earlier_numbers, earlier_xy in places[:later]:
            pairs = mutual_nearest(xy, earlier_xy, LEAST_RADIUS)
            found = zip(numbers[pairs[:, 0]].tolist(), earlier_numbers[pairs[:, 1]].tolist(), strict=True)
            for number, earlier in found:
                same.setdefault(number, same.get(earlier, earlier))
    return same


def _mean_places(sources: Sequence[MeasuredSources]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return numbers (N,) and mean positions (N, 2), arcsec, of a frame's sources."""
    number = np.concatenate([one.number for one in sources])
    xy = np.concatenate([one.xy for one in sources])[number >= 0]
    numbers, index = np.unique(number[number >= 0], return_inverse=True)
    count = np.maximum(np.bincount(index.ravel(), minlength=len(numbers)), 1)
    mean = [np.bincount(index.ravel(), axis, len(numbers)) / count for axis in xy.T]
    return numbers, np.column_stack(mean)


def _renumbered(one: MeasuredSources, same: Mapping[int, int]) -> MeasuredSources:
    if not same:
        return one
    shared = np.isin(one.number, np.array([*same, *same.values()]))
    number = np.array([same.get(n, n) for n in one.number.tolist()], dtype=np.int64)
    return replace(one, number=number, matched=one.matched | shared)


def identified(
    sources: Sequence[MeasuredSources], catalog: ReferenceCatalog, plane: TangentPlane, radius: float
) -> list[NDArray[np.int64]]:
    """Find the row of the catalog for each measurement of each exposure.

    Every exposure is looked up where the stars were at its own time. Matched measurements of one source are
    one star, whichever most of them are near to; a star that the relative alignment took for two sources,
    since it had moved, is one again.

    Parameters
    ----------
    sources : sequence of MeasuredSources
        As `on_catalog` gives them.
    catalog : ReferenceCatalog
        The reference.
    plane : TangentPlane
        Of the sources.
    radius : float, arcsec
        Within which a star and a source are one.

    Returns
    -------
    list of (M,) ndarray of int
        Rows, -1 for none; no row twice in an exposure.
    """
    stars = Stars(catalog, plane, sources)
    found = [stars.nearest(one, radius) for one in sources]
    row_of = _by_majority(sources, found)
    rows = []
    for one, near in zip(sources, found, strict=True):
        voted = np.array([row_of.get(n, -1) for n in one.number.tolist()], dtype=np.int64)
        mine = np.where(one.matched, voted, near)
        rows.append(_without_repeats(mine, near))
    return rows


class Stars:
    """The stars of a catalog, by where they are at the times of some exposures."""

    def __init__(
        self, catalog: ReferenceCatalog, plane: TangentPlane, sources: Sequence[MeasuredSources]
    ) -> None:
        self._catalog, self._plane = catalog, plane
        times = [one.time for one in sources]
        first, last = (plane.to_plane(positions_at(catalog, year)) for year in (min(times), max(times)))
        self._tiles = Tiles.for_list(next((one.xy for one in sources if len(one)), first))
        self._tiles.put(np.arange(len(catalog)), first)
        # In between they go nearly straight on, but for their parallax.
        moved = np.hypot(*(last - first).T)
        self._moved = _PARALLAX + float(np.max(moved[np.isfinite(moved)], initial=0.0))

    def nearest(self, one: MeasuredSources, radius: float) -> NDArray[np.int64]:
        """Return the row (M,) of the star that each source of an exposure is, -1 for none."""
        row = np.full(len(one), -1, dtype=np.int64)
        box = box_of(one.xy, radius + self._moved)
        near = self._tiles.near(*box) if box is not None else row[:0]
        if len(near):
            there = self._plane.to_plane(positions_at(self._catalog[near], one.time))
            pairs = mutual_nearest(one.xy, there, radius)
            row[pairs[:, 0]] = near[pairs[:, 1]]
        return row


def _by_majority(sources: Sequence[MeasuredSources], found: Sequence[NDArray[np.int64]]) -> dict[int, int]:
    """Choose the row of each matched source: that of most of its measurements, half of them at least."""
    number = np.concatenate([one.number[one.matched] for one in sources])
    row = np.concatenate([near[one.matched] for one, near in zip(sources, found, strict=True)])
    count = dict(zip(*(part.tolist() for part in np.unique(number, return_counts=True)), strict=True))
    votes, times = np.unique(np.column_stack([number, row])[row >= 0], axis=0, return_counts=True)
    best: dict[int, int] = {}
    for index in np.argsort(times, kind="stable").tolist():
        n, r = votes[index].tolist()
        if 2 * times[index] >= count[n]:
            best[n] = r
    return best


def _without_repeats(rows: NDArray[np.int64], near: NDArray[np.int64]) -> NDArray[np.int64]:
    """Take each row once: a star that two sources of one exposure claim is the one next to it."""
    out = rows.copy()
    claimed, times = np.unique(rows[rows >= 0], return_counts=True)
    for row in claimed[times > 1].tolist():
        out[(rows == row) & (near != row)] = -1
    return out
