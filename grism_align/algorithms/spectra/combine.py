"""Corrections of grism exposures from both what they were given and what their spectra say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure
    from grism_align.values.transform import LinearTransform

# Pixels that the common offset of all spectra of a grism may have: what no calibration says.
_COMMON = 100.0


@dataclass(frozen=True, eq=False)
class PixelOffsets:
    """By how much spectra of N grism exposures lie from where they are predicted.

    Parameters
    ----------
    offset : (N, 2) ndarray, pixels
        Along and across the dispersion.
    covariance : (2N, 2N) ndarray, pixels^2
        Of the offsets, along before across.
    """

    offset: NDArray[np.float64]
    covariance: NDArray[np.float64]


def combine(measured: PixelOffsets, prior: NDArray[np.float64]) -> PixelOffsets:
    """Weigh what spectra say against what direct exposures left open.

    Parameters
    ----------
    measured : PixelOffsets
        Of N exposures that share their templates, up to what all have in common.
    prior : (2N, 2N) ndarray, pixels^2
        Covariance of the offsets before any spectrum is seen, which are expected to be zero.

    Returns
    -------
    PixelOffsets
        When both is known.

    Notes
    -----
    What all spectra have in common, the unknown zero of trace and wavelengths, is one unknown for each axis.
    With the covariance P of the offsets and S of the measurement that includes this unknown, the offsets are
    P (P + S)^-1 m, and their covariance P - P (P + S)^-1 P.
    """
    n = len(measured.offset)
    common = np.kron(np.full((n, n), _COMMON**2), np.eye(2))
    gain = np.linalg.solve(prior + measured.covariance + common, prior).T
    left = prior - gain @ prior
    return PixelOffsets((gain @ measured.offset.ravel()).reshape(n, 2), 0.5 * (left + left.T))


def log_evidence(measured: PixelOffsets, prior: NDArray[np.float64]) -> float:
    """Return the log probability of what was measured, given how offsets were expected to scatter.

    Parameters
    ----------
    measured : PixelOffsets
        Of N exposures.
    prior : (2N, 2N) ndarray, pixels^2
        As for `combine`.
    """
    n = len(measured.offset)
    contrast = np.kron(np.linalg.svd(np.ones((1, n)))[2][1:], np.eye(2))
    total = contrast @ (prior + measured.covariance) @ contrast.T
    seen = contrast @ measured.offset.ravel()
    return float(-0.5 * (seen @ np.linalg.solve(total, seen) + np.linalg.slogdet(total)[1]))


def in_pixels(covariance: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariance of pixel offsets of shifts on the sky that have one for each axis.

    Parameters
    ----------
    covariance : (N, N) ndarray, arcsec^2
        Of one axis.
    axes : (N, 2, 2) ndarray, arcsec
        As of `pixel_axes`, of each exposure.

    Returns
    -------
    (2N, 2N) ndarray, pixels^2
    """
    n = len(covariance)
    inverse = np.linalg.inv(axes)
    return np.asarray(np.einsum("ij,iab,jcb->iajc", covariance, inverse, inverse).reshape(2 * n, 2 * n))


def pixel_axes(exposure: Exposure, transform: LinearTransform) -> NDArray[np.float64]:
    """Return what one pixel along and one across are on the sky, at the centre of the first chip.

    Parameters
    ----------
    exposure : Exposure
        Grism.
    transform : LinearTransform
        Its correction, whose plane counts.

    Returns
    -------
    (2, 2) ndarray, arcsec
        A column for each axis.
    """
    chip = exposure.chips[0]
    ny, nx = chip.shape
    center = np.array([(nx - 1) / 2, (ny - 1) / 2])
    sky = chip.wcs.to_sky(center + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    here, right, up = transform.plane.to_plane(transform.apply_to_sky(sky))
    return np.column_stack([right - here, up - here])


def shifted(
    transform: LinearTransform,
    axes: NDArray[np.float64],
    offset: NDArray[np.float64],
    covariance: NDArray[np.float64],
    replaced: float,
) -> LinearTransform:
    """Return a correction that puts spectra where they were found.

    Parameters
    ----------
    transform : LinearTransform
        As it was given, in arcsec of its plane.
    axes : (2, 2) ndarray, arcsec
        As of `pixel_axes`.
    offset : (2,) ndarray, pixels
        By which spectra lie from where the correction predicts them.
    covariance : (2, 2) ndarray, pixels^2
        Of that.
    replaced : float, arcsec^2
        Variance of the shift, of one axis, which this takes the place of.
    """
    # A source predicted at a pixel is seen `offset` away, where its place in the sky must therefore be.
    shift = transform.shift - axes @ offset
    found = transform.covariance.copy()
    found[:2, :2] += axes @ covariance @ axes.T - replaced * np.eye(2)
    return replace(transform, shift=shift, covariance=found)
