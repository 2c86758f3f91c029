"""The pipeline: an association in, the same exposures with new WCSs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from stpipe import Pipeline

from grism_align.steps.absolute_align_step import AbsoluteAlignStep
from grism_align.steps.base import GrismAlignStep
from grism_align.steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from grism_align.steps.relative_align_step import RelativeAlignStep
from grism_align.steps.source_catalog_step import SourceCatalogStep
from grism_align.steps.visit_mosaic_step import VisitMosaicStep
from grism_align.values.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from grism_align.values.field import ExposureSet


class GrismAlignPipeline(GrismAlignStep, Pipeline):
    """Measure the direct exposures, align them with each other and the sky, correct the grism exposures."""

    class_alias = "grism_align_pipeline"
    step_defs: ClassVar[dict[str, type[GrismAlignStep]]] = {
        "source_catalog": SourceCatalogStep,
        "relative_align": RelativeAlignStep,
        "absolute_align": AbsoluteAlignStep,
        "visit_mosaic": VisitMosaicStep,
        "grism_wcs_propagate": GrismWCSPropagateStep,
    }

    @property
    def takes_catalogs(self) -> bool:
        """Whether sources are those that telescopes' pipelines found, where an exposure has no others."""
        return bool(self.source_catalog.skip)

    def check(self) -> None:
        """Check every step's parameters before the first step runs."""
        for name in self.step_defs:
            step = getattr(self, name)
            if not step.skip:
                step.check()

    def check_input(self, exposures: ExposureSet) -> None:
        """Check every step's parameters, and what is skipped, against the input."""
        if self.source_catalog.skip and not self.relative_align.skip:
            _require_on_record("source_catalog", all(e.key in exposures.catalogs for e in exposures.direct))
        if self.relative_align.skip and not (self.absolute_align.skip and self.grism_wcs_propagate.skip):
            _require_on_record("relative_align", bool(exposures.relative.fits))
        for name in self.step_defs:
            step = getattr(self, name)
            if not step.skip:
                step.check_input(exposures)

    def adopt_parameters(self, exposures: ExposureSet) -> None:
        """Take the parameters of the data's instrument in every step, where they have their defaults."""
        for name in self.step_defs:
            getattr(self, name).adopt_parameters(exposures)

    def steps_done(self) -> tuple[str, ...]:
        """Return the names of the steps that are not skipped."""
        return tuple(name for name in self.step_defs if not getattr(self, name).skip)

    def input_files(self) -> tuple[Path, ...]:
        """Files besides the exposures that the steps read."""
        steps = (getattr(self, name) for name in self.step_defs)
        return tuple(path for step in steps if not step.skip for path in step.input_files())

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Run the steps one after the other."""
        for name in self.step_defs:
            exposures = getattr(self, name).run(exposures)
        return exposures


def _require_on_record(step: str, is_known: bool) -> None:
    if not is_known:
        name, allowed = f"steps.{step}.skip", "what it finds is not on record, and a later step needs it"
        raise SettingsError(name, True, allowed)
