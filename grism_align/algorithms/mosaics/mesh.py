"""A chip on the sky as a mesh of tiles, each mapped by an affine map of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: How far tiles may put a pixel from where the WCS does, pixels.
TOLERANCE = 0.1
_MOST = 64


def mesh(to_plane: Callable[[Floats], Floats], size: tuple[float, float]) -> Floats:
    """Return the corners of tiles that follow a map with distortion to a tenth of a pixel.

    Parameters
    ----------
    to_plane : callable
        From (N, 2) pixels to (N, 2) places in a plane.
    size : (width, height), pixels
        Of what is divided into equal tiles; it begins at the outer corner of the first pixel, (-0.5, -0.5).

    Returns
    -------
    (n + 1, n + 1, 2) ndarray
        Places of the corners, rows of tiles first; as few tiles a side as do, and 64 at most.
    """
    n = 1
    while True:
        # corners of the tiles, and middles between them
        fine = _places(to_plane, size, 2 * n)
        nodes = fine[::2, ::2]
        if n == _MOST or _error(fine, size, n) <= TOLERANCE:
            return nodes
        n *= 2


def tile_maps(nodes: Floats) -> tuple[Floats, Floats, Floats]:
    """Return middle (n, n, 2) and sides along x and y (n, n, 2) of the parallelograms next to tiles."""
    low = nodes[:-1, :-1], nodes[:-1, 1:]
    high = nodes[1:, :-1], nodes[1:, 1:]
    middle = (low[0] + low[1] + high[0] + high[1]) / 4
    along = (low[1] - low[0] + high[1] - high[0]) / 2
    up = (high[0] - low[0] + high[1] - low[1]) / 2
    return middle, along, up


def _places(to_plane: Callable[[Floats], Floats], size: tuple[float, float], n: int) -> Floats:
    x, y = (np.linspace(0, side, n + 1) - 0.5 for side in size)
    columns, rows = np.meshgrid(x, y)
    return to_plane(np.column_stack([columns.ravel(), rows.ravel()])).reshape(n + 1, n + 1, 2)


def _error(fine: Floats, size: tuple[float, float], n: int) -> float:
    """How far tiles put corners, sides and middles from where they are, at most, pixels."""
    middle, along, up = tile_maps(fine[::2, ::2])
    side = np.sqrt(np.abs(along[..., 0] * up[..., 1] - along[..., 1] * up[..., 0]) / (size[0] * size[1])) * n
    worst = 0.0
    for row, down in enumerate((-0.5, 0.0, 0.5)):
        for column, across in enumerate((-0.5, 0.0, 0.5)):
            there = fine[row : row + 2 * n - 1 : 2, column : column + 2 * n - 1 : 2]
            apart = np.hypot(*np.moveaxis(middle + across * along + down * up - there, -1, 0)) / side
            worst = max(worst, float(np.nan_to_num(apart).max()))
    return worst
