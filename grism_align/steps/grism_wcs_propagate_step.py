"""The step that hands the corrections of direct exposures to the grism exposures."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from grism_align.steps.base import GrismAlignStep
from grism_align.steps.spec import spec_of
from grism_align.values.errors import SettingsError
from grism_align.values.settings import (
    MotionSettings,
    PointingSettings,
    PropagationSettings,
    Settings,
    TraceSettings,
)

if TYPE_CHECKING:
    from grism_align.values.field import ExposureSet


logger = logging.getLogger(__name__)


class GrismWCSPropagateStep(GrismAlignStep):
    """Give every grism exposure the correction of the direct exposure that governs it."""

    class_alias = "grism_wcs_propagate"
    step_name = "grism_wcs_propagate"
    groups: ClassVar[tuple[type[Settings], ...]] = (
        PropagationSettings,
        PointingSettings,
        MotionSettings,
        TraceSettings,
    )
    spec = spec_of(*groups)

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Propagate the total corrections found so far."""
        from grism_align.workflows.propagate import PropagationChoices, propagate_corrections

        if not exposures.relative.fits:
            name, allowed = "input", "no corrections on record; run grism_relative_align first"
            raise SettingsError(name, exposures.product, allowed)
        if not exposures.grisms:
            return self.skipped(exposures, "no grism exposure")
        choices = PropagationChoices(
            self.settings(PropagationSettings),
            self.settings(PointingSettings),
            self.settings(TraceSettings),
            self.settings(MotionSettings),
        )
        executor = self.keeping_executor()
        found = propagate_corrections(exposures, choices, executor)
        if found.note:
            logger.info("%s: %s", self.step_name, found.note)
        return self.done(
            exposures,
            found.note,
            found.counts,
            n_kept=executor.n_kept,
            grism=found.solution,
            traces=found.traces,
            spectra=found.spectra,
        )

    def check(self) -> None:
        """Know the grism configurations before any work."""
        super().check()
        settings = self.settings(TraceSettings)
        if settings.spectra != "off" and settings.trace_config:
            from grism_align.io.grism_configs import read_trace_configs

            read_trace_configs(settings.trace_config)
