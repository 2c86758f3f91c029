"""Where spectra lie in each of several exposures: the offset of each, and what dispersions differ by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Pixels by which exposures may be off against each other; templates reach as far beyond the spectra.
FARTHEST = 5.0
#: Pixels on the detector, and from a source, by which stretches are counted.
FAR_APART = 1000.0


@dataclass(frozen=True, eq=False)
class ExpectedStretch:
    """By how much dispersions should grow over the detector, as `SpectralShifts.stretch`; its covariance."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SpectralShifts:
    """By how much spectra of E exposures lie from where they are predicted.

    Parameters
    ----------
    offset : (E, 2) ndarray, pixels
        Along and across the dispersion, at the place of a source.
    places : (E, 2) ndarray, pixels
        Of the sources on the detector, by exposure, from where they are on average.
    stretch : (2,) ndarray
        By how much dispersions grow with the place in x and y: pixels for each pixel from the source, and
        thousand pixels on the detector.
    """

    offset: NDArray[np.float64]
    places: NDArray[np.float64]
    stretch: NDArray[np.float64]

    @classmethod
    def expected(cls, places: NDArray[np.float64], stretch: ExpectedStretch) -> SpectralShifts:
        """Return what is expected beforehand."""
        return cls(np.zeros_like(places), places, stretch.mean)

    @classmethod
    def none(cls) -> SpectralShifts:
        """Return those of an exposure whose spectra lie where they are predicted."""
        return cls(np.zeros((1, 2)), np.zeros((1, 2)), np.zeros(2))

    def along(self, exposure: int, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the shift along the dispersion of what is at distances from a source, pixels."""
        scale = self.places[exposure] @ self.stretch / FAR_APART
        return np.asarray(np.clip(self.offset[exposure, 0] + scale * distance, -FARTHEST, FARTHEST))

    def moved(self, step: NDArray[np.float64]) -> SpectralShifts:
        """Return the shifts after a step in all numbers, (2E + 2,): offsets by exposure, and the stretch."""
        offset = self.offset + step[:-2].reshape(-1, 2)
        return SpectralShifts(offset, self.places, self.stretch + step[-2:])

    @property
    def design(self) -> NDArray[np.float64]:
        """Derivatives of what each exposure has by all numbers, (3E, 2E + 2).

        An exposure has its shift along and across, and what more there is along at `FAR_APART` from a source.
        """
        n = len(self.offset)
        design = np.zeros((n, 3, 2 * n + 2))
        design[:, :2, :-2] = np.eye(2 * n).reshape(n, 2, 2 * n)
        design[:, 2, -2:] = self.places
        return design.reshape(3 * n, 2 * n + 2)
