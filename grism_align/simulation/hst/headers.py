"""Headers as the archive's: the cards that programs on HST data read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.time import Time

from grism_align.simulation.hst.chips import ChipWcs, linear_cards, wcs_header
from grism_align.simulation.hst.linear import LinearWcs

if TYPE_CHECKING:
    from grism_align.simulation.elements import Element
    from grism_align.simulation.hst.camera import HstCamera
    from grism_align.simulation.hst.optics import ChipOptics
    from grism_align.simulation.rotations import Aim


_ST_ZERO_POINT = -21.1


@dataclass(frozen=True)
class ExposureFacts:
    """What the headers of an exposure say that all its chips share.

    Parameters
    ----------
    camera : HstCamera
        The instrument.
    element : Element
        Filter or grism.
    element_name : str
        Its name.
    rootname, line : str
        ROOTNAME and LINENUM.
    target : (name, ra, dec)
        TARGNAME, and its place in deg.
    aim : Aim
        Where the instrument's centre looks, as written.
    dither : (x, y), arcsec
        Of this exposure.
    start : float, MJD
        EXPSTART.
    exposure_time : float, s
        EXPTIME.
    guide_star : str
        T_SGSTAR.
    aberration : float
        VAFACTOR.
    is_cut : bool
        Whether the chips are cut.
    fine_lock : bool
        Whether the guiding worked.
    """

    camera: HstCamera
    element: Element
    element_name: str
    rootname: str
    line: str
    target: tuple[str, float, float]
    aim: Aim
    dither: tuple[float, float]
    start: float
    exposure_time: float
    guide_star: str
    aberration: float
    is_cut: bool
    fine_lock: bool

    @property
    def filename(self) -> str:
        """Name of the file."""
        return f"{self.rootname}_{self.camera.suffix}.fits"

    @property
    def postarg(self) -> tuple[float, float]:
        """POSTARG1 and POSTARG2: a grism's aperture has its reference point elsewhere."""
        x, y = self.camera.grism_postarg if self.element.is_grism else (0.0, 0.0)
        return self.dither[0] + x, self.dither[1] + y


@dataclass(frozen=True)
class ChipStatistics:
    """What the headers of one chip say.

    Parameters
    ----------
    extver : int
        EXTVER.
    optics : ChipOptics
        The chip.
    linear : LinearWcs
        Linear part of the WCS, of the cut.
    corner : (x, y)
        Zero-based first pixel of the cut.
    shape : (ny, nx)
        Pixels of the cut.
    """

    extver: int
    optics: ChipOptics
    linear: LinearWcs
    corner: tuple[int, int]
    shape: tuple[int, int]


def primary_header(facts: ExposureFacts) -> fits.Header:
    """Return the primary header."""
    camera, element = facts.camera, facts.element
    header = fits.Header()
    header["FILENAME"] = (facts.filename, "name of file")
    header["FILETYPE"] = "SCI"
    header["TELESCOP"], header["INSTRUME"], header["EQUINOX"] = "HST", camera.instrume, 2000.0
    header["ROOTNAME"] = (facts.rootname, "rootname of the observation set")
    header["IMAGETYP"], header["PRIMESI"] = "EXT", camera.instrume
    header["TARGNAME"], header["RA_TARG"], header["DEC_TARG"] = facts.target
    header["PROPOSID"], header["LINENUM"] = 19999, facts.line
    header["ASN_ID"] = header["ASN_TAB"] = "NONE"
    header["CAL_VER"] = ("simulated", "CAL code version")
    header.update(_time_cards(facts))
    header["PA_V3"] = (facts.aim.angle - camera.v3_angle) % 360.0
    header["POSTARG1"], header["POSTARG2"] = facts.postarg
    header["OBSTYPE"] = "SPECTROSCOPIC" if element.is_grism else "IMAGING"
    header["OBSMODE"] = "MULTIACCUM" if camera.readout.rates else "ACCUM"
    header["SUBARRAY"] = (facts.is_cut, "data from a subarray (T) or full frame (F)")
    header["DETECTOR"], header["APERTURE"] = camera.detector, camera.aperture
    names = ("FILTER",) if len(element.wheels) == 1 else ("FILTER1", "FILTER2")
    for name, value in zip(names, element.wheels, strict=True):
        header[name] = (value, "element selected from filter wheel")
    for name in ("IDCTAB", "D2IMFILE", "NPOLFILE"):
        header[name] = camera.tables.get(name, "N/A")
    if camera.name == "wfc3_ir":
        header.update(_photometry(facts))
    return header


def _time_cards(facts: ExposureFacts) -> fits.Header:
    """Return the cards of dates, exposure time and guiding."""
    header = fits.Header()
    end = facts.start + facts.exposure_time / 86400
    date, clock = Time(facts.start, format="mjd", scale="utc", precision=0).isot.split("T")
    header["DATE-OBS"], header["TIME-OBS"] = date, clock
    header["EXPSTART"] = (facts.start, "exposure start time (Modified Julian Date)")
    header["EXPEND"] = (end, "exposure end time (Modified Julian Date)")
    header["EXPTIME"] = (facts.exposure_time, "exposure duration (seconds)--calculated")
    header["EXPFLAG"] = "NORMAL"
    header["FGSLOCK"] = "FINE" if facts.fine_lock else "FINE/GYRO"
    header["GYROMODE"] = "T"
    header["T_SGSTAR"] = (facts.guide_star, "dominant guide star ID")
    return header


def _photometry(facts: ExposureFacts) -> fits.Header:
    """Return the zero point of the element, as the inverse sensitivity that gives its AB magnitudes."""
    header = fits.Header()
    element, camera = facts.element, facts.camera
    pivot = element.pivot * 1e4
    # AB zero point = -2.5 log PHOTFLAM + PHOTZPT - 5 log PHOTPLAM + 18.6921 (ACS Data Handbook)
    exponent = element.zero_point - _ST_ZERO_POINT + 5 * np.log10(pivot) - 18.6921
    header["PHOTMODE"] = f"{camera.instrume} {camera.detector} {facts.element_name}"
    header["PHOTFLAM"] = (float(10 ** (-0.4 * exponent)), "inverse sensitivity, ergs/cm2/Ang/electron")
    header["PHOTZPT"] = (_ST_ZERO_POINT, "ST magnitude zero point")
    header["PHOTPLAM"] = (pivot, "Pivot wavelength (Angstroms)")
    header["PHOTBW"] = (element.width * 1e4 / np.sqrt(12), "RMS bandwidth of filter plus detector")
    return header


def _extension_cards(facts: ExposureFacts, name: str, extver: int, unit: str) -> fits.Header:
    header = fits.Header()
    header["INHERIT"] = (True, "inherit the primary header")
    header["EXTNAME"], header["EXTVER"] = name, extver
    header["ROOTNAME"] = header["EXPNAME"] = facts.rootname
    header["BUNIT"] = (unit, "brightness units")
    return header


def _unit(facts: ExposureFacts) -> str:
    return "ELECTRONS/S" if facts.camera.readout.rates else "ELECTRONS"


def science_header(facts: ExposureFacts, chip: ChipStatistics, written: ChipWcs) -> fits.Header:
    """Return the header of a SCI extension.

    Parameters
    ----------
    facts : ExposureFacts
        The exposure.
    chip : ChipStatistics
        The chip.
    written : ChipWcs
        Its WCS with distortion, for the 'O' WCS.
    """
    camera, optics = facts.camera, chip.optics
    header = _extension_cards(facts, "SCI", chip.extver, _unit(facts))
    if camera.name != "wfc3_ir":
        header["CCDCHIP"] = optics.ccdchip
        header.update(_photometry(facts))
    header.update(_detector_cards(facts, chip))
    header.update(wcs_header(chip.linear, optics, chip.extver if camera.has_lookup_tables else None))
    header["WCSNAME"] = "IDC_" + camera.tables["IDCTAB"].split("$")[1].split("_")[0]
    header["IDCSCALE"], header["IDCTHETA"] = camera.pixel, 45.0 if camera.instrume == "WFC3" else 0.0
    header["IDCXREF"], header["IDCYREF"] = optics.crpix
    names = ("OCX10", "OCX11", "OCY10", "OCY11", "IDCV2REF", "IDCV3REF")
    for name, value in zip(names, optics.idc, strict=True):
        header[name] = value
    for card, table in (("D2IMEXT", "D2IMFILE"), ("NPOLEXT", "NPOLFILE")):
        if table in camera.tables:
            header[card] = camera.tables[table]
    header["WCSAXESO"], header["WCSNAMEO"] = 2, "OPUS"
    header.update(linear_cards(_opus(chip, written), "RA---TAN", "DEC--TAN", "O"))
    return header


def _opus(chip: ChipStatistics, written: ChipWcs) -> LinearWcs:
    """Return the WCS before any distortion correction: the tangent to the written one at its own pixel."""
    crpix = np.array(chip.optics.opus_crpix) - chip.corner
    return LinearWcs(crpix, written.to_sky(crpix - 1)[0], written.jacobian(crpix - 1) / 3600)


def _detector_cards(facts: ExposureFacts, chip: ChipStatistics) -> fits.Header:
    """Return where the array lies on the chip, and where the aperture looks."""
    header = fits.Header()
    header["RA_APER"], header["DEC_APER"], header["PA_APER"] = facts.aim
    header["VAFACTOR"] = (facts.aberration, "velocity aberration plate scale factor")
    for axis, corner, size in zip((1, 2), chip.corner, chip.shape[::-1], strict=True):
        header[f"LTV{axis}"] = (float(-corner), "offset to subsection start")
        header[f"LTM{axis}_{axis}"] = 1.0
        header[f"CENTERA{axis}"] = corner + size // 2 + 1
        header[f"SIZAXIS{axis}"] = size
        header[f"BINAXIS{axis}"] = (1, "data bin size in unbinned detector pixels")
    return header


def plain_header(facts: ExposureFacts, chip: ChipStatistics, name: str) -> fits.Header:
    """Return the header of an ERR or DQ extension: it has the linear WCS only."""
    header = _extension_cards(facts, name, chip.extver, _unit(facts) if name == "ERR" else "UNITLESS")
    header["WCSAXES"] = 2
    header.update(linear_cards(chip.linear, "RA---TAN", "DEC--TAN"))
    return header


def constant_header(facts: ExposureFacts, chip: ChipStatistics, name: str, value: float) -> fits.Header:
    """Return the header of a SAMP or TIME extension whose pixels all have one value."""
    header = _extension_cards(facts, name, chip.extver, "SAMPLES" if name == "SAMP" else "SECONDS")
    header["NPIX1"], header["NPIX2"] = chip.shape[1], chip.shape[0]
    header["PIXVALUE"] = (value, "values of pixels in constant array")
    return header
