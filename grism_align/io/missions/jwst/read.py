"""Read exposures of JWST."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.files.cards import Bounds, Cards
from grism_align.io.gwcs.attitude_plane import AttitudePlane
from grism_align.io.gwcs.names import known_skies, solution_of
from grism_align.io.gwcs.own import OwnNotes, notes_of
from grism_align.io.gwcs.parts import parts_of
from grism_align.io.gwcs.sky import GwcsSky
from grism_align.io.gwcs.traces import trace_of
from grism_align.io.missions.jwst.elements import (
    band_of,
    element_of,
    instrument_of,
    passband_of,
    wavelength_of,
)
from grism_align.io.missions.jwst.facts import FACTS, TELESCOPE
from grism_align.io.missions.jwst.kinds import no_wcs, refuse_other_kinds
from grism_align.io.missions.jwst.sources import cards_of, content_of
from grism_align.io.missions.jwst.tracking import tracking_of
from grism_align.values.detector import DetectorWindow
from grism_align.values.errors import InputError
from grism_align.values.exposure import Chip, Exposure, ExposureKind

if TYPE_CHECKING:
    from grism_align.values.mission import Keyword
    from grism_align.values.source import Source


# jw, program, observation and visit; visit group, sequence and activity; exposure; detector
_ROOT = re.compile(r"(jw\d{11}_[0-9a-z]{5}_\d{5}(?:-seg\d+)?_[a-z0-9]+)_?")
# From the launch to the end of the century, MJD.
_YEARS = Bounds(59500.0, 88000.0)
_SECONDS = Bounds(1e-3, 1e6)
_ANGLES = Bounds(-720.0, 720.0)
_FIELD = Bounds(-3600.0, 3600.0)
_KEYWORDS = (
    *("TELESCOP", "INSTRUME", "DETECTOR", "TARGNAME", "FILTER", "PUPIL", "EXP_TYPE"),
    *("DATE-OBS", "TIME-OBS", "EXPSTART", "EXPEND", "EFFEXPTM", "TARG_RA", "TARG_DEC"),
    *("PHOTMJSR", "PIXAR_SR", "PIXAR_A2"),
)


@dataclass(frozen=True, eq=False)
class ExposureContent:
    """What an exposure is made of, whether it comes from a file or from an open model.

    Parameters
    ----------
    source : Source
        What holds it.
    cards : Cards
        Its metadata.
    shape : (ny, nx)
        Of its science array.
    wcs : gwcs.WCS or None
        Its WCS.
    own : OwnNotes or None
        What we left in it; None for nothing.
    """

    source: Source
    cards: Cards
    shape: tuple[int, int]
    wcs: Any
    own: OwnNotes | None


def read_instrument(source: Source) -> str:
    """Return the instrument of an exposure, from its headers alone.

    Raises
    ------
    InputError
        If it is no exposure that is read.
    """
    cards = cards_of(source)
    refuse_other_kinds(cards, source.name)
    return instrument_of(cards)[0]


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
    content = content_of(source, lambda cards: refuse_other_kinds(cards, source.name))
    own = None if content.own is None else notes_of(content.own, source)
    return exposure_of(ExposureContent(source, content.cards, content.shape, content.wcs, own))


def exposure_of(content: ExposureContent) -> Exposure:
    """Make an exposure of what was read.

    Parameters
    ----------
    content : ExposureContent
        Its metadata and WCS.

    Raises
    ------
    InputError
        If something is missing or can't be right.
    """
    cards, own = content.cards, content.own or OwnNotes()
    element, visit = element_of(cards), f"jw{cards.required_text('VISIT_ID')}"
    is_dispersed = element in FACTS.dispersers
    instrument, detector = instrument_of(cards)
    guide_star = cards.text("GDSTARID") or None
    start, end = _times(cards)
    band = band_of(cards)
    sky = _sky(content, is_dispersed=is_dispersed)
    window = _window(cards, detector)
    trace = trace_of(content.wcs, content.shape, window, passband_of(band)) if is_dispersed else None
    known = known_skies(sky, own)
    solution = solution_of(sky)
    unit = cards.text("BUNIT") or "MJy/sr"
    return Exposure(
        key=_root_name(cards, content.source),
        source=content.source,
        kind=ExposureKind.GRISM if is_dispersed else ExposureKind.DIRECT,
        telescope=TELESCOPE,
        instrument=instrument,
        camera=instrument.partition("_")[0],
        filter=element,
        program=visit[2:7],
        visit=visit,
        group=":".join([visit, guide_star or "", str(cards.whole("GS_ORDER", 0))]),
        guide_star=guide_star,
        target=cards.text("TARGNAME") or cards.text("TARGPROP"),
        dither_offset=(cards.number("XOFFSET"), cards.number("YOFFSET")),
        start=start,
        end=end,
        exposure_time=cards.required_number("EFFEXPTM", _SECONDS),
        ab_zero_point=_zero_point(cards, unit),
        is_rate=True,
        rejects_cosmic_rays=True,
        chips=(Chip(1, content.shape, sky, window, _flux_scale(cards), trace),),
        wcs_solution=solution,
        alternates={name: one for name, one in known.items() if name != solution},
        taken_names=tuple(dict.fromkeys([*known, solution])),
        wcs_name=solution,
        is_product=content.own is not None,
        pointing=_pointing(cards),
        rate_unit=unit,
        wavelength=wavelength_of(band),
        blocking_filter=band if is_dispersed else "",
        tracking=tracking_of(cards),
        attitude=sky.attitude,
    )


def _sky(content: ExposureContent, *, is_dispersed: bool) -> GwcsSky:
    if content.wcs is None:
        raise no_wcs(content.source, is_dispersed=is_dispersed)
    cards = content.cards
    plane = AttitudePlane(
        cards.required_number("V2_REF", _FIELD),
        cards.required_number("V3_REF", _FIELD),
        cards.required_number("ROLL_REF", _ANGLES),
    )
    parts = parts_of(content.wcs, content.source)
    sky = GwcsSky(parts, plane, parts.affine, content.shape)
    if not np.isfinite(sky.footprint()).all():
        problem = "its WCS puts a corner of the array nowhere"
        raise InputError(content.source, problem, "Run assign_wcs on the exposure again")
    return sky


def _root_name(cards: Cards, source: Source) -> str:
    """Return what names of files begin with; made of the identifiers where the file was renamed."""
    for name in (cards.text("FILENAME"), source.name):
        found = _ROOT.match(name)
        if found:
            return found[1]
    return f"{_pointing(cards)}_{cards.required_text('DETECTOR').lower()}"


def _pointing(cards: Cards) -> str:
    """Return what all detectors have in common that expose at one time, as JWST's ``group_id`` has it."""
    visit = "".join(cards.required_text(keyword) for keyword in ("PROGRAM", "OBSERVTN", "VISIT"))
    activity = "".join(cards.text(keyword) for keyword in ("VISITGRP", "SEQ_ID", "ACT_ID"))
    return f"jw{visit}_{activity}_{cards.text('EXPOSURE')}"


def _times(cards: Cards) -> tuple[float, float]:
    """Start and end, MJD."""
    start, end = (cards.required_number(keyword, _YEARS) for keyword in ("EXPSTART", "EXPEND"))
    if end < start:
        problem = f"EXPSTART is {start!r}, after EXPEND, {end!r}"
        raise InputError(cards.path, problem, "Set both to the right values, or fetch the file again")
    return start, end


def _zero_point(cards: Cards, unit: str) -> float:
    """AB magnitude of a pixel of one MJy/sr; NaN for pixels in other units."""
    area = cards.number("PIXAR_SR")
    is_known = unit.lower() == "mjy/sr" and area > 0
    # 3631 Jy is 0 mag
    return float(-2.5 * np.log10(1e6 * area / 3631.0)) if is_known else nan


def _flux_scale(cards: Cards) -> float:
    area = cards.number("PIXAR_A2")
    return float(np.sqrt(area)) if area > 0 else nan


def _window(cards: Cards, detector: int) -> DetectorWindow:
    first = (cards.whole("SUBSTRT1", 1), cards.whole("SUBSTRT2", 1))
    return DetectorWindow(detector, ltv=(1.0 - first[0], 1.0 - first[1]))


def read_keywords(exposure: Exposure) -> dict[str, Keyword]:
    """Return what headers say of instrument, target, times and photometry.

    Raises
    ------
    InputError
        If the file can't be read.
    """
    cards = cards_of(exposure.source)
    found = {
        name: (cards.value(name), cards.header.comments[name]) for name in _KEYWORDS if name in cards.header
    }
    return {name: each for name, each in found.items() if each[0] is not None}
