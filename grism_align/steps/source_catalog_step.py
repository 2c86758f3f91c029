"""The step that finds and measures the sources of the direct exposures."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, ClassVar

from grism_align.steps.base import GrismAlignStep
from grism_align.steps.spec import spec_of
from grism_align.values.settings import DetectionSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        executor = self.keeping_executor()
        measured = measure_exposures(exposures, settings, executor)
        counts: Counter[str] = Counter()
        for catalog in measured.catalogs.values():
            counts.update(catalog.table.meta["counts"])
        return self.done(measured, _what_differs(settings), dict(counts), n_kept=executor.n_kept)


def _what_differs(settings: Mapping[str, DetectionSettings]) -> str:
    """Name the parameters that are not the same for all instruments, with the values of each."""
    values = {instrument: asdict(one) for instrument, one in settings.items()}
    names = [field.name for field in fields(DetectionSettings)]
    differing = [name for name in names if len({repr(one[name]) for one in values.values()}) > 1]
    return "; ".join(
        f"{instrument}: {', '.join(f'{name} = {one[name]}' for name in differing)}"
        for instrument, one in values.items()
        if differing
    )
