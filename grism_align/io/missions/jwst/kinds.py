"""Files of JWST that are no exposures to align: what they are, and what to give instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grism_align.io.missions.jwst.headers import REWRITTEN
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from grism_align.io.files.cards import Cards


#: Exposure types that are read; which of them are dispersed is told by the optical elements.
EXPOSURE_TYPES = ("NIS_IMAGE", "NIS_WFSS", "NRC_IMAGE", "NRC_WFSS", "NRC_GRISM")

_EXPOSURES = "Give the exposures that it was made of: *_cal.fits, and dispersed ones with a WCS"
_WITH_WCS = (
    "Give the exposure as assign_wcs leaves it: strun assign_wcs FILE --save_results=true, or correct it "
    "within calwebb_spec2"
)
_LEAVE_OUT = "Leave it out"
_MODELS = {
    "RampModel": ("the reads of an exposure", "Give the image, *_cal.fits"),
    "Level1bModel": ("a raw exposure", "Give the image, *_cal.fits"),
    "CubeModel": ("the single integrations of an exposure", "Give the image, *_cal.fits"),
    "MultiSlitModel": ("the spectra of single sources, cut out of an exposure", _WITH_WCS),
    "MultiSpecModel": ("a table of spectra", _WITH_WCS),
    "WFSSMultiSpecModel": ("a table of spectra", _WITH_WCS),
    "SegmentationMapModel": ("a segmentation map", _EXPOSURES),
}
_SUFFIX = re.compile(r"_([a-z0-9]+)\.fits(?:\.gz)?$", re.IGNORECASE)
_MOSAICS = ("i2d", "s2d", "drz", "drc")


def refuse_other_kinds(cards: Cards, name: str) -> None:
    """Refuse what is no exposure of the sky, before anything else is found wrong with it.

    Parameters
    ----------
    cards : Cards
        Its metadata.
    name : str
        Its file's name.

    Raises
    ------
    InputError
        With what it is, and what to give instead.
    """
    what, instead = _what(cards, name)
    if what:
        raise InputError(cards.path, f"it is {what}", instead)


def _what(cards: Cards, name: str) -> tuple[str, str]:
    model, kind = cards.text("DATAMODL"), cards.text("EXP_TYPE")
    found = _SUFFIX.search(name)
    is_mosaic = cards.text("S_RESAMP") == "COMPLETE" or (found and found[1].lower() in _MOSAICS)
    if any(keyword in cards.header for keyword in REWRITTEN):
        return "a file that grizli rewrote, whose header and WCS differ", "Fetch it from the archive again"
    if is_mosaic:
        return "a mosaic, whose pixels are the sky's and no detector's", _EXPOSURES
    if model in _MODELS:
        return _MODELS[model]
    if cards.value("TSOVISIT") is True:
        return "one of a time series, which is not read", _LEAVE_OUT
    if kind not in EXPOSURE_TYPES:
        known = ", ".join(EXPOSURE_TYPES)
        return f"of a kind that is not read (EXP_TYPE {kind or 'missing'}; those are {known})", _LEAVE_OUT
    return "", ""


def no_wcs(source: object, *, is_dispersed: bool) -> InputError:
    """Return the error that an exposure has no gwcs."""
    if is_dispersed:
        return InputError(source, "a dispersed exposure without a WCS (no meta.wcs)", _WITH_WCS)
    return InputError(source, "it has no WCS (no meta.wcs)", "Give the calibrated image, *_cal.fits")
