"""Bring exposures roughly onto common frames: match neighbours and merge, most overlap first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from grism_align.algorithms.matching.match import match_lists, mutual_nearest
from grism_align.values.errors import AlignmentError
from grism_align.values.plane_list import PlaneList
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from grism_align.values.failure import Remark
    from grism_align.values.settings import MatchSettings
    from grism_align.values.transform import TangentPlane

__all__ = ["ENOUGH_CONFIRMED", "Cluster", "merge_all", "merged_sources"]

#: With this many sources seen by two exposures, those seen once, cosmic rays among them, are left out.
ENOUGH_CONFIRMED = 20


@dataclass(frozen=True, eq=False)
class Cluster:
    """Exposures on one frame.

    Parameters
    ----------
    members : dict of int to LinearTransform
        Number of each exposure and what takes it to the frame.
    sources : PlaneList
        The sources seen, merged.
    count : (N,) ndarray of int
        Exposures that saw each source.
    """

    members: dict[int, LinearTransform]
    sources: PlaneList
    count: NDArray[np.int64]

    def confirmed(self) -> PlaneList:
        """The sources worth matching: those seen twice, where there are enough."""
        seen = np.flatnonzero(self.count > 1)
        return self.sources.rows(seen) if len(seen) >= ENOUGH_CONFIRMED else self.sources

    def part(self, numbers: Iterable[int]) -> Cluster:
        """Some of the exposures, on the same frame."""
        return Cluster({n: self.members[n] for n in numbers}, self.sources, self.count)

    def moved(self, transform: LinearTransform) -> Cluster:
        """The cluster with its frame moved."""
        members = {number: before.then(transform) for number, before in self.members.items()}
        return Cluster(members, self.sources.moved(transform), self.count)


def merge_all(
    lists: Sequence[PlaneList], visits: Sequence[str], plane: TangentPlane, settings: MatchSettings
) -> tuple[list[Cluster], dict[int, Remark]]:
    """Merge exposures into as few frames as matches allow.

    Pairs of one visit come first, since their pointing agrees best; among equals, those nearest on the
    sky. A failed pair costs nothing: others may tie the same frames.

    Parameters
    ----------
    lists : sequence of PlaneList
        Sources of each exposure in the common plane, a priori positions.
    visits : sequence of str
        Visit of each exposure.
    plane : TangentPlane
        The plane.
    settings : MatchSettings
        The parameters.

    Returns
    -------
    clusters : list of Cluster
        Every exposure is in one.
    remarks : dict of int to Remark
        Why the last attempt to match an exposure failed.
    """
    clusters = {
        number: Cluster({number: LinearTransform.identity(plane)}, sources, np.ones(len(sources), np.int64))
        for number, sources in enumerate(lists)
    }
    home = list(range(len(lists)))
    remarks: dict[int, Remark] = {}
    tried: set[tuple[int, int, int, int]] = set()
    for i, j in _neighbours(lists, visits, settings):
        # The smaller moves: it is less to move.
        b, a = sorted((home[i], home[j]), key=lambda number: len(clusters[number].members))
        attempt = (a, len(clusters[a].members), b, len(clusters[b].members))
        if a == b or attempt in tried:
            continue
        tried.add(attempt)
        try:
            joined = _joined(clusters[a], clusters[b], plane, settings)
        except AlignmentError as error:
            remarks.update(dict.fromkeys([*clusters[a].members, *clusters[b].members], error.remark))
            continue
        clusters[a] = joined
        for number in clusters.pop(b).members:
            home[number] = a
    return list(clusters.values()), remarks


def _neighbours(
    lists: Sequence[PlaneList], visits: Sequence[str], settings: MatchSettings
) -> list[tuple[int, int]]:
    """Pairs of exposures whose sources may overlap, the best first."""
    filled = [number for number, sources in enumerate(lists) if len(sources)]
    if len(filled) < 2:
        return []
    centers = np.array([lists[number].xy.mean(axis=0) for number in filled])
    reach = [float(np.hypot(*(lists[n].xy - c).T).max()) for n, c in zip(filled, centers, strict=True)]
    pairs = cKDTree(centers).query_pairs(2 * max(reach) + settings.search_radius)

    def rank(pair: tuple[int, int]) -> tuple[bool, float]:
        i, j = pair
        return visits[filled[i]] != visits[filled[j]], float(np.hypot(*(centers[i] - centers[j])))

    return [(filled[i], filled[j]) for i, j in sorted(pairs, key=rank)]


def _joined(first: Cluster, second: Cluster, plane: TangentPlane, settings: MatchSettings) -> Cluster:
    """Both clusters on the frame of the first."""
    match = match_lists(second.confirmed(), first.confirmed(), plane, settings)
    moved = second.moved(match.transform)
    sources, count = merged_sources(
        (first.sources, first.count), (moved.sources, moved.count), settings.tolerance
    )
    return Cluster({**first.members, **moved.members}, sources, count)


def merged_sources(
    first: tuple[PlaneList, NDArray[np.int64]], second: tuple[PlaneList, NDArray[np.int64]], radius: float
) -> tuple[PlaneList, NDArray[np.int64]]:
    """Union of two lists; sources that coincide become one, at the weighted mean position."""
    (a, a_count), (b, b_count) = first, second
    pairs = mutual_nearest(a.xy, b.xy, radius)
    i, j = pairs.T
    wa, wb = a.error[i] ** -2.0, b.error[j] ** -2.0
    share = wb / (wa + wb)
    xy, error, mag, epoch, count = (array.copy() for array in (a.xy, a.error, a.mag, a.epoch, a_count))
    xy[i] += share[:, None] * (b.xy[j] - a.xy[i])
    epoch[i] += share * (b.epoch[j] - a.epoch[i])
    error[i] = (wa + wb) ** -0.5
    mag[i] = np.fmin(mag[i], b.mag[j])
    count[i] += b_count[j]
    alone = b.rows(np.setdiff1d(np.arange(len(b)), j))
    merged = PlaneList(
        np.concatenate([xy, alone.xy]),
        np.concatenate([error, alone.error]),
        np.concatenate([mag, alone.mag]),
        np.concatenate([epoch, alone.epoch]),
    )
    return merged, np.concatenate([count, np.delete(b_count, j)])
