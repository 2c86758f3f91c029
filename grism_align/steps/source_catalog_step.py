"""The step that finds and measures the sources of the direct exposures."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar

from grism_align.steps.base import GrismAlignStep
from grism_align.steps.parameter_files import instrument_values
from grism_align.steps.spec import spec_of
from grism_align.values.settings import DetectionSettings, Settings, parameters_of
from grism_align.workflows.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet

__all__ = ["SourceCatalogStep"]

logger = logging.getLogger(__name__)


class SourceCatalogStep(GrismAlignStep):
    """Find and measure the sources of every direct exposure, chip by chip."""

    class_alias = "grism_source_catalog"
    step_name = "source_catalog"
    groups: ClassVar[tuple[type[Settings], ...]] = (DetectionSettings,)
    spec = spec_of(DetectionSettings)

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Measure the direct exposures; their catalogs replace earlier ones."""
        catalogs = {e.key: self._measured(e) for e in track(exposures.direct, "Measuring")}
        counts: dict[str, int] = {}
        for key, catalog in catalogs.items():
            if catalog.note:
                logger.warning("%s: %s", key, catalog.note)
            for name, count in catalog.table.meta["counts"].items():
                counts[name] = counts.get(name, 0) + count
        return self.done(exposures, counts=counts, catalogs=catalogs)

    def _measured(self, exposure: Exposure) -> SourceCatalog:
        from grism_align.algorithms.measuring.measure import measure_exposure

        catalog = measure_exposure(exposure, _chips(exposure), self._settings_for(exposure.instrument))
        logger.info("%s: %d sources", exposure.key, len(catalog))
        return catalog

    def _settings_for(self, instrument: str) -> DetectionSettings:
        """The settings for an instrument: its own, but for what the user changed.

        A field can mix instruments, and the step's values come from the parameter file of one of them.
        """
        present = asdict(self.settings(DetectionSettings))
        base = {parameter.name: parameter.default for parameter in parameters_of(DetectionSettings)}
        picked = self.search_attr("instrument_parameters")
        if picked:
            base |= instrument_values(picked.removesuffix(".asdf"), "source_catalog")
        own = {**base, **instrument_values(instrument, "source_catalog")}
        values = {name: own[name] if value == base[name] else value for name, value in present.items()}
        return DetectionSettings(**values)


def _chips(exposure: Exposure) -> Iterator[tuple[int, NDArray[Any], NDArray[Any], NDArray[Any]]]:
    from grism_align.io.missions import read_pixels

    for chip, pixels in read_pixels(exposure):
        yield chip.number, pixels.sci, pixels.err, pixels.dq
