"""A mosaic as a small picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Pixels of the longer side, at most.
LONGEST = 480
# Of the noise of the picture: from where to where it goes from black to white.
_BLACK, _WHITE = -2.0, 60.0
_SOFTENING = 3.0


def picture_side(shape: tuple[int, int]) -> int:
    """Return how many pixels a side of an image (ny, nx) one pixel of its picture has."""
    return -(-max(shape) // LONGEST)


def binned(image: NDArray[np.floating], weight: NDArray[np.floating], side: int) -> NDArray[np.float64]:
    """Return the means of squares of pixels; NaN where they have no weight.

    Parameters
    ----------
    image, weight : (ny, nx) ndarray
        An image, or some rows of it.
    side : int, pix
        Of a square.

    Returns
    -------
    (ny // side, nx // side) ndarray
    """
    ny, nx = (size // side for size in image.shape)
    part = slice(0, ny * side), slice(0, nx * side)
    good = weight[part] > 0
    # rows first, as these lie together
    total, number = (
        values.reshape(ny, side, nx * side).sum(axis=1, dtype=float).reshape(ny, nx, side).sum(axis=2)
        for values in (np.where(good, image[part], 0), good)
    )
    out = np.full((ny, nx), np.nan)
    np.divide(total, number, out=out, where=number > 0)
    return out


def stretched(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return an image in grey, such that both noise and stars are seen; black where it is NaN.

    Parameters
    ----------
    image : (ny, nx) ndarray
        Levels.
    """
    known = image[np.isfinite(image)]
    if known.size == 0:
        return np.zeros(image.shape, dtype=np.uint8)
    level = float(np.median(known))
    noise = 1.4826 * float(np.median(np.abs(known - level)))
    if noise == 0:
        noise = float(np.std(known)) or 1.0
    sigma = np.clip((np.nan_to_num(image, nan=-np.inf) - level) / noise, _BLACK, _WHITE)
    low, high = (np.arcsinh(end / _SOFTENING) for end in (_BLACK, _WHITE))
    shade = (np.arcsinh(sigma / _SOFTENING) - low) / (high - low)
    return np.asarray(np.round(255 * shade), dtype=np.uint8)
