"""The step that hands the corrections of direct exposures to the grism exposures."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from grism_align.steps.base import GrismAlignStep
from grism_align.steps.spec import spec_of
from grism_align.values.errors import SettingsError
from grism_align.values.settings import PointingSettings, PropagationSettings, Settings

if TYPE_CHECKING:
    from grism_align.values.field import ExposureSet

__all__ = ["GrismWCSPropagateStep"]

logger = logging.getLogger(__name__)


class GrismWCSPropagateStep(GrismAlignStep):
    """Give every grism exposure the correction of the direct exposure that governs it."""

    class_alias = "grism_wcs_propagate"
    step_name = "grism_wcs_propagate"
    groups: ClassVar[tuple[type[Settings], ...]] = (PropagationSettings, PointingSettings)
    spec = spec_of(PropagationSettings, PointingSettings)

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Propagate the total corrections found so far."""
        from grism_align.algorithms.propagate import propagate

        if not exposures.relative.fits:
            name, allowed = "input", "no corrections on record; run grism_relative_align first"
            raise SettingsError(name, exposures.product, allowed)
        if not exposures.grisms:
            return self.skipped(exposures, "no grism exposure")
        aligned = exposures.relative.then(exposures.absolute)
        solution = propagate(
            exposures.grisms,
            exposures.direct,
            aligned,
            self.settings(PropagationSettings),
            self.settings(PointingSettings),
        )
        named = sum(fit.rule.startswith("association") for fit in solution.fits.values())
        if named and self.method != PropagationSettings.method:
            logger.warning("the association names what governs %d grism exposures, not method", named)
        for key, fit in solution.fits.items():
            if not fit.is_aligned or fit.reason:
                logger.warning("%s: %s %s", key, fit.status.value, fit.reason)
        counts = {
            "grisms": len(solution.fits),
            "grisms_aligned": sum(f.is_aligned for f in solution.fits.values()),
        }
        return self.done(exposures, counts=counts, grism=solution)
