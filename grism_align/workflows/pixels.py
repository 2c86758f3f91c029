"""The pixels of exposures as algorithms want them: with errors."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grism_align.algorithms.measuring.noise import with_errors
from grism_align.io.missions import read_pixels as read_as_stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.mission import ChipPixels


logger = logging.getLogger(__name__)


def read_pixels(exposure: Exposure) -> Iterator[tuple[Chip, ChipPixels]]:
    """Yield the arrays of an exposure, one chip at a time, with the image's own noise for errors it lacks.

    Parameters
    ----------
    exposure : Exposure
        As read.

    Raises
    ------
    InputError
        If they can't be read.
    """
    for chip, pixels in read_as_stored(exposure):
        usable = with_errors(exposure, pixels)
        if usable is not pixels:
            text = "%s, chip %d: its ERR array is missing or without values; the image's own noise is used"
            logger.warning(text, exposure.key, chip.number)
        yield chip, usable
