"""Find and measure the sources of exposures, one exposure's pixels at a time."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from grism_align.algorithms.measuring.measure import measure_exposure
from grism_align.values.failure import text_of
from grism_align.workflows.pixels import read_pixels

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
    by_key = {exposure.key: exposure for exposure in exposures}
    measured = executor.map(partial(_measured, settings=settings), by_key, "Measuring")
    catalogs = dict(zip(by_key, measured, strict=True))
    for key, catalog in catalogs.items():
        if catalog.remarks:
            logger.warning("%s: %s", key, text_of(catalog.remarks))
    return catalogs


def _measured(exposure: Exposure, settings: Mapping[str, DetectionSettings]) -> SourceCatalog:
    catalog = measure_exposure(exposure, read_pixels(exposure), settings[exposure.instrument])
    logger.info("%s: %d sources", exposure.key, len(catalog))
    return catalog
