"""The step that drizzles the direct exposures of each visit, and finds the sources of the mosaics."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from grism_align.steps.base import GrismAlignStep
from grism_align.steps.parameter_files import instrument_values
from grism_align.steps.spec import spec_of
from grism_align.values.mosaic import MosaicRequest
from grism_align.values.settings import MosaicSettings, Settings, parameters_of

if TYPE_CHECKING:
    from grism_align.values.field import ExposureSet

__all__ = ["VisitMosaicStep"]


class VisitMosaicStep(GrismAlignStep):
    """Drizzle the direct exposures of each visit and filter when results are written."""

    class_alias = "grism_visit_mosaic"
    step_name = "visit_mosaic"
    groups: ClassVar[tuple[type[Settings], ...]] = (MosaicSettings,)
    spec = spec_of(MosaicSettings)

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Ask for the mosaics, which are made with the WCSs that are final when results are written."""
        settings = self.settings(MosaicSettings)
        present = {exposure.instrument for exposure in exposures.direct}
        good_bits = {instrument: self._good_bits(instrument) for instrument in sorted(present)}
        note = "made when results are written"
        request = MosaicRequest(str(self.step_name), "done", note, asdict(settings), good_bits=good_bits)
        return exposures.with_activity(request)

    def check(self) -> None:
        """Know the way to find cosmic rays, and read the image that gives the pixels, before any work."""
        from grism_align.workflows.mosaics.checks import check_rejection

        super().check()
        settings = self.settings(MosaicSettings)
        check_rejection(settings)
        if settings.grid_image:
            from grism_align.io.mosaics.files import read_grid

            read_grid(Path(settings.grid_image).expanduser())

    def check_input(self, exposures: ExposureSet) -> None:
        """Refuse mosaics that would replace the reference catalog, which may be that of a mosaic."""
        from grism_align.workflows.mosaics.checks import check_grid, check_products

        check_grid(exposures, self.settings(MosaicSettings))
        saver = self if self.parent is None else self.parent
        if saver._saves:
            folder = saver._destination(exposures).folder
            check_products(exposures, self.settings(MosaicSettings), folder, saver.input_files())

    def input_files(self) -> tuple[Path, ...]:
        """The image that gives the pixels."""
        image = self.settings(MosaicSettings).grid_image
        return (Path(image).expanduser(),) if image else ()

    def _good_bits(self, instrument: str) -> int:
        """The DQ bits for an instrument: its own, but for what the user changed."""
        name = "good_bits"
        present = int(self.settings(MosaicSettings).good_bits)
        base = next(p.default for p in parameters_of(MosaicSettings) if p.name == name)
        picked = self.search_attr("instrument_parameters")
        if picked:
            base = instrument_values(picked.removesuffix(".asdf"), str(self.step_name)).get(name, base)
        own = instrument_values(instrument, str(self.step_name)).get(name, base)
        return int(own) if present == base else present
