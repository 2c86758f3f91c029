"""Bring pointings roughly onto common frames: match neighbours and merge, most overlap first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from grism_align.algorithms.matching.match import match_lists, mutual_nearest
from grism_align.algorithms.relative.dithers import MatchDoubts, believed_shift
from grism_align.values.errors import AlignmentError
from grism_align.values.plane_list import PlaneList
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.matching.match import ListMatch
    from grism_align.algorithms.relative.members import NetworkInput, PointingSources
    from grism_align.values.failure import Remark
    from grism_align.values.settings import MatchSettings


#: With this many sources seen by two exposures, those seen once, cosmic rays among them, are left out.
ENOUGH_CONFIRMED = 20
# So near to the edge of a chip, in arcsec, an exposure may miss a source.
_EDGE = 1.0


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
        return replace(self, positions=self.positions.moved(transform))

    def joined(self, other: SeenSources, radius: float) -> SeenSources:
        """Unite two lists; sources that coincide become one, at the weighted mean position."""
        a, b = self.positions, other.positions
        i, j = mutual_nearest(a.xy, b.xy, radius).T
        wa, wb = a.error[i] ** -2.0, b.error[j] ** -2.0
        share = wb / (wa + wb)
        xy, error, mag, epoch = (array.copy() for array in (a.xy, a.error, a.mag, a.epoch))
        count = self.count.copy()
        xy[i] += share[:, None] * (b.xy[j] - a.xy[i])
        epoch[i] += share * (b.epoch[j] - a.epoch[i])
        error[i] = (wa + wb) ** -0.5
        mag[i] = np.fmin(mag[i], b.mag[j])
        count[i] += other.count[j]
        alone = np.setdiff1d(np.arange(len(b)), j)
        merged = PlaneList.joined([PlaneList(xy, error, mag, epoch), b.rows(alone)])
        return SeenSources(merged, np.concatenate([count, other.count[alone]]))


def united(lists: Iterable[PlaneList], radius: float) -> SeenSources:
    """Unite the sources of several exposures.

    Parameters
    ----------
    lists : iterable of PlaneList
        At least one.
    radius : float, arcsec
        Within which two sources are one.
    """
    first, *others = (SeenSources.by_one(own) for own in lists)
    for own in others:
        first = first.joined(own, radius)
    return first


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

    def confirmed(self, pointings: Sequence[PointingSources]) -> PlaneList:
        """Choose the sources worth matching.

        Those are left out that one exposure saw, and another one that looked there did not, where enough
        were seen twice. In the overlap with other fields, one exposure alone may have looked.

        Parameters
        ----------
        pointings : sequence of PointingSources
            All pointings.
        """
        positions, twice = self.seen.positions, self.seen.count > 1
        if twice.sum() < ENOUGH_CONFIRMED:
            return positions
        looked = np.zeros(len(positions), dtype=np.int64)
        for number, transform in self.members.items():
            for footprint in pointings[number].footprints:
                looked += footprint.moved(transform).holds(positions.xy, _EDGE)
        return positions.rows(np.flatnonzero(twice | (looked < 2)))

    def part(self, numbers: Iterable[int]) -> Cluster:
        """Keep some of the pointings, on the same frame."""
        return Cluster({n: self.members[n] for n in numbers}, self.seen)

    def moved(self, transform: LinearTransform) -> Cluster:
        """Move the frame."""
        members = {number: before.then(transform) for number, before in self.members.items()}
        return Cluster(members, self.seen.moved(transform))


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
        Why the last attempt to match a pointing failed.
    """
    pointings, plane = field.pointings, field.plane
    clusters = {
        number: Cluster({number: LinearTransform.identity(plane)}, united(one.lists, settings.tolerance))
        for number, one in enumerate(pointings)
    }
    home = list(range(len(pointings)))
    remarks: dict[int, Remark] = {}
    tried: set[tuple[int, int, int, int]] = set()
    for i, j in _neighbours(pointings, settings):
        # The smaller moves: it is less to move.
        b, a = sorted((home[i], home[j]), key=lambda number: len(clusters[number].members))
        attempt = (a, len(clusters[a].members), b, len(clusters[b].members))
        if a == b or attempt in tried:
            continue
        tried.add(attempt)
        try:
            joined = _joined(clusters[a], clusters[b], field, settings)
        except AlignmentError as error:
            remarks.update(dict.fromkeys([*clusters[a].members, *clusters[b].members], error.remark))
            continue
        clusters[a] = joined
        for number in clusters.pop(b).members:
            home[number] = a
    return list(clusters.values()), remarks


def _neighbours(pointings: Sequence[PointingSources], settings: MatchSettings) -> list[tuple[int, int]]:
    """Find pairs of pointings whose sources may overlap, the best first."""
    filled = [number for number, one in enumerate(pointings) if len(one.sources)]
    if len(filled) < 2:
        return []
    centers = np.array([pointings[n].center for n in filled])
    reach = [
        float(np.hypot(*(pointings[n].sources.xy - c).T).max()) for n, c in zip(filled, centers, strict=True)
    ]
    pairs = cKDTree(centers).query_pairs(2 * max(reach) + settings.search_radius)

    def rank(pair: tuple[int, int]) -> tuple[bool, float]:
        i, j = pair
        apart = float(np.hypot(*(centers[i] - centers[j])))
        return pointings[filled[i]].visit != pointings[filled[j]].visit, apart

    return [(filled[i], filled[j]) for i, j in sorted(pairs, key=rank)]


def _joined(first: Cluster, second: Cluster, field: NetworkInput, settings: MatchSettings) -> Cluster:
    """Bring both clusters onto the frame of the first."""
    near = _near(first, second, field, settings)
    try:
        match = _matched(first, second, field, near)
    except AlignmentError:
        if near is settings:
            raise
        match = _matched(first, second, field, settings)
    moved = second.moved(match.transform)
    seen = first.seen.joined(moved.seen, settings.tolerance)
    more = seen.count[: len(first.seen.count)] - first.seen.count
    once = (more == 1) & (first.seen.count == 1)
    seen_once = bool(2 * once.sum() > (more > 0).sum())
    doubts = MatchDoubts(field, len(match.pairs), seen_once=seen_once)
    doubts.check(first.members, moved.members)
    return Cluster({**first.members, **moved.members}, seen)


def _near(first: Cluster, second: Cluster, field: NetworkInput, settings: MatchSettings) -> MatchSettings:
    """Look no farther than dithers can err, where the clusters have a guide-star acquisition in common."""
    one, other = ({field.pointings[n].acquisition for n in each.members} for each in (first, second))
    limit = believed_shift(field.errors)
    if one.isdisjoint(other) or limit >= settings.search_radius:
        return settings
    return replace(settings, search_radius=limit)


def _matched(first: Cluster, second: Cluster, field: NetworkInput, settings: MatchSettings) -> ListMatch:
    """Match the confirmed sources of two clusters, or all if these don't match."""
    chosen = second.confirmed(field.pointings), first.confirmed(field.pointings)
    every = second.seen.positions, first.seen.positions
    try:
        return match_lists(*chosen, field.plane, settings)
    except AlignmentError:
        if chosen == every:
            raise
        return match_lists(*every, field.plane, settings)
