"""Where to begin solving for offsets: exposures that are off by several pixels, by cross-correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.spectra.shifts import FARTHEST
from grism_align.algorithms.spectra.template import HALF_WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.template import SpectrumCutout

_STEP = 0.5  # pixels between the heights at which profiles across the dispersion are compared
_LAGS = int(2 * FARTHEST)
_EXTRACTED = 1.5  # pixels to either side of the trace
_SIGNIFICANT = 5.0  # sigma by which lines are more alike when moved: unlike ones are left where they are
_BELIEVED = 1.0  # pixels: the solution itself finds smaller ones


def first_offsets(spectra: Sequence[Sequence[SpectrumCutout]], n_exposures: int) -> NDArray[np.float64]:
    """Find offsets of exposures of more than a pixel, to half a pixel.

    Parameters
    ----------
    spectra : sequence of sequences of SpectrumCutout
        Of each spectrum in the exposures that have it.
    n_exposures : int
        Number of exposures, E.

    Returns
    -------
    (E, 2) ndarray, pixels
        Along and across the dispersion, with a median of zero; zero where all are small.
    """
    offsets = np.zeros((n_exposures, 2))
    profiles = [{each.exposure: _profile(each) for each in cutouts} for cutouts in spectra]
    offsets[:, 1] = _STEP * _lags(profiles, n_exposures)
    offsets[:, 1] -= np.median(offsets[:, 1])
    lines = []
    for cutouts in spectra:
        begin = min(each.along[0] for each in cutouts)
        lines.append({each.exposure: _spectrum(each, offsets[each.exposure, 1], begin) for each in cutouts})
    offsets[:, 0] = _lags(lines, n_exposures)
    offsets[:, 0] -= np.median(offsets[:, 0])
    offsets = np.clip(offsets, -FARTHEST, FARTHEST)
    return np.where(np.abs(offsets).max(axis=0) > _BELIEVED, offsets, 0.0)


def _lags(lines: Sequence[dict[int, NDArray[np.float64]]], n_exposures: int) -> NDArray[np.float64]:
    """Return by how many samples each exposure is best moved against the one that shares most with others."""
    shared = np.zeros((n_exposures, n_exposures, 2 * _LAGS + 1))
    variance = np.zeros((n_exposures, n_exposures))
    for line in lines:
        for first, one in line.items():
            for second, other in line.items():
                if first < second:
                    shared[first, second] += _correlation(one, other)
                    variance[first, second] += 1.0 / min(len(one), len(other))
    shared += np.swapaxes(shared, 0, 1)[:, :, ::-1]
    variance += variance.T
    reference = int(np.abs(shared).max(axis=2).sum(axis=1).argmax())
    # By how much an exposure lies farther along than the reference does
    found = np.array([_peak(each) for each in shared[reference]])
    gained = shared[reference].max(axis=1) - shared[reference][:, _LAGS]
    return np.where(gained > _SIGNIFICANT * np.sqrt(variance[reference]), found, 0.0)


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of two lines by how far the second is ahead, -_LAGS to _LAGS."""
    n = min(len(one), len(other))
    first, second = np.pad(one[:n], _LAGS), other[:n]
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return np.correlate(first, second, "valid")[::-1] / max(size, 1e-30)


def _peak(values: NDArray[np.float64]) -> float:
    """Return the place of the highest of values about their middle, between them; zero where all are."""
    best = int(np.clip(values.argmax(), 1, len(values) - 2))
    low, top, high = values[best - 1 : best + 2]
    bend = low + high - 2.0 * top
    return best - _LAGS + (0.5 * (low - high) / bend if bend < 0 else 0.0) if values.any() else 0.0


def _profile(cutout: SpectrumCutout) -> NDArray[np.float64]:
    """Return changes of the mean light with the height above the trace."""
    edges = np.arange(-HALF_WIDTH - _STEP / 2, HALF_WIDTH + _STEP, _STEP)
    usable = cutout.weight > 0
    height, values = cutout.across[usable], cutout.data[usable]
    total, count = np.histogram(height, edges, weights=values)[0], np.histogram(height, edges)[0]
    light = total / np.maximum(count, 1)
    return np.where((count[1:] > 0) & (count[:-1] > 0), np.diff(light), 0.0)


def _spectrum(cutout: SpectrumCutout, above: float, begin: float) -> NDArray[np.float64]:
    """Return changes of the light from pixel to pixel along the trace, zero where they are not known."""
    near = np.abs(cutout.across - above) < _EXTRACTED
    usable = near & (cutout.weight > 0)
    light = np.where(usable, cutout.data, 0.0).sum(axis=0) / np.maximum(usable.sum(axis=0), 1)
    whole = usable.sum(axis=0) > near.sum(axis=0) - 1
    changes = np.where(whole[1:] & whole[:-1], np.diff(light), 0.0)
    return np.pad(changes, (int(np.rint(cutout.along[0] - begin)), 0))
