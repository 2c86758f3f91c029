"""Bring pointings roughly onto common frames: match neighbours and merge, most overlap first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from grism_align.algorithms.matching.match import farthest_partner, match_lists
from grism_align.algorithms.relative.dithers import MatchDoubts, believed_shift
from grism_align.algorithms.relative.united import SeenSources, Tiles, box_of, united_growing
from grism_align.values.errors import AlignmentError
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.matching.match import ListMatch
    from grism_align.algorithms.relative.members import NetworkInput, PointingSources
    from grism_align.values.failure import Remark
    from grism_align.values.settings import MatchSettings


#: With this many sources seen by two exposures, those seen once, cosmic rays among them, are left out.
ENOUGH_CONFIRMED = 20
# So near to the edge of a chip, in arcsec, an exposure may miss a source.
_EDGE = 1.0
# Pairs of pointings that are looked at together: most of them are of one cluster before long.
_PAIRS = 4096


@dataclass(frozen=True, eq=False)
class Cluster:
    """Pointings on one frame.

    Parameters
    ----------
    members : dict of int to LinearTransform
        Number of each pointing and what takes it to the frame.
    seen : SeenSources
        The sources seen, merged.
    """

    members: dict[int, LinearTransform]
    seen: SeenSources

    def part(self, numbers: Iterable[int]) -> Cluster:
        """Keep some of the pointings, on the same frame."""
        return Cluster({n: self.members[n] for n in numbers}, self.seen)


class Merging:
    """Pointings that are being merged onto one frame.

    Parameters
    ----------
    number : int
        The first pointing, which has the frame.
    field : NetworkInput
        All pointings.
    radius : float, arcsec
        Within which two sources are one.
    """

    def __init__(self, number: int, field: NetworkInput, radius: float) -> None:
        self._field, self._radius = field, radius
        first = field.pointings[number]
        self.members = {number: LinearTransform.identity(field.plane)}
        self.sources = united_growing(first.lists, radius)
        self.acquisitions: dict[Hashable, list[int]] = {first.acquisition: [number]}
        # Members with sources, where these are, and how far the widest of them reaches.
        self._placed: list[int] = []
        self._places = Tiles.for_list(first.sources.xy)
        self._reach = 0.0
        self._place([number])

    def _place(self, numbers: Sequence[int]) -> None:
        filled = [number for number in numbers if len(self._field.pointings[number].sources)]
        centers = []
        for number in filled:
            pointing = self._field.pointings[number]
            corners = [footprint.corners for footprint in pointing.footprints]
            self._reach = max(
                self._reach, pointing.reach, *(_distance(own, pointing.center) for own in corners)
            )
            centers.append(self.members[number].apply(pointing.center))
        self._places.put(len(self._placed) + np.arange(len(filled)), np.reshape(centers, (-1, 2)))
        self._placed += filled

    def near(self, xy: NDArray[np.float64], margin: float) -> list[int]:
        """Return the members that look at what is within a margin of a box around positions, or more."""
        box = box_of(xy, margin + self._reach)
        return [] if box is None else [self._placed[place] for place in self._places.near(*box)]

    def confirmed(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Choose the sources worth matching among some rows.

        Those are left out that one exposure saw, and another one that looked there did not, where enough
        were seen twice. In the overlap with other fields, one exposure alone may have looked.

        Parameters
        ----------
        rows : (N,) ndarray of int
            Rows of the sources.
        """
        if self.sources.n_twice < ENOUGH_CONFIRMED:
            return rows
        seen = self.sources.seen(rows)
        once = np.flatnonzero(seen.count < 2)
        xy = seen.positions.xy[once]
        looked = np.zeros(len(once), dtype=np.int64)
        for number in self.near(xy, _EDGE):
            for footprint in self._field.pointings[number].footprints:
                looked += footprint.moved(self.members[number]).holds(xy, _EDGE)
        return np.asarray(np.delete(rows, once[looked > 1]))

    def take(self, other: Merging, transform: LinearTransform, n_matched: int) -> None:
        """Take in what a transform brings onto this frame.

        Parameters
        ----------
        other : Merging
            Other pointings.
        transform : LinearTransform
            From their frame.
        n_matched : int
            Sources that say so.

        Raises
        ------
        ImplausibleMatchError
            If the pointing does not allow it.
        """
        # Errors of rough corrections are of no account.
        transform = replace(transform, covariance=np.zeros((6, 6)))
        theirs = other.sources.seen().moved(transform)
        same = self.sources.same(theirs.positions, self._radius)
        once = (theirs.count[same[:, 1]] == 1) & (self.sources.seen(same[:, 0]).count == 1)
        moved = {number: before.then(transform) for number, before in other.members.items()}
        doubts = MatchDoubts(self._field, n_matched, seen_once=bool(2 * once.sum() > len(same)))
        alike = {n for name in other.acquisitions for n in self.acquisitions.get(name, ())}
        # What is fixed to the pixels of two exposures brings them to one place.
        alike.update(self.near(theirs.positions.xy, 0.0) if doubts.seen_once else ())
        doubts.check({n: self.members[n] for n in sorted(alike)}, moved)
        self.sources.join(theirs, same)
        self.members.update(moved)
        for name, numbers in other.acquisitions.items():
            self.acquisitions.setdefault(name, []).extend(numbers)
        self._place(list(moved))

    def cluster(self) -> Cluster:
        """Return what was merged."""
        return Cluster(self.members, self.sources.seen())


def _distance(xy: NDArray[np.float64], center: NDArray[np.float64]) -> float:
    return float(np.hypot(*(xy - center).T).max())


def merge_all(field: NetworkInput, settings: MatchSettings) -> tuple[list[Cluster], dict[int, Remark]]:
    """Merge pointings into as few frames as matches allow.

    Pairs of one visit come first, since their pointing agrees best; among equals, those nearest on the
    sky. A failed pair costs nothing: others may tie the same frames.

    Parameters
    ----------
    field : NetworkInput
        The pointings, with what was measured at a priori positions.
    settings : MatchSettings
        The parameters.

    Returns
    -------
    clusters : list of Cluster
        Every pointing is in one.
    remarks : dict of int to Remark
        For pointings that are alone, why the last attempt to match them failed.
    """
    merging: dict[int, Merging] = {}
    home = np.arange(len(field.pointings))
    remarks: dict[int, Remark] = {}
    tried: set[tuple[int, int, int, int]] = set()
    for i, j in _apart(home, neighbours(field.pointings, settings)):
        # Of those that are not yet needed, sources and places would fill the memory.
        for number in {i, j} - merging.keys():
            merging[number] = Merging(number, field, settings.tolerance)
        # The smaller moves: it is less to move.
        b, a = sorted((i, j), key=lambda number: len(merging[number].members))
        first, second = merging[a], merging[b]
        attempt = (a, len(first.members), b, len(second.members))
        if attempt in tried:
            continue
        tried.add(attempt)
        try:
            _join(first, second, field, settings)
        except AlignmentError as error:
            alone = [next(iter(one.members)) for one in (first, second) if len(one.members) == 1]
            remarks.update(dict.fromkeys(alone, error.remark))
            continue
        home[list(merging.pop(b).members)] = a
    left = np.unique(home).tolist()
    clusters = [(merging.get(n) or Merging(n, field, settings.tolerance)).cluster() for n in left]
    lone = {next(iter(one.members)) for one in clusters if len(one.members) == 1}
    return clusters, {number: remark for number, remark in remarks.items() if number in lone}


def _apart(home: NDArray[np.int64], pairs: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the homes of pairs (K, 2) that are not at one, as they are when it is their turn."""
    for first in range(0, len(pairs), _PAIRS):
        i, j = pairs[first : first + _PAIRS].T
        apart = home[i] != home[j]
        for m, n in zip(i[apart].tolist(), j[apart].tolist(), strict=True):
            if home[m] != home[n]:
                yield int(home[m]), int(home[n])


def neighbours(pointings: Sequence[PointingSources], settings: MatchSettings) -> NDArray[np.int64]:
    """Find pairs (K, 2) of pointings whose sources may overlap, the best first.

    Parameters
    ----------
    pointings : sequence of PointingSources
        What was measured.
    settings : MatchSettings
        How far to search.
    """
    filled = np.array([number for number, one in enumerate(pointings) if len(one.sources)], dtype=np.int64)
    if len(filled) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    centers = np.array([pointings[n].center for n in filled])
    reach = max(pointings[n].reach for n in filled)
    pairs = cKDTree(centers).query_pairs(2 * reach + settings.search_radius, output_type="ndarray")
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    _, visit = np.unique([pointings[n].visit for n in filled], return_inverse=True)
    i, j = pairs.T
    apart = np.hypot(*(centers[i] - centers[j]).T)
    order = np.lexsort([apart, visit.ravel()[i] != visit.ravel()[j]])
    return np.asarray(filled[pairs[order]])


def _join(first: Merging, second: Merging, field: NetworkInput, settings: MatchSettings) -> None:
    """Bring all pointings onto the frame of the first."""
    near = _near(first, second, field, settings)
    try:
        match = _matched(first, second, field, near)
    except AlignmentError:
        if near is settings:
            raise
        match = _matched(first, second, field, settings)
    first.take(second, match.transform, len(match.pairs))


def _near(first: Merging, second: Merging, field: NetworkInput, settings: MatchSettings) -> MatchSettings:
    """Look no farther than dithers can err, where both have a guide-star acquisition in common."""
    limit = believed_shift(field.errors)
    if first.acquisitions.keys().isdisjoint(second.acquisitions) or limit >= settings.search_radius:
        return settings
    return replace(settings, search_radius=limit)


def _matched(first: Merging, second: Merging, field: NetworkInput, settings: MatchSettings) -> ListMatch:
    """Match the confirmed sources of two lists, or all if these don't match."""
    theirs = np.arange(len(second.sources))
    xy = second.sources.seen().positions.xy
    # Nothing farther away is looked at.
    mine = first.sources.near(xy, farthest_partner(xy, settings))
    every = theirs, mine
    chosen = second.confirmed(theirs), first.confirmed(mine)

    def match(rows: tuple[NDArray[np.int64], NDArray[np.int64]]) -> ListMatch:
        own, onto = (one.sources.seen(r).positions for one, r in zip((second, first), rows, strict=True))
        return match_lists(own, onto, field.plane, settings)

    try:
        return match(chosen)
    except AlignmentError:
        if all(map(np.array_equal, chosen, every)):
            raise
        return match(every)
