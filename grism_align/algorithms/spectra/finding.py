"""Find an exposure whose pointing is off by arcseconds, by what known spectra predict for its chips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.spectra.cutouts import SpectralRange, places_of_spectra
from grism_align.algorithms.spectra.shifts import SpectralShifts
from grism_align.algorithms.spectra.template import SpectrumCutout, seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        Independent ones that were looked at.
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
    ny, nx = view.shape
    span = SpectralRange.of(model, np.array([[0.0, 0.0], [nx, 0.0], [0.0, ny], [nx, ny]]))
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
        self._real, self._chance = np.zeros((size, size)), np.zeros((3, size, size))

    def add(self, image: GrismImage, light: NDArray[np.float64]) -> None:
        """Add that of a chip.

        Parameters
        ----------
        image : GrismImage
            The chip.
        light : (ny, nx) ndarray
            What is predicted for it, in any unit.
        """
        from scipy.fft import irfft2, next_fast_len, rfft2

        error = np.sqrt(np.median(image.variance[image.good])) if image.good.any() else 1.0
        pixels = _telling(np.where(image.good, image.data, 0.0) / error, image.good)
        shape = [next_fast_len(size + self._radius, real=True) for size in pixels.shape]
        spectrum = rfft2(pixels, shape)
        predicted = _telling(light / error, np.ones(light.shape, dtype=bool))
        lags = np.arange(-self._radius, self._radius + 1)
        for number, one in enumerate([predicted, *_of_no_sky(predicted)]):
            found = irfft2(spectrum * np.conj(rfft2(one, shape)), shape)[np.ix_(lags, lags)]
            if number:
                self._chance[number - 1] += found
            else:
                self._real += found

    def peak(self) -> Found | None:
        """Return the highest peak; None where nothing is predicted or seen."""
        mean, scatter = float(self._chance.mean()), float(self._chance.std())
        if not scatter > 0:
            return None
        row, column = np.unravel_index(int(self._real.argmax()), self._real.shape)
        lag = np.array([column, row]) - self._radius
        n_lags = self._real.size / np.prod(_NEAR)
        height, rival = (float((one.max() - mean) / scatter) for one in (self._real, self._chance))
        return Found(lag, height, rival, float(n_lags))


def _of_no_sky(light: NDArray[np.float64]) -> Sequence[NDArray[np.float64]]:
    """Return predictions with their sources where none are: what they correlate by is chance."""
    return [light[::-1], *(np.roll(light, light.shape[0] // n, axis=0) for n in (2, 3))]


def _telling(values: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return values in sigma, cut where they are bright and without what is smooth along the dispersion."""
    from scipy.ndimage import uniform_filter1d

    level = np.median(values[good]) if good.any() else 0.0
    cut = np.where(good, np.clip(values - level, _FAINTEST, _BRIGHTEST), 0.0)
    return np.asarray(cut - uniform_filter1d(cut, _SMOOTHED, axis=1))
