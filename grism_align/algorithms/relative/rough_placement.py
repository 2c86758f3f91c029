"""Detectors that see common sources farther from where others do than what is matched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from grism_align.algorithms.matching.pile import REACH, pile_of
from grism_align.algorithms.measuring.positions import source_positions
from grism_align.algorithms.propagation.poses import field_axes
from grism_align.algorithms.relative.united import united
from grism_align.values.catalog import UNRELIABLE
from grism_align.values.plane_list import PlaneList

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.matching.pile import Pile
    from grism_align.algorithms.relative.placement import Places
    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.solution import AlignmentSolution

# Sources of an exposure that are asked, the brightest; within so many arcsec, two of a detector are one.
_BRIGHTEST, _ONE = 100, 0.05
# Pairs that must agree; several may be of one source.
_FEWEST = 8
# Pairs with a detector that make it one of those that tell.
_FEWEST_OF_ONE = 3
# Of more sources within the reach, as many rolls make of one star, about so many chosen at random are paired.
_DENSEST = 40
# Rolls, deg, that differ by less are one.
_ROLL = 0.1
# Moves, arcsec, that differ by less are the same, and those that are smaller are none.
_SAME = 0.01
# Detectors that are off by so many of the errors that are expected are put in place, and in any case those
# that are off by so many arcsec: some of what is off by twice as much is not matched.
_FAR, _UNMATCHED = 3.0, 0.03


@dataclass(frozen=True, eq=False)
class FarOff:
    """By how much detectors are off that an alignment couldn't put in place; roughly.

    Parameters
    ----------
    offset : (D, 2) ndarray, arcsec
        What is to be added along V2 and V3; zero where a detector is in place, or nothing tells.
    n : (D,) ndarray of int
        How many differences agree on it.
    lost : (D, 2) ndarray, arcsec
        By how much those are off, or others against them, that nothing tells where to put.
    """

    offset: NDArray[np.float64]
    n: NDArray[np.int64]
    lost: NDArray[np.float64]

    @classmethod
    def none(cls, n_detectors: int) -> FarOff:
        """Return what is said of as many detectors that are in place."""
        return cls(
            np.zeros((n_detectors, 2)), np.zeros(n_detectors, dtype=np.int64), np.zeros((n_detectors, 2))
        )

    @property
    def apart(self) -> NDArray[np.float64]:
        """What sources are left apart by unless detectors are moved, (D, 2)."""
        return self.offset + self.lost

    def any(self) -> bool:
        """Tell whether one is to be moved."""
        return bool(self.offset.any())

    def is_as(self, before: FarOff) -> bool:
        """Tell whether moving detectors left them as far off as they were before."""
        return self.any() and bool(np.abs(self.offset - before.offset).max() < _SAME)


def farther_off(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    solution: AlignmentSolution,
    places: Places,
) -> FarOff:
    """Find by how much detectors are off that an alignment couldn't put in place; roughly.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    catalogs : mapping of str to SourceCatalog
        Their sources.
    solution : AlignmentSolution
        Their relative alignment, with detectors in place.
    places : Places
        Where they are.

    Returns
    -------
    FarOff

    Notes
    -----
    Most pairs of a source of one detector and a source of another within the reach are one star. Their
    differences, in the telescope's field, pile up where the detector is off, while one that is in place has
    most of them at zero, whatever one of the others does. So the detector whose pairs agree best is moved
    first, and the others are compared with it there. Of two that see nothing but each other, and are not all
    of the camera, neither is moved.
    """
    found = FarOff.none(len(places))
    offset = found.offset
    pairs = _pairs(exposures, catalogs, solution, places)
    for _ in offset:
        piles = {number: pile for number in range(len(offset)) if (pile := pairs.pile(number, offset))}
        far = {n: one for n, one in piles.items() if is_far(one.place, places)}
        partners = {n: pairs.partners(n, one) for n, one in far.items()}
        alone = {
            n
            for n, others in partners.items()
            if places.mounts.count(places.mounts[n]) > 2
            and len(others) == 1
            and partners.get(others[0], []) == [n]
        }
        found.lost[:] = 0.0
        for number in alone:
            found.lost[number], found.n[number] = far[number].place, far[number].n
        movable = far.keys() - alone
        if not movable:
            break
        worst = max(sorted(movable), key=lambda number: far[number].share)
        offset[worst] += far[worst].place
        found.n[worst] = far[worst].n
    return found


def is_far(offset: NDArray[np.float64], places: Places) -> bool:
    """Tell whether a detector is off by more than is put right without looking farther.

    Parameters
    ----------
    offset : (2,) ndarray, arcsec
        Of its sources from what they should be.
    places : Places
        Where detectors are.
    """
    return bool(np.hypot(*offset) > np.clip(_FAR * places.prior_error, _SAME, _UNMATCHED))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Sources (N,) of detectors that others saw near, and from where to where, (N, 2) arcsec.

    `mine` and `other` are the numbers of their lists, of which `owner` (L,) are the detectors and `axes`
    (L, 2, 2) the directions of V2 and V3.
    """

    mine: NDArray[np.int64]
    other: NDArray[np.int64]
    apart: NDArray[np.float64]
    owner: NDArray[np.int64]
    axes: NDArray[np.float64]

    def pile(self, number: int, offset: NDArray[np.float64]) -> Pile | None:
        """Return where most partners of a detector's sources are, with all detectors moved."""
        own = np.flatnonzero(self.owner[self.mine] == number)
        moved = np.einsum("lij,lj->li", self.axes, offset[self.owner])[self.other[own]]
        to_field = np.linalg.inv(self.axes)[self.mine[own]]
        apart = np.einsum("nij,nj->ni", to_field, self.apart[own] + moved)
        return pile_of(apart - offset[number], _FEWEST)

    def partners(self, number: int, pile: Pile) -> list[int]:
        """Return the detectors that a pile of one is of."""
        others = self.owner[self.other[self.owner[self.mine] == number][pile.agrees]]
        names, count = np.unique(others, return_counts=True)
        return [int(name) for name in names[count >= _FEWEST_OF_ONE]]


def _pairs(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    solution: AlignmentSolution,
    places: Places,
) -> _Pairs:
    """Pair what each detector saw at each roll, a source once, with what others did."""
    seen: dict[tuple[int, int, int], list[Exposure]] = {}
    for one in exposures:
        fit, number = solution[one.key], places.number(one)
        if fit.is_aligned and number >= 0:
            along_x = field_axes(one, solution.plane)[0]
            roll = round(np.degrees(np.arctan2(*along_x)) / _ROLL)
            seen.setdefault((number, roll, fit.frame), []).append(one)
    lists = [
        united([_positions(one, catalogs[one.key], solution) for one in own], _ONE).positions.xy
        for own in seen.values()
    ]
    which = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    owner, frame = (np.array([key[part] for key in seen], dtype=np.int64) for part in (0, 2))
    axes = np.array([field_axes(own[0], solution.plane) for own in seen.values()]).reshape(-1, 2, 2)
    xy = np.concatenate([np.zeros((0, 2)), *lists])
    chosen = _thinned(xy)
    which, xy = which[chosen], xy[chosen]
    i, j = KDTree(xy).query_pairs(REACH, output_type="ndarray").T if len(xy) else np.zeros((2, 0), np.int64)
    mine, other = which[i], which[j]
    kept = (owner[mine] != owner[other]) & (frame[mine] == frame[other])
    i, j = np.concatenate([i[kept], j[kept]]), np.concatenate([j[kept], i[kept]])
    return _Pairs(which[i], which[j], xy[j] - xy[i], owner, axes)


def _thinned(xy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Choose about `_DENSEST` of the sources within the reach of each other, the same ones whenever asked."""
    if not len(xy):
        return np.zeros(0, dtype=np.bool_)
    around = KDTree(xy).query_ball_point(xy, REACH, return_length=True)
    return np.asarray(np.random.default_rng(0).uniform(size=len(xy)) * around < _DENSEST)


def _positions(exposure: Exposure, catalog: SourceCatalog, solution: AlignmentSolution) -> PlaneList:
    """Return where the brightest sources are in the plane of the alignment."""
    chosen = catalog.brightest(_BRIGHTEST, UNRELIABLE)
    sky, error = source_positions(exposure, chosen)
    transform = solution[exposure.key].transform
    assert transform is not None
    xy = transform.apply(transform.plane.to_plane(sky))
    return PlaneList(xy, error, chosen.mag, np.full(len(xy), exposure.epoch))
