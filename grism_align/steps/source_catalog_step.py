"""The step that finds and measures the sources of the direct exposures."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from grism_align.steps.base import GrismAlignStep
from grism_align.steps.spec import spec_of
from grism_align.values.settings import DetectionSettings, Settings

if TYPE_CHECKING:
    from grism_align.values.field import ExposureSet


class SourceCatalogStep(GrismAlignStep):
    """Find and measure the sources of every direct exposure, chip by chip."""

    class_alias = "grism_source_catalog"
    step_name = "source_catalog"
    groups: ClassVar[tuple[type[Settings], ...]] = (DetectionSettings,)
    spec = spec_of(DetectionSettings)

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Measure the direct exposures; their catalogs replace earlier ones."""
        from grism_align.workflows.measure import measure_exposures

        settings = self.settings_by_instrument(DetectionSettings, exposures)
        measured = measure_exposures(exposures, settings, self.executor)
        counts: Counter[str] = Counter()
        for catalog in measured.catalogs.values():
            counts.update(catalog.table.meta["counts"])
        return self.done(measured, counts=dict(counts))
