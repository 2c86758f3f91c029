"""The pipeline: an association in, the same exposures with new WCSs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from stpipe import Pipeline

from grism_align.steps.absolute_align_step import AbsoluteAlignStep
from grism_align.steps.base import GrismAlignStep
from grism_align.steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from grism_align.steps.relative_align_step import RelativeAlignStep
from grism_align.steps.source_catalog_step import SourceCatalogStep

if TYPE_CHECKING:
    from grism_align.values.field import ExposureSet

__all__ = ["GrismAlignPipeline"]


class GrismAlignPipeline(GrismAlignStep, Pipeline):
    """Measure the direct exposures, align them with each other and the sky, correct the grism exposures."""

    class_alias = "grism_align_pipeline"
    step_defs: ClassVar[dict[str, type[GrismAlignStep]]] = {
        "source_catalog": SourceCatalogStep,
        "relative_align": RelativeAlignStep,
        "absolute_align": AbsoluteAlignStep,
        "grism_wcs_propagate": GrismWCSPropagateStep,
    }

    def check(self) -> None:
        """Check every step's parameters before the first step runs."""
        for name in self.step_defs:
            step = getattr(self, name)
            if not step.skip:
                step.check()

    def check_input(self, exposures: ExposureSet) -> None:
        """Check every step's parameters against the input."""
        for name in self.step_defs:
            step = getattr(self, name)
            if not step.skip:
                step.check_input(exposures)

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Run the steps one after the other."""
        for name in self.step_defs:
            exposures = getattr(self, name).run(exposures)
        return exposures
