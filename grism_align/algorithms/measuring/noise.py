"""Errors of pixels: those of the file or, where it has none, the image's own noise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.measuring.good_pixels import good_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure
    from grism_align.values.mission import ChipPixels


# Of fewer of its good pixels a chip has errors by accident only.
_LEAST_KNOWN = 0.5
# Of a normal distribution: its standard deviation in its median absolute deviation.
_PER_MAD = 1.4826


def has_errors(pixels: ChipPixels) -> bool:
    """Tell whether the errors of a chip are known.

    Parameters
    ----------
    pixels : ChipPixels
        Its arrays; errors that are zero, negative or no number are not known.
    """
    is_seen = np.isfinite(pixels.sci) & (pixels.dq == 0)
    total = int(is_seen.sum())
    known = good_pixels(pixels.sci, pixels.err, pixels.dq, 0)
    return total == 0 or int(known.sum()) >= _LEAST_KNOWN * total


def with_errors(exposure: Exposure, pixels: ChipPixels) -> ChipPixels:
    """Give a chip without errors those that its image tells of; another stays as it is.

    Parameters
    ----------
    exposure : Exposure
        Its units and its exposure time tell what light adds to the noise of the sky.
    pixels : ChipPixels
        The arrays of one of its chips.

    Returns
    -------
    ChipPixels
        With positive errors wherever the value is finite.

    Notes
    -----
    The noise of the sky is the robust scatter of the differences of neighbouring pixels, which neither
    gradients nor sources widen much. Where pixels hold electrons, those of sources add their own.
    """
    if has_errors(pixels):
        return pixels
    sky = _sky_noise(pixels)
    variance = np.full(pixels.sci.shape, sky**2)
    if exposure.rate_unit.upper().startswith("ELECTRON"):
        seconds = exposure.exposure_time if exposure.is_rate else 1.0
        level = np.median(pixels.sci[np.isfinite(pixels.sci)])
        variance += np.clip(np.nan_to_num(pixels.sci - level, posinf=0.0), 0.0, None) / seconds
    return replace(pixels, err=np.sqrt(variance).astype(np.float32))


def _sky_noise(pixels: ChipPixels) -> float:
    image: NDArray[np.float64] = np.where(pixels.dq == 0, pixels.sci, np.nan).astype(float)
    steps = np.diff(image, axis=1)
    steps = steps[np.isfinite(steps)]
    if len(steps) == 0:
        return 1.0
    noise = _PER_MAD * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2.0)
    # a constant image has none, and an error must not be zero
    return float(max(noise, 1e-6 * np.abs(steps).max(), 1e-15))
