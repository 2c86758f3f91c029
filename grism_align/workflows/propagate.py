"""Hand corrections to grism exposures, correct them by their spectra, and verify that on the traces."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.drift import learnt_errors
from grism_align.algorithms.propagation.propagate import propagate, with_error_retold
from grism_align.algorithms.spectra.shifts import FARTHEST
from grism_align.algorithms.traces.disagreements import common_offsets, with_disagreements
from grism_align.values.errors import SettingsError
from grism_align.values.failure import (
    FlaggedByHeaders,
    NotFoundBySpectra,
    OfDirect,
    Remark,
    TracesElsewhere,
    text_of,
)
from grism_align.values.settings import (
    GrismSettings,
    MotionSettings,
    PointingSettings,
    PropagationSettings,
    TraceSettings,
)
from grism_align.values.solution import AlignmentSolution, FitStatus
from grism_align.workflows.moving import left_out
from grism_align.workflows.traces.lost import find_by_spectra, was_found
from grism_align.workflows.traces.spectra import correct_by_spectra
from grism_align.workflows.traces.spectral_groups import lacks_spectra
from grism_align.workflows.traces.survey import Survey
from grism_align.workflows.traces.verify import verified_with, verify_traces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.algorithms.traces.verification import TraceVerification
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.solution import ExposureFit
    from grism_align.values.trace import SpectralCheck, TraceCheck


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PropagationChoices:
    """What handing corrections on goes by.

    Parameters
    ----------
    propagation : PropagationSettings
        What governs a grism exposure.
    pointing : PointingSettings
        How good dithers are.
    traces : TraceSettings
        Whether and how spectra are measured.
    motion : MotionSettings
        Whether exposures of moving targets and scans have corrections handed to them.
    """

    propagation: PropagationSettings
    pointing: PointingSettings
    traces: TraceSettings
    motion: MotionSettings


@dataclass(frozen=True, eq=False)
class PropagationOutcome:
    """What came of it.

    Parameters
    ----------
    solution : AlignmentSolution
        Corrections of the grism exposures.
    traces : mapping of str to TraceCheck
        Where traces lie, by exposure; empty where spectra weren't measured.
    spectra : mapping of str to SpectralCheck
        How they lie against those of other exposures; empty likewise.
    note : str
        How large drift and dither errors are, where that was learnt.
    """

    solution: AlignmentSolution
    traces: Mapping[str, TraceCheck] = field(default_factory=dict)
    spectra: Mapping[str, SpectralCheck] = field(default_factory=dict)
    note: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """For the record."""
        fits = self.solution.fits.values()
        return {"grisms": len(fits), "grisms_aligned": sum(fit.is_aligned for fit in fits)}


def propagate_corrections(
    exposures: ExposureSet, choices: PropagationChoices, executor: Executor
) -> PropagationOutcome:
    """Give every grism exposure the total correction of the direct exposures that govern it.

    Parameters
    ----------
    exposures : ExposureSet
        With the corrections of the direct exposures; source catalogs too where spectra are measured.
    choices : PropagationChoices
        The parameters.
    executor : Executor
        Measures the spectra.

    Raises
    ------
    SettingsError
        If spectra are to be measured and there are no source catalogs.
    InputError
        If a configuration or the pixels of an exposure can't be read.
    """
    if choices.traces.spectra == "on" and not exposures.catalogs:
        name, allowed = "spectra", "no source catalogs to predict them from; run grism_source_catalog"
        raise SettingsError(name, choices.traces.spectra, allowed)
    aligned = exposures.relative.then(exposures.absolute)
    settings, note = _errors(exposures, choices)
    out = left_out(exposures.grisms, choices.motion)
    taken = [grism for grism in exposures.grisms if grism.key not in out]
    solution = propagate(taken, exposures.direct, aligned, settings, exposures.relative)
    solution = _with_remarks(exposures, solution, out)
    outcome = PropagationOutcome(solution, note=note)
    if choices.traces.spectra != "off" and exposures.catalogs:
        survey = Survey.of(exposures, solution, choices.traces)
        outcome = replace(_by_spectra(survey, settings, executor), note=note)
    governed = [fit.governed for fit in outcome.solution.fits.values() if fit.governed]
    named = sum(one.rule == "association" for one in governed)
    if named and settings.propagation.method != PropagationSettings.method:
        logger.warning("the association names what governs %d grism exposures, not method", named)
    _tell(outcome.solution)
    return outcome


def _with_remarks(
    exposures: ExposureSet, solution: AlignmentSolution, out: Mapping[str, ExposureFit]
) -> AlignmentSolution:
    """Return the fits of all grism exposures: those left out too, and what their headers say of others."""
    fits: dict[str, ExposureFit] = {}
    for grism in exposures.grisms:
        fit = out.get(grism.key) or solution[grism.key]
        flags = grism.tracking.flags
        fits[grism.key] = fit.noted(FlaggedByHeaders(flags)) if flags else fit
    return AlignmentSolution(fits, solution.reference)


def _errors(exposures: ExposureSet, choices: PropagationChoices) -> tuple[GrismSettings, str]:
    """Tell how large drift and dither errors are, as given or learnt, and a note on that."""
    given = GrismSettings(choices.propagation, choices.pointing)
    if not choices.propagation.learn_errors:
        return given, ""
    found = learnt_errors(exposures.exposures, exposures.relative, given)
    drift, dither = 1e3 * found.propagation.drift_error, 1e3 * found.pointing.dither_error
    note = f"drift of {drift:.2g} mas, dithers good to {dither:.2g} mas"
    if any(each.tracking.guiding.drift_share == 1 for each in exposures.exposures):
        note += f", drift on gyros of {found.pointing.gyro_drift:.2g} arcsec/h"
    return found, note


def _by_spectra(survey: Survey, settings: GrismSettings, executor: Executor) -> PropagationOutcome:
    """Correct grism exposures by their spectra, and verify that on the traces."""
    found = verify_traces(survey, executor)
    outcome = correct_by_spectra(survey, found.grisms, settings, executor)
    corrected = replace(survey, solution=outcome.solution)
    looked_for = find_by_spectra(corrected, found.grisms, executor)
    settled = [key for key, fit in looked_for.items() if not fit.says(NotFoundBySpectra)]
    checks = {key: each for key, each in outcome.checks.items() if key not in settled}
    fits = {
        key: _doubted(fit, survey.exposures[key])
        for key, fit in {**outcome.solution.fits, **looked_for}.items()
    }
    solution = AlignmentSolution(fits, outcome.solution.reference)
    if any(was_found(fit) for fit in fits.values()):
        found = verify_traces(replace(survey, solution=solution), executor)
    else:
        found = verified_with(found, replace(corrected, solution=solution))
    significance = survey.settings.trace_significance
    _tell_of_corrections(checks)
    _tell_of_traces(found, common_offsets(found, significance))
    solution = with_disagreements(solution, found, significance)
    return PropagationOutcome(solution, found.checks, checks)


def _doubted(fit: ExposureFit, exposure: Exposure) -> ExposureFit:
    """Return a fit that spectra deny with a claim of no less than within what they would have been seen.

    Nor of less than its traces lie off from those of others.
    """
    if not lacks_spectra(fit) or fit.transform is None:
        return fit
    covariance = np.array(fit.transform.covariance)
    rows = [each.rows for each in fit.remarks if isinstance(each, TracesElsewhere)]
    covariance[[0, 1], [0, 1]] += (max([FARTHEST, *rows]) * exposure.pixel_scale) ** 2
    transform = replace(fit.transform, covariance=covariance)
    doubted = replace(fit, status=FitStatus.PRIOR_ONLY, transform=transform)
    return with_error_retold(doubted, exposure)


def _tell_of_corrections(checks: Mapping[str, SpectralCheck]) -> None:
    """Say how many exposures their spectra moved, by how much, and how good that made them."""
    measured = [check for check in checks.values() if check.is_measured]
    if measured:
        along, across = np.abs([check.moved_px for check in measured]).max(axis=0)
        error = np.max([check.moved_error for check in measured])
        logger.info(
            "%d grism exposures measured by their spectra: moved by at most %.3f px along and %.3f px across "
            "the dispersion, to an error of at most %.3f px",
            len(measured),
            along,
            across,
            error,
        )


def _tell_of_traces(found: TraceVerification, common: Sequence[str]) -> None:
    """Say how well the traces agree, which could not be verified, and what is wrong with configurations."""
    measured = {key: check for key, check in found.checks.items() if check.is_measured}
    if measured:
        rms = np.sqrt(np.mean([check.after_px**2 for check in measured.values()]))
        logger.info("Traces of %d grism exposures lie off by %.3f px rms", len(measured), rms)
    for name in found.unused:
        logger.warning("%s is not used: it is for no grism here, or not for all of its chips", name)
    for text in common:
        logger.warning("%s", text)
    for key, check in found.checks.items():
        if not check.is_measured:
            logger.warning("%s: spectra not verified, %s", key, check.note)


def _tell(solution: AlignmentSolution) -> None:
    """Warn of what is wrong, once for all exposures of which it is."""
    said: dict[str, list[str]] = {}
    for key, fit in solution.fits.items():
        if fit.remarks or not fit.is_aligned:
            said.setdefault(f"{fit.status.value} {text_of(_of_all(fit))}", []).append(key)
    for text, keys in said.items():
        logger.warning("%s: %s", ", ".join(keys), text)


def _of_all(fit: ExposureFit) -> tuple[Remark, ...]:
    """Return the remarks of a fit, without the name of the exposure that the first is said of."""
    match fit.remarks:
        case (OfDirect(remarks=own), *others):
            return (*own, *others)
    return fit.remarks
