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


def binned(image: NDArray[np.floating], weight: NDArray[np.floating]) -> NDArray[np.float64]:
    """Bin an image to a picture's size; NaN where it has no weight.

    Parameters
    ----------
    image, weight : (ny, nx) ndarray
        It may be mapped from a file: it is read once, row by row of the picture.

    Returns
    -------
    ndarray
        Of `LONGEST` pixels at most along its longer side.
    """
    side = -(-max(image.shape) // LONGEST)
    ny, nx = (size // side for size in image.shape)
    out = np.full((ny, nx), np.nan)
    for row in range(ny):
        part = slice(row * side, (row + 1) * side), slice(0, nx * side)
        blocks = np.asarray(image[part], dtype=float).reshape(side, nx, side)
        good = np.asarray(weight[part]).reshape(side, nx, side) > 0
        n = good.sum(axis=(0, 2))
        total = np.where(good, blocks, 0.0).sum(axis=(0, 2))
        out[row, n > 0] = total[n > 0] / n[n > 0]
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
