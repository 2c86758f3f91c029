"""Positions, magnitudes and shapes of the sources of a mosaic."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.measuring.centroid import cut_stamps, windowed_moments
from grism_align.algorithms.mosaics.background import smooth_background
from grism_align.algorithms.mosaics.segments import find_segments, significance
from grism_align.values.mosaic import Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LARGEST_STAMP", "FindSettings", "MosaicSources", "measure_mosaic"]

_FWHM = 2.3548
# Kron's aperture: 2.5 first moments, no smaller than 3.5 half axes (Bertin & Arnouts 1996, section 5).
_KRON_FACTOR, _KRON_LEAST, _KRON_REACH = 2.5, 3.5, 6.0
#: From a source to the edges of what is looked at for its fluxes, at most, pixels of the mosaic.
LARGEST_STAMP = 400
# The centroid's window, in sigma of the filter, and the least share of it on pixels with data.
_WINDOW, _LEAST_COVERAGE = 1.9, 0.6


@dataclass(frozen=True)
class FindSettings:
    """How sources are found, in pixels of the mosaic.

    Parameters
    ----------
    sigma : float, pix
        Of the filter.
    threshold : float
        Signal-to-noise ratio in the filtered mosaic.
    area : int, pix
        Fewest pixels.
    contrast : float
        Of blended sources.
    aperture : float, pix
        Radius.
    box : int, pix
        Of the background.
    """

    sigma: float
    threshold: float
    area: int
    contrast: float
    aperture: float
    box: int


@dataclass(frozen=True, eq=False)
class MosaicSources:
    """Sources of a part of a mosaic, N of each; fluxes in its units.

    Parameters
    ----------
    label : (N,) ndarray of int
        In `segments`.
    xy, xy_error : (N, 2) ndarray, pix
        Zero-based windowed centroid and its standard error.
    isophotal, aperture, kron : (N, 2) ndarray
        Flux and its standard error.
    kron_radius : (N,) ndarray
        In units of the semi-axes.
    axes : (N, 2) ndarray, pix
        Standard deviations along the major and the minor axis of the segment.
    theta : (N,) ndarray, deg
        Of the major axis, from +x counter-clockwise.
    fwhm : (N,) ndarray, pix
        Of the Gaussian with the windowed second moments.
    area : (N,) ndarray of int, pix
        Of the segment.
    box : (N, 4) ndarray of int, pix
        xmin, xmax, ymin, ymax of the segment.
    flags : (N,) ndarray of int
        1: touches another segment; 2: near pixels without data; 4: the centroid did not settle.
    segments : (ny, nx) ndarray of int
        The segmentation.
    """

    label: NDArray[np.int64]
    xy: NDArray[np.float64]
    xy_error: NDArray[np.float64]
    isophotal: NDArray[np.float64]
    aperture: NDArray[np.float64]
    kron: NDArray[np.float64]
    kron_radius: NDArray[np.float64]
    axes: NDArray[np.float64]
    theta: NDArray[np.float64]
    fwhm: NDArray[np.float64]
    area: NDArray[np.int64]
    box: NDArray[np.int64]
    flags: NDArray[np.int64]
    segments: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class _Field:
    """What sources are measured on, (ny, nx) each."""

    image: NDArray[np.float32]
    variance: NDArray[np.float32]
    good: NDArray[np.bool_]
    segments: NDArray[np.int32]


def measure_mosaic(
    image: NDArray[Any], weight: NDArray[Any], shot: float, settings: FindSettings
) -> MosaicSources:
    """Find the sources of a mosaic, or of a part of one, and measure them.

    Parameters
    ----------
    image : (ny, nx) ndarray
        Flux per pixel.
    weight : (ny, nx) ndarray
        Inverse variance of the sky, such that variances of pixels add up; zero without data.
    shot : float
        Variance of one unit of flux of a source, times `weight`: weight / exposure time for electrons per
        second. Zero where the weight has it.
    settings : FindSettings
        The parameters.
    """
    good = weight > 0
    clean = np.where(good, image - smooth_background(image, good, settings.box), 0).astype(np.float32)
    sky = np.full(image.shape, np.inf, np.float32)
    np.divide(1.0, weight, out=sky, where=good)
    segments, peaks = find_segments(
        significance(clean, sky, settings.sigma), settings.threshold, settings.area, settings.contrast
    )
    variance = np.where(good, sky * (1 + shot * np.clip(clean, 0, None)), 0).astype(np.float32)
    return _measured(_Field(clean, variance, good, segments), peaks, settings)


def _measured(field: _Field, peaks: NDArray[np.int64], settings: FindSettings) -> MosaicSources:
    label = np.arange(1, len(peaks) + 1)
    axes, theta, isophotal = _isophotal(field, len(peaks))
    window = _WINDOW * settings.sigma
    stamps = cut_stamps(field.image, np.sqrt(field.variance), field.good, peaks, int(np.ceil(4 * window)))
    moments = windowed_moments(stamps, window)
    lost = ~moments.converged | (moments.coverage < _LEAST_COVERAGE)
    lost |= ~np.isfinite(moments.xy).all(axis=1)
    xy = np.where(lost[:, None], peaks, moments.xy)
    photometry = [
        _photometry(field, i, xy[i], axes[i], theta[i], settings.aperture) for i in range(len(peaks))
    ]
    fluxes = np.array([row for row, _ in photometry], dtype=float).reshape(-1, 5)
    box = _boxes(field.segments, len(peaks))
    flags = np.array([flag for _, flag in photometry], dtype=np.int64).reshape(-1)
    return MosaicSources(
        label=label,
        xy=xy,
        xy_error=np.where(lost[:, None], np.nan, moments.xy_error),
        isophotal=isophotal,
        aperture=fluxes[:, :2],
        kron=fluxes[:, 2:4],
        kron_radius=fluxes[:, 4],
        axes=axes,
        theta=theta,
        fwhm=_fwhm(moments.second, window),
        area=np.bincount(field.segments.ravel(), minlength=len(peaks) + 1)[1:],
        box=box,
        flags=flags | np.where(lost, 4, 0),
        segments=field.segments,
    )


def _fwhm(second: NDArray[np.float64], window: float) -> NDArray[np.float64]:
    """Full width at half maximum from windowed moments, freed from the window's narrowing."""
    mean = np.clip(second[:, :2].mean(axis=1), 0, window**2 * 10 / 11)
    return np.asarray(_FWHM * np.sqrt(mean * window**2 / (window**2 - mean)))


def _isophotal(
    field: _Field, number: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Axes (N, 2), position angle of the major one (N,), flux and error (N, 2), of the segments."""
    rows, columns = np.nonzero(field.segments)
    member = field.segments[rows, columns] - 1

    def summed(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(member, values, minlength=number), dtype=np.float64)

    value = field.image[rows, columns].astype(float)
    weight = np.clip(value, 1e-30, None)
    total = summed(weight)
    x, y = summed(weight * columns) / total, summed(weight * rows) / total
    dx, dy = columns - x[member], rows - y[member]
    # a pixel has a width of its own
    xx, yy = (summed(weight * one * one) / total + 1 / 12 for one in (dx, dy))
    xy = summed(weight * dx * dy) / total
    mean, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    axes = np.sqrt(np.clip(np.column_stack([mean + spread, mean - spread]), 1 / 12, None))
    theta = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy))
    flux = np.column_stack([summed(value), np.sqrt(summed(field.variance[rows, columns]))])
    return axes, theta, flux


def _boxes(segments: NDArray[np.int32], number: int) -> NDArray[np.int64]:
    from scipy.ndimage import find_objects

    found = find_objects(segments, max_label=number)
    return np.array([(x.start, x.stop - 1, y.start, y.stop - 1) for y, x in found], dtype=np.int64).reshape(
        -1, 4
    )


def _photometry(
    field: _Field,
    index: int,
    xy: NDArray[np.float64],
    axes: NDArray[np.float64],
    theta: float,
    radius: float,
) -> tuple[tuple[float, ...], int]:
    """Aperture and Kron flux with errors and the Kron radius of one source; and its flags.

    Pixels of other segments, without data and beyond the edges count with the mean of the others of the same
    aperture.
    """
    reach = min(max(_KRON_REACH * axes[0], 2.5 * radius), LARGEST_STAMP)
    (x0, x1), (y0, y1) = ((floor(at - reach), floor(at + reach) + 2) for at in xy.tolist())
    box = Tile(y0, y1, x0, x1)
    dx, dy = np.arange(x0, x1)[None, :] - xy[0], np.arange(y0, y1)[:, None] - xy[1]
    angle = np.radians(theta)
    major, minor = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    distance = np.hypot(major / axes[0], minor / axes[1])
    image, variance, good, own = (
        _cut(values, box) for values in (field.image, field.variance, field.good, field.segments)
    )
    others = (own != 0) & (own != index + 1)
    usable = good & ~others
    within = usable & (distance < _KRON_REACH)
    flux = float(image[within].sum())
    moment = float((image[within] * distance[within]).sum()) / flux if flux > 0 else 0.0
    kron = float(np.clip(_KRON_FACTOR * moment, _KRON_LEAST, _KRON_REACH * _KRON_FACTOR))
    kron = min(kron, reach / float(axes[0]))
    shares = (
        np.clip(radius + 0.5 - np.hypot(dx, dy), 0, 1),
        np.clip((kron - distance) * np.sqrt(axes[0] * axes[1]) + 0.5, 0, 1),
    )
    sums = [_summed(image, variance, usable, share) for share in shares]
    inside = shares[1] > 0
    flags = (1 if (others & inside).any() else 0) | (2 if (~good & inside).any() else 0)
    return (*sums[0], *sums[1], kron), flags


def _cut(values: NDArray[Any], box: Tile) -> NDArray[Any]:
    """A part of an image, with zeros beyond the edges."""
    inner = box.grown(0, values.shape)
    if inner == box:
        return values[box.slices]
    out = np.zeros(box.shape, values.dtype)
    corner = box.bottom, box.left
    out[Tile(*np.subtract(astuple(inner), np.repeat(corner, 2)).tolist()).slices] = values[inner.slices]
    return out


def _summed(
    image: NDArray[Any], variance: NDArray[Any], usable: NDArray[np.bool_], share: NDArray[np.float64]
) -> tuple[float, float]:
    """Flux and error in an aperture; what is not usable is made up for by the mean of the rest."""
    used = share * usable
    total = float(used.sum())
    if total == 0:
        return float("nan"), float("nan")
    growth = float(share.sum()) / total
    return growth * float((used * image).sum()), growth * float(np.sqrt((used**2 * variance).sum()))
