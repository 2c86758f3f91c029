"""What a Gaussian window makes of moments, and how to undo it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


#: Windowed variance in units of the window's, where a source counts as ten windows (in variance) wide.
WIDEST = 10 / 11


def response(variance: ArrayLike, widest: float = WIDEST) -> NDArray[np.float64]:
    """Return by how much the windowed first moment of a source moves, when the source moves by one.

    Parameters
    ----------
    variance : array_like
        Windowed variance of the source, in units of the window's.
    widest : float
        What larger ones are taken for.

    Notes
    -----
    For a Gaussian source of variance s in a window of variance w the windowed variance v has
    1 / v = 1 / w + 1 / s, and the moment moves by w / (w + s) = 1 - v / w.
    """
    return np.asarray(1.0 - np.clip(variance, 0.0, widest))


def unwindowed(variance: ArrayLike) -> NDArray[np.float64]:
    """Return the variance of a source freed from the window's narrowing, in units of the window's.

    Parameters
    ----------
    variance : array_like
        Windowed variance of the source, in units of the window's.
    """
    clipped = np.clip(variance, 0.0, WIDEST)
    return np.asarray(clipped / (1.0 - clipped))
