"""The level of the sky in an image, and its slow variation over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


# A level is known well enough from this many pixels; more only take time.
_ENOUGH = 300_000


def thinned(size: int) -> tuple[slice, slice]:
    """Return what cuts evenly spaced pixels from an image, enough to tell a level, a million at most.

    Parameters
    ----------
    size : int
        Pixels of the image.
    """
    step = max(1, int(np.sqrt(size / (3 * _ENOUGH))))
    return slice(None, None, step), slice(None, None, step)


def clipped_level(values: NDArray[Any]) -> tuple[float, float]:
    """Return level and scatter of sky pixels among which there are sources.

    The median of what lies within three scatters of it, which is iterated; sources skew what is left, so the
    mode is estimated as 2.5 median - 1.5 mean where the two are near each other.

    Parameters
    ----------
    values : ndarray
        Usable pixels, in any order.

    Returns
    -------
    level, scatter : float
        NaN where there are none.

    References
    ----------
    Bertin & Arnouts 1996, A&AS 117, 393, section 3.
    """
    from astropy.stats import mad_std, sigma_clip

    kept = np.ravel(values)
    if len(kept) == 0:
        return float("nan"), float("nan")
    kept = kept[:: max(1, len(kept) // _ENOUGH)].astype(float)
    kept = sigma_clip(kept, sigma=3.0, maxiters=8, stdfunc=mad_std, masked=False)
    mean, median, scatter = float(kept.mean()), float(np.median(kept)), float(mad_std(kept))
    return 2.5 * median - 1.5 * mean if abs(mean - median) < 0.3 * scatter else median, scatter


def local_background(image: NDArray[Any], good: NDArray[np.bool_], box: int) -> NDArray[np.float32]:
    """Return what varies over more than a box: a spline through the boxes' modes.

    Parameters
    ----------
    image : (ny, nx) ndarray
        Any unit.
    good : (ny, nx) ndarray of bool
        Usable pixels. A box of which half are not has the mode of those around it; where no box has enough,
        the background is the level of all.
    box : int, pix
        Side of a box.

    Returns
    -------
    (ny, nx) ndarray

    References
    ----------
    Barbary 2016, JOSS 1, 58, of Bertin & Arnouts 1996, A&AS 117, 393, section 3.
    """
    from sep import Background

    height, width = (min(box, side) for side in image.shape)
    if _fullest(good, height, width) <= 0.5 * height * width:
        level = clipped_level(image[good])[0] if good.any() else 0.0
        return np.full(image.shape, level, np.float32)
    usable = np.where(good, image, 0).astype(np.float32, copy=False)
    return np.asarray(Background(usable, mask=~good, bw=width, bh=height).back(dtype=np.float32))


def _fullest(good: NDArray[np.bool_], height: int, width: int) -> int:
    """Return the number of usable pixels of the box that has most."""
    bottoms, lefts = np.arange(0, good.shape[0], height), np.arange(0, good.shape[1], width)
    strips = np.add.reduceat(good, bottoms, axis=0, dtype=np.int64)
    return int(np.add.reduceat(strips, lefts, axis=1).max())
