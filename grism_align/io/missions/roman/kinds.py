"""Files of Roman that are no exposures to align: what they are, and what to give instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grism_align.io.missions.roman.facts import FACTS
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from grism_align.io.missions.roman.metadata import Metadata


#: Exposure types that are read, those of ground tests among them.
EXPOSURE_TYPES = ("WFI_IMAGE", "WFI_SPECTRAL", "WFI_GRISM", "WFI_PRISM")

_CALIBRATED = "Give the calibrated exposure, *_cal.asdf"
_EXPOSURES = "Give the exposures that it was made of, *_cal.asdf"
_LEAVE_OUT = "Leave it out"
# By the beginning of what romancal calls the model.
_MODELS = {
    "Wfi": ("the WCS of an exposure, without its pixels", _CALIBRATED),
    "ScienceRaw": ("a raw exposure", _CALIBRATED),
    "Ramp": ("the reads of an exposure", _CALIBRATED),
    "L1": ("a raw exposure", _CALIBRATED),
    "Guidewindow": ("a window about a guide star", _LEAVE_OUT),
    "Mosaic": ("a mosaic, whose pixels are the sky's and no detector's", _EXPOSURES),
    "Segmentation": ("a segmentation map", _EXPOSURES),
    "MosaicSegmentation": ("a segmentation map", _EXPOSURES),
    "Forced": ("a source catalog", _EXPOSURES),
    "ImageSource": ("a source catalog", _EXPOSURES),
    "MosaicSource": ("a source catalog", _EXPOSURES),
    "Associations": ("an association", "Give it as JSON"),
}
_ELEMENT = re.compile(r"F\d{3}|PRISM|GRISM")
_DETECTOR = re.compile(r"WFI(0[1-9]|1[0-8])", re.IGNORECASE)


def refuse_other_kinds(meta: Metadata) -> None:
    """Refuse what is no exposure of the sky, before anything else is found wrong with it.

    Parameters
    ----------
    meta : Metadata
        Its metadata.

    Raises
    ------
    InputError
        With what it is, and what to give instead.
    """
    what, instead = _what(meta)
    if what:
        raise InputError(meta.path, f"it is {what}", instead)


def _what(meta: Metadata) -> tuple[str, str]:
    model, kind = meta.text("model_type"), meta.text("exposure.type")
    # the longest first: a mosaic's segmentation map is no mosaic
    name = next((one for one in sorted(_MODELS, key=len, reverse=True) if model.startswith(one)), "")
    if name:
        return _MODELS[name]
    if kind not in EXPOSURE_TYPES:
        known = ", ".join(EXPOSURE_TYPES)
        problem = f"of a kind that is not read (exposure.type {kind or 'missing'}; those are {known})"
        return problem, _LEAVE_OUT
    return "", ""


def element_of(meta: Metadata) -> str:
    """Return what stood in the light, a filter or a disperser.

    Raises
    ------
    InputError
        If that is none of either.
    """
    element = meta.text("instrument.optical_element").upper()
    if _ELEMENT.fullmatch(element):
        return element
    problem = f"no filter, prism or grism (instrument.optical_element: {element or 'missing'})"
    raise InputError(meta.path, problem, _LEAVE_OUT)


def is_dispersed(element: str) -> bool:
    """Tell whether an optical element disperses."""
    return element in FACTS.dispersers


def detector_of(meta: Metadata) -> int:
    """Return the number of the detector.

    Raises
    ------
    InputError
        If it is none of the instrument.
    """
    name = meta.text("instrument.detector")
    found = _DETECTOR.fullmatch(name)
    if found is None:
        problem = f"detector {name or 'unknown'} is not one of WFI01 to WFI18"
        raise InputError(meta.path, problem, f"Give {FACTS.reads}")
    return int(found[1])
