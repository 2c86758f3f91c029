"""Verify corrections on the traces of spectra, one exposure's pixels at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.trace_fit import (
    Heights,
    contrast_with_best,
    contrast_with_others,
    fit_offsets,
)
from grism_align.algorithms.trace_pieces import ChipImage
from grism_align.algorithms.trace_sources import frame_sources
from grism_align.algorithms.traces import (
    COARSE_TRACES,
    chip_heights,
    chip_view,
    found_trace,
    has_partner,
    refinement,
    rows_moved,
)
from grism_align.io.missions import read_pixels
from grism_align.io.missions.hst import open_fits
from grism_align.io.trace_configs import model_for, read_trace_configs
from grism_align.values.settings import DetectionSettings
from grism_align.values.solution import AlignmentSolution
from grism_align.values.trace import TraceCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.trace_fit import TraceOffsets
    from grism_align.algorithms.trace_sources import TraceSources
    from grism_align.algorithms.traces import ChipView
    from grism_align.io.trace_configs import TraceModels
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import TraceSettings
    from grism_align.values.solution import ExposureFit
    from grism_align.values.trace import TraceModel

    Track = Callable[[Iterable[Exposure], str], Iterable[Exposure]]

__all__ = ["GrismOffsets", "TraceVerification", "refine_on_traces", "verify_traces"]

# More than sources in a frame, so that each has a number of its own in all frames.
_FRAME = 10_000_000


@dataclass(frozen=True, eq=False)
class GrismOffsets:
    """What was measured of the exposures of one grism.

    Parameters
    ----------
    keys : tuple of str
        The exposures.
    offsets : TraceOffsets
        Theirs, in this order, before any reference is taken off.
    moved : (N,) ndarray, pixels
        By how much the corrections moved the predicted traces up.
    config : str
        Name of the configuration; empty where there is none, and only differences have a meaning.
    """

    keys: tuple[str, ...]
    offsets: TraceOffsets
    moved: NDArray[np.float64]
    config: str


@dataclass(frozen=True, eq=False)
class TraceVerification:
    """What the traces of all grism exposures say.

    Parameters
    ----------
    checks : mapping of str to TraceCheck
        By exposure key.
    grisms : tuple of GrismOffsets
        One for each instrument and grism that could be measured.
    """

    checks: Mapping[str, TraceCheck]
    grisms: tuple[GrismOffsets, ...] = field(default=())


@dataclass(frozen=True, eq=False)
class _Survey:
    """What measuring an exposure needs; sources by frame."""

    exposures: ExposureSet
    solution: AlignmentSolution
    settings: TraceSettings
    models: TraceModels
    sources: Mapping[int, TraceSources]


def verify_traces(
    exposures: ExposureSet,
    solution: AlignmentSolution,
    settings: TraceSettings,
    track: Track | None = None,
) -> TraceVerification:
    """Measure how far spectra lie, across the dispersion, from where the WCSs put them.

    Parameters
    ----------
    exposures : ExposureSet
        With catalogs and corrections of the direct exposures.
    solution : AlignmentSolution
        Corrections of the grism exposures.
    settings : TraceSettings
        The parameters.
    track : callable, optional
        Called with exposures and what is done; goes through them and shows how far the work is.

    Returns
    -------
    TraceVerification
        With a check for every grism exposure. With a configuration of its grism residuals are absolute;
        without one they are relative to the mean of the grism's other exposures.

    Raises
    ------
    InputError
        If a configuration or the pixels of an exposure can't be read.
    """
    models = read_trace_configs(settings.trace_config)
    fits = [fit for exposure in exposures.grisms if (fit := _fit_of(solution, exposure))]
    sources = {frame: frame_sources(exposures, frame) for frame in {fit.frame for fit in fits}}
    survey = _Survey(exposures, solution, settings, models, sources)
    groups: dict[tuple[str, str], list[Exposure]] = {}
    for exposure in exposures.grisms:
        groups.setdefault((exposure.instrument, exposure.filter), []).append(exposure)
    checks = {exposure.key: TraceCheck.missing("not aligned") for exposure in exposures.grisms}
    grisms = []
    for members in groups.values():
        aligned = tuple(exposure for exposure in members if _fit_of(solution, exposure))
        if aligned:
            found, notes = _measured_grism(survey, aligned, track)
            checks |= _checks(found, notes)
            grisms.append(found)
    return TraceVerification(checks, tuple(grisms))


def _fit_of(solution: AlignmentSolution, exposure: Exposure) -> ExposureFit | None:
    """The fit of an exposure that has a correction."""
    fit = solution.fits.get(exposure.key)
    return fit if fit is not None and fit.is_aligned else None


def _measured_grism(
    survey: _Survey, members: Sequence[Exposure], track: Track | None
) -> tuple[GrismOffsets, dict[str, str]]:
    """Offsets of the exposures of one grism, and why some have none."""
    models = _models_of(survey, members)
    absolute = bool(models) and all(model.name for model in models.values())
    visits = {name: number for number, name in enumerate(dict.fromkeys(e.visit for e in members))}
    parts: list[Heights] = []
    notes = {}
    numbered = {exposure.key: number for number, exposure in enumerate(members)}
    for exposure in track(members, "Verifying") if track and models else members:
        found = _exposure_heights(survey, exposure, models) if models else []
        numbers = (numbered[exposure.key], visits[exposure.visit])
        parts += [_numbered(part, *numbers) for part in found]
        if not found:
            notes[exposure.key] = _why_none(exposure, models)
    heights = Heights.joined(parts)
    offsets = fit_offsets(heights, len(members), "" if absolute else _field_of(models))
    names = ", ".join(dict.fromkeys(model.name for model in models.values())) if absolute else ""
    moved = [_rows_moved(survey, exposure, models) for exposure in members]
    return GrismOffsets(tuple(numbered), offsets, np.array(moved), names), notes


def _rows_moved(survey: _Survey, exposure: Exposure, models: Mapping[int, TraceModel]) -> float:
    """By how much the correction moved the traces of the first chip with a model."""
    transform = survey.solution[exposure.key].transform
    for chip in exposure.chips:
        if chip.extver in models and transform is not None:
            return rows_moved(chip, transform, models[chip.extver])
    return float("nan")


def _field_of(models: Mapping[int, TraceModel]) -> str:
    """Whether models know how traces differ over the chip."""
    return "calibrated" if all(model.dy.shape[1] > 1 for model in models.values()) else "free"


def _why_none(exposure: Exposure, models: Mapping[int, TraceModel]) -> str:
    if models or exposure.filter in COARSE_TRACES:
        return "no trace bright and isolated enough"
    return f"where {exposure.filter} has its traces is not known; give its configuration"


def _numbered(heights: Heights, exposure: int, visit: int) -> Heights:
    ones = np.ones(len(heights), np.int64)
    return replace(heights, exposure=exposure * ones, visit=visit * ones)


def _models_of(survey: _Survey, members: Sequence[Exposure]) -> dict[int, TraceModel]:
    """A grism's models by EXTVER: from configurations, else found on the first exposures that show it."""
    extvers = dict.fromkeys(chip.extver for exposure in members for chip in exposure.chips)
    grism = members[0].filter
    named = {extver: model_for(survey.models, grism, extver) for extver in extvers}
    if all(named.values()):
        return {extver: model for extver, model in named.items() if model is not None}
    models: dict[int, TraceModel] = {}
    for exposure in members:
        for extver, image, view in _views(survey, exposure):
            model = None if extver in models else found_trace(image, view, grism)
            if model is not None:
                models[extver] = model
        if len(models) == len(extvers) or grism not in COARSE_TRACES:
            break
    return models


def _exposure_heights(survey: _Survey, exposure: Exposure, models: Mapping[int, TraceModel]) -> list[Heights]:
    """What the chips of an exposure say."""
    frame = survey.solution[exposure.key].frame
    parts = []
    for extver, image, view in _views(survey, exposure):
        if extver in models:
            found = chip_heights(image, view, models[extver], survey.settings)
            if found is not None:
                ones = np.ones(len(found), np.int64)
                parts.append(replace(found, source=found.source + _FRAME * frame, chip=extver * ones))
    return parts


def _views(survey: _Survey, exposure: Exposure) -> Iterator[tuple[int, ChipImage, ChipView]]:
    """Image and sources of each chip of an exposure, one at a time."""
    fit = survey.solution[exposure.key]
    sources = survey.sources[fit.frame]
    bits = _good_bits(survey.exposures, fit)
    corners = _corners(exposure)
    for chip, pixels in read_pixels(exposure):
        if fit.transform is not None:
            view = chip_view(chip, fit.transform, sources, survey.settings)
            view = replace(view, band=_band(survey.exposures, fit), corner=corners[chip.extver])
            yield chip.extver, ChipImage.of(pixels.sci, pixels.err, pixels.dq, bits), view


def _corners(exposure: Exposure) -> dict[int, tuple[float, float]]:
    """Pixel (x, y) of the whole chip where each science array begins: not zero for subarrays."""
    with open_fits(exposure.path) as hdus:
        headers = {chip.extver: hdus["SCI", chip.extver].header for chip in exposure.chips}
        return {v: (-float(h.get("LTV1", 0.0)), -float(h.get("LTV2", 0.0))) for v, h in headers.items()}


def _band(exposures: ExposureSet, fit: ExposureFit) -> str:
    """Filter of the direct exposures whose correction an exposure has."""
    filters = {direct.key: direct.filter for direct in exposures.direct}
    return next((filters[key] for key in fit.governed_by if key in filters), "")


def _good_bits(exposures: ExposureSet, fit: ExposureFit) -> int:
    """DQ bits of usable pixels: those that the direct exposures were measured with."""
    for key in (*fit.governed_by, *exposures.catalogs):
        if key in exposures.catalogs:
            meta = exposures.catalogs[key].table.meta.get("settings", {})
            return int(meta.get("good_bits", DetectionSettings.good_bits))
    return DetectionSettings.good_bits


def _checks(found: GrismOffsets, notes: Mapping[str, str]) -> dict[str, TraceCheck]:
    """The check of each exposure of a grism."""
    is_known = np.isfinite(found.offsets.offset)
    known = np.flatnonzero(is_known)
    contrast = np.eye(len(known)) if found.config else contrast_with_others(is_known)
    against = f"against {found.config}" if found.config else f"relative to {len(known) - 1} other exposures"
    checks = {
        key: TraceCheck.missing(notes.get(key, "no other exposure of the grism, nor a configuration"))
        for key in found.keys
    }
    if len(contrast):
        after = contrast @ found.offsets.offset[known]
        before = contrast @ (found.offsets.offset + found.moved)[known]
        variance = np.diag(contrast @ found.offsets.covariance[np.ix_(known, known)] @ contrast.T)
        for place, number in enumerate(known.tolist()):
            error, n_sources = float(np.sqrt(variance[place])), int(found.offsets.n_sources[number])
            values = (float(before[place]), error, float(after[place]), error)
            checks[found.keys[number]] = TraceCheck(n_sources, *values, against)
    return checks


def refine_on_traces(
    exposures: ExposureSet,
    solution: AlignmentSolution,
    verification: TraceVerification,
    settings: TraceSettings,
) -> AlignmentSolution:
    """Correct grism exposures without a direct partner in time by their significant drifts.

    Parameters
    ----------
    exposures : ExposureSet
        All exposures.
    solution : AlignmentSolution
        Corrections of the grism exposures.
    verification : TraceVerification
        What their traces say with these corrections.
    settings : TraceSettings
        The parameters.

    Returns
    -------
    AlignmentSolution
        With changed fits for exposures that were corrected, whose reasons say so. Drifts are relative to the
        exposures of the same grism that have a partner; where none has, to the grism's configuration.
    """
    by_key = {direct.key: direct for direct in exposures.direct}
    fits = dict(solution.fits)
    for found in verification.grisms:
        partners = {
            key: [by_key[one] for one in solution[key].governed_by if one in by_key] for key in found.keys
        }
        paired = np.array([has_partner(exposures[key], partners[key], settings) for key in found.keys])
        for number in np.flatnonzero(~paired):
            key = found.keys[number]
            drift = _drift(found, int(number), paired)
            extra, reason = refinement(exposures[key], fits[key], drift, settings)
            transform = fits[key].transform
            if extra is not None and transform is not None:
                reasons = "; ".join(filter(None, (fits[key].reason, reason)))
                fits[key] = replace(fits[key], transform=transform.then(extra), reason=reasons)
    return AlignmentSolution(fits, solution.reference)


def _drift(found: GrismOffsets, number: int, paired: NDArray[np.bool_]) -> tuple[float, float]:
    """Offset of an exposure from those with a partner, else from the configuration, and its error."""
    offset, covariance = found.offsets.offset, found.offsets.covariance
    others = paired & np.isfinite(offset)
    if found.config and not others.any():
        return float(offset[number]), float(np.sqrt(covariance[number, number]))
    return contrast_with_best(found.offsets, number, others)
