"""Positions, magnitudes and shapes of the sources of a mosaic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.measuring.background import local_background
from grism_align.algorithms.measuring.centroid import cut_stamps, windowed_moments
from grism_align.algorithms.measuring.matched_filter import matched_filter
from grism_align.algorithms.measuring.windowed import unwindowed
from grism_align.values.mosaic import Tile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


_FWHM = 2.3548
# Kron's aperture: 2.5 first moments, no smaller than 3.5 half axes (Bertin & Arnouts 1996, section 5).
_KRON = (2.5, 1.4, 0.0)
# The centroid's window, in sigma of the filter, and the least share of it on pixels with data.
_WINDOW, _LEAST_COVERAGE = 1.9, 0.6
# What photutils calls the quantities that it measures.
_PHOTUTILS_NAMES = {
    **{name: name for name in ("aperture_flux", "aperture_flux_err", "kron_flux", "kron_flux_err")},
    "isophotal_flux": "segment_flux",
    "isophotal_flux_err": "segment_flux_err",
    "kron_radius": "kron_radius",
    "semimajor_sigma": "semimajor_axis",
    "semiminor_sigma": "semiminor_axis",
    "orientation": "orientation",
    "ellipticity": "ellipticity",
    "isophotal_area": "segment_area",
    **{name: name for name in ("bbox_xmin", "bbox_xmax", "bbox_ymin", "bbox_ymax")},
}
_WHOLE_NUMBERS = ("isophotal_area", "bbox_xmin", "bbox_xmax", "bbox_ymin", "bbox_ymax")
_MEASURED = ("segment", "xcentroid", "ycentroid", "x_error", "y_error", "fwhm", "flags")
_NO_SOURCES = {name: np.zeros(0, np.int64) for name in (*_MEASURED, *_PHOTUTILS_NAMES)}


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
    """Sources of a part of a mosaic.

    Parameters
    ----------
    columns : mapping of str to (N,) ndarray
        As the columns of the catalog are called: positions, boxes and areas in pixels of the part, fluxes in
        its units; and ``segment``, the number of each.
    segments : (ny, nx) ndarray of int
        Number of the source that each pixel belongs to, from 1; zero for none.
    """

    columns: Mapping[str, NDArray[Any]]
    segments: NDArray[np.int32]

    @property
    def xy(self) -> NDArray[np.float64]:
        """Zero-based positions, (N, 2) pixels."""
        return np.column_stack([self.columns["xcentroid"], self.columns["ycentroid"]])


@dataclass(frozen=True, eq=False)
class _Field:
    """What sources are found and measured on, (ny, nx) each."""

    image: NDArray[np.float32]
    error: NDArray[np.float32]
    good: NDArray[np.bool_]
    snr: NDArray[np.float32]


def measure_mosaic(
    image: NDArray[Any],
    weight: NDArray[Any],
    shot: float,
    settings: FindSettings,
    within: Tile | None = None,
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
    within : Tile, optional
        Pixels of the image on which the centres of the sources lie that are listed, all by default; the
        segments are those of all.

    References
    ----------
    Detection and deblending are those of sep (Barbary 2016, JOSS 1, 58), shapes and photometry those of
    photutils (Bradley et al., doi:10.5281/zenodo.596036); both follow SExtractor (Bertin & Arnouts 1996,
    A&AS 117, 393).
    """
    good = weight > 0
    clean = _above_background(image, good, settings.box)
    noise = _sky_noise(weight, good)
    # each array of a mosaic counts: no more of them than are needed
    del image, weight
    snr = matched_filter(clean, noise, good, settings.sigma)
    snr *= good
    _add_shot_noise(noise, clean, shot)
    field = _Field(clean, noise, good, snr)
    peaks, segments = _segments(field, settings)
    wanted = Tile(0, good.shape[0], 0, good.shape[1]) if within is None else within
    return MosaicSources(_measured(field, peaks, segments, wanted, settings), segments)


def _above_background(image: NDArray[Any], good: NDArray[np.bool_], box: int) -> NDArray[np.float32]:
    out = (image - local_background(image, good, box)).astype(np.float32, copy=False)
    out[~good] = 0
    return out


def _sky_noise(weight: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[np.float32]:
    out = np.zeros(weight.shape, np.float32)
    np.divide(1.0, np.sqrt(weight), out=out, where=good, casting="unsafe")
    return out


def _add_shot_noise(noise: NDArray[np.float32], clean: NDArray[np.float32], shot: float) -> None:
    factor = np.clip(clean, 0, None)
    factor *= shot
    factor += 1
    np.sqrt(factor, out=factor)
    noise *= factor


def _segments(field: _Field, settings: FindSettings) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the peaks of sources, (N, 2), and the map of their segments; blends are parted."""
    import sep

    # sep gives up where more lies above the threshold, or blends have more parts, than it has room for
    above = int(np.count_nonzero(field.snr > settings.threshold))
    sep.set_extract_pixstack(max(2 * above, sep.get_extract_pixstack()))
    sep.set_sub_object_limit(max(above // settings.area + 1, sep.get_sub_object_limit()))
    found, segments = sep.extract(
        field.snr,
        settings.threshold,
        minarea=settings.area,
        filter_kernel=None,
        deblend_cont=settings.contrast,
        clean=False,
        segmentation_map=True,
    )
    peaks = np.column_stack([found["xpeak"], found["ypeak"]]).astype(np.int64)
    return peaks, np.asarray(segments, dtype=np.int32)


def _measured(
    field: _Field,
    peaks: NDArray[np.int64],
    segments: NDArray[np.int32],
    within: Tile,
    settings: FindSettings,
) -> dict[str, NDArray[Any]]:
    """Return the columns of the catalog that are measured on pixels, of the sources that are wanted."""
    window = _WINDOW * settings.sigma
    stamps = cut_stamps(field.image, field.error, field.good, peaks, int(np.ceil(4 * window)))
    moments = windowed_moments(stamps, window)
    lost = ~moments.converged | (moments.coverage < _LEAST_COVERAGE)
    lost |= ~np.isfinite(moments.xy).all(axis=1)
    xy = np.where(lost[:, None], peaks, moments.xy)
    error = np.where(lost[:, None], np.nan, moments.xy_error)
    wanted = np.flatnonzero(within.holds(xy))
    if not len(wanted):
        return dict(_NO_SOURCES)
    columns = _photometry(field, segments, wanted, settings.aperture)
    fwhm = _FWHM * window * np.sqrt(unwindowed(moments.second[:, :2].mean(axis=1) / window**2))
    columns["segment"] = 1 + wanted
    columns["xcentroid"], columns["ycentroid"] = xy[wanted].T
    columns["x_error"], columns["y_error"] = error[wanted].T
    columns["fwhm"] = fwhm[wanted]
    columns["flags"] |= np.where(lost[wanted], 4, 0)
    return columns


def _photometry(
    field: _Field, segments: NDArray[np.int32], wanted: NDArray[np.int64], radius: float
) -> dict[str, NDArray[Any]]:
    """Return shapes, fluxes and flags of some sources, of which `wanted` has the indices.

    In apertures, pixels of other segments count as those opposite; what is without data or beyond the edges,
    with the mean of the rest.
    """
    from photutils.segmentation import SegmentationImage, SourceCatalog

    found = SourceCatalog(
        field.image, SegmentationImage(segments), error=field.error, mask=~field.good, kron_params=_KRON
    )[wanted]
    found.circular_photometry(radius, name="aperture")
    columns = {
        own: np.asarray(getattr(found, theirs), dtype=int if own in _WHOLE_NUMBERS else float)
        for own, theirs in _PHOTUTILS_NAMES.items()
    }
    columns["kron_radius"] = _KRON[0] * columns["kron_radius"]
    circles = [_Surroundings.of(one, field, segments) for one in found.make_circular_apertures(radius)]
    ellipses = [_Surroundings.of(one, field, segments) for one in found.kron_aperture]
    for name, places in (("aperture", circles), ("kron", ellipses)):
        share = np.array([place.share for place in places])
        columns[f"{name}_flux"] = columns[f"{name}_flux"] / share
        columns[f"{name}_flux_err"] = columns[f"{name}_flux_err"] / share
    columns["flags"] = np.array(
        [
            (1 if place.labels - {label} else 0) | (2 if place.share < 1 else 0)
            for label, place in zip(found.labels.tolist(), ellipses, strict=True)
        ]
    )
    return columns


@dataclass(frozen=True)
class _Surroundings:
    """What lies in an aperture: the share of its area that has data, and the labels of sources."""

    share: float
    labels: frozenset[int]

    @classmethod
    def of(cls, aperture: Any, field: _Field, segments: NDArray[np.int32]) -> _Surroundings:
        """Look into an aperture; where there is none, or no data, its share is not known."""
        if aperture is None:
            return cls(float("nan"), frozenset())
        mask = aperture.to_mask()
        good, label = mask.cutout(field.good), mask.cutout(segments)
        # exactly one where nothing lacks
        share = 1.0 - float(mask.data[~good].sum() / mask.data.sum())
        return cls(share or float("nan"), frozenset(np.unique(label[(mask.data > 0) & (label > 0)]).tolist()))
