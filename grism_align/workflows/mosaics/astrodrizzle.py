"""The same mosaics by drizzlepac's AstroDrizzle, on copies of the exposures with the corrected WCSs."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from astropy.io import fits

from grism_align.io.files.staging import temporary_folder
from grism_align.io.missions.hst.flags import COSMIC_RAY_BIT
from grism_align.io.missions.hst.wcs import FitsWcs, corrected_linear_terms
from grism_align.io.mosaics.files import cards_of, mosaic_header, tiled_image, wcs_header, weight_header
from grism_align.values.errors import OutputError
from grism_align.values.mosaic import Tile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.mosaic import MosaicPlan
    from grism_align.values.settings import MosaicSettings

__all__ = ["drizzle_with_drizzlepac"]

# What it reads of a header besides, where simulated exposures or old ones lack it.
_WANTED = {
    "CCDGAIN": 1.0,
    **{f"ATODGN{amplifier}": 1.0 for amplifier in "ABCD"},
    **{f"READNSE{amplifier}": 5.0 for amplifier in "ABCD"},
}


def drizzle_with_drizzlepac(
    exposures: ExposureSet,
    plans: Sequence[MosaicPlan],
    settings: MosaicSettings,
    good_bits: Mapping[str, int],
    folder: Path,
) -> dict[str, int]:
    """Make mosaics with AstroDrizzle; its background, cosmic-ray rejection and drizzling.

    Parameters
    ----------
    exposures : ExposureSet
        With all corrections.
    plans : sequence of MosaicPlan
        What to make.
    settings : MosaicSettings
        The parameters.
    good_bits : mapping of str to int
        By instrument.
    folder : Path
        Where to.

    Returns
    -------
    dict of str to int
        Counts for the record; it does not tell of cosmic rays.
    """
    for plan in plans:
        members = [exposures[key] for key in plan.keys]
        with temporary_folder(folder) as scratch:
            names = [_copied(exposures, exposure, settings, scratch) for exposure in members]
            fits.writeto(scratch / "frame.fits", np.zeros(plan.grid.shape, np.uint8), wcs_header(plan.grid))
            bits = good_bits.get(members[0].instrument, settings.good_bits)
            _run(names, scratch, settings, bits)
            _collect(scratch, plan, members, settings, folder)
    return {}


def _copied(exposures: ExposureSet, exposure: Exposure, settings: MosaicSettings, scratch: Path) -> str:
    """Copy an exposure with its corrected WCS, and with errors that make the weights asked for."""
    fit = exposures.fit(exposure.key)
    name = f"{exposure.key}_flt.fits"
    with fits.open(exposure.path, memmap=False) as hdus:
        for keyword, value in _WANTED.items():
            hdus[0].header.setdefault(keyword, value)
        hdus[0].header.setdefault("MJD-OBS", exposure.start)
        for hdu in hdus:
            _made_plain(hdu)
        for chip in exposure.chips:
            science, error = hdus["SCI", chip.extver], hdus["ERR", chip.extver]
            science.header.setdefault("NGOODPIX", science.data.size)
            science.header.setdefault("MEANDARK", 0.0)
            if fit is not None and fit.transform is not None:
                _set_wcs(science.header, *corrected_linear_terms(cast("FitsWcs", chip.wcs), fit.transform))
            if settings.weights == "background":
                good = np.isfinite(error.data) & (error.data > 0)
                error.data = np.full_like(error.data, np.median(error.data[good]) if good.any() else 1.0)
            if exposure.counts_per_second:
                # it divides by errors of counts, whatever the unit
                error.data = error.data * np.float32(exposure.exposure_time)
        hdus.writeto(scratch / name)
    return name


def _made_plain(hdu: Any) -> None:
    """A constant extension spread out, and DQ in the type that it expects."""
    if getattr(hdu, "data", None) is None and "PIXVALUE" in hdu.header:
        shape = hdu.header["NPIX2"], hdu.header["NPIX1"]
        hdu.data = np.full(shape, hdu.header["PIXVALUE"], dtype=np.float32)
    if hdu.name == "DQ":
        hdu.data = hdu.data.astype(np.int16)


def _set_wcs(header: fits.Header, crval: Any, cd: Any) -> None:
    for i in (0, 1):
        header[f"CRVAL{i + 1}"] = float(crval[i])
        for j in (0, 1):
            header[f"CD{i + 1}_{j + 1}"] = float(cd[i, j])


def _run(names: list[str], scratch: Path, settings: MosaicSettings, bits: int) -> None:
    from drizzlepac.astrodrizzle import AstroDrizzle

    reject = _rejects(settings, len(names))
    steps = dict.fromkeys(("driz_separate", "median", "blot", "driz_cr"), reject)
    options = {
        "driz_sep_bits": bits,
        "driz_cr_snr": f"{settings.cr_snr} {settings.cr_snr_beside}",
        "driz_cr_scale": f"{settings.cr_scale} {settings.cr_scale_beside}",
        "final_bits": bits,
        "final_wht_type": "EXP" if settings.weights == "exposure" else "ERR",
        "final_pixfrac": settings.pixfrac,
        "final_kernel": settings.kernel,
        "final_fillval": 0,
        "final_units": "cps",
        "final_wcs": True,
        "final_refimage": "frame.fits",
        "skysub": settings.level_background,
        # flags that are there count, but for those of rays that are looked for again; positions exact, not
        # linear between every tenth pixel
        "resetbits": COSMIC_RAY_BIT if reject else 0,
        "stepsize": 1,
    }
    fixed = {"preserve": False, "updatewcs": False, "build": False, "context": False, "static": False}
    with contextlib.chdir(scratch), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        AstroDrizzle(
            names, output="mosaic", **fixed, **steps, **options, num_cores=1, in_memory=False, clean=True
        )


def _rejects(settings: MosaicSettings, number: int) -> bool:
    return settings.cosmic_rays in ("auto", "median") and number > 1


def _collect(
    scratch: Path, plan: MosaicPlan, members: Sequence[Exposure], settings: MosaicSettings, folder: Path
) -> None:
    """Its images with the header that ours have."""
    rejection = "median" if _rejects(settings, len(members)) else "none"
    header = mosaic_header(plan, cards_of(members), members, settings, rejection)
    ny, nx = plan.grid.shape
    for kind, cards in (("sci", header), ("wht", weight_header(header, settings))):
        found = sorted(scratch.glob(f"mosaic_dr?_{kind}.fits"))
        if not found:
            raise OutputError(
                folder / f"{plan.name}_drz_{kind}.fits", "AstroDrizzle did not make it", "See its log"
            )
        with tiled_image(folder / f"{plan.name}_drz_{kind}.fits", cards, plan.grid.shape, ">f4") as image:
            values = fits.getdata(found[0])
            if kind == "wht" and settings.weights == "exposure":
                # seconds times the area of a pixel of the mosaic, in pixels of the exposures
                values = values * np.float32((members[0].pixel_scale / plan.grid.scale) ** 2)
            image.write(Tile(0, ny, 0, nx), values)
