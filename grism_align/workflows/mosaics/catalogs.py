"""The catalog and the segmentation image of a mosaic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack

from grism_align.algorithms.measuring.background import clipped_level
from grism_align.algorithms.mosaics.catalog import FindSettings, MosaicSources, measure_mosaic
from grism_align.algorithms.mosaics.drizzle import noise_correlation
from grism_align.io.files.builtin import to_builtin
from grism_align.io.files.fits import plain_text
from grism_align.io.files.staging import atomic_path
from grism_align.io.mosaics.files import TiledImage, cards_of, tiled_image, wcs_header
from grism_align.values.mosaic import Tile
from grism_align.values.sphere import ARCSEC_PER_RADIAN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure
    from grism_align.values.mosaic import MosaicMetadata, MosaicPlan
    from grism_align.values.pixel_sky import PixelSky
    from grism_align.values.settings import MosaicSettings
    from grism_align.values.solution import ExposureFit

    Members = Mapping[str, tuple[Exposure, Sequence[PixelSky]]]

from grism_align.io.mosaics.catalog_columns import described, with_corners

__all__ = ["write_catalog"]


# Pixels that a part of a mosaic shares with the next one, so that sources on the border are whole in one.
_OVERLAP = 402
# Largest side of such a part: finding sources takes more memory a pixel than drizzling.
_LARGEST = 4096
_POGSON = 1.0857
# What a star's place on the pixel of one exposure makes of its position, pixels, and its magnitude:
# measured on WFC3/IR, whose pixels are as wide as the optics' FWHM; exposures average it.
_PHASE_POSITION = 0.04
_PHASE_MAGNITUDE = 0.05
_FWHM = 2.3548


def write_catalog(
    plan: MosaicPlan,
    members: Members,
    corrections: Mapping[str, ExposureFit | None],
    settings: MosaicSettings,
    folder: Path,
) -> int:
    """Find and measure the sources of a mosaic that lies in a folder, and write them beside it.

    Parameters
    ----------
    plan : MosaicPlan
        The mosaic.
    members : mapping of str to (Exposure, WCSs of its chips)
        The exposures, by key.
    corrections : mapping of str to ExposureFit or None
        Their total corrections.
    settings : MosaicSettings
        The parameters.
    folder : Path
        Of ``NAME_drz_sci.fits`` and ``NAME_drz_wht.fits``; takes ``NAME_cat.ecsv`` and ``NAME_seg.fits``.

    Returns
    -------
    int
        Number of sources.
    """
    exposures = [members[key][0] for key in plan.keys]
    cards = cards_of(exposures)
    science, weight = (_opened(folder / f"{plan.name}_drz_{kind}.fits") for kind in ("sci", "wht"))
    header = wcs_header(plan.grid)
    header["CATALOG"] = (plain_text(f"{plan.name}_cat.ecsv"), "whose labels these are")
    tables: list[Table] = []
    with tiled_image(folder / f"{plan.name}_seg.fits", header, plan.grid.shape, ">i4") as segmentation:
        calibration = _calibration(science, weight, plan, members, settings)
        for tile in plan.grid.tiles(min(settings.tile, _LARGEST)):
            wide = tile.grown(_OVERLAP, plan.grid.shape)
            weights = weight.read(wide)
            if tables and not weights.any():
                # but one table there must be
                continue
            found = measure_mosaic(
                science.read(wide), weights * calibration[0], calibration[1], _find(plan, settings)
            )
            own = _table(found, tile, wide, sum(map(len, tables)))
            tables.append(own)
            _add_segments(segmentation, found, own, wide)
    table = _completed(
        vstack([own for own in tables if len(own)] or tables[:1]), plan, members, corrections, cards
    )
    table.meta = _meta(plan, cards, exposures, settings)
    with atomic_path(folder / f"{plan.name}_cat.ecsv") as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)
    return len(table)


def _opened(path: Path) -> TiledImage:
    with fits.open(path) as hdus:
        shape = hdus[0].header["NAXIS2"], hdus[0].header["NAXIS1"]
        return TiledImage(path, hdus[0].fileinfo()["datLoc"], shape, ">f4")


def _find(plan: MosaicPlan, settings: MosaicSettings) -> FindSettings:
    scale = plan.grid.scale
    return FindSettings(
        max(settings.detect_fwhm / _FWHM / scale, 0.7),
        settings.detect_snr,
        settings.detect_area,
        settings.deblend_contrast,
        settings.aperture / scale,
        max(16, round(settings.background_box / scale)),
    )


def _calibration(
    science: TiledImage,
    weight: TiledImage,
    plan: MosaicPlan,
    members: Members,
    settings: MosaicSettings,
) -> tuple[float, float]:
    """What makes inverse variances of weights, and times of those (see `measure_mosaic`).

    Weights that are inverse variances are taken as they are; of exposure times the scatter of pixels, with
    the correlation that drizzling gives, tells the factor.
    """
    exposures = [members[key][0] for key in plan.keys]
    middle = _middle(plan, members[plan.keys[0]][1][0], min(settings.tile, _LARGEST))
    weights, factor = weight.read(middle), 1.0
    used = weights > 0
    if not used.any():
        return 1.0, 0.0
    if settings.weights == "exposure":
        scatter = clipped_level(science.read(middle)[used] * np.sqrt(weights[used]))[1]
        ratio = plan.grid.scale / exposures[0].pixel_scale
        factor = 1 / (scatter * noise_correlation(settings.drop_side, ratio)) ** 2
    if settings.weights == "error":
        return factor, 0.0
    # where all exposures fall the weight is about the largest there is
    full = float(np.percentile(weights[used][::97], 90)) * factor
    return factor, full / sum(exposure.exposure_time for exposure in exposures)


def _middle(plan: MosaicPlan, wcs: PixelSky, side: int) -> Tile:
    """A part of a mosaic, of at most so many pixels a side, around a chip."""
    ny, nx = plan.grid.shape
    x, y = plan.grid.to_pixel(wcs.footprint()).mean(axis=0)
    (bottom, top), (left, right) = (_span(at, side, size) for at, size in ((y, ny), (x, nx)))
    return Tile(bottom, top, left, right)


def _span(center: float, side: int, size: int) -> tuple[int, int]:
    low = int(np.clip(center - side / 2, 0, max(size - side, 0)))
    return low, min(low + side, size)


def _table(found: MosaicSources, tile: Tile, wide: Tile, before: int) -> Table:
    """Return the sources whose centre lies on a tile and not on its margin, in pixels of the mosaic."""
    table = Table(dict(found.columns))
    for axis, first in (("x", wide.left), ("y", wide.bottom)):
        for name in (f"{axis}centroid", f"bbox_{axis}min", f"bbox_{axis}max"):
            table[name] += first
    x, y = np.rint(table["xcentroid"]), np.rint(table["ycentroid"])
    table["segment"] = 1 + np.arange(len(table))
    table = table[(x >= tile.left) & (x < tile.right) & (y >= tile.bottom) & (y < tile.top)]
    table["label"] = before + 1 + np.arange(len(table))
    return table


def _add_segments(segmentation: TiledImage, found: MosaicSources, own: Table, wide: Tile) -> None:
    """Put the segments of a tile's own sources in place, also where they reach beyond it."""
    label = np.zeros(found.segments.max(initial=0) + 1, np.int32)
    label[own["segment"]] = own["label"]
    values = label[found.segments]
    segmentation.write(wide, np.where(values > 0, values, segmentation.read(wide)))
    own.remove_column("segment")


def _completed(
    table: Table,
    plan: MosaicPlan,
    members: Members,
    corrections: Mapping[str, ExposureFit | None],
    cards: MosaicMetadata,
) -> Table:
    """The table with what follows from positions and fluxes."""
    xy = np.column_stack([table["xcentroid"], table["ycentroid"]])
    sky = plan.grid.to_sky(xy) if len(xy) else np.zeros((0, 2))
    seen = _seen(sky, plan, members)
    own = 1e3 * plan.grid.scale * np.column_stack([table["x_error"], table["y_error"]])
    # east and north of the mosaic's axes
    turn = plan.grid.matrix / plan.grid.scale
    variance = (own**2) @ (turn**2).T + _correction_variance(seen, plan, members, corrections)
    pixel = float(np.mean([members[key][0].pixel_scale for key in plan.keys]))
    phases = 1 / np.maximum(seen.sum(axis=0), 1)
    variance += (1e3 * pixel * _PHASE_POSITION) ** 2 * phases[:, None]
    table["ra"], table["dec"] = sky.T
    table["ra_error"], table["dec_error"] = np.sqrt(variance).T
    table["ref_epoch"] = _epochs(seen, plan, members, cards)
    table["n_exposures"] = seen.sum(axis=0)
    for flux, mag, error in (
        ("kron", "mag", "mag_error"),
        ("aperture", "aper_abmag", "aper_abmag_err"),
        ("isophotal", "isophotal_abmag", "isophotal_abmag_err"),
    ):
        value, sigma = (np.asarray(table[f"{flux}_flux{tail}"], dtype=float) for tail in ("", "_err"))
        positive = np.where(value > 0, value, np.nan)
        table[mag] = cards.ab_zero_point - 2.5 * np.log10(positive)
        table[error] = np.sqrt((_POGSON * sigma / positive) ** 2 + _PHASE_MAGNITUDE**2 * phases)
    table["is_extended"] = _extended(table, _star_width(plan, members))
    return with_corners(described(table), plan)


def _seen(sky: NDArray[np.float64], plan: MosaicPlan, members: Members) -> NDArray[np.bool_]:
    """Which exposure shows which source, (exposures, N)."""
    out = np.zeros((len(plan.keys), len(sky)), bool)
    for row, key in enumerate(plan.keys):
        exposure, wcss = members[key]
        for chip, wcs in zip(exposure.chips, wcss, strict=True):
            xy = wcs.to_pixel(sky)
            with np.errstate(invalid="ignore"):
                out[row] |= ((xy > -0.5) & (xy < np.array(chip.shape[::-1]) - 0.5)).all(axis=1)
    return out


def _epochs(
    seen: NDArray[np.bool_], plan: MosaicPlan, members: Members, cards: MosaicMetadata
) -> NDArray[np.float64]:
    """Mean epoch of the exposures that show each source, weighted by exposure time."""
    exposures = [members[key][0] for key in plan.keys]
    epoch = np.array([exposure.epoch for exposure in exposures])
    weight = np.array([exposure.exposure_time for exposure in exposures])[:, None] * seen
    total = weight.sum(axis=0)
    mean = (weight * epoch[:, None]).sum(axis=0) / np.where(total > 0, total, 1)
    return np.where(total > 0, mean, cards.epoch)


def _correction_variance(
    seen: NDArray[np.bool_],
    plan: MosaicPlan,
    members: Members,
    corrections: Mapping[str, ExposureFit | None],
) -> NDArray[np.float64]:
    """Mean variance of the corrections of the exposures that show each source, (N, 2) mas^2.

    Errors of corrections have much in common (the tie to the catalog above all) and are not averaged down.
    """
    own = np.zeros((len(plan.keys), 2))
    for row, key in enumerate(plan.keys):
        fit = corrections[key]
        if fit is not None and fit.transform is not None:
            own[row] = (1e3 * fit.transform.at(members[key][0].plane).shift_error) ** 2
    number = np.maximum(seen.sum(axis=0), 1)
    return np.asarray(seen.T.astype(float) @ own / number[:, None])


def _star_width(plan: MosaicPlan, members: Members) -> float:
    """About the FWHM of a star, pixels of the mosaic: what diffracts, and a pixel of the exposures.

    It is a fifth more than the two make: charge spreads between pixels, and drizzling spreads light.
    """
    pixel = float(np.mean([members[key][0].pixel_scale for key in plan.keys]))
    first = members[plan.keys[0]][0]
    optics = ARCSEC_PER_RADIAN * 1.03 * np.nan_to_num(first.wavelength) / first.telescope.diameter
    return 1.2 * float(np.hypot(optics, pixel)) / plan.grid.scale


def _extended(table: Table, star: float) -> NDArray[np.bool_]:
    """Sources half as wide again as stars are: the tenth percentile of the bright ones.

    But not less than about `star` pixels, which is taken where there are few: remnants of cosmic rays are
    narrower.
    """
    fwhm = np.asarray(table["fwhm"], dtype=float)
    value, error = (np.asarray(table[name], dtype=float) for name in ("aperture_flux", "aperture_flux_err"))
    bright = (value > 30 * error) & (np.asarray(table["flags"]) == 0)
    bright &= fwhm > 0.75 * star
    narrow = float(np.percentile(fwhm[bright], 10)) if bright.sum() >= 5 else star
    return np.asarray(~(fwhm <= 1.5 * max(narrow, star)))


def _meta(
    plan: MosaicPlan, cards: MosaicMetadata, exposures: Sequence[Exposure], settings: MosaicSettings
) -> dict[str, Any]:
    meta: dict[str, Any] = to_builtin(
        {
            "mosaic": f"{plan.name}_drz_sci.fits",
            "segmentation": f"{plan.name}_seg.fits",
            "filter": plan.filter,
            "exposures": [exposure.key for exposure in exposures],
            "exposure_time": cards.exposure_time,
            "epoch": cards.epoch,
            "ab_zero_point": cards.ab_zero_point,
            "pixel_scale": plan.grid.scale,
            "aperture_radius": settings.aperture,
        }
    )
    return meta
