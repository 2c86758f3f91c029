"""Verify corrections on the traces of spectra, one exposure's pixels at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.traces.correction import rows_moved
from grism_align.algorithms.traces.model import NO_TRACE
from grism_align.algorithms.traces.offsets import (
    LEAST_ERROR,
    TraceMeasurements,
    contrast_with_others,
    fit_offsets,
)
from grism_align.algorithms.traces.verification import GrismOffsets, TraceVerification
from grism_align.io.missions import facts_of
from grism_align.values.trace import TraceCheck
from grism_align.workflows.traces.places import configurations, place_of_traces
from grism_align.workflows.traces.survey import fit_of, known_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import TraceSettings
    from grism_align.workflows.traces.survey import Survey, TracesByChip

_ALONE = "no other exposure of the grism, nor a configuration"
_ELSEWHERE = f"{NO_TRACE} of where the others have it"
_LEFT_OUT = "no trace that agrees with those of other sources and exposures"


def verify_traces(survey: Survey, executor: Executor) -> TraceVerification:
    """Measure how far spectra lie, across the dispersion, from where the WCSs put them.

    Parameters
    ----------
    survey : Survey
        The exposures, their corrections, and the sources.
    executor : Executor
        Measures the exposures.

    Returns
    -------
    TraceVerification
        With a check for every grism exposure, but for those of missions whose spectra are not looked at. With
        a configuration of its grism residuals are absolute; without one they are relative to the mean of the
        grism's other exposures.

    Raises
    ------
    InputError
        If the pixels of an exposure can't be read.
    """
    exposures, solution = survey.exposures, survey.solution
    groups: dict[tuple[object, ...], list[Exposure]] = {}
    looked_at = [exposure for exposure in exposures.grisms if is_looked_at(exposure, survey.settings)]
    for exposure in looked_at:
        # offsets in pixels of another size are not to be compared
        binning = {chip.window.ltm for chip in exposure.chips}
        light = exposure.instrument, exposure.filter, exposure.blocking_filter
        groups.setdefault((*light, *binning), []).append(exposure)
    checks = {exposure.key: TraceCheck.missing("not aligned") for exposure in looked_at}
    grisms = []
    used = {model for members in groups.values() for model in configurations(survey, members)}
    for members in groups.values():
        aligned = tuple(exposure for exposure in members if fit_of(solution, exposure))
        if aligned:
            found = _measured_grism(survey, aligned, executor)
            checks |= _checks(found)
            grisms.append(found)
    unused = tuple(model.name for model in survey.models.values() if model not in used)
    return TraceVerification(checks, tuple(grisms), unused)


def is_looked_at(exposure: Exposure, settings: TraceSettings) -> bool:
    """Tell whether spectra are looked at: always if that is asked for, else where their mission knows any."""
    known = any(facts_of(exposure).dispersers.values()) or any(chip.trace for chip in exposure.chips)
    return settings.spectra == "on" or known


def verified_with(verification: TraceVerification, survey: Survey) -> TraceVerification:
    """Return what the traces say of other corrections than those that they were measured with.

    Parameters
    ----------
    verification : TraceVerification
        What was measured.
    survey : Survey
        The exposures with the other corrections, which differ little.
    """
    checks, grisms = dict(verification.checks), []
    for found in verification.grisms:
        moved = [_rows_moved(survey, survey.exposures[key], found.models) for key in found.keys]
        offset = found.offsets.offset - np.array(moved) + found.moved
        after = replace(found, offsets=replace(found.offsets, offset=offset), moved=np.array(moved))
        checks |= _checks(after)
        grisms.append(after)
    return replace(verification, checks=checks, grisms=tuple(grisms))


def _measured_grism(survey: Survey, members: Sequence[Exposure], executor: Executor) -> GrismOffsets:
    """Return offsets of the exposures of one grism, and why some have none."""
    place = place_of_traces(survey, members, executor)
    models = place.models
    visits = {name: number for number, name in enumerate(dict.fromkeys(e.visit for e in members))}
    parts: list[TraceMeasurements] = []
    notes = {}
    numbered = {exposure.key: number for number, exposure in enumerate(members)}
    for exposure in members:
        found, why = place.measured.get(exposure.key, ([], ""))
        if exposure.key in place.displaced:
            notes[exposure.key] = _ELSEWHERE
        elif found:
            numbers = (numbered[exposure.key], visits[exposure.visit])
            parts += [_numbered(part, *numbers) for part in found]
        else:
            notes[exposure.key] = why or _why_none(exposure, models)
    measurements = TraceMeasurements.joined(parts)
    # models that were found have no name
    config = ", ".join(dict.fromkeys(model.name for model in models.values()))
    offsets = fit_offsets(measurements, len(members), "" if config else _field_of(models))
    moved = [_rows_moved(survey, exposure, models) for exposure in members]
    return GrismOffsets(tuple(numbered), offsets, np.array(moved), config, models, notes, place.displaced)


def _rows_moved(survey: Survey, exposure: Exposure, models: TracesByChip) -> float:
    """Return by how much the correction moved the traces of the first chip with a model."""
    transform = survey.solution[exposure.key].transform
    for chip in exposure.chips:
        model = models.get(chip.window.chip)
        if model is not None and transform is not None:
            return rows_moved(chip, transform, model, chip.window)
    return float("nan")


def _field_of(models: TracesByChip) -> str:
    """Return whether models know how traces differ over the chip."""
    known = (model.dy.shape[1] > 1 or model.tells_light for model in models.values())
    return "calibrated" if all(known) else "free"


def _why_none(exposure: Exposure, models: TracesByChip) -> str:
    if models or any(known_trace(exposure, chip) for chip in exposure.chips):
        return "no trace bright and isolated enough"
    return f"where {exposure.filter} has its traces is not known; give its configuration"


def _numbered(measured: TraceMeasurements, exposure: int, visit: int) -> TraceMeasurements:
    ones = np.ones(len(measured), np.int64)
    return replace(measured, exposure=exposure * ones, visit=visit * ones)


def _checks(found: GrismOffsets) -> dict[str, TraceCheck]:
    """Return the check of each exposure of a grism."""
    is_known = np.isfinite(found.offsets.offset)
    known = np.flatnonzero(is_known)
    contrast = np.eye(len(known)) if found.config else contrast_with_others(is_known)
    against = f"against {found.config}" if found.config else f"relative to {len(known) - 1} other exposures"
    checks = {
        key: TraceCheck.missing(found.notes.get(key, _LEFT_OUT if found.config or known.size > 1 else _ALONE))
        for key in found.keys
    }
    if len(contrast):
        after = contrast @ found.offsets.offset[known]
        before = contrast @ (found.offsets.offset + found.moved)[known]
        variance = np.diag(contrast @ found.offsets.covariance[np.ix_(known, known)] @ contrast.T)
        for place, number in enumerate(known.tolist()):
            error = max(float(np.sqrt(variance[place])), LEAST_ERROR)
            n_sources = int(found.offsets.n_sources[number])
            values = (float(before[place]), error, float(after[place]), error)
            checks[found.keys[number]] = TraceCheck(n_sources, *values, against)
    return checks
