"""Every cut with what it left, and every try to get a reference catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grism_align.io.report.contents import Contents
    from grism_align.values.record import Activity


# In the order in which they are made; the record has them in that of the alphabet.
_NAMES = {
    "pixels": "pixels",
    "pixels_flagged": "of them flagged as bad",
    "peaks": "peaks above the threshold",
    "peaks_on_smooth_light": "of them left out, as they hardly stand out of their surroundings",
    "fitted_as_stars": "positions from the fitted PSF",
    "flagged_edge": "flagged: at the edge",
    "flagged_saturated": "flagged: saturated",
    "flagged_masked_core": "flagged: masked core",
    "flagged_cosmic_ray": "flagged: cosmic ray",
    "flagged_trailed": "flagged: trailed",
    "flagged_no_centroid": "flagged: no centroid",
    "flagged_fixed": "flagged: fixed to the detector (hot pixels, columns, persistence)",
    "exposures_left_out": "exposures left out: moving targets and scans",
    "exposures_unusable": "exposures without usable sources",
    "brightest": "brightest sources taken of each exposure at most",
    "frames": "frames that share no source",
    "sources": "sources in all",
    "common_sources": "of them seen by several exposures",
    "reference_in_catalog": "sources of the catalog",
    "reference_on_exposures": "on the exposures and their margin",
    "reference_within_ruwe": "left by max_ruwe",
    "reference_within_excess_noise": "left by max_excess_noise",
    "reference_not_flagged": "left: not flagged as duplicated",
    "reference_without_duplicates": "left: no second entry of the same star",
    "reference_of_allowed_kind": "left: stars, and galaxies if wanted",
    "reference_with_motion": "left: proper motion known, or allowed to be unknown",
    "reference_within_magnitudes": "left by the magnitude limits",
    "reference_within_density": "left by max_density",
    "reference_brightest": "left by max_sources, the brightest",
    "grisms": "grism exposures",
    "grisms_aligned": "of them with a correction",
}
_ORDER = {name: place for place, name in enumerate(_NAMES)}
_FRAME_NAMES = {
    "reference_used": "stars used by the fit of frame {}",
    "saturated": "sources of frame {} left out as saturated",
}


@dataclass(frozen=True)
class Cut:
    """A count.

    Parameters
    ----------
    text : str
        What was counted.
    n : float
        How many.
    """

    text: str
    n: float


@dataclass(frozen=True)
class StepCuts:
    """One step with its counts.

    Parameters
    ----------
    step, outcome, note : str
        As on record.
    cuts : tuple of Cut
        In the order in which they were made.
    """

    step: str
    outcome: str
    note: str
    cuts: tuple[Cut, ...]


def step_cuts(contents: Contents) -> list[StepCuts]:
    """Return the counts of every step on record."""
    return [_step(activity) for activity in contents.record.activities]


def _step(activity: Activity) -> StepCuts:
    names = sorted(activity.counts, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))
    cuts = tuple(Cut(_text(name), activity.counts[name]) for name in names)
    return StepCuts(activity.step, activity.outcome, activity.note, cuts)


def _text(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    what, _, frame = name.partition("_frame_")
    return _FRAME_NAMES[what].format(frame) if what in _FRAME_NAMES else name.replace("_", " ")
