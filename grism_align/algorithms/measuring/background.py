"""The level of the sky in an image, and its slow variation over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: A box with a smaller share of usable pixels tells no background.
_LEAST_USABLE_IN_BOX = 0.05
# A level is known well enough from this many pixels; more only take time.
_ENOUGH = 300_000
# How often what is far off is left out of a box.
_CLIPS = 5


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
        Usable pixels; where no box has enough of them, the background is the level of all.
    box : int, pix
        Side of a box.

    Returns
    -------
    (ny, nx) ndarray

    References
    ----------
    Bertin & Arnouts 1996, A&AS 117, 393, section 3.
    """
    size = (min(box, image.shape[0]), min(box, image.shape[1]))
    modes = _modes(image, good, size)
    if np.isnan(modes).all():
        level = clipped_level(image[good])[0] if good.any() else 0.0
        return np.full(image.shape, level, np.float32)
    return _interpolated(_smoothed(_filled(modes)), size, image.shape)


def _modes(image: NDArray[Any], good: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the mode of each box; NaN of one with too few usable pixels.

    Photutils' Background2D has the same in twice the time, and takes longer than that to be imported.
    """
    height, width = size
    ny, nx = -(-image.shape[0] // height), -(-image.shape[1] // width)
    modes = np.full((ny, nx), np.nan)
    for row in range(ny):
        rows = slice(row * height, (row + 1) * height)
        used = good[rows]
        strip = np.full((height, nx * width), np.nan, np.float32)
        strip[: used.shape[0], : used.shape[1]][used] = image[rows][used]
        boxes = strip.reshape(height, nx, width).swapaxes(0, 1).reshape(nx, -1)
        modes[row] = _clipped_modes(boxes, _LEAST_USABLE_IN_BOX * height * width)
    return modes


def _clipped_modes(boxes: NDArray[np.float32], least: float) -> NDArray[np.float64]:
    """Return the mode of each row without what is three scatters off; NaN where too few are left."""
    boxes.sort(axis=1)  # what is kept of a row is a part of it then; NaNs are last
    powers = boxes, np.square(boxes, dtype=float)
    sums = [np.pad(np.cumsum(one, axis=1, dtype=float), ((0, 0), (1, 0))) for one in powers]
    each = np.arange(len(boxes))

    def statistics(first: NDArray[np.int64], end: NDArray[np.int64]) -> list[NDArray[np.float64]]:
        median = (boxes[each, (first + end - 1) // 2] + boxes[each, (first + end) // 2]) / 2
        mean, square = ((one[each, end] - one[each, first]) / np.maximum(end - first, 1) for one in sums)
        return [median, mean, np.sqrt(np.clip(square - mean**2, 0, None))]

    first, end = np.zeros_like(each), np.count_nonzero(~np.isnan(boxes), axis=1)
    for _ in range(_CLIPS):
        median, _, scatter = statistics(first, end)
        first = np.count_nonzero(boxes < (median - 3 * scatter)[:, None], axis=1)
        end = np.count_nonzero(boxes <= (median + 3 * scatter)[:, None], axis=1)
    median, mean, scatter = statistics(first, end)
    mode = np.where(np.abs(mean - median) < 0.3 * scatter, 2.5 * median - 1.5 * mean, median)
    return np.where(end - first > least, mode, np.nan)


def _filled(modes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give boxes without a mode what those around them have."""
    unknown = np.isnan(modes)
    if not unknown.any():
        return modes
    from photutils.utils import ShepardIDWInterpolator

    around = ShepardIDWInterpolator(np.argwhere(~unknown), modes[~unknown])
    out = modes.copy()
    out[unknown] = around(np.argwhere(unknown), n_neighbors=10)
    return out


def _smoothed(modes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of each box and those that it touches."""
    bordered = np.pad(modes, 1, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(bordered, (3, 3))
    return np.asarray(np.nanmedian(around, axis=(2, 3)))


def _interpolated(
    mesh: NDArray[np.float64], size: tuple[int, int], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Put a spline through values at the centres of boxes; beyond the outer ones it stays as it is there."""
    y, x = (_weights(*one) for one in zip(mesh.shape, size, shape, strict=True))
    return (y @ mesh).astype(np.float32) @ x.T.astype(np.float32)


def _weights(n: int, step: int, side: int) -> NDArray[np.float64]:
    """Return what each of n boxes of an axis adds to a spline at each pixel: (side, n)."""
    from scipy.interpolate import make_interp_spline

    if n == 1:
        return np.ones((side, 1))
    centers = step * np.arange(n) + (step - 1) / 2
    spline = make_interp_spline(centers, np.eye(n), k=min(3, n - 1))
    return np.asarray(spline(np.clip(np.arange(side), centers[0], centers[-1])))
