"""The catalog and the segmentation image of a mosaic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table, vstack

from grism_align.algorithms.measuring.background import clipped_level
from grism_align.algorithms.mosaics.catalog import FindSettings, MosaicSources, measure_mosaic
from grism_align.algorithms.mosaics.drizzle import noise_correlation
from grism_align.io.files.builtin import to_builtin
from grism_align.io.files.fits import plain_text
from grism_align.io.files.staging import atomic_path
from grism_align.io.mosaics.files import metadata_of, opened_image, tiled_image, wcs_header
from grism_align.values.mosaic import Tile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.io.mosaics.files import TiledImage
    from grism_align.values.exposure import Exposure
    from grism_align.values.mosaic import MosaicMetadata, MosaicPlan
    from grism_align.values.pixel_sky import PixelSky
    from grism_align.values.settings import MosaicSettings
    from grism_align.workflows.mosaics.chips import ExposureStack

from grism_align.io.mosaics.catalog_columns import described, with_corners

# Pixels that a part of a mosaic shares with the next one, so that sources on the border are whole in one.
_OVERLAP = 402
# Largest side of such a part: finding sources takes more memory a pixel than drizzling.
_LARGEST = 3072
_POGSON = 1.0857
# What a star's place on the pixel of one exposure makes of its position, pixels, and its magnitude:
# measured on WFC3/IR, whose pixels are as wide as the optics' FWHM; exposures average it.
_PHASE_POSITION = 0.04
_PHASE_MAGNITUDE = 0.05
_FWHM = 2.3548


@dataclass(frozen=True, eq=False)
class _Mosaic:
    """A mosaic: its plan, its exposures with corrected WCSs, the errors of these, and how it was made.

    Parameters
    ----------
    correction_error : (exposures, 2) ndarray, mas
        Standard errors of the exposures' shifts; zero where they have no correction.
    """

    plan: MosaicPlan
    exposures: Sequence[Exposure]
    correction_error: NDArray[np.float64]
    metadata: MosaicMetadata
    settings: MosaicSettings

    @property
    def exposure_pixel(self) -> float:
        """Side of a pixel of the exposures, arcsec."""
        return float(np.mean([exposure.pixel_scale for exposure in self.exposures]))


def write_catalog(
    plan: MosaicPlan, stack: ExposureStack, correction_error: NDArray[np.float64], folder: Path
) -> int:
    """Find and measure the sources of a mosaic that lies in a folder, and write them beside it.

    Parameters
    ----------
    plan : MosaicPlan
        The mosaic.
    stack : ExposureStack
        The exposures that were stacked.
    correction_error : (exposures, 2) ndarray, mas
        Standard errors of the exposures' shifts; zero where they have no correction.
    folder : Path
        Of ``NAME_drz_sci.fits`` and ``NAME_drz_wht.fits``; takes ``NAME_cat.ecsv`` and ``NAME_seg.fits``.

    Returns
    -------
    int
        Number of sources.
    """
    members = [stack.exposures[key] for key in plan.keys]
    mosaic = _Mosaic(plan, members, correction_error, metadata_of(members), stack.settings)
    science, weight = (opened_image(folder / f"{plan.name}_drz_{kind}.fits") for kind in ("sci", "wht"))
    header = wcs_header(plan.grid)
    header["CATALOG"] = (plain_text(f"{plan.name}_cat.ecsv"), "whose labels these are")
    tables: list[Table] = []
    with tiled_image(folder / f"{plan.name}_seg.fits", header, plan.grid.shape, ">i4") as segmentation:
        calibration = _calibration(science, weight, mosaic)
        for tile in plan.grid.even_tiles(min(stack.settings.tile, _LARGEST)):
            wide = tile.grown(_OVERLAP, plan.grid.shape)
            if tables and not weight.read(wide).any():
                # but one table there must be
                continue
            # read for the call alone, which lets go of them
            found = measure_mosaic(
                science.read(wide),
                weight.read(wide) * calibration.weight,
                calibration.shot,
                _find(mosaic),
                tile.relative_to(wide),
            )
            own = _table(found, wide, sum(map(len, tables)))
            tables.append(own)
            _add_segments(segmentation, found, own, wide)
    table = _completed(vstack([own for own in tables if len(own)] or tables[:1]), mosaic)
    table.meta = _meta(mosaic)
    with atomic_path(folder / f"{plan.name}_cat.ecsv") as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)
    return len(table)


def _find(mosaic: _Mosaic) -> FindSettings:
    settings, scale = mosaic.settings, mosaic.plan.grid.scale
    return FindSettings(
        max(settings.detect_fwhm / _FWHM / scale, 0.7),
        settings.detect_snr,
        settings.detect_area,
        settings.deblend_contrast,
        settings.aperture / scale,
        max(16, round(settings.background_box / scale)),
    )


@dataclass(frozen=True)
class _Calibration:
    """What makes inverse variances of weights, and of these the shot noise of sources.

    Parameters
    ----------
    weight : float
        Factor.
    shot : float
        As `measure_mosaic` takes it.
    """

    weight: float
    shot: float


def _calibration(science: TiledImage, weight: TiledImage, mosaic: _Mosaic) -> _Calibration:
    """Return what makes inverse variances of weights.

    Weights that are inverse variances are taken as they are; of exposure times the scatter of pixels, with
    the correlation that drizzling gives, tells the factor.
    """
    settings, exposures = mosaic.settings, mosaic.exposures
    middle = _middle(mosaic.plan, exposures[0].chips[0].wcs, min(settings.tile, _LARGEST))
    weights, factor = weight.read(middle), 1.0
    used = weights > 0
    if not used.any():
        return _Calibration(1.0, 0.0)
    if settings.weights == "exposure":
        scatter = clipped_level(science.read(middle)[used] * np.sqrt(weights[used]))[1]
        ratio = mosaic.plan.grid.scale / exposures[0].pixel_scale
        factor = 1 / (scatter * noise_correlation(settings.drop_side, ratio)) ** 2
    if settings.weights == "error":
        return _Calibration(factor, 0.0)
    # where all exposures fall the weight is about the largest there is
    full = float(np.percentile(weights[used][::97], 90)) * factor
    return _Calibration(factor, full / sum(exposure.exposure_time for exposure in exposures))


def _middle(plan: MosaicPlan, wcs: PixelSky, side: int) -> Tile:
    """Return a part of a mosaic, of at most so many pixels a side, around a chip."""
    ny, nx = plan.grid.shape
    x, y = plan.grid.to_pixel(wcs.footprint()).mean(axis=0)
    (bottom, top), (left, right) = (_span(at, side, size) for at, size in ((y, ny), (x, nx)))
    return Tile(bottom, top, left, right)


def _span(center: float, side: int, size: int) -> tuple[int, int]:
    low = int(np.clip(center - side / 2, 0, max(size - side, 0)))
    return low, min(low + side, size)


def _table(found: MosaicSources, wide: Tile, before: int) -> Table:
    """Return the sources that were measured on a part, in pixels of the mosaic."""
    table = Table(dict(found.columns))
    for axis, first in (("x", wide.left), ("y", wide.bottom)):
        for name in (f"{axis}centroid", f"bbox_{axis}min", f"bbox_{axis}max"):
            table[name] += first
    table["label"] = before + 1 + np.arange(len(table))
    return table


def _add_segments(segmentation: TiledImage, found: MosaicSources, own: Table, wide: Tile) -> None:
    """Put the segments of a tile's own sources in place, also where they reach beyond it."""
    label = np.zeros(found.segments.max(initial=0) + 1, np.int32)
    label[own["segment"]] = own["label"]
    values = label[found.segments]
    segmentation.write(wide, np.where(values > 0, values, segmentation.read(wide)))
    own.remove_column("segment")


def _completed(table: Table, mosaic: _Mosaic) -> Table:
    """Return the table with what follows from positions and fluxes."""
    grid = mosaic.plan.grid
    xy = np.column_stack([table["xcentroid"], table["ycentroid"]])
    sky = grid.to_sky(xy) if len(xy) else np.zeros((0, 2))
    seen = _seen(sky, mosaic)
    own = 1e3 * grid.scale * np.column_stack([table["x_error"], table["y_error"]])
    # east and north of the mosaic's axes
    turn = grid.matrix / grid.scale
    variance = (own**2) @ (turn**2).T + _correction_variance(seen, mosaic)
    phases = 1 / np.maximum(seen.sum(axis=0), 1)
    variance += (1e3 * mosaic.exposure_pixel * _PHASE_POSITION) ** 2 * phases[:, None]
    table["ra"], table["dec"] = sky.T
    table["ra_error"], table["dec_error"] = np.sqrt(variance).T
    table["ref_epoch"] = _epochs(seen, mosaic)
    table["n_exposures"] = seen.sum(axis=0)
    for flux, mag, error in (
        ("kron", "mag", "mag_error"),
        ("aperture", "aper_abmag", "aper_abmag_err"),
        ("isophotal", "isophotal_abmag", "isophotal_abmag_err"),
    ):
        value, sigma = (np.asarray(table[f"{flux}_flux{tail}"], dtype=float) for tail in ("", "_err"))
        positive = np.where(value > 0, value, np.nan)
        table[mag] = mosaic.metadata.ab_zero_point - 2.5 * np.log10(positive)
        table[error] = np.sqrt((_POGSON * sigma / positive) ** 2 + _PHASE_MAGNITUDE**2 * phases)
    table["is_extended"] = _extended(table, _star_width(mosaic))
    return with_corners(described(table), mosaic.plan)


def _seen(sky: NDArray[np.float64], mosaic: _Mosaic) -> NDArray[np.bool_]:
    """Return which exposure shows which source, (exposures, N)."""
    out = np.zeros((len(mosaic.exposures), len(sky)), bool)
    for row, exposure in enumerate(mosaic.exposures):
        for chip in exposure.chips:
            xy = chip.wcs.to_pixel(sky)
            with np.errstate(invalid="ignore"):
                out[row] |= ((xy > -0.5) & (xy < np.array(chip.shape[::-1]) - 0.5)).all(axis=1)
    return out


def _epochs(seen: NDArray[np.bool_], mosaic: _Mosaic) -> NDArray[np.float64]:
    """Return the mean epoch of the exposures that show each source, weighted by exposure time."""
    epoch = np.array([exposure.epoch for exposure in mosaic.exposures])
    weight = np.array([exposure.exposure_time for exposure in mosaic.exposures])[:, None] * seen
    total = weight.sum(axis=0)
    mean = (weight * epoch[:, None]).sum(axis=0) / np.where(total > 0, total, 1)
    return np.where(total > 0, mean, mosaic.metadata.epoch)


def _correction_variance(seen: NDArray[np.bool_], mosaic: _Mosaic) -> NDArray[np.float64]:
    """Return the mean variance of the corrections of the exposures that show each source, (N, 2) mas^2.

    Errors of corrections have much in common (the tie to the catalog above all) and are not averaged down.
    """
    number = np.maximum(seen.sum(axis=0), 1)
    return np.asarray(seen.T.astype(float) @ mosaic.correction_error**2 / number[:, None])


def _star_width(mosaic: _Mosaic) -> float:
    """Estimate the FWHM of a star, pixels of the mosaic: what diffracts, and a pixel of the exposures.

    It is a fifth more than the two make: charge spreads between pixels, and drizzling spreads light.
    """
    first = mosaic.exposures[0]
    optics = 1.03 * np.nan_to_num(first.diffraction)
    return 1.2 * float(np.hypot(optics, mosaic.exposure_pixel)) / mosaic.plan.grid.scale


def _extended(table: Table, star: float) -> NDArray[np.bool_]:
    """Return which sources are half as wide again as stars are: the tenth percentile of the bright ones.

    But not less than about `star` pixels, which is taken where there are few: remnants of cosmic rays are
    narrower.
    """
    fwhm = np.asarray(table["fwhm"], dtype=float)
    value, error = (np.asarray(table[name], dtype=float) for name in ("aperture_flux", "aperture_flux_err"))
    bright = (value > 30 * error) & (np.asarray(table["flags"]) == 0)
    bright &= fwhm > 0.75 * star
    narrow = float(np.percentile(fwhm[bright], 10)) if bright.sum() >= 5 else star
    return np.asarray(~(fwhm <= 1.5 * max(narrow, star)))


def _meta(mosaic: _Mosaic) -> dict[str, Any]:
    name, metadata = mosaic.plan.name, mosaic.metadata
    meta: dict[str, Any] = to_builtin(
        {
            "mosaic": f"{name}_drz_sci.fits",
            "segmentation": f"{name}_seg.fits",
            "filter": mosaic.plan.filter,
            "exposures": [exposure.key for exposure in mosaic.exposures],
            "exposure_time": metadata.exposure_time,
            "epoch": metadata.epoch,
            "ab_zero_point": metadata.ab_zero_point,
            "pixel_scale": mosaic.plan.grid.scale,
            "aperture_radius": mosaic.settings.aperture,
        }
    )
    return meta
