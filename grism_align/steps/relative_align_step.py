"""The step that brings all direct exposures onto one frame."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from grism_align.steps.base import GrismAlignStep
from grism_align.steps.spec import spec_of
from grism_align.values.errors import SettingsError
from grism_align.values.failure import text_of
from grism_align.values.fitted import fitted_in_words
from grism_align.values.settings import (
    MatchSettings,
    MotionSettings,
    PointingSettings,
    RelativeSettings,
    Settings,
)
from grism_align.values.solution import AlignmentSolution

if TYPE_CHECKING:
    from grism_align.values.field import ExposureSet


logger = logging.getLogger(__name__)


class RelativeAlignStep(GrismAlignStep):
    """Align the direct exposures of all visits and filters with each other, in one joint solution."""

    class_alias = "grism_relative_align"
    step_name = "relative_align"
    groups: ClassVar[tuple[type[Settings], ...]] = (
        RelativeSettings,
        PointingSettings,
        MatchSettings,
        MotionSettings,
    )
    spec = spec_of(*groups)

    @property
    def takes_catalogs(self) -> bool:
        """Whether sources are those that telescopes' pipelines found, where an exposure has no others."""
        return True

    def check_input(self, exposures: ExposureSet) -> None:
        """Refuse a reference that is not among the direct exposures or their visits."""
        from grism_align.algorithms.relative.relative import reference_exposures

        reference_exposures(exposures.direct, self.settings(RelativeSettings).reference)

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Align; what later steps found before is dropped, since it built on another frame."""
        from grism_align.workflows.relative import RelativeChoices, align_direct

        missing = [e.key for e in exposures.direct if e.key not in exposures.catalogs]
        if missing:
            name, allowed = (
                "input",
                f"no source catalog of {', '.join(missing)}; run grism_source_catalog first",
            )
            raise SettingsError(name, exposures.product, allowed)
        if exposures.absolute.reference and not self._is_tied_again():
            logger.warning(
                "The tie to %s on record is dropped with the relative frame that it was made for",
                exposures.absolute.reference,
            )
        choices = RelativeChoices(
            self.settings(RelativeSettings),
            self.settings(MatchSettings),
            self.settings(PointingSettings),
            self.settings(MotionSettings),
        )
        result = align_direct(exposures, choices, self.runner)
        if result.counts.get("flagged_fixed"):
            logger.info(
                "Left out as fixed to the detector: %d detections of all exposures",
                result.counts["flagged_fixed"],
            )
        for remark in result.remarks:
            logger.warning("%s", remark)
        for sentence in fitted_in_words(result.solution.fits):
            logger.info(sentence)
        note = text_of(result.remarks)
        if len(exposures.direct) == 1:
            note = "one direct exposure: nothing to align it with"
            logger.info("%s: %s", self.step_name, note)
        return self.done(
            exposures.without_propagated(),
            note,
            result.counts,
            result.remarks,
            catalogs={**exposures.catalogs, **result.catalogs},
            relative=result.solution,
            sources=result.sources,
            absolute=AlignmentSolution(),
            reference_catalog=None,
        )

    def _is_tied_again(self) -> bool:
        """Tell whether the pipeline that this step is part of ties its frame to a catalog next."""
        step = getattr(self.parent, "absolute_align", None)
        return step is not None and not step.skip and bool(step.catalog)
