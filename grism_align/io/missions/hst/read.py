"""Read HST exposures (FLT and FLC of WFC3/IR, WFC3/UVIS and ACS/WFC)."""

from __future__ import annotations

import re
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from astropy.io import fits

from grism_align.io.files.cards import Bounds, Cards
from grism_align.io.files.fits import one_line, open_fits
from grism_align.io.files.sources import path_of
from grism_align.io.missions.hst.completeness import require_end
from grism_align.io.missions.hst.extensions import science_extensions
from grism_align.io.missions.hst.facts import FACTS, TELESCOPE
from grism_align.io.missions.hst.headers import STATUS_KEYWORD, model_of, models_of, solution_of
from grism_align.io.missions.hst.keywords import (
    INSTRUMENTS,
    ab_zero_point,
    guide_star_of,
    instrument_of,
    positive_number,
)
from grism_align.io.missions.hst.kinds import refuse_other_kinds
from grism_align.io.missions.hst.original_pointing import original_pointing
from grism_align.io.missions.hst.tracking import tracking_of
from grism_align.io.missions.hst.units import pixel_unit
from grism_align.io.missions.hst.wcs import FitsWcs
from grism_align.io.missions.hst.wcs_cards import (
    RUN_UPDATEWCS,
    check_distortion,
    check_scale,
    check_stated_once,
    check_tables,
    linear_terms,
    wcs_header,
)
from grism_align.io.missions.hst.wheels import filter_of
from grism_align.io.missions.hst.windows import detector_window
from grism_align.values.errors import InputError
from grism_align.values.exposure import Chip, Exposure, ExposureKind
from grism_align.values.mission import ChipPixels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.values.mission import Keyword
    from grism_align.values.pixel_sky import PixelSky
    from grism_align.values.source import Source


_WCS_NAME = re.compile("WCSNAME[A-Z]?")
_CALIBRATED = f"Give {FACTS.reads}"
# IPPPSSOOT: instrument, program, visit, exposure, source of the transmission
_ROOT_NAME = re.compile(r"[a-z][a-z0-9]{8}", re.ASCII | re.IGNORECASE)
# From the launch to the end of the century, MJD.
_YEARS = Bounds(48000.0, 88000.0)
_SECONDS = Bounds(0.0, 1e5)
_SIZES = Bounds(1, 1e5)
_KEYWORDS = (
    *("TELESCOP", "INSTRUME", "DETECTOR", "TARGNAME", "FILTER", "FILTER1", "FILTER2"),
    *("DATE-OBS", "TIME-OBS", "EXPSTART", "EXPTIME", "PA_V3", "RA_TARG", "DEC_TARG", "POSTARG1", "POSTARG2"),
    *("PHOTMODE", "PHOTFLAM", "PHOTPLAM", "PHOTBW", "PHOTZPT", "PHOTFNU"),
)


def read_instrument(source: Source) -> str:
    """Return the instrument of an exposure, from its primary header alone.

    Raises
    ------
    InputError
        If the file is no HST exposure of an instrument that is read.
    """
    path = path_of(source)
    with open_fits(path) as hdus:
        refuse_other_kinds(path, hdus)
        return _instrument(Cards(path, hdus[0].header))


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
        primary = Cards(path, hdus[0].header)
        refuse_other_kinds(path, hdus)
        instrument = _instrument(primary)
        require_end(path, hdus)
        science = science_extensions(path, hdus)
        check_tables(path, hdus, science)
        chips = tuple(_read_chip(path, hdu, hdus) for hdu in science)
        cards = [Cards.of(path, hdu) for hdu in science]
        unit = pixel_unit(instrument, cards, primary)
        return _build_exposure(source, instrument, (primary, cards[0]), chips, unit)


def _instrument(primary: Cards) -> str:
    instrument = instrument_of(primary)
    if instrument is None:
        found = "/".join(filter(None, map(primary.text, ("INSTRUME", "DETECTOR")))) or "unknown"
        known = ", ".join("/".join(names) for names in INSTRUMENTS)
        raise InputError(primary.path, f"instrument {found} is not one of {known}", _CALIBRATED)
    return instrument


def _read_chip(path: Path, hdu: fits.ImageHDU, hdus: fits.HDUList) -> Chip:
    cards = Cards.of(path, hdu)
    header = wcs_header(cards)
    shape = _shape_of(cards)
    try:
        wcs = FitsWcs.from_header(header, hdus, shape)
    except Exception as error:
        problem = f"{cards.extension} has no usable WCS ({one_line(error)})"
        raise InputError(path, problem, RUN_UPDATEWCS) from error
    check_distortion(cards, wcs)
    check_scale(cards, wcs)
    check_stated_once(cards, wcs, hdus)
    return Chip(int(hdu.ver), shape, wcs, detector_window(cards), positive_number([cards], "IDCSCALE"))


def _shape_of(cards: Cards) -> tuple[int, int]:
    """Size of an image extension; of a constant one from NPIX1 and NPIX2."""
    for x, y in (("NAXIS1", "NAXIS2"), ("NPIX1", "NPIX2")):
        if x in cards.header and y in cards.header:
            return cards.required_whole(y, _SIZES), cards.required_whole(x, _SIZES)
    raise InputError(cards.path, f"{cards.extension} is no image", _CALIBRATED)


def _build_exposure(
    source: Source, instrument: str, headers: tuple[Cards, Cards], chips: tuple[Chip, ...], unit: str
) -> Exposure:
    primary, science = headers
    key = _root_name(primary)
    band = filter_of(primary)
    if not band:
        raise InputError(primary.path, "no FILTER, nor FILTER1 or FILTER2", _CALIBRATED)
    guide_star = guide_star_of(primary)
    visit = key[:6]
    start, end = _times(primary)
    names = _wcs_names(science)
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
        target=primary.text("TARGNAME"),
        dither_offset=(primary.number("POSTARG1", 0.0), primary.number("POSTARG2", 0.0)),
        start=start,
        end=end,
        exposure_time=_exposure_time(primary),
        ab_zero_point=ab_zero_point((science, primary)),
        is_rate=unit.endswith("/S"),
        rejects_cosmic_rays=instrument == "wfc3_ir",
        chips=chips,
        wcs_solution=solution_of(names.get("WCSNAME", "")),
        alternates=_alternates(science, primary, cast("FitsWcs", chips[0].wcs)),
        original=original_pointing(science, chips[0]),
        distortion=models_of(science.header, primary.header),
        taken_names=tuple(names.values()),
        wcs_name=names.get("WCSNAME", ""),
        is_product=STATUS_KEYWORD in primary.header,
        rate_unit=f"{unit.removesuffix('/S')}/S",
        tracking=tracking_of((primary, science)),
        wavelength=1e-10 * positive_number((science, primary), "PHOTPLAM"),
    )


def _wcs_names(science: Cards) -> dict[str, str]:
    """Names of the WCSs in a science header, by keyword."""
    keywords = dict.fromkeys(filter(_WCS_NAME.fullmatch, science.header))
    return {keyword: science.text(keyword) for keyword in keywords}


def _alternates(science: Cards, primary: Cards, wcs: FitsWcs) -> dict[str, PixelSky]:
    """Other solutions of a science header, which differ in CRVAL and CD only."""
    found: dict[str, PixelSky] = {}
    model = model_of(science.header, primary.header)
    crpix = [science.number(f"CRPIX{axis}") for axis in (1, 2)]
    for letter in ascii_uppercase:
        name = science.text(f"WCSNAME{letter}")
        terms = linear_terms(science, letter) if name.partition("-")[0] == model else None
        if terms is not None and terms.crpix.tolist() == crpix:
            found[solution_of(name)] = wcs.with_linear_terms(terms.crval, terms.cd)
    return found


def _root_name(primary: Cards) -> str:
    root = primary.required_text("ROOTNAME")
    if not _ROOT_NAME.fullmatch(root):
        problem = f"ROOTNAME in the primary header is no name of an exposure ({root!r})"
        raise InputError(primary.path, problem, "Set ROOTNAME to the right value, or fetch the file again")
    return root.lower()


def _times(primary: Cards) -> tuple[float, float]:
    """Start and end, MJD."""
    start, end = (primary.required_number(keyword, _YEARS) for keyword in ("EXPSTART", "EXPEND"))
    if end < start:
        problem = f"EXPSTART in the primary header is {start!r}, after EXPEND, {end!r}"
        raise InputError(primary.path, problem, "Set both to the right values, or fetch the file again")
    return start, end


def _exposure_time(primary: Cards) -> float:
    seconds = primary.required_number("EXPTIME", _SECONDS)
    if seconds == 0:
        problem = "EXPTIME is 0 s: nothing was exposed"
        raise InputError(primary.path, problem, "Leave it out: the observation failed")
    return seconds


def read_keywords(exposure: Exposure) -> dict[str, Keyword]:
    """Return what headers say of instrument, target, times and photometry, with the comments.

    Raises
    ------
    InputError
        If the file can't be read.
    """
    path = path_of(exposure.source)
    with open_fits(path) as hdus:
        science = next(hdu for hdu in hdus if hdu.name == "SCI")
        headers = Cards(path, hdus[0].header), Cards.of(path, science)
        return {
            name: (value, cards.header.comments[name])
            for name in _KEYWORDS
            for cards in headers
            if (value := cards.value(name)) is not None
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
                arrays[name] = _array(hdus, name, chip)
    except Exception as error:
        problem = f"can't read SCI, ERR and DQ of chip {chip.number} ({one_line(error)})"
        raise InputError(path, problem, _CALIBRATED) from error
    return ChipPixels(arrays["SCI"], arrays["ERR"], arrays["DQ"])


def _array(hdus: fits.HDUList, name: str, chip: Chip) -> NDArray[Any]:
    """Return an array in native byte order; a constant extension is spread out, unknown errors are zero."""
    if name == "ERR" and not _has_values(hdus, chip.number):
        return np.zeros(chip.shape, np.float32)
    hdu = hdus[name, chip.number]
    if hdu.data is None:
        return np.full(chip.shape, hdu.header["PIXVALUE"])
    data = np.asarray(hdu.data)
    if data.shape != chip.shape:
        msg = f"shape {data.shape}, not {chip.shape}"
        raise ValueError(msg)
    if name == "DQ" and data.dtype.kind not in "iu":
        msg = f"DQ holds {data.dtype}, and bits are whole numbers"
        raise ValueError(msg)
    return data.astype(data.dtype.newbyteorder("="), copy=False)


def _has_values(hdus: fits.HDUList, number: int) -> bool:
    """Tell whether the errors of a chip are there, as an array or as a constant."""
    name = ("ERR", number)
    return name in hdus and (hdus[name].data is not None or "PIXVALUE" in hdus[name].header)
