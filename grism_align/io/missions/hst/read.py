"""Read HST exposures (FLT and FLC of WFC3/IR, WFC3/UVIS and ACS/WFC)."""

from __future__ import annotations

import re
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from astropy.io import fits

from grism_align.io.files.fits import one_line, open_fits
from grism_align.io.files.sources import path_of
from grism_align.io.missions.hst.facts import FACTS, TELESCOPE
from grism_align.io.missions.hst.headers import STATUS_KEYWORD, LinearTerms, model_of, models_of, solution_of
from grism_align.io.missions.hst.keywords import (
    INSTRUMENTS,
    ab_zero_point,
    filter_of,
    guide_star_of,
    instrument_of,
    positive_number,
    text_of,
)
from grism_align.io.missions.hst.wcs import FitsWcs
from grism_align.io.missions.hst.windows import detector_window
from grism_align.values.errors import InputError
from grism_align.values.exposure import Chip, Exposure, ExposureKind, OriginalPointing
from grism_align.values.mission import ChipPixels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.values.mission import Keyword
    from grism_align.values.pixel_sky import PixelSky
    from grism_align.values.source import Source

__all__ = ["read_exposure", "read_instrument", "read_keywords", "read_pixels"]

_WCS_NAME = re.compile("WCSNAME[A-Z]?")
_CALIBRATED = f"Give {FACTS.reads}"
_RUN_UPDATEWCS = (
    "Run stwcs.updatewcs on the file, or fetch it from the archive again: "
    "without its distortion model an exposure can't be aligned"
)
_KEYWORDS = (
    *("TELESCOP", "INSTRUME", "DETECTOR", "TARGNAME", "FILTER", "FILTER1", "FILTER2"),
    *("DATE-OBS", "TIME-OBS", "EXPSTART", "EXPTIME", "PA_V3", "RA_TARG", "DEC_TARG", "POSTARG1", "POSTARG2"),
    *("PHOTMODE", "PHOTFLAM", "PHOTPLAM", "PHOTBW", "PHOTZPT", "PHOTFNU"),
)
# astropy takes zero for those that are missing
_LINEAR = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")

# deg^2: a square of a microarcsecond
_SMALLEST_PIXEL = 1e-19
# How far filters and grisms are from alternate O, and their apertures from each other's; arcsec.
_BETWEEN_FILTERS, _BETWEEN_APERTURES = 0.1, 12.0


def read_instrument(source: Source) -> str:
    """Return the instrument of an exposure, from its primary header alone.

    Raises
    ------
    InputError
        If the file is no HST exposure of an instrument that is read.
    """
    path = path_of(source)
    with open_fits(path) as hdus:
        return _instrument(path, hdus[0].header)


def read_exposure(source: Source) -> Exposure:
    """Read the headers of an exposure; pixels stay on disk.

    Parameters
    ----------
    source : Source
        An FLT or FLC file, gzipped or not.

    Raises
    ------
    InputError
        If the file can't be read, is no HST exposure, lacks a keyword or has no distortion model.
    """
    path = path_of(source)
    with open_fits(path) as hdus:
        primary = hdus[0].header
        instrument = _instrument(path, primary)
        _require_extensions(path, primary, len(hdus) - 1)
        science = [hdu for hdu in hdus if hdu.name == "SCI"]
        if not science:
            raise InputError(path, "no SCI extension", _CALIBRATED)
        chips = tuple(_read_chip(path, hdu, hdus) for hdu in science)
        return _build_exposure(source, instrument, primary, science[0].header, chips)


def _instrument(path: Path, primary: fits.Header) -> str:
    instrument = instrument_of(primary)
    if instrument is None:
        found = f"{text_of(primary, 'INSTRUME')}/{text_of(primary, 'DETECTOR')}"
        known = ", ".join("/".join(names) for names in INSTRUMENTS)
        raise InputError(path, f"instrument {found} is not one of {known}", _CALIBRATED)
    return instrument


def _require_extensions(path: Path, primary: fits.Header, found: int) -> None:
    """Refuse a file cut off between two extensions, which otherwise looks whole."""
    promised = primary.get("NEXTEND")
    if isinstance(promised, int) and found < promised:
        problem = f"{found} extensions of the {promised} that NEXTEND promises; it is truncated"
        raise InputError(path, problem, "Fetch the file again")


def _read_chip(path: Path, hdu: fits.ImageHDU, hdus: fits.HDUList) -> Chip:
    header = hdu.header
    _require_distortion(path, hdu)
    shape = _shape_of(header)
    if shape is None:
        raise InputError(path, f"SCI,{hdu.ver} is no image", _CALIBRATED)
    try:
        wcs = FitsWcs.from_header(header, hdus, shape)
    except Exception as error:
        problem = f"SCI,{hdu.ver} has no usable WCS ({error})"
        raise InputError(path, problem, _RUN_UPDATEWCS) from error
    scale = header.get("IDCSCALE")
    scale = float(scale) if isinstance(scale, int | float) and scale > 0 else float("nan")
    return Chip(int(hdu.ver), shape, wcs, detector_window(header), scale)


def _require_distortion(path: Path, hdu: fits.ImageHDU) -> None:
    """Refuse headers that would be wrong by arcseconds at the edges of the chip."""
    header = hdu.header
    ctypes = [text_of(header, keyword) for keyword in ("CTYPE1", "CTYPE2")]
    if ctypes != ["RA---TAN-SIP", "DEC--TAN-SIP"] or "A_ORDER" not in header or "B_ORDER" not in header:
        problem = f"SCI,{hdu.ver} has no SIP distortion (CTYPE = {', '.join(ctypes)})"
        raise InputError(path, problem, _RUN_UPDATEWCS)
    missing = [name for name in _LINEAR if not isinstance(header.get(name), int | float)]
    if missing:
        raise InputError(path, f"SCI,{hdu.ver} lacks {', '.join(missing)}", _RUN_UPDATEWCS)


def _shape_of(header: fits.Header) -> tuple[int, int] | None:
    """Size of an image extension; of a constant one from NPIX1 and NPIX2."""
    for x, y in (("NAXIS1", "NAXIS2"), ("NPIX1", "NPIX2")):
        if x in header and y in header:
            return int(header[y]), int(header[x])
    return None


def _build_exposure(
    source: Source, instrument: str, primary: fits.Header, science: fits.Header, chips: tuple[Chip, ...]
) -> Exposure:
    path = path_of(source)
    key = _root_name(path, primary)
    band = filter_of(primary)
    if not band:
        raise InputError(path, "no FILTER, nor FILTER1 or FILTER2", _CALIBRATED)
    guide_star = guide_star_of(primary)
    visit = key[:6]
    return Exposure(
        key=key,
        source=source,
        kind=ExposureKind.GRISM if band in FACTS.dispersers else ExposureKind.DIRECT,
        telescope=TELESCOPE,
        instrument=instrument,
        filter=band,
        program=visit[:4],
        visit=visit,
        group=visit if guide_star is None else f"{visit}:{guide_star}",
        guide_star=guide_star,
        target=text_of(primary, "TARGNAME"),
        dither_offset=(_number(primary, "POSTARG1", 0.0), _number(primary, "POSTARG2", 0.0)),
        start=_required_number(path, primary, "EXPSTART"),
        end=_required_number(path, primary, "EXPEND"),
        exposure_time=_required_number(path, primary, "EXPTIME"),
        ab_zero_point=ab_zero_point((science, primary)),
        is_rate=text_of(science, "BUNIT").upper().endswith("/S"),
        rejects_cosmic_rays=instrument == "wfc3_ir",
        chips=chips,
        wcs_solution=solution_of(text_of(science, "WCSNAME")),
        alternates=_alternates(science, primary, cast("FitsWcs", chips[0].wcs)),
        original=_original(science, chips[0]),
        distortion=models_of(science, primary),
        taken_names=tuple(str(science[keyword]) for keyword in science if _WCS_NAME.fullmatch(keyword)),
        wcs_name=text_of(science, "WCSNAME"),
        is_product=STATUS_KEYWORD in primary,
        rate_unit="ELECTRONS/S",
        wavelength=1e-10 * positive_number((science, primary), "PHOTPLAM"),
    )


def _alternates(header: fits.Header, primary: fits.Header, wcs: FitsWcs) -> dict[str, PixelSky]:
    """Other solutions of a science header, which differ in CRVAL and CD only."""
    found: dict[str, PixelSky] = {}
    model = model_of(header, primary)
    for letter in ascii_uppercase:
        name = text_of(header, f"WCSNAME{letter}")
        needed = [f"{stem}{letter}" for stem in ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")]
        if not all(keyword in header for keyword in needed):
            continue
        same_pixel = all(header.get(f"CRPIX{i}{letter}") == header[f"CRPIX{i}"] for i in (1, 2))
        if same_pixel and name.partition("-")[0] == model:
            values = np.array([header[keyword] for keyword in needed], dtype=float)
            found[solution_of(name)] = wcs.with_linear_terms(values[:2], values[2:].reshape(2, 2))
    return found


def _original(header: fits.Header, chip: Chip) -> OriginalPointing | None:
    """Return the pointing as commanded: alternate O, which updatewcs keeps, else that of the aperture."""
    values = [_number(header, f"{name}O", float("nan")) for name in _LINEAR]
    crpix, crval, cd = np.split(np.array(values), [2, 4])
    if np.isfinite(values).all() and abs(np.linalg.det(cd.reshape(2, 2))) > _SMALLEST_PIXEL:
        terms = LinearTerms(crpix, crval, cd.reshape(2, 2))
        return OriginalPointing(FitsWcs.tangential(terms, chip.shape), _BETWEEN_FILTERS)
    ra, dec, angle = (_number(header, f"{name}_APER", float("nan")) for name in ("RA", "DEC", "PA"))
    if not np.isfinite([ra, dec, angle]).all():
        return None
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    turn = chip.wcs.pixel_scale / 3600 * np.array([[-cosine, sine], [sine, cosine]])
    middle = 0.5 * (np.array(chip.shape[::-1]) + 1)
    terms = LinearTerms(middle, np.array([ra, dec]), turn)
    return OriginalPointing(FitsWcs.tangential(terms, chip.shape), _BETWEEN_APERTURES)


def _root_name(path: Path, primary: fits.Header) -> str:
    root = text_of(primary, "ROOTNAME").lower()
    if not root:
        raise InputError(path, "no ROOTNAME", _CALIBRATED)
    return root


def _number(header: fits.Header, keyword: str, default: float) -> float:
    value = header.get(keyword)
    return float(value) if isinstance(value, int | float) else default


def _required_number(path: Path, header: fits.Header, keyword: str) -> float:
    value = _number(header, keyword, float("nan"))
    if not np.isfinite(value):
        raise InputError(path, f"no {keyword} in the primary header", _CALIBRATED)
    return value


def read_keywords(exposure: Exposure) -> dict[str, Keyword]:
    """Return what headers say of instrument, target, times and photometry, with the comments.

    Raises
    ------
    InputError
        If the file can't be read.
    """
    with open_fits(path_of(exposure.source)) as hdus:
        science = next(hdu.header for hdu in hdus if hdu.name == "SCI")
        return {
            name: (header[name], header.comments[name])
            for name in _KEYWORDS
            for header in (hdus[0].header, science)
            if name in header
        }


def read_pixels(exposure: Exposure) -> Iterator[tuple[Chip, ChipPixels]]:
    """Yield the arrays of an exposure, one chip at a time.

    Parameters
    ----------
    exposure : Exposure
        The exposure to open.

    Yields
    ------
    chip, pixels : Chip, ChipPixels

    Raises
    ------
    InputError
        If an extension is missing or can't be read.
    """
    for chip in exposure.chips:
        yield chip, _read_chip_pixels(path_of(exposure.source), chip)


def _read_chip_pixels(path: Path, chip: Chip) -> ChipPixels:
    arrays = {}
    try:
        with fits.open(path, memmap=False) as hdus:
            for name in ("SCI", "ERR", "DQ"):
                arrays[name] = _array(hdus[name, chip.number], chip.shape)
    except (KeyError, OSError, EOFError, ValueError, TypeError) as error:
        problem = f"can't read SCI, ERR and DQ of chip {chip.number} ({one_line(error)})"
        raise InputError(path, problem, _CALIBRATED) from error
    return ChipPixels(arrays["SCI"], arrays["ERR"], arrays["DQ"])


def _array(hdu: fits.ImageHDU, shape: tuple[int, int]) -> NDArray[Any]:
    """Return the array in native byte order; a constant extension is spread out."""
    if hdu.data is None:
        return np.full(shape, hdu.header["PIXVALUE"])
    data = np.asarray(hdu.data)
    if data.shape != shape:
        msg = f"shape {data.shape}, not {shape}"
        raise ValueError(msg)
    return data.astype(data.dtype.newbyteorder("="), copy=False)
