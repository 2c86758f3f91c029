"""Find and measure the sources of exposures, one exposure's pixels at a time."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from grism_align.algorithms.measuring.measure import measure_exposure
from grism_align.values.errors import InputError
from grism_align.values.failure import text_of
from grism_align.values.words import FOR_FILE
from grism_align.workflows.left_out import without_unreadable
from grism_align.workflows.pixels import read_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.values.catalog import SourceCatalog
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
    by_key = {exposure.key: exposure for exposure in exposures.direct}
    measured = executor.map(partial(_measured, settings=settings), by_key, "Measuring")
    found = dict(zip(by_key, measured, strict=True))
    unreadable = {key: each for key, each in found.items() if isinstance(each, InputError)}
    catalogs = {key: each for key, each in found.items() if not isinstance(each, InputError)}
    for key, catalog in catalogs.items():
        if catalog.remarks:
            logger.warning("%s: %s", key, text_of(catalog.remarks))
    return replace(without_unreadable(exposures, unreadable), catalogs=catalogs)


def _measured(exposure: Exposure, settings: Mapping[str, DetectionSettings]) -> SourceCatalog | InputError:
    try:
        catalog = measure_exposure(exposure, read_pixels(exposure), settings[exposure.instrument])
    except InputError as error:
        return error
    logger.info("%s: %d sources", exposure.key, len(catalog), extra=FOR_FILE)
    return catalog
