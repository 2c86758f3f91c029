"""How offsets of spectra from their sources change over a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.spectra.shifts import ExpectedStretch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.detector import DetectorWindow
    from grism_align.values.trace import TraceModel

# A grism changes the scale of its image, and turns it: by as much, pixels a pixel, one axis may differ from
# the other. From the configurations of G141 (2e-4) and G102; and where neither is seen to happen.
_UNLIKE, _LEAST_UNLIKE = 3e-4, 5e-5
# What traces differ by from the model, pixels a pixel, where they don't tell: calibrations of the grisms have
# slopes of 2e-3.
_SLOPE = 2e-3
# Both where a calibration tells them: JWST's are good to a tenth of a pixel over half of a detector.
_TOLD = 1e-4
_FLAT = 1e-5  # pixels a pixel: models with smaller slopes say nothing of how traces change over the detector
# Pixels for each pixel from the source and thousand pixels on the detector, by which dispersions grow: of
# grisms whose calibration isn't known, of ones that don't change over the detector, and the share of what is
# calibrated by which two calibrations of G141 differ.
_UNCALIBRATED, _LEAST, _CALIBRATION = 0.05, 2e-3, 0.15


@dataclass(frozen=True, eq=False)
class FieldGradient:
    """By how much spectra are off from where they are predicted, pixels a pixel.

    Parameters
    ----------
    along, across : (2,) ndarray
        Of the offsets along and across the dispersion, by the place of the source in x and y. Across, from
        where the model that `as_seen` returns predicts them.
    along_covariance, across_covariance : (2, 2) ndarray
        Of these.
    share : float
        Of what the model says of how traces change over the detector: what they really do.
    share_variance : float
        Of that.
    middle : (2,) ndarray, zero-based pixels of the detector
        Place whose trace is the same however much of that change there is.
    """

    along: NDArray[np.float64]
    across: NDArray[np.float64]
    along_covariance: NDArray[np.float64]
    across_covariance: NDArray[np.float64]
    share: float
    share_variance: float
    middle: NDArray[np.float64]

    def as_seen(self, calibrated: TraceModel) -> TraceModel:
        """Return a model whose traces change over the detector by as much as they were seen to."""
        return calibrated.changing_less(_possible(self.share), self.middle)

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

    def stretch(self, calibrated: tuple[float, float] | None) -> ExpectedStretch:
        """Return by how much dispersions are expected to grow over the detector.

        Parameters
        ----------
        calibrated : (2,) or None
            What the calibration of the grism says, in x and y; None where there is none.

        Returns
        -------
        ExpectedStretch

        Notes
        -----
        Traces and dispersions change over a detector for one reason, so what traces have of the change that
        was calibrated, dispersions have too.
        """
        if calibrated is None:
            return ExpectedStretch(np.zeros(2), _UNCALIBRATED**2 * np.eye(2))
        known = np.array(calibrated)
        unlike = (_CALIBRATION * self.share) ** 2 * float(known @ known) + _LEAST**2
        covariance = self.share_variance * np.outer(known, known) + unlike * np.eye(2)
        return ExpectedStretch(self.share * known, covariance)


def field_gradient(
    model: TraceModel,
    window: DetectorWindow,
    shape: tuple[int, int],
    measured: NDArray[np.float64],
    covariance: NDArray[np.float64],
) -> FieldGradient:
    """Tell how spectra shift along the dispersion by how traces shift across it.

    Parameters
    ----------
    model : TraceModel
        Where traces are predicted, as a function of the place on the detector.
    window : DetectorWindow
        The part of the detector that the chip is.
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
    numbers, which the heights of traces tell. Lines and edges have the same, at the place of the source:
    their wavelengths needn't be known.
    """
    ny, nx = shape
    half = np.array([nx / 2, ny / 2])
    spread = covariance / np.outer(half, half)
    slope, unlike = (_TOLD, _TOLD) if model.tells_light else (_SLOPE, _UNLIKE)
    gain = slope**2 * np.linalg.inv(spread + slope**2 * np.eye(2))
    residual, spread = gain @ (measured / half), gain @ spread
    here, at_source = _slopes(model, window, shape)
    size = float(here @ here)
    share, variance = 1.0, 1.0
    # Of dispersions that are known, what is measured is at most what a calibration is wrong by
    if size > _FLAT**2 and not model.tells_light:
        share = 1.0 + float(residual @ here) / size
        variance = float(here @ spread @ here) / size**2
        unlike = np.sqrt(((_CALIBRATION * _possible(share)) ** 2 + variance) * size + _LEAST_UNLIKE**2)
    # What a model says of the light's own places is in the predicted ones
    right, up = residual if model.tells_light else here + residual + share * (at_source - here)
    swapped = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return FieldGradient(
        along=np.array([up, -right]),
        across=residual + (1.0 - _possible(share)) * here,
        along_covariance=swapped @ spread @ swapped.T + unlike**2 * np.eye(2),
        across_covariance=spread,
        share=share,
        share_variance=variance,
        middle=window.to_chip(half),
    )


def _possible(share: float) -> float:
    """Return a share that traces can have: none of what is calibrated, all of it, or some."""
    return min(max(share, 0.0), 1.0)


def _slopes(model: TraceModel, window: DetectorWindow, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return changes of the predicted height by the place in x and y, at mid-trace and at the source."""
    ny, nx = shape
    step = np.array([0.25 * nx, 0.25 * ny])
    center = np.array([0.5 * nx, 0.5 * ny])
    places = center + np.array([[-1, 0], [1, 0], [0, -1], [0, 1]]) * step
    dx, dy = window.offsets(model, places)
    middle = 0.5 * (np.median(dx[:, 0]) + np.median(dx[:, -1]))
    heights = [
        (float(np.interp(middle, along, up)), float(np.polynomial.Polynomial.fit(along, up, 1)(0.0)))
        for along, up in zip(dx, dy, strict=True)
    ]
    left, right, low, high = np.array(heights)
    return np.column_stack([(right - left) / (2 * step[0]), (high - low) / (2 * step[1])])
