"""How direct exposures stand to a grism exposure: in time, in pointing and in guide stars.

`poses` tells where the telescope pointed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.poses import (
    commanded_turn,
    detector_of,
    distance,
    facing,
    is_comparable,
    shared_side,
    turn,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure


_SECONDS_PER_DAY = 86400.0


class Relation(IntEnum):
    """What lies between a direct and a grism exposure, the least first.

    Attributes
    ----------
    SIMULTANEOUS
        Nothing: other detectors took the one while the other was taken.
    SAME_POINTING
        Nothing but time.
    OFFSET
        An offset of the telescope.
    OCCULTED
        An occultation in a visit, after which the same guide stars were acquired again.
    REACQUIRED
        Another visit with the same guide stars at the same roll.
    OTHER
        Other guide stars, another roll, or nobody knows.
    """

    SIMULTANEOUS = 0
    SAME_POINTING = 1
    OFFSET = 2
    OCCULTED = 3
    REACQUIRED = 4
    OTHER = 5


@dataclass(frozen=True)
class DirectCandidate:
    """A direct exposure as a grism exposure sees it.

    Parameters
    ----------
    exposure : Exposure
        The direct exposure.
    relation : Relation
        What lies between the two.
    idle_time : float, s
        Between the two; negative when the direct exposure came first.
    hours : float
        From the middle of the grism exposure to that of the direct one.
    mismatch : float, arcsec
        How far apart their pointings are, or their commands if they were commanded alike; infinite where
        that is more than the pairing radius.
    stay, orbit : str
        Key of the first exposure since the telescope was moved, or since an occultation.
    is_solid : bool
        Whether its own sources gave its correction.
    frame : int
        Number of its relative frame.
    variance : float, arcsec^2
        Of the shift of its correction against others of its acquisition, of one axis.
    bridge_variance : float, arcsec^2
        What getting from its WCS to that of the grism exposure adds.
    drift_share : float
        Share of the drift of gyros that the pointing had between the two.
    is_same_detector : bool
        Whether one detector of the camera took both.
    """

    exposure: Exposure
    relation: Relation
    idle_time: float
    hours: float
    mismatch: float
    stay: str
    orbit: str
    is_solid: bool = True
    frame: int = 0
    variance: float = 0.0
    bridge_variance: float = 0.0
    drift_share: float = 0.0
    is_same_detector: bool = True

    @property
    def key(self) -> str:
        """Root name of the direct exposure."""
        return self.exposure.key

    @property
    def came_first(self) -> bool:
        """Whether it was taken before the grism exposure."""
        return self.idle_time < 0 or (self.idle_time == 0 and self.hours <= 0)


def direct_candidates(
    grism: Exposure, exposures: Sequence[Exposure], pairing_radius: float
) -> tuple[DirectCandidate, ...]:
    """Find the direct exposures of the grism exposure's own guide-star acquisition, in the order of time.

    Parameters
    ----------
    grism : Exposure
        The dispersed exposure.
    exposures : sequence of Exposure
        Direct and grism exposures of any visit, in any order. The grism ones tell where the telescope
        was in between.
    pairing_radius : float, arcsec
        Exposures whose chip centres are nearer than this may be partners; without a common WCS solution
        they share a pointing.
    """
    acquisition = _acquisition(grism, (*exposures, grism))
    places = _places(acquisition, pairing_radius)
    return tuple(
        _direct_candidate(grism, exposure, places, pairing_radius)
        for exposure in acquisition
        if exposure.is_direct
    )


def direct_candidate(
    grism: Exposure, direct: Exposure, exposures: Sequence[Exposure], pairing_radius: float
) -> DirectCandidate:
    """Look at a direct exposure as a grism exposure sees it.

    Parameters
    ----------
    grism, direct : Exposure
        The two, of any visits.
    exposures : sequence of Exposure
        Those that tell where the telescope was in between.
    pairing_radius : float, arcsec
        As for `direct_candidates`.
    """
    taken = (*exposures, grism, direct)
    places = _places(_acquisition(direct, taken), pairing_radius)
    return _direct_candidate(grism, direct, places, pairing_radius)


class Acquisitions:
    """The exposures of a field by the names of their acquisitions: few matter to a grism exposure.

    Parameters
    ----------
    exposures : iterable of Exposure
        Of the field.
    """

    def __init__(self, exposures: Iterable[Exposure]) -> None:
        self._exposures: dict[str, Exposure] = {}
        self._members: dict[tuple[str, str, str], list[Exposure]] = defaultdict(list)
        for each in exposures:
            self._exposures[each.key] = each
            self._members[_name(each)].append(each)

    def of(self, exposure: Exposure) -> list[Exposure]:
        """Return the exposures whose acquisition is called as one's.

        Parameters
        ----------
        exposure : Exposure
            Any.
        """
        return self._members.get(_name(exposure), [])

    def around(self, grism: Exposure) -> list[Exposure]:
        """Return those and the ones of the acquisitions of the direct exposures that are named for it.

        Parameters
        ----------
        grism : Exposure
            The dispersed exposure.
        """
        named = [self._exposures[key] for key in grism.governors if key in self._exposures]
        names = dict.fromkeys(_name(each) for each in (grism, *named))
        return [each for name in names for each in self._members.get(name, [])]


def stays(exposures: Sequence[Exposure], pairing_radius: float) -> tuple[list[int], list[int]]:
    """Tell between which exposures of a guide-star acquisition the telescope stayed where it was.

    Parameters
    ----------
    exposures : sequence of Exposure
        N direct and grism exposures in the order of time.
    pairing_radius : float, arcsec
        As for `direct_candidates`.

    Returns
    -------
    pointings, orbits : list of int
        N numbers each, which change with every move of the telescope, and with every occultation.
    """
    pointings, orbits, stay = [0], [0], list(exposures[:1])
    for before, exposure in pairwise(exposures):
        idle = (exposure.start - before.end) * _SECONDS_PER_DAY
        is_occulted = idle > exposure.telescope.coherence.longest_idle
        stayed = not is_occulted and _same_pointing(
            _most_comparable(stay, exposure), exposure, pairing_radius
        )
        stay = [*stay, exposure] if stayed else [exposure]
        pointings.append(pointings[-1] + (not stayed))
        orbits.append(orbits[-1] + is_occulted)
    return pointings, orbits


def places(
    taken: Sequence[Exposure], exposures: Sequence[Exposure], pairing_radius: float
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Tell which exposures share a place on the sky, and which an orbit.

    Parameters
    ----------
    taken : sequence of Exposure
        N exposures of any acquisitions.
    exposures : sequence of Exposure
        Those that tell where the telescope was in between.
    pairing_radius : float, arcsec
        As for `direct_candidates`.

    Returns
    -------
    stay, orbit : (N,) ndarray of str
        Key of the first exposure of each.
    """
    found: dict[str, _Place] = {}
    for each in taken:
        if each.key not in found:
            found |= _places(_acquisition(each, (*exposures, each)), pairing_radius)
    own = [found[each.key] for each in taken]
    return np.array([place.stay for place in own]), np.array([place.orbit for place in own])


def _most_comparable(stay: Sequence[Exposure], exposure: Exposure) -> Exposure:
    """Choose which exposure of a stay tells best whether another belongs to it: the first comparable one."""
    comparable = [each for each in stay if is_comparable(each, exposure)]
    alike = [each for each in stay if each.kind is exposure.kind]
    return (comparable or alike or list(stay))[0]


def _acquisition(exposure: Exposure, exposures: Sequence[Exposure]) -> list[Exposure]:
    """Find the exposures of one's guide-star acquisition in the order of time, each once."""
    # of a damaged header not even its own roll may be known
    unique = {
        each.key: each for each in exposures if each.key == exposure.key or _one_acquisition(each, exposure)
    }
    return sorted(unique.values(), key=_by_time)


@dataclass(frozen=True)
class _Place:
    """Keys of the first exposures of a stay and of an orbit."""

    stay: str
    orbit: str


def _places(acquisition: Sequence[Exposure], pairing_radius: float) -> dict[str, _Place]:
    """Find where each exposure, by key, belongs."""
    numbers = stays(acquisition, pairing_radius)
    keys = [each.key for each in acquisition]
    stay, orbit = ([keys[labels.index(label)] for label in labels] for labels in numbers)
    return dict(zip(keys, map(_Place, stay, orbit), strict=True))


def _direct_candidate(
    grism: Exposure, direct: Exposure, places: dict[str, _Place], pairing_radius: float
) -> DirectCandidate:
    place = places[direct.key]
    return DirectCandidate(
        exposure=direct,
        relation=_relation(grism, direct, places),
        idle_time=_idle_time(grism, direct),
        hours=24.0 * (direct.mid - grism.mid),
        mismatch=_mismatch(grism, direct, pairing_radius),
        stay=place.stay,
        orbit=place.orbit,
        drift_share=max(each.tracking.guiding.drift_share for each in (grism, direct)),
        is_same_detector=detector_of(grism) == detector_of(direct),
    )


def _by_time(exposure: Exposure) -> tuple[float, str]:
    return exposure.start, exposure.key


def is_rolled(first: Exposure, second: Exposure) -> bool:
    """Tell whether two exposures would be of one acquisition, but the telescope was rolled in between.

    Parameters
    ----------
    first, second : Exposure
        The two.
    """
    return _named_alike(first, second) and not _is_one_roll(first, second)


def _one_acquisition(first: Exposure, second: Exposure) -> bool:
    """Tell whether one correction can hold for both: guide stars fix it, and each mount has its own."""
    return _named_alike(first, second) and _is_one_roll(first, second)


def _is_one_roll(first: Exposure, second: Exposure) -> bool:
    """Tell whether the telescope was not rolled in between, whatever the headers call the acquisition.

    WCSs that were turned since, and not the telescope, are found out when they are compared.
    """
    limit = first.telescope.coherence.same_roll
    return turn(first, second) < limit or commanded_turn(first, second) < limit


def _named_alike(first: Exposure, second: Exposure) -> bool:
    """Tell whether names are alike; a visit holds two instruments where one observes in parallel."""
    return _name(first) == _name(second)


def _name(exposure: Exposure) -> tuple[str, str, str]:
    return exposure.visit, exposure.group, exposure.mount


def _relation(grism: Exposure, direct: Exposure, places: dict[str, _Place]) -> Relation:
    if grism.pointing == direct.pointing:
        return Relation.SIMULTANEOUS
    if _one_acquisition(grism, direct):
        mine, other = places[grism.key], places[direct.key]
        if mine.orbit != other.orbit:
            return Relation.OCCULTED
        return Relation.SAME_POINTING if mine.stay == other.stay else Relation.OFFSET
    is_alike = (
        grism.mount == direct.mount
        and grism.guide_star is not None
        and grism.guide_star == direct.guide_star
        and abs(grism.mid - direct.mid) < grism.telescope.coherence.alignment_time
        and _is_one_roll(grism, direct)
    )
    return Relation.REACQUIRED if is_alike else Relation.OTHER


def _idle_time(grism: Exposure, direct: Exposure) -> float:
    """Return the idle seconds between the two, negative when the direct exposure started first.

    Idle time, not start to start: occultations and re-acquisitions fall into it, and a long grism
    exposure would hold its length against the direct exposure that follows it.
    """
    if direct.start <= grism.start:
        return min(direct.end - grism.start, 0.0) * _SECONDS_PER_DAY
    return max(direct.start - grism.end, 0.0) * _SECONDS_PER_DAY


def _mismatch(grism: Exposure, direct: Exposure, pairing_radius: float) -> float:
    """Tell how well two pointings match, arcsec; infinite unless they see the same sky or were commanded to.

    Either makes partners. A filter and a grism have their own reference pixels, so observers who want the
    same sky on the same pixels command an offset of one of them (8.8" in WFC3/IR), and those who don't
    have the same command and a sky that differs by as much: the telescope was moved.
    """
    apart = distance(grism, direct)
    offset = float(np.abs(np.subtract(grism.dither_offset, direct.dither_offset)).max())
    return min(
        apart if apart <= pairing_radius else np.inf,
        offset if _commanded_alike(grism, direct) else np.inf,
    )


def _commanded_alike(first: Exposure, second: Exposure) -> bool:
    """Tell whether one target was put at one place of the detector: subarrays may have it elsewhere."""
    offset = np.abs(np.subtract(first.dither_offset, second.dither_offset))
    is_same = bool((offset <= first.telescope.coherence.same_pointing).all())
    is_one_target = bool(first.target) and first.target == second.target
    return is_one_target and is_same and distance(first, second) < 0.5 * shared_side(first, second)


def _same_pointing(first: Exposure, second: Exposure, pairing_radius: float) -> bool:
    """Tell whether the telescope was not moved between two exposures."""
    if is_comparable(first, second):
        return distance(first, second) <= first.telescope.coherence.same_pointing
    # what was commanded tells more than WCSs of two solutions, which differ by arcseconds
    if first.kind is second.kind and first.filter == second.filter and facing(first, second).is_common:
        return _commanded_alike(first, second)
    return distance(first, second) <= pairing_radius or _commanded_alike(first, second)
