"""Exposures that no correction is handed to: those of moving targets, and spatial scans."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grism_align.values.failure import Moving
from grism_align.values.solution import ExposureFit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import MotionSettings

logger = logging.getLogger(__name__)


def left_out(exposures: Iterable[Exposure], settings: MotionSettings) -> dict[str, ExposureFit]:
    """Return the fits of exposures that are left out because of how the telescope moved, by key.

    Parameters
    ----------
    exposures : iterable of Exposure
        Direct or grism exposures.
    settings : MotionSettings
        Whether they are to be used all the same.

    Returns
    -------
    dict of str to ExposureFit
        FAILED, with the reason.
    """
    return {
        each.key: ExposureFit.failed(Moving(each.tracking.motion.value))
        for each in exposures
        if not each.tracking.is_fixed and not settings.take_moving
    }
