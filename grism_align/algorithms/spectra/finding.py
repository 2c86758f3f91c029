"""Find an exposure whose pointing is off by arcseconds, by what known spectra predict for its chips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.spectra.cutouts import SpectralRange, places_of_spectra
from grism_align.algorithms.spectra.shifts import SpectralShifts
from grism_align.algorithms.spectra.template import SpectrumCutout, seen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.references import ReferenceSpectrum
    from grism_align.algorithms.traces.cutouts import GrismImage
    from grism_align.algorithms.traces.views import ChipView
    from grism_align.values.trace import TraceModel

_SMOOTHED = 31  # pixels along the dispersion, over which light is taken off: lines and edges tell a place
_FAINTEST, _BRIGHTEST = -5.0, 10.0  # sigma between which pixels are cut, so that no source decides alone
_NEAR = (12, 5)  # pixels from the peak along and across the dispersion, which are its own


@dataclass(frozen=True, eq=False)
class Found:
    """Where a correlation has its peak.

    Parameters
    ----------
    lag : (2,) ndarray of int, pixels
        Of the spectra from where they are predicted, along and across the dispersion.
    height : float
        Of the peak, in standard deviations of what chance makes.
    rival : float
        The highest peak of predictions that are of no sky, the same.
    n_lags : float
        Independent lags that were looked at, in all trials.
    """

    lag: NDArray[np.int64]
    height: float
    rival: float
    n_lags: float

    @property
    def false_match_probability(self) -> float:
        """Probability that chance makes as high a peak somewhere."""
        from scipy.special import ndtr

        return float(min(self.n_lags * ndtr(-self.height), 1.0))


def predicted_light(
    references: Mapping[tuple[int, int], ReferenceSpectrum], view: ChipView, model: TraceModel
) -> NDArray[np.float64]:
    """Return what known spectra add up to on a chip.

    Parameters
    ----------
    references : mapping of (source, order) to ReferenceSpectrum
        Known spectra.
    view : ChipView
        Where the sources are.
    model : TraceModel
        Where their spectra lie from there.

    Returns
    -------
    (ny, nx) ndarray, electron/s
    """
    span = SpectralRange.on_chip(model, view.shape)
    light = np.zeros(view.shape)
    for row, place in places_of_spectra(view, model, span):
        reference = references.get((row, view.window.chip))
        if reference is not None:
            nothing = np.zeros(place.across.shape)
            cutout = SpectrumCutout(0, nothing, nothing, place.along, place.across, place.slope)
            shifts = SpectralShifts.none()
            light[place.part] += np.where(
                place.near, seen(cutout, shifts, reference.first, reference.surface), 0
            )
    return light


@dataclass(frozen=True, eq=False)
class ImageSpectrum:
    """The Fourier transform of what of a chip tells a place, padded for lags; `error` of its pixels."""

    values: NDArray[np.complex128]
    shape: tuple[int, int]
    error: float

    @classmethod
    def of(cls, image: GrismImage, radius: int) -> ImageSpectrum:
        """Transform a chip.

        Parameters
        ----------
        image : GrismImage
            The chip.
        radius : int, pixels
            Largest lag on either axis.
        """
        from scipy.fft import next_fast_len, rfft2

        error = float(np.sqrt(np.median(image.variance[image.good]))) if image.good.any() else 1.0
        pixels = _telling(np.where(image.good, image.data, 0.0) / error, image.good)
        ny, nx = (next_fast_len(size + radius, real=True) for size in pixels.shape)
        return cls(rfft2(pixels, (ny, nx)), (ny, nx), error)


class Correlation:
    """Correlations of exposures with what known spectra predict for them, added up by lag.

    Parameters
    ----------
    radius : int, pixels
        Largest lag on either axis.
    """

    def __init__(self, radius: int) -> None:
        self._radius = radius
        size = 2 * radius + 1
        self._real = np.zeros((size, size), np.float32)
        self._chance = np.zeros((3, size, size), np.float32)

    def add(self, image: ImageSpectrum, light: NDArray[np.float64]) -> None:
        """Add that of a chip.

        Parameters
        ----------
        image : ImageSpectrum
            The chip.
        light : (ny, nx) ndarray
            What is predicted for it, in the unit of its pixels.
        """
        predicted = _telling(light / image.error, np.ones(light.shape, dtype=bool))
        self._real += self._correlated(image, predicted)
        # Mirrored, sources are where none is: what correlates then is chance.
        mirrored = predicted[::-1], predicted[:, ::-1], predicted[::-1, ::-1]
        self._chance += [self._correlated(image, one) for one in mirrored]

    def _correlated(self, image: ImageSpectrum, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.fft import irfft2, rfft2

        lags = np.arange(-self._radius, self._radius + 1)
        found = irfft2(image.values * np.conj(rfft2(predicted, image.shape)), image.shape)
        return np.asarray(found[np.ix_(lags, lags)])

    def peak(self, n_trials: int = 1) -> Found | None:
        """Return the highest peak; None where nothing is predicted or seen.

        Parameters
        ----------
        n_trials : int, optional
            Correlations of which this is one.
        """
        mean, scatter = float(self._chance.mean()), float(self._chance.std())
        if not scatter > 0:
            return None
        row, column = np.unravel_index(int(self._real.argmax()), self._real.shape)
        lag = np.array([column, row]) - self._radius
        n_lags = n_trials * self._real.size / np.prod(_NEAR)
        height, rival = (float((one.max() - mean) / scatter) for one in (self._real, self._chance))
        return Found(lag, height, rival, float(n_lags))


def _telling(values: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return values in sigma, cut where they are bright and without what is smooth along the dispersion."""
    from scipy.ndimage import uniform_filter1d

    level = np.median(values[good]) if good.any() else 0.0
    cut = np.where(good, np.clip(values - level, _FAINTEST, _BRIGHTEST), 0.0)
    return np.asarray(cut - uniform_filter1d(cut, _SMOOTHED, axis=1))
