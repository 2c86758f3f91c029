"""Find the sources of one chip and measure them."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.measuring.background import local_background
from grism_align.algorithms.measuring.centroid import Stamps, WindowedMoments, cut_stamps, windowed_moments
from grism_align.algorithms.measuring.contrast import peak_contrast
from grism_align.algorithms.measuring.good_pixels import good_pixels, has_bits
from grism_align.algorithms.measuring.matched_filter import matched_filter
from grism_align.algorithms.measuring.psf import star_positions
from grism_align.algorithms.measuring.windowed import unwindowed
from grism_align.values.catalog import SourceFlag
from grism_align.values.failure import NoSources, PixelsFlagged, Remark

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.settings import DetectionSettings


# Fraction of usable pixels below which a chip can't be measured: so much more than a box of its background
# wants that a chip that passes has a box that does, wherever its usable pixels lie.
_LEAST_USABLE = 0.15
# A window with less of its weight on good pixels gives no position.
_LEAST_COVERAGE = 0.6
_FWHM = 2.3548


@dataclass(frozen=True, eq=False)
class ChipSources:
    """Sources of one chip, N of each, and the counts of what was left out.

    Parameters
    ----------
    xy, xy_error : (N, 2) ndarray, pix
        Zero-based positions and their errors.
    flux, flux_error : (N,) ndarray
        In the aperture, in the units of the image.
    fwhm : (N,) ndarray, pix
        Full width at half maximum of the equivalent Gaussian.
    ellipticity : (N, 2) ndarray
        (xx - yy) / (xx + yy) and 2 xy / (xx + yy).
    flags : (N,) ndarray of int
        `SourceFlag` bits.
    counts : dict of str to int
        Pixels and sources, by what became of them.
    remark : Remark or None
        Why there are none.
    """

    xy: NDArray[np.float64]
    xy_error: NDArray[np.float64]
    flux: NDArray[np.float64]
    flux_error: NDArray[np.float64]
    fwhm: NDArray[np.float64]
    ellipticity: NDArray[np.float64]
    flags: NDArray[np.int64]
    counts: dict[str, int]
    remark: Remark | None = None


def _none(counts: dict[str, int], remark: Remark) -> ChipSources:
    pairs, singles = np.zeros((0, 2)), np.zeros(0)
    return ChipSources(pairs, pairs, singles, singles, singles, pairs, np.zeros(0, int), counts, remark)


def detect_sources(
    sci: NDArray[Any],
    err: NDArray[Any],
    dq: NDArray[Any],
    settings: DetectionSettings,
    expected_resolution: float = nan,
) -> ChipSources:
    """Find the sources of a chip in its distorted frame and measure them.

    Peaks of the inverse-variance matched-filtered image above the threshold that stand out of their
    surroundings; windowed centroids; aperture fluxes; flags.

    Parameters
    ----------
    sci, err : (ny, nx) ndarray
        Image and standard errors, any unit.
    dq : (ny, nx) ndarray of int
        Data-quality bits.
    settings : DetectionSettings
        The parameters.
    expected_resolution : float, pix, optional
        Of the optics, as of `Exposure`; NaN if that is not known.

    Returns
    -------
    ChipSources
        Empty, with a remark, where nothing can be found.
    """
    # saturated pixels are kept: their sources are flagged, not hidden
    good = good_pixels(sci, err, dq, settings.good_bits | settings.saturation_bits)
    counts = {"pixels": int(sci.size), "pixels_flagged": int(sci.size - good.sum())}
    if good.mean() < _LEAST_USABLE:
        return _none(counts, PixelsFlagged(counts["pixels_flagged"], counts["pixels"]))
    image = np.where(good, sci - local_background(sci, good, settings.background_box), 0).astype(np.float32)
    peaks = _find_peaks(image, err, good, settings)
    counts["peaks"] = len(peaks)
    half = int(np.ceil(max(4 * settings.window_sigma, settings.aperture + 1)))
    stamps = cut_stamps(image, err, good, peaks, half)
    saturated = has_bits(dq, settings.saturation_bits)
    if settings.contrast > 0:
        kept = peak_contrast(stamps, settings.kernel_sigma) > settings.contrast
        # a saturated core is hollow, and flagged
        kept |= _is_saturated(saturated, peaks)
        stamps, peaks = stamps.part(kept), peaks[kept]
        counts["peaks_on_smooth_light"] = int((~kept).sum())
    if len(peaks) == 0:
        return _none(counts, NoSources(settings.threshold))
    sources = _measure(stamps, saturated, peaks, settings, expected_resolution)
    for flag in set(SourceFlag) - {SourceFlag.FIXED}:  # which only several exposures tell
        counts[f"flagged_{flag.name}".lower()] = int(((sources.flags & flag) != 0).sum())
    sources.counts.update(counts)
    return sources


def _find_peaks(
    image: NDArray[Any], err: NDArray[Any], good: NDArray[np.bool_], settings: DetectionSettings
) -> NDArray[np.int64]:
    """Return local maxima of the filtered image above the threshold: (N, 2) pixels (x, y)."""
    ratio = matched_filter(image, err, good, settings.kernel_sigma)
    # a maximum filter takes as long for the sky as for the few pixels above the threshold
    y, x = np.nonzero(ratio > settings.threshold)
    reach = settings.separation - 1
    bordered = np.pad(ratio, reach, constant_values=-np.inf)
    steps = np.array(list(np.ndindex(2 * reach + 1, 2 * reach + 1)))
    # the nearest first, as few pixels pass those
    for row, column in steps[np.argsort(np.hypot(*(steps - reach).T), kind="stable")]:
        is_highest = ratio[y, x] >= bordered[y + row, x + column]
        y, x = y[is_highest], x[is_highest]
    return np.column_stack([x, y])


def _measure(
    stamps: Stamps,
    saturated: NDArray[np.bool_],
    peaks: NDArray[np.int64],
    settings: DetectionSettings,
    expected_resolution: float,
) -> ChipSources:
    moments = windowed_moments(stamps, settings.window_sigma)
    flux, flux_error = _aperture_flux(stamps, moments.xy - stamps.corner, settings.aperture)
    widths = _unwindowed_widths(moments.second, settings.window_sigma)
    flags = _shape_flags(moments, widths, stamps, settings)
    flags |= _place_flags(moments.xy, peaks, saturated, settings.edge)
    xy, xy_error, counts = _positions(stamps, moments, flags, settings, expected_resolution)
    return ChipSources(
        xy=xy,
        xy_error=xy_error,
        flux=flux,
        flux_error=flux_error,
        fwhm=_FWHM * np.sqrt(np.clip(widths.mean(axis=1), 0, None)),
        ellipticity=_ellipticity(moments.second),
        flags=flags,
        counts=counts,
    )


def _positions(
    stamps: Stamps,
    moments: WindowedMoments,
    flags: NDArray[np.int64],
    settings: DetectionSettings,
    expected_resolution: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, int]]:
    """Return final positions and errors, and how many are fits of the PSF: clean stars, if so chosen."""
    xy, error = moments.xy.copy(), moments.xy_error.copy()
    if settings.centroid == "windowed":
        return xy, error, {}
    stars = star_positions(
        stamps, xy - stamps.corner, error, flags == 0, settings.obstruction, expected_resolution
    )
    xy[stars.rows] = stars.xy + stamps.corner[stars.rows]
    error[stars.rows] = stars.xy_error
    return xy, error, {"fitted_as_stars": len(stars.rows)}


def _aperture_flux(
    stamps: Stamps, position: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum in a circle; a pixel on its rim counts with the linear fraction that is inside."""
    grid = np.arange(stamps.data.shape[1])
    dx = grid[None, None, :] - position[:, 0, None, None]
    dy = grid[None, :, None] - position[:, 1, None, None]
    inside = np.clip(radius + 0.5 - np.hypot(dx, dy), 0, 1) * stamps.good
    flux = (inside * stamps.data).sum(axis=(1, 2))
    return flux, np.sqrt((inside**2 * stamps.variance).sum(axis=(1, 2)))


def _ellipticity(second: NDArray[np.float64]) -> NDArray[np.float64]:
    xx, yy, xy = second.T
    total = np.where(xx + yy > 0, xx + yy, np.inf)
    return np.column_stack([(xx - yy) / total, 2 * xy / total])


def _unwindowed_widths(second: NDArray[np.float64], window_sigma: float) -> NDArray[np.float64]:
    """Return the variances (pix^2) along the minor and the major axis, (N, 2), freed from the window."""
    xx, yy, xy = second.T
    mean, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    axes = np.column_stack([mean - spread, mean + spread])
    return window_sigma**2 * unwindowed(axes / window_sigma**2)


def _shape_flags(
    moments: WindowedMoments, widths: NDArray[np.float64], stamps: Stamps, settings: DetectionSettings
) -> NDArray[np.int64]:
    middle = stamps.good.shape[1] // 2
    core = stamps.good[:, middle - 1 : middle + 2, middle - 1 : middle + 2]
    narrow = np.sqrt(np.clip(widths[:, 0], 0, None)) < settings.sharpest
    lost = ~moments.converged | (moments.coverage < _LEAST_COVERAGE)
    flags = np.where(core.all(axis=(1, 2)), 0, int(SourceFlag.MASKED_CORE))
    flags |= np.where(narrow, int(SourceFlag.COSMIC_RAY), 0)
    flags |= np.where(lost, int(SourceFlag.NO_CENTROID), 0)
    return np.asarray(flags)


def _place_flags(
    xy: NDArray[np.float64], peaks: NDArray[np.int64], saturated: NDArray[np.bool_], edge: int
) -> NDArray[np.int64]:
    ny, nx = saturated.shape
    near = (xy < edge).any(axis=1) | (xy[:, 0] > nx - 1 - edge) | (xy[:, 1] > ny - 1 - edge)
    flags = np.where(near, int(SourceFlag.EDGE), 0)
    flags |= np.where(_is_saturated(saturated, peaks), int(SourceFlag.SATURATED), 0)
    return np.asarray(flags)


def _is_saturated(saturated: NDArray[np.bool_], peaks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell whether peaks (N, 2) are at saturated pixels or beside them."""
    bordered = np.pad(saturated, 1)
    x, y = peaks.T
    found = np.zeros(len(peaks), dtype=bool)
    for row, column in np.ndindex(3, 3):
        found |= bordered[y + row, x + column]
    return found


def mean_ellipticity(ellipticity: NDArray[np.float64]) -> tuple[float, float]:
    """Return the length of the mean ellipticity of (N, 2) sources and its error.

    Random orientations average out; a trail does not.
    """
    n = len(ellipticity)
    if n < 2:
        return 0.0, 1.0
    spread = ellipticity.std(axis=0).mean()
    return float(np.hypot(*ellipticity.mean(axis=0))), float(spread / np.sqrt(n))
