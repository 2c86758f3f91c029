"""Windowed centroids of many sources at once, with their errors and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.measuring.windowed import response

if TYPE_CHECKING:
    from numpy.typing import NDArray


_MAX_ITERATIONS = 20
_CONVERGED = 2e-4


@dataclass(frozen=True, eq=False)
class Stamps:
    """Square cut-outs around integer pixels, N of (side, side).

    Parameters
    ----------
    corner : (N, 2) ndarray of int
        Pixel (x, y) of the lower left corner of each.
    data : (N, side, side) ndarray
        Background-subtracted values; zero where not good.
    variance : (N, side, side) ndarray
        Squared errors.
    good : (N, side, side) ndarray of bool
        Usable pixels; False outside the chip.
    """

    corner: NDArray[np.int64]
    data: NDArray[np.float64]
    variance: NDArray[np.float64]
    good: NDArray[np.bool_]

    def part(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Stamps:
        """Return some of them, by a mask or by their numbers."""
        return Stamps(self.corner[rows], self.data[rows], self.variance[rows], self.good[rows])


@dataclass(frozen=True, eq=False)
class WindowedMoments:
    """Positions and shapes, N of each.

    Parameters
    ----------
    xy, xy_error : (N, 2) ndarray, pix
        Zero-based position on the chip and its standard error from the pixels' noise.
    second : (N, 3) ndarray, pix^2
        Windowed second moments xx, yy, xy.
    coverage : (N,) ndarray
        Fraction of the window's weight that lies on good pixels.
    converged : (N,) ndarray of bool
        Whether the position settled within a pixel and a half of its start.
    """

    xy: NDArray[np.float64]
    xy_error: NDArray[np.float64]
    second: NDArray[np.float64]
    coverage: NDArray[np.float64]
    converged: NDArray[np.bool_]


def cut_stamps(
    data: NDArray[Any], error: NDArray[Any], good: NDArray[np.bool_], peaks: NDArray[np.int64], half: int
) -> Stamps:
    """Cut a square of side ``2 half + 1`` around each of (N, 2) integer pixels (x, y)."""
    offsets = np.arange(-half, half + 1)
    rows = peaks[:, 1, None, None] + offsets[None, :, None]
    columns = peaks[:, 0, None, None] + offsets[None, None, :]
    ny, nx = good.shape
    # clipped indices, as padding would copy all of a mosaic
    places = np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)
    usable = good[places] & (places[0] == rows) & (places[1] == columns)
    cut, sigma = (np.where(usable, array[places], 0).astype(float) for array in (data, error))
    return Stamps(peaks - half, cut, sigma**2, usable)


def windowed_moments(stamps: Stamps, window_sigma: float) -> WindowedMoments:
    """Iterate Gaussian-windowed centroids to their fixed points.

    A bad pixel is left out together with its mirror image about the current position, so that it does
    not pull the centroid.

    Parameters
    ----------
    stamps : Stamps
        Cut-outs centred on the sources' peaks.
    window_sigma : float, pix
        Width of the window.

    Returns
    -------
    WindowedMoments

    Notes
    -----
    A centroid moves by the windowed first moment divided by 1 - v / w^2, v being the windowed variance of
    the source and w the window's. SExtractor's error takes the factor for 2, which holds for a source as
    wide as the window only; here it follows from the measured v.

    References
    ----------
    SExtractor manual, section "Windowed positional parameters" (XWIN_IMAGE and its error).
    """
    n, side, _ = stamps.data.shape
    start = np.full((n, 2), (side - 1) / 2.0)
    position = start.copy()
    active = np.arange(n)
    for _ in range(_MAX_ITERATIONS):
        if len(active) == 0:
            break
        step = _centroid_step(stamps, position[active], active, window_sigma)
        position[active] += np.clip(step, -0.5, 0.5)
        active = active[np.abs(step).max(axis=1) > _CONVERGED]
    return _measured(stamps, position, start, window_sigma)


def _window(
    stamps: Stamps, position: NDArray[np.float64], rows: NDArray[np.int64], sigma: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return window weights on good pixels, all weights, and the offsets dx (N, 1, side), dy (N, side, 1)."""
    grid = np.arange(stamps.data.shape[1])
    dx = grid[None, None, :] - position[:, 0, None, None]
    dy = grid[None, :, None] - position[:, 1, None, None]
    full = np.exp(-0.5 * (dx / sigma) ** 2) * np.exp(-0.5 * (dy / sigma) ** 2)
    good = stamps.good[rows]
    partly = ~good.all(axis=(1, 2))
    good[partly] &= _mirrored(good[partly], position[partly])
    return full * good, full, dx, dy


def _mirrored(good: NDArray[np.bool_], position: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether the pixel opposite about each position is good; outside the stamp counts as good."""
    side = good.shape[1]
    grid = np.arange(side)
    twice = np.rint(2 * position).astype(int)
    x, y = twice[:, 0, None] - grid, twice[:, 1, None] - grid
    inside = ((x >= 0) & (x < side))[:, None, :] & ((y >= 0) & (y < side))[:, :, None]
    rows = np.arange(len(good))[:, None, None]
    picked = good[rows, np.clip(y, 0, side - 1)[:, :, None], np.clip(x, 0, side - 1)[:, None, :]]
    return np.asarray(picked | ~inside)


def _centroid_step(
    stamps: Stamps, position: NDArray[np.float64], rows: NDArray[np.int64], sigma: float
) -> NDArray[np.float64]:
    weights, _, dx, dy = _window(stamps, position, rows, sigma)
    weighted = weights * stamps.data[rows]
    total = weighted.sum(axis=(1, 2))
    total = np.where(total > 0, total, np.inf)
    first = np.column_stack([(weighted * dx).sum(axis=(1, 2)), (weighted * dy).sum(axis=(1, 2))])
    return np.asarray(2.0 * first / total[:, None])


def _measured(
    stamps: Stamps, position: NDArray[np.float64], start: NDArray[np.float64], sigma: float
) -> WindowedMoments:
    weights, full, dx, dy = _window(stamps, position, np.arange(len(position)), sigma)
    weighted = weights * stamps.data
    total = weighted.sum(axis=(1, 2))
    usable = total > 0
    norm = np.where(usable, total, 1.0)
    noise = weights**2 * stamps.variance
    error = np.column_stack([(noise * d**2).sum(axis=(1, 2)) for d in (dx, dy)])
    moments = np.column_stack([(weighted * d).sum(axis=(1, 2)) for d in (dx**2, dy**2, dx * dy)])
    second = moments / norm[:, None]
    return WindowedMoments(
        xy=position + stamps.corner,
        xy_error=np.sqrt(error) / (norm[:, None] * response(second[:, :2] / sigma**2)),
        second=second,
        coverage=weights.sum(axis=(1, 2)) / full.sum(axis=(1, 2)),
        converged=usable & (np.abs(position - start).max(axis=1) < 1.5),
    )
