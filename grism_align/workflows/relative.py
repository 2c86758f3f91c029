"""Bring the direct exposures of a field onto one frame, those left out that have no pointing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grism_align.algorithms.relative.relative import RelativeResult, align_relative
from grism_align.values.failure import AllLeftOut
from grism_align.values.solution import AlignmentSolution
from grism_align.workflows.moving import left_out

if TYPE_CHECKING:
    from grism_align.values.executor import Executor
    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import (
        MatchSettings,
        MotionSettings,
        PointingSettings,
        RelativeSettings,
    )

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RelativeChoices:
    """What the relative alignment goes by.

    Parameters
    ----------
    relative : RelativeSettings
        Frame and geometry.
    match : MatchSettings
        Matching and acceptance.
    pointing : PointingSettings
        How well the a priori WCSs are known.
    motion : MotionSettings
        Whether exposures of moving targets and scans are used.
    """

    relative: RelativeSettings
    match: MatchSettings
    pointing: PointingSettings
    motion: MotionSettings


def align_direct(exposures: ExposureSet, choices: RelativeChoices, executor: Executor) -> RelativeResult:
    """Align the direct exposures of a set with each other, and warn of those that went wrong.

    Parameters
    ----------
    exposures : ExposureSet
        With a source catalog of every direct exposure.
    choices : RelativeChoices
        The parameters.
    executor : Executor
        Who matches the exposures of visits, where they are many.

    Returns
    -------
    RelativeResult
        Exposures that are left out have FAILED fits with the reason.

    Raises
    ------
    SettingsError
        If `relative.reference` names no usable exposure or visit.
    """
    out = left_out(exposures.direct, choices.motion)
    for exposure in exposures.direct:
        text = out[exposure.key].reason if exposure.key in out else str(exposure.tracking)
        if text:
            logger.warning("%s: %s", exposure.key, text)
    kept = [exposure for exposure in exposures.direct if exposure.key not in out]
    counts = {"exposures_left_out": len(out)} if out else {}
    if not kept:
        return RelativeResult(AlignmentSolution(out), (), (AllLeftOut(),), counts, {})
    catalogs = {exposure.key: exposures.catalogs[exposure.key] for exposure in kept}
    found = align_relative(kept, catalogs, choices.relative, choices.match, choices.pointing, executor)
    fits = {each.key: out.get(each.key) or found.solution[each.key] for each in exposures.direct}
    solution = AlignmentSolution(fits, found.solution.reference)
    return replace(found, solution=solution, counts=found.counts | counts)
