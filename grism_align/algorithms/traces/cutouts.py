"""Pieces of traces: cut out along the predicted trace, cleaned, and their heights measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.measuring.good_pixels import good_pixels
from grism_align.algorithms.measuring.windowed import WIDEST, response

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: Columns of a piece.
WIDTH = 24

_SIDE_BAND = 7.0  # pixels from the trace, where the background begins
_LEAST_COLUMNS = 0.4  # of a piece
# A pixel is a cosmic ray where it exceeds by so many sigma so many times what its row has elsewhere.
_COSMIC_SIGMA, _COSMIC_FACTOR = 6.0, 2.0
_ITERATIONS = 25
_CONVERGED = 2e-4
_FARTHEST = 2.5  # pixels between where a centroid starts and ends


@dataclass(frozen=True, eq=False)
class GrismImage:
    """The pixels of one chip of a grism exposure, (ny, nx) each.

    Parameters
    ----------
    data, variance : ndarray
        Values and squared errors.
    good : ndarray of bool
        Usable pixels.
    """

    data: NDArray[Any]
    variance: NDArray[Any]
    good: NDArray[np.bool_]

    @classmethod
    def of(cls, sci: NDArray[Any], err: NDArray[Any], dq: NDArray[Any], good_bits: int) -> GrismImage:
        """Return the image of a chip's arrays; DQ bits other than `good_bits` mark bad pixels."""
        good = good_pixels(sci, err, dq, good_bits)
        return cls(np.where(good, sci, 0.0), np.where(good, np.square(err), 0.0), good)

    def transposed(self) -> GrismImage:
        """Return the image with its columns as rows."""
        return GrismImage(self.data.T, self.variance.T, self.good.T)


@dataclass(frozen=True, eq=False)
class TraceCutouts:
    """Cut-outs along predicted traces, M of (rows, columns).

    Parameters
    ----------
    data, variance : (M, R, C) ndarray
        Background-subtracted values and squared errors; zero where not good.
    good : (M, R, C) ndarray of bool
        Usable pixels.
    height : (M, R, C) ndarray, pixels
        Height of each pixel above the predicted trace.
    """

    data: NDArray[np.float64]
    variance: NDArray[np.float64]
    good: NDArray[np.bool_]
    height: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CutoutHeights:
    """Where pieces of traces lie, M of each.

    Parameters
    ----------
    height : (M,) ndarray, pixels
        Above the predicted trace.
    error : (M,) ndarray, pixels
        Standard error from the pixels' noise.
    snr : (M,) ndarray
        Signal-to-noise ratio of the light in the window.
    is_measured : (M,) ndarray of bool
        Whether the centroid settled and enough columns are usable.
    """

    height: NDArray[np.float64]
    error: NDArray[np.float64]
    snr: NDArray[np.float64]
    is_measured: NDArray[np.bool_]


def cut_traces(
    image: GrismImage, first: NDArray[np.int64], trace: NDArray[np.float64], half: int
) -> TraceCutouts:
    """Cut pieces of `WIDTH` columns, `half` rows to either side of the trace.

    Parameters
    ----------
    image : GrismImage
        The chip.
    first : (M,) ndarray of int
        First column of each piece.
    trace : (M, WIDTH) ndarray, zero-based pixels
        Row of the predicted trace in each column.
    half : int
        Rows to either side; the outer ones give the background.
    """
    ny, nx = image.data.shape
    base = np.rint(trace).astype(np.int64)
    rows = base[:, None, :] + np.arange(-half, half + 1)[None, :, None]
    columns = np.broadcast_to(first[:, None, None] + np.arange(WIDTH), rows.shape)
    inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    index = (np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1))
    good = image.good[index] & inside
    height = rows - trace[:, None, :]
    data, variance = image.data[index].astype(float), image.variance[index].astype(float)
    data = np.where(good, data - _background(data, good, height), 0.0)
    good &= ~_cosmic_rays(data, variance, good)
    return TraceCutouts(np.where(good, data, 0.0), np.where(good, variance, 0.0), good, height)


def _background(
    data: NDArray[np.float64], good: NDArray[np.bool_], height: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the median of what lies to both sides of each trace, (M, 1, 1); zero where nothing does."""
    side = good & (np.abs(height) >= _SIDE_BAND)
    return _median(np.where(side, data, np.nan), (1, 2))


def _median(data: NDArray[np.float64], axis: tuple[int, ...] | int) -> NDArray[np.float64]:
    """Return the median of what is not NaN, dimensions kept; zero where all are."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nan_to_num(np.nanmedian(data, axis=axis, keepdims=True))


def _cosmic_rays(
    data: NDArray[np.float64], variance: NDArray[np.float64], good: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the pixels far above what their row and its neighbours have elsewhere in the piece."""
    usual = _median(np.where(good, data, np.nan), 2)
    padded = np.pad(usual, ((0, 0), (1, 1), (0, 0)), mode="edge")
    highest = np.maximum(np.maximum(padded[:, :-2], usual), padded[:, 2:])
    limit = _COSMIC_FACTOR * np.clip(highest, 0.0, None) + _COSMIC_SIGMA * np.sqrt(variance)
    return np.asarray(good & (data > limit))


def stacked_profile(cutouts: TraceCutouts, group: NDArray[np.int64], n_groups: int) -> NDArray[np.float64]:
    """Sum over pieces their profiles across the trace, each in units of its own scatter.

    Parameters
    ----------
    cutouts : TraceCutouts
        M cut-outs of R rows.
    group : (M,) ndarray of int
        Which sum each piece counts in.
    n_groups : int
        Number of sums.

    Returns
    -------
    (n_groups, R) ndarray
        Rows counted from the predicted trace's nearest row. One bright source has little say in it: what
        makes a peak is what all sources have in common.
    """
    profile = _median(np.where(cutouts.good, cutouts.data, np.nan), 2)[:, :, 0]
    profile = profile - _median(profile, 1)
    scatter = 1.4826 * _median(np.abs(profile), 1)
    scaled = np.clip(profile / np.where(scatter > 0, scatter, np.inf), -5.0, 15.0)
    total = np.zeros((n_groups, profile.shape[1]))
    np.add.at(total, group, scaled)
    return total


def measure_cutouts(cutouts: TraceCutouts, start: float, window: float) -> CutoutHeights:
    """Measure Gaussian-windowed centroids across the traces.

    Parameters
    ----------
    cutouts : TraceCutouts
        M cut-outs.
    start : float, pixels
        Height above the predicted traces where to begin.
    window : float, pixels
        Sigma of the window.

    Returns
    -------
    CutoutHeights

    Notes
    -----
    All pixels of a piece enter with their own heights above the trace, so nothing is resampled, and the
    slope of the trace spreads them over all sub-pixel phases. A column with a bad pixel near the trace is
    left out, as part of a profile has its centroid elsewhere. A centroid moves by the windowed first moment
    divided by 1 - v / w^2, v being the windowed variance of the profile and w the window's sigma.
    """
    usable = _whole_columns(cutouts, start, 2.7 * window)
    data = cutouts.data * usable
    position = np.full(len(data), start)
    active = np.arange(len(data))
    for _ in range(_ITERATIONS):
        if not len(active):
            break
        step = _step(data[active], cutouts.height[active], position[active], window)
        position[active] += np.clip(step, -0.5, 0.5)
        active = active[np.abs(step) > _CONVERGED]
    rows = _measured(data, cutouts.variance * usable, cutouts.height, position, window)
    enough = usable[:, 0, :].mean(axis=1) >= _LEAST_COLUMNS
    settled = np.abs(position - start) < _FARTHEST
    is_measured = rows.is_measured & enough & settled & ~np.isin(np.arange(len(data)), active)
    return CutoutHeights(rows.height, rows.error, rows.snr, is_measured)


def _whole_columns(cutouts: TraceCutouts, start: float, reach: float) -> NDArray[np.bool_]:
    """Return the columns without a bad pixel near the trace, (M, 1, C)."""
    near = np.abs(cutouts.height - start) <= reach
    return np.asarray((cutouts.good | ~near).all(axis=1, keepdims=True))


def _weights(
    height: NDArray[np.float64], position: NDArray[np.float64], window: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    offset = height - position[:, None, None]
    return np.exp(-0.5 * (offset / window) ** 2), offset


def _step(
    data: NDArray[np.float64], height: NDArray[np.float64], position: NDArray[np.float64], window: float
) -> NDArray[np.float64]:
    weight, offset = _weights(height, position, window)
    light = weight * data
    total = light.sum(axis=(1, 2))
    norm = np.where(total > 0, total, np.inf)
    second = (light * offset**2).sum(axis=(1, 2)) / norm / window**2
    # No longer a step than twice the moment: a wide profile comes near in smaller ones.
    return np.asarray((light * offset).sum(axis=(1, 2)) / norm / response(second, 0.5))


def _measured(
    data: NDArray[np.float64],
    variance: NDArray[np.float64],
    height: NDArray[np.float64],
    position: NDArray[np.float64],
    window: float,
) -> CutoutHeights:
    """Return the final positions with their errors and signal-to-noise ratios."""
    weight, offset = _weights(height, position, window)
    light = weight * data
    total = light.sum(axis=(1, 2))
    found = total > 0
    norm = np.where(found, total, 1.0)
    second = (light * offset**2).sum(axis=(1, 2)) / norm / window**2
    noise = weight**2 * variance
    first_error = np.sqrt((noise * offset**2).sum(axis=(1, 2)))
    snr = total / np.sqrt(np.where(found, noise.sum(axis=(1, 2)), 1.0))
    narrow = (second > 0) & (second < WIDEST)
    return CutoutHeights(position, first_error / (norm * response(second)), snr, found & narrow)
