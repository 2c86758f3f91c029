"""How direct exposures stand to a grism exposure: in time, in pointing and in guide stars."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.sphere import ARCSEC_PER_RADIAN, sky_to_vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.values.exposure import Chip, Exposure

__all__ = ["Lender", "Relation", "lender", "lenders", "same_pointing", "stays"]

# Two exposures of one kind within this, arcsec, were taken without an offset of the telescope.
_SAME_POINTING = 0.05
# Longer idle times, s, are occultations, after which the guide stars are acquired again. Overheads within
# an orbit, buffer dumps among them, are shorter.
_OCCULTATION = 1500.0
# Orientations nearer than this, deg, are one roll: those of a filter and a grism differ by their distortion.
_SAME_ROLL = 0.2
# And this, deg, is another roll of the telescope whatever the headers call the acquisition.
_ROLLED = 1.0
# Days for which the instrument stays aligned with the cameras of the guide stars.
_SAME_ALIGNMENT = 10.0
_SECONDS_PER_DAY = 86400.0


class Relation(IntEnum):
    """What lies between a direct and a grism exposure, the least first.

    Attributes
    ----------
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

    SAME_POINTING = 0
    OFFSET = 1
    OCCULTED = 2
    REACQUIRED = 3
    OTHER = 4


@dataclass(frozen=True)
class Lender:
    """A direct exposure as a grism exposure sees it.

    Parameters
    ----------
    exposure : Exposure
        The direct exposure.
    relation : Relation
        What lies between the two.
    gap : float, s
        Idle time between the two; negative when the direct exposure came first.
    hours : float
        From the middle of the grism exposure to that of the direct one.
    mismatch : float, arcsec
        How far apart their pointings are; infinite where they are not the same.
    is_solid : bool
        Whether its own sources gave its correction.
    frame : int
        Number of its relative frame.
    variance : float, arcsec^2
        Of the shift of its correction, of one axis.
    """

    exposure: Exposure
    relation: Relation
    gap: float
    hours: float
    mismatch: float
    is_solid: bool = True
    frame: int = 0
    variance: float = 0.0

    @property
    def key(self) -> str:
        """Root name of the direct exposure."""
        return self.exposure.key

    @property
    def came_first(self) -> bool:
        """Whether it was taken before the grism exposure."""
        return self.gap < 0 or (self.gap == 0 and self.hours <= 0)


def lenders(grism: Exposure, exposures: Sequence[Exposure], pairing_radius: float) -> tuple[Lender, ...]:
    """The direct exposures of the grism exposure's own guide-star acquisition, in the order of time.

    Parameters
    ----------
    grism : Exposure
        The dispersed exposure.
    exposures : sequence of Exposure
        Direct and grism exposures of any visit, in any order. The grism ones tell where the telescope
        was in between.
    pairing_radius : float, arcsec
        Exposures whose chip centres are nearer than this share a pointing.
    """
    acquisition = sorted(
        (exposure for exposure in exposures if _one_acquisition(exposure, grism)), key=_by_time
    )
    return tuple(
        lender(grism, exposure, acquisition, pairing_radius) for exposure in acquisition if exposure.is_direct
    )


def lender(grism: Exposure, direct: Exposure, exposures: Sequence[Exposure], pairing_radius: float) -> Lender:
    """A direct exposure as a grism exposure sees it.

    Parameters
    ----------
    grism, direct : Exposure
        The two, of any visits.
    exposures : sequence of Exposure
        Those that tell where the telescope was in between.
    pairing_radius : float, arcsec
        As for `lenders`.
    """
    mismatch = _mismatch(grism, direct, pairing_radius)
    return Lender(
        exposure=direct,
        relation=_relation(grism, direct, exposures, mismatch),
        gap=_gap(grism, direct),
        hours=24.0 * (direct.mid - grism.mid),
        mismatch=mismatch,
    )


def same_pointing(first: Exposure, second: Exposure) -> bool:
    """Whether two exposures of one kind, direct or grism, were taken at one pointing."""
    if _distance(first, second) <= _SAME_POINTING:
        return True
    # Two filters need not have one reference pixel.
    return first.filter != second.filter and _commanded_alike(first, second)


def stays(exposures: Sequence[Exposure], pairing_radius: float) -> tuple[list[int], list[int]]:
    """Between which exposures of a guide-star acquisition the telescope stayed where it was.

    Parameters
    ----------
    exposures : sequence of Exposure
        N direct and grism exposures in the order of time.
    pairing_radius : float, arcsec
        As for `lenders`.

    Returns
    -------
    pointings, orbits : list of int
        N numbers each, equal for exposures of one pointing without an offset in between, and for those
        without an occultation in between.
    """
    pointings, orbits = [0], [0]
    stay = [exposures[0]]
    for before, exposure in pairwise(exposures):
        is_occulted = (exposure.start - before.end) * _SECONDS_PER_DAY > _OCCULTATION
        alike = [each for each in stay if each.kind is exposure.kind]
        if alike:
            stayed = same_pointing(alike[-1], exposure)
        else:
            stayed = bool(np.isfinite(_mismatch(stay[-1], exposure, pairing_radius)))
        stay = [*stay, exposure] if stayed and not is_occulted else [exposure]
        pointings.append(pointings[-1] + (len(stay) == 1))
        orbits.append(orbits[-1] + is_occulted)
    return pointings, orbits


def _by_time(exposure: Exposure) -> tuple[float, str]:
    return exposure.start, exposure.key


def _one_acquisition(first: Exposure, second: Exposure) -> bool:
    """Whether one correction can hold for both: guide stars fix it, and each instrument has its own.

    A visit holds two instruments where one observes in parallel to the other.
    """
    return (
        first.visit == second.visit
        and first.group == second.group
        and first.instrument == second.instrument
        and _turn(first, second) < _ROLLED
    )


def _relation(grism: Exposure, direct: Exposure, exposures: Sequence[Exposure], mismatch: float) -> Relation:
    if _one_acquisition(grism, direct):
        chain = _from_one_to_the_other(grism, direct, exposures)
        if any(
            (after.start - before.end) * _SECONDS_PER_DAY > _OCCULTATION for before, after in pairwise(chain)
        ):
            return Relation.OCCULTED
        stayed = np.isfinite(mismatch) and all(
            same_pointing(exposure, grism if exposure.kind is grism.kind else direct) for exposure in chain
        )
        return Relation.SAME_POINTING if stayed else Relation.OFFSET
    is_alike = (
        grism.instrument == direct.instrument
        and grism.guide_star is not None
        and grism.guide_star == direct.guide_star
        and abs(grism.mid - direct.mid) < _SAME_ALIGNMENT
        and _turn(grism, direct) < _SAME_ROLL
    )
    return Relation.REACQUIRED if is_alike else Relation.OTHER


def _from_one_to_the_other(
    grism: Exposure, direct: Exposure, exposures: Sequence[Exposure]
) -> list[Exposure]:
    """The two and what was taken between them, in the order of time."""
    first, last = sorted((grism, direct), key=_by_time)
    between = [
        exposure
        for exposure in exposures
        if _one_acquisition(exposure, grism) and _by_time(first) < _by_time(exposure) < _by_time(last)
    ]
    return [first, *sorted(between, key=_by_time), last]


def _gap(grism: Exposure, direct: Exposure) -> float:
    """Idle seconds between the two, negative when the direct exposure started first.

    Idle time, not start to start: occultations and re-acquisitions fall into it, and a long grism
    exposure would hold its length against the direct exposure that follows it.
    """
    if direct.start <= grism.start:
        return min(direct.end - grism.start, 0.0) * _SECONDS_PER_DAY
    return max(direct.start - grism.end, 0.0) * _SECONDS_PER_DAY


def _mismatch(grism: Exposure, direct: Exposure, pairing_radius: float) -> float:
    """How far apart two pointings are, arcsec; infinite unless they see the same sky or were commanded to.

    Either suffices. A filter and a grism have their own reference pixels, so observers who want the
    same sky on the same pixels offset one of them with POSTARG (8.8" in WFC3/IR), and those who
    don't have the same POSTARG and a sky that differs by as much.
    """
    distance = _distance(grism, direct)
    offset = float(np.abs(np.subtract(grism.postarg, direct.postarg)).max())
    return min(
        distance if distance <= pairing_radius else np.inf,
        offset if _commanded_alike(grism, direct) else np.inf,
    )


def _commanded_alike(first: Exposure, second: Exposure) -> bool:
    offset = np.abs(np.subtract(first.postarg, second.postarg))
    return bool(first.target) and first.target == second.target and bool((offset <= _SAME_POINTING).all())


def _distance(first: Exposure, second: Exposure) -> float:
    """Between the centres of the first chips, arcsec."""
    return float(np.linalg.norm(_center(first) - _center(second))) * ARCSEC_PER_RADIAN


def _center(exposure: Exposure) -> NDArray[np.float64]:
    """Direction of the centre of the first chip, (3,) unit vector."""
    return _pose(exposure.chips[0])[0]


# Each exposure is compared with all others of its visit.
@lru_cache(maxsize=256)
def _pose(chip: Chip) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Direction of a chip's centre, and that in which its columns run there; (3,) unit vectors."""
    ny, nx = chip.shape
    x, y = 0.5 * (nx - 1), 0.5 * (ny - 1)
    center, low, high = sky_to_vector(chip.wcs.to_sky([[x, y], [x, 0.5 * y], [x, 1.5 * y]]))
    return center, (high - low) / np.linalg.norm(high - low)


def _turn(first: Exposure, second: Exposure) -> float:
    """By how much one is turned against the other, deg."""
    (here, mine), (there, theirs) = (_pose(exposure.chips[0]) for exposure in (first, second))
    # carried along the great circle from the one to the other
    carried = mine - (mine @ there) / (1.0 + here @ there) * (here + there)
    return float(np.degrees(np.arccos(np.clip(carried @ theirs, -1.0, 1.0))))
