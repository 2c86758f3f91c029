"""The step that brings the relative frame onto a reference catalog."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

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
from grism_align.values.solution import AlignmentSolution, ExposureFit

if TYPE_CHECKING:
    from grism_align.io.catalogs.candidates import CatalogSource
    from grism_align.values.field import ExposureSet
    from grism_align.workflows.absolute import AbsoluteOutcome

__all__ = ["AbsoluteAlignStep"]

logger = logging.getLogger(__name__)

_GROUPS: tuple[type[Settings], ...] = (
    ReferenceSettings,
    SelectionSettings,
    ServiceSettings,
    PointingSettings,
    ReferenceMatchSettings,
)


class AbsoluteAlignStep(GrismAlignStep):
    """Align the relative frame with a reference catalog."""

    class_alias = "grism_absolute_align"
    step_name = "absolute_align"
    groups: ClassVar[tuple[type[Settings], ...]] = _GROUPS
    spec = spec_of(*_GROUPS)

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Align; without a catalog the relative frame stays as it is."""
        from grism_align.workflows.absolute import align_to_first

        if not self.settings(ReferenceSettings).catalog:
            reason = (
                "no catalog given (--steps.absolute_align.catalog=GAIADR3, another service, auto or a file)"
            )
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
        return self._concluded(exposures, align_to_first(exposures, self._sources(), settings))

    def _concluded(self, exposures: ExposureSet, outcome: AbsoluteOutcome) -> ExposureSet:
        """The set with what came of all catalogs that were tried."""
        result = outcome.result
        if result is None:
            note = "no reference catalog: " + " ".join(outcome.reasons)
            why = "; ".join(f"{one.catalog} {one.outcome}" for one in outcome.last_attempts())
            failed = ExposureFit.failed(f"no reference catalog ({why})")
            members = [e.key for e in exposures.direct if exposures.relative.fits[e.key].is_aligned]
            solution = AlignmentSolution(dict.fromkeys(members, failed))
            activity = self.activity("failed", note, attempts=outcome.attempts)
            return exposures.with_activity(
                activity, absolute=solution, reference_catalog=None, grism=AlignmentSolution()
            )
        for warning in result.warnings:
            logger.warning(warning)
        note = "; ".join([*outcome.reasons, *result.warnings])
        verdict = "done" if result.n_tied else "failed"
        return exposures.with_activity(
            self.activity(verdict, note, result.counts, outcome.attempts),
            absolute=result.solution,
            reference_catalog=result.reference,
            grism=AlignmentSolution(),
        )

    def check(self) -> None:
        """Read the catalog, or know the service, so that an error in it costs no work."""
        super().check()
        if self.settings(ReferenceSettings).catalog:
            self._sources()

    def check_input(self, exposures: ExposureSet) -> None:
        """Warn where the catalog is of the same exposures: what is wrong with them is wrong with it."""
        from grism_align.io.catalogs.recorded import exposures_behind

        super().check_input(exposures)
        own = {exposure.key for exposure in exposures.direct}
        for path in self.input_files():
            same = sorted(own & exposures_behind(path))
            if same:
                logger.warning(
                    "%s: its sources were measured on exposures that are to be aligned to it (%s): it brings "
                    "them to where they were then, and no closer to the sky",
                    path,
                    ", ".join(same),
                )

    def input_files(self) -> tuple[Path, ...]:
        """The catalog, where it is a file."""
        path = Path(str(self.settings(ReferenceSettings).catalog)).expanduser()
        return (path,) if path.is_file() else ()

    def _sources(self) -> tuple[CatalogSource, ...]:
        """The catalogs to try; files are read once for each choice of settings and state of the file."""
        reference, service = self.settings(ReferenceSettings), self.settings(ServiceSettings)
        named = [reference.catalog, service.services]
        return _opened(reference, service, tuple(_state(name) for name in named))


def _state(name: str | None) -> tuple[int, int] | None:
    """What changes with a file."""
    path = Path(str(name)).expanduser()
    if not path.is_file():
        return None
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=1)
def _opened(
    reference: ReferenceSettings, service: ServiceSettings, _states: tuple[Any, ...]
) -> tuple[CatalogSource, ...]:
    from grism_align.io.catalogs.candidates import catalog_sources

    return catalog_sources(reference, service)
