"""The level of the sky in one exposure, and its slow variation over a mosaic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["clipped_level", "smooth_background", "thinned"]

_CLIP = 3.0
_ROUNDS = 8
# Standard deviations per median absolute deviation of a normal distribution.
_MAD = 1.4826
# A level is known well enough from this many pixels; more only take time.
_ENOUGH = 300_000


def thinned(size: int) -> tuple[slice, slice]:
    """Evenly spaced pixels of an image, enough to tell a level, and about a million at most.

    Parameters
    ----------
    size : int
        Pixels of the image.
    """
    step = max(1, int(np.sqrt(size / (3 * _ENOUGH))))
    return slice(None, None, step), slice(None, None, step)


def clipped_level(values: NDArray[Any]) -> tuple[float, float]:
    """Level and scatter of sky pixels among which there are sources.

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
    kept = np.ravel(values)
    if len(kept) == 0:
        return float("nan"), float("nan")
    kept = kept[:: max(1, len(kept) // _ENOUGH)].astype(float)
    for _ in range(_ROUNDS):
        median = float(np.median(kept))
        scatter = _MAD * float(np.median(np.abs(kept - median)))
        inside = np.abs(kept - median) <= _CLIP * scatter
        if inside.all() or scatter == 0:
            break
        kept = kept[inside]
    mean, median = float(kept.mean()), float(np.median(kept))
    level = 2.5 * median - 1.5 * mean if abs(mean - median) < 0.3 * scatter else median
    return level, scatter


def smooth_background(image: NDArray[Any], good: NDArray[np.bool_], box: int) -> NDArray[np.float32]:
    """What varies over more than a box: clipped medians of boxes, their medians of 3 x 3, linear between.

    Parameters
    ----------
    image : (ny, nx) ndarray
        The mosaic.
    good : (ny, nx) ndarray of bool
        Pixels with data.
    box : int, pix
        Side of a box. One with less than a fifth of its pixels takes the level of all.

    Returns
    -------
    (ny, nx) ndarray
    """
    from scipy.ndimage import median_filter

    n_y, n_x = (max(1, -(-side // box)) for side in image.shape)
    mesh = np.full((n_y, n_x), np.nan)
    for row in range(n_y):
        for column in range(n_x):
            part = slice(row * box, (row + 1) * box), slice(column * box, (column + 1) * box)
            usable = image[part][good[part]]
            if len(usable) > 0.2 * box**2:
                mesh[row, column] = clipped_level(usable)[0]
    if not np.isfinite(mesh).any():
        return np.zeros(image.shape, np.float32)
    mesh[~np.isfinite(mesh)] = np.nanmedian(mesh)
    mesh = np.asarray(median_filter(mesh, 3, mode="nearest"))
    axes = [
        np.clip((np.arange(n) + 0.5) * box - 0.5, 0, side - 1)
        for n, side in zip(mesh.shape, image.shape, strict=True)
    ]
    return _between(mesh, axes, image.shape)


def _between(
    mesh: NDArray[np.float64], axes: list[NDArray[np.float64]], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Linear between the centres of boxes, constant beyond the outer ones."""
    out = mesh
    for axis, (centers, side) in enumerate(zip(axes, shape, strict=True)):
        if len(centers) == 1:
            out = np.repeat(out, side, axis=axis)
            continue
        places = np.clip(np.arange(side), centers[0], centers[-1])
        low = np.clip(np.searchsorted(centers, places, side="right") - 1, 0, len(centers) - 2)
        share = (places - centers[low]) / (centers[low + 1] - centers[low])
        share = share[:, None] if axis == 0 else share[None, :]
        out = np.take(out, low, axis=axis) * (1 - share) + np.take(out, low + 1, axis=axis) * share
    return out.astype(np.float32)
