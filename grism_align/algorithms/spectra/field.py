"""How offsets of spectra from their sources change over a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.trace import TraceModel

# A grism changes the scale of its image, and turns it: by as much, pixels a pixel, one axis may differ from
# the other. From the configurations of G141 (2e-4) and G102.
_UNLIKE = 3e-4
# What traces differ by from the model, pixels a pixel, where they don't tell: calibrations of the grisms have
# slopes of 2e-3.
_SLOPE = 2e-3


@dataclass(frozen=True, eq=False)
class FieldGradient:
    """By how much spectra are off from where they are predicted, pixels a pixel.

    Parameters
    ----------
    along, across : (2,) ndarray
        Of the offsets along and across the dispersion, by the place of the source in x and y.
    along_covariance, across_covariance : (2, 2) ndarray
        Of these.
    """

    along: NDArray[np.float64]
    across: NDArray[np.float64]
    along_covariance: NDArray[np.float64]
    across_covariance: NDArray[np.float64]

    def of(self, places: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what exposures differ by for having their sources at other places.

        Parameters
        ----------
        places : (N, 2) ndarray, pixels
            Of the same sources in each exposure, from any common origin.

        Returns
        -------
        offset : (N, 2) ndarray, pixels
            Along and across.
        covariance : (2N, 2N) ndarray, pixels^2
        """
        offset = np.column_stack([places @ self.along, places @ self.across])
        covariance = np.zeros((2 * len(places), 2 * len(places)))
        covariance[::2, ::2] = places @ self.along_covariance @ places.T
        covariance[1::2, 1::2] = places @ self.across_covariance @ places.T
        return offset, covariance


def field_gradient(
    model: TraceModel,
    shape: tuple[int, int],
    measured: NDArray[np.float64],
    covariance: NDArray[np.float64],
) -> FieldGradient:
    """Tell how spectra shift along the dispersion by how traces shift across it.

    Parameters
    ----------
    model : TraceModel
        Where traces are predicted, as a function of the place.
    shape : (ny, nx)
        Of the chip.
    measured, covariance : (2,), (2, 2) ndarray, pixels
        By how much traces rise above the model from the centre of the chip to its edge, along x and y.

    Returns
    -------
    FieldGradient

    Notes
    -----
    The dispersed image of a field is larger or smaller than the direct one, and turned against it: two
    numbers, which the heights of traces tell. Lines and edges have the same: their wavelengths needn't be
    known.
    """
    ny, nx = shape
    half = np.array([nx / 2, ny / 2])
    spread = covariance / np.outer(half, half)
    gain = _SLOPE**2 * np.linalg.inv(spread + _SLOPE**2 * np.eye(2))
    residual, spread = gain @ (measured / half), gain @ spread
    right, up = _slopes(model, shape) + residual
    swapped = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return FieldGradient(
        along=np.array([up, -right]),
        across=residual,
        along_covariance=swapped @ spread @ swapped.T + _UNLIKE**2 * np.eye(2),
        across_covariance=spread,
    )


def _slopes(model: TraceModel, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the change of the predicted height by the place in x and y, at mid-trace and mid-chip."""
    ny, nx = shape
    step = np.array([0.25 * nx, 0.25 * ny])
    center = np.array([0.5 * nx, 0.5 * ny])
    places = center + np.array([[-1, 0], [1, 0], [0, -1], [0, 1]]) * step
    dx, dy = model.offsets(places)
    middle = 0.5 * (np.median(dx[:, 0]) + np.median(dx[:, -1]))
    left, right, low, high = (float(np.interp(middle, *each)) for each in zip(dx, dy, strict=True))
    return np.array([(right - left) / (2 * step[0]), (high - low) / (2 * step[1])])
