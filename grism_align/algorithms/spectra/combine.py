"""Corrections of grism exposures from both what they were given and what their spectra say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


@dataclass(frozen=True, eq=False)
class GroupPrior:
    """What is known of groups whose pointings are linked, before any spectrum is seen.

    Parameters
    ----------
    groups : tuple of int
        Numbers of the groups. Offsets of others are independent of theirs.
    covariance : (2N, 2N) ndarray, pixels^2
        Of the offsets of their N exposures, group by group, which are expected to be zero.
    """

    groups: tuple[int, ...]
    covariance: NDArray[np.float64]


def combine(
    measured: Sequence[PixelOffsets], levels: Levels, priors: Sequence[GroupPrior]
) -> list[PixelOffsets]:
    """Weigh what spectra say against what direct exposures left open.

    Parameters
    ----------
    measured : sequence of PixelOffsets
        Of G groups of exposures of one grism; those of a group share their templates, and are known up to
        what all of them have in common.
    levels : Levels
        Of the mean across the dispersion of each group.
    priors : sequence of GroupPrior
        Each group is in one of them.

    Returns
    -------
    list of PixelOffsets
        By group, when both is known.

    Notes
    -----
    What all spectra have in common, the unknown zero of trace and wavelengths, is one unknown for each axis:
    across the dispersion of all groups, which other rolls tell apart from pointings; along it of each group,
    as a group has templates of its own. With the covariance P of the offsets and that of the measurement m,
    S, which includes these unknowns, the offsets are P (P + S)^-1 m; and likewise after that with the heights
    of the groups, which alone tie those of one prior to those of another.
    """
    seen = [_with_spectra([measured[group] for group in each.groups], each.covariance) for each in priors]
    means = [_mean_heights(each, measured, levels) for each in priors]
    sets = list(zip(priors, seen, means, slices_of(map(len, means)), strict=True))
    known = [group for each in priors for group in each.groups if levels.weights[group].any()]
    total = levels.covariance[np.ix_(known, known)] + _COMMON**2
    left = levels.height[known]
    for _, (offset, covariance), mean, own in sets:
        total[own, own] += mean @ covariance @ mean.T
        left[own] -= mean @ offset
    inverse = np.linalg.inv(total)
    found: dict[int, PixelOffsets] = {}
    for prior, (offset, covariance), mean, own in sets:
        gain = covariance @ mean.T
        moved = offset + gain @ (inverse[own] @ left)
        known_to = covariance - gain @ inverse[own, own] @ gain.T
        for group, rows in zip(prior.groups, _rows(prior, measured), strict=True):
            # a view would keep the covariance of the whole set
            found[group] = PixelOffsets(moved[rows].reshape(-1, 2), known_to[rows, rows].copy())
    return [found[group] for group in range(len(measured))]


def slices_of(sizes: Iterable[int]) -> list[slice]:
    """Return where parts of some sizes lie that follow each other."""
    return [slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))]


def _rows(prior: GroupPrior, measured: Sequence[PixelOffsets]) -> list[slice]:
    """Return where the offsets of each group are among those of a prior, (2N,)."""
    return slices_of(measured[group].offset.size for group in prior.groups)


def _with_spectra(
    measured: Sequence[PixelOffsets], prior: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the offsets (2N,) that spectra and prior say, and their covariance."""
    total = prior.copy()
    for each, own in zip(measured, slices_of(each.offset.size for each in measured), strict=True):
        common = np.kron(np.full((len(each.offset), len(each.offset)), _COMMON**2), np.eye(2))
        total[own, own] += each.covariance + common
    gain = np.linalg.solve(total, prior).T
    left = prior - gain @ prior
    return gain @ np.concatenate([each.offset.ravel() for each in measured]), 0.5 * (left + left.T)


def _mean_heights(prior: GroupPrior, measured: Sequence[PixelOffsets], levels: Levels) -> NDArray[np.float64]:
    """Return what takes the offsets (2N,) of groups to the heights of those that have one."""
    means = np.zeros((len(prior.groups), len(prior.covariance)))
    for mean, group, own in zip(means, prior.groups, _rows(prior, measured), strict=True):
        mean[own][1::2] = levels.weights[group]
    return means[means.any(axis=1)]


def averaged(
    estimates: Iterable[Sequence[PixelOffsets]], probabilities: Sequence[float]
) -> list[PixelOffsets]:
    """Average estimates over what they were made with, one at a time.

    Parameters
    ----------
    estimates : iterable of sequences of PixelOffsets
        Of all groups, as of `combine`, with each of K priors.
    probabilities : sequence of float
        Of the K priors, with a sum of one.

    Returns
    -------
    list of PixelOffsets
        By group: the mean, and the mean covariance with how far the estimates lie apart.
    """
    means: dict[int, NDArray[np.float64]] = {}
    squares: dict[int, NDArray[np.float64]] = {}
    for probability, groups in zip(probabilities, estimates, strict=True):
        for number, each in enumerate(groups):
            offset = each.offset.ravel()
            square = each.covariance + np.outer(offset, offset)
            means[number] = means.get(number, 0.0) + probability * offset
            squares[number] = squares.get(number, 0.0) + probability * square
    return [
        PixelOffsets(mean.reshape(-1, 2), squares[number] - np.outer(mean, mean))
        for number, mean in means.items()
    ]


def log_evidence(measured: PixelOffsets, priors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log probability of what was measured across the dispersion, with each of K priors.

    Parameters
    ----------
    measured : PixelOffsets
        Of N exposures.
    priors : (K, 2N, 2N) ndarray, pixels^2
        How offsets were expected to scatter, in the order of the measured covariance.

    Returns
    -------
    (K,) ndarray

    Notes
    -----
    Pointings scatter alike on both axes, and across the dispersion spectra tell them some five times better:
    along it, the errors of the offsets themselves would have to be known better than they are.
    """
    n = len(measured.offset)
    contrast = np.linalg.svd(np.ones((1, n)))[2][1:]
    total = contrast @ (priors + measured.covariance)[:, 1::2, 1::2] @ contrast.T
    seen = contrast @ measured.offset[:, 1]
    misfit = np.linalg.solve(total, np.broadcast_to(seen[:, None], (len(total), n - 1, 1)))[..., 0] @ seen
    return np.asarray(-0.5 * (misfit + np.linalg.slogdet(total)[1]))


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
