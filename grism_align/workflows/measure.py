"""Find and measure the sources of exposures, one exposure's pixels at a time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grism_align.algorithms.measuring.measure import measure_exposure
from grism_align.values.catalog import SourceCatalog
from grism_align.values.errors import InputError
from grism_align.values.failure import text_of
from grism_align.values.words import FOR_FILE
from grism_align.workflows.keeping import Measurement
from grism_align.workflows.left_out import without_unreadable
from grism_align.workflows.pixels import read_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import DetectionSettings


logger = logging.getLogger(__name__)


def measure_exposures(
    exposures: ExposureSet, settings: Mapping[str, DetectionSettings], executor: Executor
) -> ExposureSet:
    """Find and measure the sources of exposures, chip by chip.

    Parameters
    ----------
    exposures : ExposureSet
        Of which the direct exposures are measured.
    settings : mapping of str to DetectionSettings
        The parameters, by instrument.
    executor : Executor
        Measures them.

    Returns
    -------
    ExposureSet
        With the catalogs; without exposures whose pixels can't be read.

    Raises
    ------
    InputError
        If the pixels of an exposure can't be read, and it is not left out.
    """
    jobs = {each.key: _Job(each, settings[each.instrument]) for each in exposures.direct}
    found = dict(zip(jobs, executor.map(_MEASUREMENT, jobs, "Measuring"), strict=True))
    unreadable = {key: each for key, each in found.items() if isinstance(each, InputError)}
    catalogs = {key: each for key, each in found.items() if not isinstance(each, InputError)}
    for key, catalog in catalogs.items():
        if catalog.remarks:
            logger.warning("%s: %s", key, text_of(catalog.remarks))
    return replace(without_unreadable(exposures, unreadable), catalogs=catalogs)


@dataclass(frozen=True, eq=False)
class _Job:
    """An exposure, and how it is measured."""

    exposure: Exposure
    settings: DetectionSettings


def _measured(job: _Job) -> SourceCatalog | InputError:
    exposure = job.exposure
    try:
        catalog = measure_exposure(exposure, read_pixels(exposure), job.settings)
    except InputError as error:
        return error
    logger.info("%s: %d sources", exposure.key, len(catalog), extra=FOR_FILE)
    return catalog


def _about(job: _Job) -> object:
    """Return what a catalog follows from: wherever an exposure points, it has the same pixels."""
    exposure = job.exposure
    chips = tuple((chip.number, chip.shape) for chip in exposure.chips)
    band = exposure.filter, exposure.resolution
    return exposure.source, exposure.key, exposure.instrument, band, chips, job.settings


_MEASUREMENT = Measurement("sources", _measured, (SourceCatalog,), _about)
