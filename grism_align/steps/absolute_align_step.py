"""The step that brings the relative frame onto a reference catalog."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from grism_align.steps.base import GrismAlignStep
from grism_align.steps.spec import spec_of
from grism_align.values.errors import SettingsError
from grism_align.values.settings import MatchSettings, PointingSettings, ReferenceSettings, Settings
from grism_align.values.solution import AlignmentSolution

if TYPE_CHECKING:
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.field import ExposureSet

__all__ = ["AbsoluteAlignStep"]

logger = logging.getLogger(__name__)


class AbsoluteAlignStep(GrismAlignStep):
    """Align the relative frame with a reference catalog."""

    class_alias = "grism_absolute_align"
    step_name = "absolute_align"
    groups: ClassVar[tuple[type[Settings], ...]] = (ReferenceSettings, PointingSettings, MatchSettings)
    spec = spec_of(ReferenceSettings, PointingSettings, MatchSettings)

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Align; without a catalog the relative frame stays as it is."""
        from grism_align.algorithms.absolute import align_absolute

        reference, match = self.settings(ReferenceSettings), self.settings(MatchSettings)
        if not reference.catalog:
            return self.skipped(exposures, "no catalog given (--steps.absolute_align.catalog=FILE)")
        if not exposures.relative.fits:
            name, allowed = "input", "no relative frame on record; run grism_relative_align first"
            raise SettingsError(name, exposures.product, allowed)
        result = align_absolute(
            exposures.direct,
            exposures.catalogs,
            exposures.relative,
            exposures.sources,
            self._catalog(),
            (reference, match, self.settings(PointingSettings)),
        )
        for warning in result.warnings:
            logger.warning(warning)
        return self.done(
            exposures,
            "; ".join(result.warnings),
            result.counts,
            absolute=result.solution,
            reference_catalog=result.reference,
            grism=AlignmentSolution(),
        )

    def check(self) -> None:
        """Read the catalog, so that an error in it costs no work; the engine must be installed."""
        from grism_align.algorithms.tweakwcs_fit import require_tweakwcs

        super().check()
        if self.settings(ReferenceSettings).engine == "tweakwcs":
            require_tweakwcs()
        if self.settings(ReferenceSettings).catalog:
            self._catalog()

    def _catalog(self) -> ReferenceCatalog:
        """The catalog, read once for each choice of settings and state of the file."""
        settings = self.settings(ReferenceSettings)
        path = Path(str(settings.catalog)).expanduser()
        state = path.stat() if path.is_file() else None
        return _read(path, settings, state and (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=1)
def _read(path: Path, settings: ReferenceSettings, _state: tuple[int, int] | None) -> ReferenceCatalog:
    from grism_align.io.reference_catalogs import read_reference_catalog

    given = {"ra": settings.ra_column, "dec": settings.dec_column, "mag": settings.mag_column}
    columns = {role: name for role, name in given.items() if name}
    return read_reference_catalog(path, columns, settings.catalog_name, settings.epoch)
