"""Corrections of grism exposures from both what they were given and what their spectra say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.values.exposure import Chip, Exposure
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


@dataclass(frozen=True, eq=False)
class Levels:
    """How high the traces of each of G groups of exposures lie, against a zero that all groups share.

    Parameters
    ----------
    height : (G,) ndarray, pixels
        Weighted mean over the exposures of a group.
    covariance : (G, G) ndarray, pixels^2
        Of these.
    weights : sequence of ndarray
        Of the exposures of each group, with a sum of one; all zero where no height is known.
    """

    height: NDArray[np.float64]
    covariance: NDArray[np.float64]
    weights: Sequence[NDArray[np.float64]]


def combine(
    measured: Sequence[PixelOffsets], levels: Levels, prior: NDArray[np.float64]
) -> list[PixelOffsets]:
    """Weigh what spectra say against what direct exposures left open.

    Parameters
    ----------
    measured : sequence of PixelOffsets
        Of G groups of exposures of one grism, N exposures in all; those of a group share their templates, and
        are known up to what all of them have in common.
    levels : Levels
        Of the mean across the dispersion of each group.
    prior : (2N, 2N) ndarray, pixels^2
        Covariance of the offsets before any spectrum is seen, which are expected to be zero.

    Returns
    -------
    list of PixelOffsets
        By group, when both is known.

    Notes
    -----
    What all spectra have in common, the unknown zero of trace and wavelengths, is one unknown for each axis:
    across the dispersion of all groups, which other rolls tell apart from pointings; along it of each group,
    as a group has templates of its own. With the covariance P of the offsets, the design H of the measurement
    m and its covariance S, which includes these unknowns, the offsets are P H' (H P H' + S)^-1 m.
    """
    sizes = [len(each.offset) for each in measured]
    known = [group for group, weights in enumerate(levels.weights) if weights.any()]
    n, n_levels = 2 * sum(sizes), len(known)
    design, total = np.zeros((n + n_levels, n)), np.zeros((n + n_levels, n + n_levels))
    design[:n] = np.eye(n)
    first = np.concatenate([[0], 2 * np.cumsum(sizes)])
    for each, low, high in zip(measured, first[:-1], first[1:], strict=True):
        size = (high - low) // 2
        total[low:high, low:high] = each.covariance + np.kron(np.full((size, size), _COMMON**2), np.eye(2))
    for row, group in enumerate(known):
        design[n + row, first[group] + 1 : first[group + 1] : 2] = levels.weights[group]
    total[n:, n:] = levels.covariance[np.ix_(known, known)] + _COMMON**2
    seen = np.concatenate([*(each.offset.ravel() for each in measured), levels.height[known]])
    across = design @ prior
    gain = np.linalg.solve(across @ design.T + total, across).T
    offset, left = gain @ seen, prior - gain @ across
    left = 0.5 * (left + left.T)
    return [
        PixelOffsets(offset[low:high].reshape(-1, 2), left[low:high, low:high])
        for low, high in pairwise(first.tolist())
    ]


def averaged(
    estimates: Sequence[Sequence[PixelOffsets]], probabilities: Sequence[float]
) -> list[PixelOffsets]:
    """Average estimates over what they were made with.

    Parameters
    ----------
    estimates : sequence of sequences of PixelOffsets
        Of all groups, as of `combine`, with each of K priors.
    probabilities : sequence of float
        Of the K priors, with a sum of one.

    Returns
    -------
    list of PixelOffsets
        By group: the mean, and the mean covariance with how far the estimates lie apart.
    """
    found = []
    for of_group in zip(*estimates, strict=True):
        offsets = np.array([each.offset for each in of_group])
        mean = np.tensordot(probabilities, offsets, axes=1)
        away = (offsets - mean).reshape(len(offsets), -1)
        within = np.tensordot(probabilities, [each.covariance for each in of_group], axes=1)
        found.append(PixelOffsets(mean, within + np.einsum("k,ki,kj->ij", probabilities, away, away)))
    return found


def log_evidence(measured: PixelOffsets, prior: NDArray[np.float64]) -> float:
    """Return the log probability of what was measured across the dispersion.

    Parameters
    ----------
    measured : PixelOffsets
        Of N exposures.
    prior : (2N, 2N) ndarray, pixels^2
        As for `combine`: how offsets were expected to scatter.

    Notes
    -----
    Pointings scatter alike on both axes, and across the dispersion spectra tell them some five times better:
    along it, the errors of the offsets themselves would have to be known better than they are.
    """
    n = len(measured.offset)
    contrast = np.linalg.svd(np.ones((1, n)))[2][1:]
    total = contrast @ (prior + measured.covariance)[1::2, 1::2] @ contrast.T
    seen = contrast @ measured.offset[:, 1]
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
    """Return what one pixel along and one across the dispersion is on the sky, at the centre of a chip.

    Parameters
    ----------
    exposure : Exposure
        Grism; its first chip counts.
    transform : LinearTransform
        Its correction, whose plane counts.

    Returns
    -------
    (2, 2) ndarray, arcsec
        A column for each axis.
    """
    return chip_axes(exposure.chips[0], transform)


def chip_axes(chip: Chip, transform: LinearTransform) -> NDArray[np.float64]:
    """Return the same of any chip.

    Parameters
    ----------
    chip : Chip
        Of a grism exposure.
    transform : LinearTransform
        As for `pixel_axes`.
    """
    ny, nx = chip.shape
    center = np.array([(nx - 1) / 2, (ny - 1) / 2])
    sky = chip.wcs.to_sky(center + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    here, right, up = transform.plane.to_plane(transform.apply_to_sky(sky))
    steps = right - here, up - here
    return np.column_stack(steps[::-1] if chip.along_columns else steps)


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
