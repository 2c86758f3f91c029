"""Which direct exposures can lend their correction to a grism exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.sphere import ARCSEC_PER_RADIAN, sky_to_vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure

__all__ = ["Governor", "candidate_governors"]

_SAME_POSTARG = 0.05  # arcsec on each axis
_SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True)
class Governor:
    """A direct exposure whose correction a grism exposure can take.

    Parameters
    ----------
    key : str
        Root name of the direct exposure.
    rule : str
        Why it: ``association`` (named there), ``paired`` (next to it in time, same pointing),
        ``previous`` or ``next``.
    gap : float, s
        Idle time between the two; negative when the direct exposure came first.
    """

    key: str
    rule: str
    gap: float


def candidate_governors(
    grism: Exposure, directs: Sequence[Exposure], pairing_radius: float
) -> tuple[Governor, ...]:
    """The direct exposures that can govern a grism exposure, best first.

    Parameters
    ----------
    grism : Exposure
        The dispersed exposure.
    directs : sequence of Exposure
        Direct exposures of any visit, in any order.
    pairing_radius : float, arcsec
        Exposures whose chip centres are nearer than this share a pointing.

    Returns
    -------
    tuple of Governor
        First those that the association names, in its order. Then those of the same instrument, visit
        and guide-star acquisition: the neighbours in time that share the pointing (the smaller gap
        first), the earlier ones from the latest on, because a correction holds until the next direct
        exposure, then the later ones. Empty if there is none.

    Notes
    -----
    Nearest on the sky alone fails, since visits return to a pointing; nearest in time alone fails at
    a dither, where the direct exposure of the next pointing can be as close as that of this one.
    """
    known = {direct.key: direct for direct in directs}
    named = [known[key] for key in dict.fromkeys(grism.governors) if key in known]
    usable = sorted(
        (direct for direct in directs if _same_pointing_error(grism, direct)),
        key=lambda direct: (direct.start, direct.key),
    )
    before = [direct for direct in reversed(usable) if direct.start <= grism.start]
    after = [direct for direct in usable if direct.start > grism.start]
    paired = [direct for direct in before[:1] + after[:1] if _shares_pointing(grism, direct, pairing_radius)]
    # To the millisecond, so that rounding of MJD breaks no tie; sorting leaves the earlier one first.
    paired.sort(key=lambda direct: round(abs(_gap(grism, direct)), 3))
    rules = {direct.key: rule for rule, group in (("previous", before), ("next", after)) for direct in group}
    rules |= {direct.key: "paired" for direct in paired}
    # Where the association names what the rules choose anyway, the rule says more.
    by_rule = (*paired, *before, *after)[:1]
    rules |= {direct.key: "association" for direct in named if direct not in by_rule}
    ordered = {direct.key: direct for direct in (*named, *paired, *before, *after)}
    return tuple(Governor(key, rules[key], _gap(grism, direct)) for key, direct in ordered.items())


def _same_pointing_error(grism: Exposure, direct: Exposure) -> bool:
    """Whether one correction can hold for both: guide stars fix it, and each instrument has its own.

    A visit holds two instruments where one observes in parallel to the other.
    """
    return (
        direct.is_direct
        and direct.instrument == grism.instrument
        and direct.visit == grism.visit
        and direct.group == grism.group
    )


def _gap(grism: Exposure, direct: Exposure) -> float:
    """Idle seconds between the two, negative when the direct exposure started first.

    Idle time, not start to start: occultations and re-acquisitions fall into it, and a long grism
    exposure would hold its length against the direct exposure that follows it.
    """
    if direct.start <= grism.start:
        return min(direct.end - grism.start, 0.0) * _SECONDS_PER_DAY
    return max(direct.start - grism.end, 0.0) * _SECONDS_PER_DAY


def _shares_pointing(grism: Exposure, direct: Exposure, pairing_radius: float) -> bool:
    """Whether both look at the same sky or were commanded to.

    Either suffices. A filter and a grism have their own reference pixels, so observers who want the
    same sky on the same pixels offset one of them with POSTARG (8.8" in WFC3/IR), and those who
    don't have the same POSTARG and a sky that differs by as much.
    """
    chord = float(np.linalg.norm(_center(grism) - _center(direct))) * ARCSEC_PER_RADIAN
    if chord <= pairing_radius:
        return True
    offset = np.abs(np.subtract(grism.postarg, direct.postarg))
    return bool(grism.target) and grism.target == direct.target and bool((offset <= _SAME_POSTARG).all())


def _center(exposure: Exposure) -> NDArray[np.float64]:
    """Direction of the centre of the first chip, (3,) unit vector."""
    chip = exposure.chips[0]
    ny, nx = chip.shape
    return sky_to_vector(chip.wcs.to_sky([[0.5 * (nx - 1), 0.5 * (ny - 1)]])).reshape(3)
