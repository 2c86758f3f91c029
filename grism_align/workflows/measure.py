"""Find and measure the sources of exposures, one exposure's pixels at a time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grism_align.algorithms.measuring.measure import measure_exposure
from grism_align.io.missions import read_pixels
from grism_align.values.failure import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import DetectionSettings

__all__ = ["measure_exposures"]

logger = logging.getLogger(__name__)


def measure_exposures(
    exposures: Sequence[Exposure], settings: Mapping[str, DetectionSettings], executor: Executor
) -> dict[str, SourceCatalog]:
    """Find and measure the sources of exposures, chip by chip.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    settings : mapping of str to DetectionSettings
        The parameters, by instrument.
    executor : Executor
        Measures them.

    Returns
    -------
    dict of str to SourceCatalog
        By exposure key.

    Raises
    ------
    InputError
        If the pixels of an exposure can't be read.
    """
    jobs = {exposure.key: (exposure, settings[exposure.instrument]) for exposure in exposures}
    catalogs = dict(zip(jobs, executor.map(_measured, jobs, "Measuring"), strict=True))
    for key, catalog in catalogs.items():
        if catalog.remarks:
            logger.warning("%s: %s", key, text_of(catalog.remarks))
    return catalogs


def _measured(job: tuple[Exposure, DetectionSettings]) -> SourceCatalog:
    exposure, settings = job
    catalog = measure_exposure(exposure, read_pixels(exposure), settings)
    logger.info("%s: %d sources", exposure.key, len(catalog))
    return catalog
