"""The step that drizzles the direct exposures of each visit, and finds the sources of the mosaics."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from grism_align.steps.base import GrismAlignStep
from grism_align.steps.spec import spec_of
from grism_align.values.errors import ChangedError, GrismAlignError, OutputError
from grism_align.values.settings import MosaicSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grism_align.values.field import ExposureSet

logger = logging.getLogger(__name__)


class VisitMosaicStep(GrismAlignStep):
    """Drizzle the direct exposures of each visit and filter."""

    class_alias = "grism_visit_mosaic"
    step_name = "visit_mosaic"
    groups: ClassVar[tuple[type[Settings], ...]] = (MosaicSettings,)
    spec = spec_of(MosaicSettings)

    #: Why a pipeline goes on without mosaics; empty for no reason.
    _hindrance = ""

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Make the mosaics with the corrections found so far; they wait to be saved with the results.

        A pipeline is there for the corrections: what hinders its mosaics is told, and costs nothing else.
        """
        folder = self.waiting_room(exposures)
        if folder is None:
            return self.skipped(exposures, "no results are saved, and mosaics are files; give output_dir")
        if self._hindrance:
            return self._without(exposures, self._hindrance)
        if self.is_outermost:
            return self._made(exposures, folder)
        try:
            return self._made(exposures, folder)
        except (ChangedError, OutputError):
            raise
        except Exception as error:  # whatever it is, the corrections are good without mosaics
            logger.debug("Where it failed:", exc_info=True)
            return self._without(exposures, f"{type(error).__name__}: {error}")

    def _without(self, exposures: ExposureSet, why: str) -> ExposureSet:
        logger.warning("No mosaics: %s", why)
        return self.skipped(exposures, why)

    def _made(self, exposures: ExposureSet, folder: Path) -> ExposureSet:
        from grism_align.workflows.mosaics.make import make_mosaics

        by_instrument = self.settings_by_instrument(MosaicSettings, exposures)
        good_bits = {name: settings.good_bits for name, settings in by_instrument.items()}
        made = make_mosaics(exposures, self.settings(MosaicSettings), good_bits, folder, self.runner)
        note = ", ".join(mosaic.plan.name for mosaic in made.products)
        return self.done(exposures, note, made.counts, mosaics=made.products, cosmic_rays=made.cosmic_rays)

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
        """Refuse mosaics in two units, and those that would replace a file that is read."""
        from grism_align.workflows.mosaics.checks import (
            check_flags,
            check_grid,
            check_products,
            check_size,
            check_units,
        )

        settings = self.settings(MosaicSettings)
        check_flags(exposures, settings)
        check_grid(exposures, settings)
        with self._hindered():
            check_units(exposures, settings)
            if not self.is_outermost:
                check_size(exposures, settings)
            saver = self.saver
            if saver is not None:
                check_products(exposures, settings, saver.destination(exposures).folder, saver.input_files())

    @contextmanager
    def _hindered(self) -> Iterator[None]:
        """Keep in mind, in a pipeline, what speaks against mosaics of these exposures."""
        self._hindrance = ""
        try:
            yield
        except GrismAlignError as error:
            if self.is_outermost:
                raise
            self._hindrance = str(error)

    def input_files(self) -> tuple[Path, ...]:
        """Return the image that gives the pixels."""
        image = self.settings(MosaicSettings).grid_image
        return (Path(image).expanduser(),) if image else ()
