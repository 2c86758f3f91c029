"""The step that brings the relative frame onto a reference catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from grism_align.steps.base import GrismAlignStep
from grism_align.steps.spec import spec_of
from grism_align.values.errors import SettingsError
from grism_align.values.settings import (
    AbsoluteSettings,
    PointingSettings,
    ReferenceMatchSettings,
    ReferenceSettings,
    SelectionSettings,
    ServiceSettings,
    Settings,
)

if TYPE_CHECKING:
    from grism_align.io.catalogs.candidates import CatalogSource
    from grism_align.values.field import ExposureSet


class AbsoluteAlignStep(GrismAlignStep):
    """Align the relative frame with a reference catalog."""

    class_alias = "grism_absolute_align"
    step_name = "absolute_align"
    groups: ClassVar[tuple[type[Settings], ...]] = (
        ReferenceSettings,
        SelectionSettings,
        ServiceSettings,
        PointingSettings,
        ReferenceMatchSettings,
    )
    spec = spec_of(*groups)

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Align; without a catalog the relative frame stays as it is."""
        from grism_align.workflows.absolute import align_to_first

        if not self.settings(ReferenceSettings).catalog:
            reason = "no catalog given (catalog: GAIADR3, another service, auto or a file)"
            return self.skipped(exposures, reason)
        if not exposures.relative.fits:
            name, allowed = "input", "no relative frame on record; run grism_relative_align first"
            raise SettingsError(name, exposures.product, allowed)
        settings = AbsoluteSettings(
            self.settings(ReferenceSettings),
            self.settings(SelectionSettings),
            self.settings(PointingSettings),
            self.settings(ReferenceMatchSettings),
        )
        found = align_to_first(exposures, self._catalogs(), settings)
        return exposures.without_propagated().with_activity(
            self.activity(found.verdict, found.note, found.counts, found.attempts),
            absolute=found.solution,
            reference_catalog=found.reference,
        )

    def check(self) -> None:
        """Read the catalog, or know the service, so that an error in it costs no work."""
        super().check()
        if self.settings(ReferenceSettings).catalog:
            self._catalogs()

    def check_input(self, exposures: ExposureSet) -> None:
        """Warn where the catalog is of the same exposures."""
        from grism_align.workflows.absolute import warn_of_own_sources

        super().check_input(exposures)
        warn_of_own_sources(exposures, self.input_files())

    def input_files(self) -> tuple[Path, ...]:
        """Return the catalog, where it is a file."""
        path = Path(str(self.settings(ReferenceSettings).catalog)).expanduser()
        return (path,) if path.is_file() else ()

    def cached_catalogs(self, exposures: ExposureSet) -> dict[str, bool]:
        """Tell which catalogs that services would be asked for the cache has, where one is wanted."""
        from grism_align.workflows.absolute import cached_catalogs

        reference, margin = self.settings(ReferenceSettings), self.settings(SelectionSettings).margin
        if self.skip or not reference.catalog:
            return {}
        return cached_catalogs(exposures, reference, self.settings(ServiceSettings), margin)

    def _catalogs(self) -> tuple[CatalogSource, ...]:
        from grism_align.workflows.absolute import open_catalogs

        return open_catalogs(self.settings(ReferenceSettings), self.settings(ServiceSettings))
