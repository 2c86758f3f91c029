"""Which pixels of a mosaic belong to which source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["find_segments", "significance"]

# Neighbours of a pixel, half of them: the others are theirs.
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


def significance(image: NDArray[Any], variance: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    """Signal-to-noise ratio of a Gaussian source at every pixel (Turin 1960; inverse-variance weights).

    Parameters
    ----------
    image, variance : (ny, nx) ndarray
        Of independent pixels, or as if they were; the variance is infinite where nothing is known.
    sigma : float, pix
        Width of the filter.
    """
    from scipy.ndimage import gaussian_filter

    inverse = np.where(np.isfinite(variance), 1 / variance, 0).astype(np.float32)
    signal = gaussian_filter(image * inverse, sigma)
    # the square of a Gaussian is a Gaussian, narrower by sqrt(2) and 4 pi sigma^2 times weaker
    noise = gaussian_filter(inverse, sigma / np.sqrt(2)) / np.float32(4 * np.pi * sigma**2)
    out = np.zeros(image.shape, np.float32)
    np.divide(signal, np.sqrt(np.clip(noise, 0, None)), out=out, where=noise > 0)
    return out


def find_segments(
    ratio: NDArray[np.float32], threshold: float, area: int, contrast: float
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Pixels above a threshold, each given to the peak that a steepest ascent from it reaches.

    A peak that rises above the saddle to a higher one by less than a share of its own height, or by less
    than the threshold, is part of the higher one.

    Parameters
    ----------
    ratio : (ny, nx) ndarray
        Signal-to-noise ratio.
    threshold : float
        Lowest of a source's pixels.
    area : int, pix
        Fewest pixels of a source.
    contrast : float
        That share.

    Returns
    -------
    segments : (ny, nx) ndarray of int
        Number of the source from 1, zero for none.
    peaks : (N, 2) ndarray of int
        Pixel (x, y) of the highest value of each.

    References
    ----------
    Cousty et al. 2009, IEEE TPAMI 31, 1362 (watersheds by steepest descent); Edelsbrunner, Letscher &
    Zomorodian 2002, Discrete Comput. Geom. 28, 511 (persistence of peaks).
    """
    above = ratio > threshold
    rows, columns = np.nonzero(above)
    if len(rows) == 0:
        return np.zeros(ratio.shape, np.int32), np.zeros((0, 2), np.int64)
    index = np.full(ratio.shape, -1, np.int32)
    index[rows, columns] = np.arange(len(rows), dtype=np.int32)
    height = ratio[rows, columns]
    pairs = _neighbours(index)
    root = _ascended(height, pairs)
    root = _merged(height, pairs, root, (threshold, contrast))
    return _numbered((rows, columns), height, root, area, ratio.shape)


def _neighbours(index: NDArray[np.int32]) -> NDArray[np.int32]:
    """Pairs of adjacent pixels that are both above the threshold, (M, 2) of their numbers."""
    ny, nx = index.shape
    found = []
    for down, right in _STEPS:
        first = index[: ny - down, max(0, -right) : nx - max(0, right)]
        second = index[down:, max(0, right) : nx + min(0, right)]
        both = (first >= 0) & (second >= 0)
        found.append(np.column_stack([first[both], second[both]]))
    return np.concatenate(found)


def _ascended(height: NDArray[np.float32], pairs: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each pixel the peak that it leads to."""
    # of equally high pixels the one with the higher number counts as higher, so that there are no loops
    order = np.lexsort((np.arange(len(height)), height))
    rank = np.empty(len(height), np.int64)
    rank[order] = np.arange(len(height))
    best = rank.copy()
    for one, other in ((0, 1), (1, 0)):
        np.maximum.at(best, pairs[:, one], rank[pairs[:, other]])
    parent = order[best]
    while True:
        following = parent[parent]
        if np.array_equal(following, parent):
            return np.asarray(parent)
        parent = following


def _merged(
    height: NDArray[np.float32],
    pairs: NDArray[np.int32],
    root: NDArray[np.int64],
    limits: tuple[float, float],
) -> NDArray[np.int64]:
    """Peaks that are too low above their saddles joined to higher ones, from the highest saddle down."""
    threshold, contrast = limits
    ends = root[pairs]
    apart = ends[:, 0] != ends[:, 1]
    saddles = height[pairs[apart]].min(axis=1)
    ends = ends[apart]
    order = np.argsort(-saddles, kind="stable")
    leader = {int(one): int(one) for one in np.unique(root)}

    def led(one: int) -> int:
        while leader[one] != one:
            leader[one] = leader[leader[one]]
            one = leader[one]
        return one

    for (one, other), saddle in zip(ends[order].tolist(), saddles[order].tolist(), strict=True):
        low, high = sorted((led(one), led(other)), key=lambda peak: height[peak])
        if low != high and height[low] - saddle < max(threshold, contrast * height[low]):
            leader[low] = high
    peaks = np.array([led(one) for one in leader], dtype=np.int64)
    table = np.zeros(len(height), np.int64)
    table[list(leader)] = peaks
    return np.asarray(table[root])


def _numbered(
    places: tuple[NDArray[np.int64], NDArray[np.int64]],
    height: NDArray[np.float32],
    root: NDArray[np.int64],
    area: int,
    shape: tuple[int, ...],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Segments of enough pixels, numbered from the bottom to the top of the mosaic."""
    rows, columns = places
    peaks, member, number = np.unique(root, return_inverse=True, return_counts=True)
    kept = number >= area
    label = np.where(kept, np.cumsum(kept), 0)
    segments = np.zeros(shape, np.int32)
    segments[rows, columns] = label[member]
    return segments, np.column_stack([columns[peaks[kept]], rows[peaks[kept]]])
