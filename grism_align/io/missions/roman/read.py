"""Read exposures of Roman."""

from __future__ import annotations

import re
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.files.cards import Bounds
from grism_align.io.files.sources import root_of
from grism_align.io.gwcs.attitude_plane import AttitudePlane
from grism_align.io.gwcs.names import known_skies, solution_of
from grism_align.io.gwcs.own import OwnNotes, notes_of
from grism_align.io.gwcs.parts import parts_of
from grism_align.io.gwcs.sky import GwcsSky
from grism_align.io.missions.roman.facts import FACTS, TELESCOPE, WFI
from grism_align.io.missions.roman.kinds import detector_of, element_of, is_dispersed, refuse_other_kinds
from grism_align.io.missions.roman.sources import content_of, metadata_of
from grism_align.io.missions.roman.tracking import tracking_of
from grism_align.values.detector import DetectorWindow
from grism_align.values.errors import InputError
from grism_align.values.exposure import Chip, Exposure, ExposureKind
from grism_align.values.sphere import ARCSEC_PER_RADIAN

if TYPE_CHECKING:
    from grism_align.io.missions.roman.files import ExposureContent
    from grism_align.io.missions.roman.metadata import Metadata
    from grism_align.values.mission import Keyword
    from grism_align.values.source import Source


# r, program, plan, pass, segment, observation and visit; exposure; detector
_ROOT = re.compile(r"r\d{19}_(?:\d{5}_)?\d{4}_wfi\d{2}", re.IGNORECASE)
_PROGRAM_LETTERS = 5
# From before the launch to the end of the century, MJD.
_YEARS = Bounds(58000.0, 88000.0)
_SECONDS = Bounds(1e-3, 1e6)
_ANGLES = Bounds(-720.0, 720.0)
_FIELD = Bounds(-5000.0, 5000.0)
_ZERO_JANSKY = 3631.0
_WITH_WCS = "Give the exposure as romancal's exposure pipeline leaves it, *_cal.asdf"
# Keywords as others have them, by the place in the metadata.
_KEYWORDS = {
    "TELESCOP": ("telescope", "telescope"),
    "INSTRUME": ("instrument.name", "instrument"),
    "DETECTOR": ("instrument.detector", "detector"),
    "FILTER": ("instrument.optical_element", "optical element"),
    "EXP_TYPE": ("exposure.type", "type of exposure"),
    "EXPTIME": ("exposure.effective_exposure_time", "exposure time (s)"),
    "RA_TARG": ("pointing.target_ra", "right ascension of the target (deg)"),
    "DEC_TARG": ("pointing.target_dec", "declination of the target (deg)"),
    "PHOTMJSR": ("photometry.conversion_megajanskys", "MJy/sr for one DN/s"),
    "PIXAR_SR": ("photometry.pixel_area", "area of a pixel (sr)"),
}


def read_instrument(source: Source) -> str:
    """Return the instrument of an exposure, from its metadata alone.

    Raises
    ------
    InputError
        If it is no exposure that is read.
    """
    meta = metadata_of(source)
    refuse_other_kinds(meta)
    detector_of(meta)
    return WFI


def read_exposure(source: Source) -> Exposure:
    """Read metadata and WCS of an exposure; pixels stay where they are.

    Parameters
    ----------
    source : Source
        An image or a dispersed exposure with a WCS, in a file or open.

    Raises
    ------
    InputError
        If it can't be read or used, or what reads it is not installed.
    """
    content = content_of(source, refuse_other_kinds)
    meta = content.meta
    own = OwnNotes() if content.own is None else notes_of(content.own, source)
    element, visit = element_of(meta), f"r{meta.required_text('observation.visit_id')}"
    guide_star = meta.text("guide_star.guide_star_id") or None
    start, end = _times(meta)
    sky = _sky(content)
    known, solution = known_skies(sky, own), solution_of(sky)
    is_flux = meta.text("cal_step.flux") == "COMPLETE"
    return Exposure(
        key=_root_name(meta, source),
        source=source,
        kind=ExposureKind.GRISM if is_dispersed(element) else ExposureKind.DIRECT,
        telescope=TELESCOPE,
        instrument=WFI,
        filter=element,
        program=visit[1 : 1 + _PROGRAM_LETTERS],
        visit=visit,
        group=f"{visit}:{guide_star or ''}",
        guide_star=guide_star,
        target="",
        dither_offset=(nan, nan),
        start=start,
        end=end,
        exposure_time=_exposure_time(meta),
        ab_zero_point=_zero_point(meta, is_flux=is_flux),
        is_rate=True,
        rejects_cosmic_rays=True,
        chips=(Chip(1, content.shape, sky, DetectorWindow(detector_of(meta)), _flux_scale(meta)),),
        wcs_solution=solution,
        alternates={name: one for name, one in known.items() if name != solution},
        taken_names=tuple(dict.fromkeys([*known, solution])),
        wcs_name=solution,
        is_product=content.own is not None,
        pointing=_pointing(meta),
        rate_unit="MJy/sr" if is_flux else "DN/s",
        wavelength=1e-8 * int(element[1:]) if element.startswith("F") else nan,
        tracking=tracking_of(meta),
        attitude=sky.attitude,
    )


def _sky(content: ExposureContent) -> GwcsSky:
    meta = content.meta
    if content.wcs is None:
        raise InputError(meta.path, "it has no WCS (no meta.wcs)", _WITH_WCS)
    plane = AttitudePlane(
        meta.required_number("wcsinfo.v2_ref", _FIELD),
        meta.required_number("wcsinfo.v3_ref", _FIELD),
        meta.required_number("wcsinfo.roll_ref", _ANGLES),
    )
    parts = parts_of(content.wcs, meta.path)
    sky = GwcsSky(parts, plane, parts.affine, content.shape)
    if not np.isfinite(sky.footprint()).all():
        raise InputError(meta.path, "its WCS puts a corner of the array nowhere", _WITH_WCS)
    return sky


def _root_name(meta: Metadata, source: Source) -> str:
    """Return what names of files begin with; made of the identifiers where the file was renamed."""
    for name in (meta.text("filename"), source.name):
        if _ROOT.match(name):
            return root_of(name, FACTS.endings)
    parts = (
        f"r{meta.required_text('observation.visit_id')}",
        f"{meta.required_whole('observation.exposure'):04d}",
        meta.required_text("instrument.detector"),
        meta.required_text("instrument.optical_element"),
    )
    return "_".join(parts).lower()


def _pointing(meta: Metadata) -> str:
    """Return what all detectors have in common that expose at one time, romancal's ``group_id``."""
    found = meta.text("observation.observation_id")
    if found:
        return f"r{found}"
    visit, exposure = meta.required_text("observation.visit_id"), meta.required_whole("observation.exposure")
    return f"r{visit}_{exposure:04d}"


def _times(meta: Metadata) -> tuple[float, float]:
    """Start and end, MJD."""
    start, end = (meta.time(f"exposure.{name}_time") for name in ("start", "end"))
    for name, value in (("start", start), ("end", end)):
        if not _YEARS.low <= value <= _YEARS.high:
            problem = f"exposure.{name}_time is MJD {value:.1f}, not {_YEARS}"
            raise InputError(meta.path, problem, "Set it to the right value, or fetch the file again")
    if end < start:
        problem = f"exposure.start_time is MJD {start!r}, after exposure.end_time, {end!r}"
        raise InputError(meta.path, problem, "Set both to the right values, or fetch the file again")
    return start, end


def _exposure_time(meta: Metadata) -> float:
    effective = meta.number("exposure.effective_exposure_time", within=_SECONDS)
    return effective if np.isfinite(effective) else meta.required_number("exposure.exposure_time", _SECONDS)


def _zero_point(meta: Metadata, *, is_flux: bool) -> float:
    """AB magnitude of a pixel of one unit; NaN where the file has no factor."""
    area = meta.number("photometry.pixel_area")
    factor = 1.0 if is_flux else meta.number("photometry.conversion_megajanskys")
    megajanskys = area * factor
    return float(-2.5 * np.log10(1e6 * megajanskys / _ZERO_JANSKY)) if megajanskys > 0 else nan


def _flux_scale(meta: Metadata) -> float:
    area = meta.number("photometry.pixel_area")
    return float(np.sqrt(area) * ARCSEC_PER_RADIAN) if area > 0 else nan


def read_keywords(exposure: Exposure) -> dict[str, Keyword]:
    """Return what the metadata say of instrument, times and photometry, as FITS keywords.

    Raises
    ------
    InputError
        If the file can't be read.
    """
    meta = metadata_of(exposure.source)
    found = {name: (meta.value(place), words) for name, (place, words) in _KEYWORDS.items()}
    times = {
        "EXPSTART": (exposure.start, "start of the exposure (MJD)"),
        "EXPEND": (exposure.end, "end of the exposure (MJD)"),
        "BUNIT": (exposure.rate_unit, "unit of the pixels"),
    }
    return {**{name: each for name, each in found.items() if each[0] is not None}, **times}
