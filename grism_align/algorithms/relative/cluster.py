"""Bring pointings roughly onto common frames: match neighbours and merge, most overlap first."""

from __future__ import annotations

from copy import copy
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
    from grism_align.values.executor import Executor
    from grism_align.values.failure import Remark
    from grism_align.values.settings import MatchSettings


#: With this many sources seen by two exposures, those seen once, cosmic rays among them, are left out.
ENOUGH_CONFIRMED = 20
# So near to the edge of a chip, in arcsec, an exposure may miss a source.
_EDGE = 1.0
# Pairs of pointings that are looked at together: most of them are of one cluster before long.
_PAIRS = 4096
# From so many pointings on, visits are merged by whoever does the work on many exposures.
_MANY = 100


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

    def in_field(self, field: NetworkInput, numbers: Sequence[int]) -> Merging:
        """Return the same as pointings of a larger field, which has them by other numbers."""
        out = copy(self)
        out._field = field
        out.members = {numbers[n]: transform for n, transform in self.members.items()}
        out.acquisitions = {name: [numbers[n] for n in own] for name, own in self.acquisitions.items()}
        out._placed = [numbers[n] for n in self._placed]
        return out

    def cluster(self) -> Cluster:
        """Return what was merged."""
        return Cluster(self.members, self.sources.seen())


def _distance(xy: NDArray[np.float64], center: NDArray[np.float64]) -> float:
    return float(np.hypot(*(xy - center).T).max())


def merge_all(
    field: NetworkInput, settings: MatchSettings, executor: Executor | None = None
) -> tuple[list[Cluster], dict[int, Remark]]:
    """Merge pointings into as few frames as matches allow.

    Pairs of one visit come first, since their pointing agrees best; among equals, those nearest on the
    sky. A failed pair costs nothing: others may tie the same frames.

    Parameters
    ----------
    field : NetworkInput
        The pointings, with what was measured at a priori positions.
    settings : MatchSettings
        The parameters.
    executor : Executor, optional
        Who merges the pointings of each visit, where they are many.

    Returns
    -------
    clusters : list of Cluster
        Every pointing is in one.
    remarks : dict of int to Remark
        For pointings that are alone, why the last attempt to match them failed.
    """
    merger, pairs = _Merger(field, settings), neighbours(field.pointings, settings)
    visit = np.unique([one.visit for one in field.pointings], return_inverse=True)[1].ravel()
    within = visit[pairs[:, 0]] == visit[pairs[:, 1]]
    jobs = _visits(field, settings, pairs[within])
    elsewhere = executor if len(field.pointings) >= _MANY else None
    merged = (
        elsewhere.map(_visit_merged, jobs, "Matching") if elsewhere else map(_visit_merged, jobs.values())
    )
    for job, own in zip(jobs.values(), merged, strict=True):
        merger.take(own, job.numbers)
    merger.merge(pairs[~within])
    return merger.clusters()


@dataclass(frozen=True, eq=False)
class _Visit:
    """A visit's pointings as a field, their numbers in the whole one, and pairs (K, 2) of them here."""

    field: NetworkInput
    settings: MatchSettings
    numbers: list[int]
    pairs: NDArray[np.int64]


def _visits(field: NetworkInput, settings: MatchSettings, pairs: NDArray[np.int64]) -> dict[str, _Visit]:
    """Return the visits of which some pairs are, by name."""
    visits = {}
    name = np.array([field.pointings[n].visit for n in pairs[:, 0].tolist()])
    for one in np.unique(name):
        own = pairs[name == one]
        numbers = np.unique(own)
        part = replace(field, pointings=[field.pointings[n] for n in numbers])
        visits[str(one)] = _Visit(part, settings, numbers.tolist(), np.searchsorted(numbers, own))
    return visits


def _visit_merged(visit: _Visit) -> _Merger:
    merger = _Merger(visit.field, visit.settings)
    merger.merge(visit.pairs)
    return merger


class _Merger:
    """Pointings that are being merged onto as few frames as matches allow.

    Parameters
    ----------
    field : NetworkInput
        The pointings.
    settings : MatchSettings
        The parameters.
    """

    def __init__(self, field: NetworkInput, settings: MatchSettings) -> None:
        self._field, self._settings = field, settings
        # Those that were not yet needed are not there: their sources and places would fill the memory.
        self._merging: dict[int, Merging] = {}
        self._home = np.arange(len(field.pointings))
        self._remarks: dict[int, Remark] = {}

    def _at(self, number: int) -> Merging:
        if number not in self._merging:
            self._merging[number] = Merging(number, self._field, self._settings.tolerance)
        return self._merging[number]

    def take(self, part: _Merger, numbers: Sequence[int]) -> None:
        """Take over what was merged of a part of the field, whose pointings have these numbers here."""
        for number, one in part._merging.items():
            own = one.in_field(self._field, numbers)
            self._merging[numbers[number]] = own
            self._home[list(own.members)] = numbers[number]
        self._remarks |= {numbers[number]: remark for number, remark in part._remarks.items()}

    def merge(self, pairs: NDArray[np.int64]) -> None:
        """Merge what pairs (K, 2) of pointings tie, one after the other."""
        tried: set[tuple[int, int, int, int]] = set()
        for i, j in _apart(self._home, pairs):
            # The smaller moves: it is less to move.
            b, a = sorted((i, j), key=lambda number: len(self._at(number).members))
            first, second = self._at(a), self._at(b)
            attempt = (a, len(first.members), b, len(second.members))
            if attempt in tried:
                continue
            tried.add(attempt)
            try:
                _join(first, second, self._field, self._settings)
            except AlignmentError as error:
                alone = [next(iter(one.members)) for one in (first, second) if len(one.members) == 1]
                self._remarks.update(dict.fromkeys(alone, error.remark))
                continue
            self._home[list(self._merging.pop(b).members)] = a

    def clusters(self) -> tuple[list[Cluster], dict[int, Remark]]:
        """Return what was merged, and why those that are alone match no other."""
        clusters = [self._at(number).cluster() for number in np.unique(self._home).tolist()]
        lone = {next(iter(one.members)) for one in clusters if len(one.members) == 1}
        return clusters, {number: remark for number, remark in self._remarks.items() if number in lone}


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
