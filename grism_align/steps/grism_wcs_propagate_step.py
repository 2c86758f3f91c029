"""The step that hands the corrections of direct exposures to the grism exposures."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from grism_align.steps.base import GrismAlignStep
from grism_align.steps.spec import spec_of
from grism_align.values.errors import SettingsError
from grism_align.values.failure import OfDirect, Remark, text_of
from grism_align.values.settings import PointingSettings, PropagationSettings, Settings, TraceSettings
from grism_align.workflows.progress import track

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.algorithms.traces.verification import TraceVerification
    from grism_align.values.field import ExposureSet
    from grism_align.values.solution import AlignmentSolution, ExposureFit
    from grism_align.values.trace import TraceCheck

__all__ = ["GrismWCSPropagateStep"]

logger = logging.getLogger(__name__)


class GrismWCSPropagateStep(GrismAlignStep):
    """Give every grism exposure the correction of the direct exposure that governs it."""

    class_alias = "grism_wcs_propagate"
    step_name = "grism_wcs_propagate"
    groups: ClassVar[tuple[type[Settings], ...]] = (PropagationSettings, PointingSettings, TraceSettings)
    spec = spec_of(PropagationSettings, PointingSettings, TraceSettings)

    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Propagate the total corrections found so far."""
        from grism_align.algorithms.propagation.propagate import propagate

        if not exposures.relative.fits:
            name, allowed = "input", "no corrections on record; run grism_relative_align first"
            raise SettingsError(name, exposures.product, allowed)
        if not exposures.grisms:
            return self.skipped(exposures, "no grism exposure")
        aligned = exposures.relative.then(exposures.absolute)
        errors, note = self._errors(exposures)
        solution = propagate(exposures.grisms, exposures.direct, aligned, *errors, exposures.relative)
        solution, traces = self._on_traces(exposures, solution)
        governed = [fit.governed for fit in solution.fits.values() if fit.governed]
        named = sum(one.rule == "association" for one in governed)
        if named and self.method != PropagationSettings.method:
            logger.warning("the association names what governs %d grism exposures, not method", named)
        _tell(solution)
        counts = {
            "grisms": len(solution.fits),
            "grisms_aligned": sum(f.is_aligned for f in solution.fits.values()),
        }
        return self.done(exposures, note, counts=counts, grism=solution, traces=traces)

    def _errors(self, exposures: ExposureSet) -> tuple[tuple[PropagationSettings, PointingSettings], str]:
        """How large drift and dither errors are, as given or learnt, and a note on that."""
        from grism_align.algorithms.propagation.drift import learnt_errors

        given = self.settings(PropagationSettings), self.settings(PointingSettings)
        if not given[0].learn_errors:
            return given, ""
        found = learnt_errors(exposures.exposures, exposures.relative, *given)
        drift, dither = 1e3 * found[0].drift_error, 1e3 * found[1].dither_error
        note = f"drift of {drift:.2g} mas, dithers good to {dither:.2g} mas"
        logger.info("%s: %s", self.step_name, note)
        return found, note

    def check(self) -> None:
        """Know the grism configurations before any work."""
        super().check()
        settings = self.settings(TraceSettings)
        if settings.reads_traces and settings.trace_config:
            from grism_align.io.grism_configs import read_trace_configs

            read_trace_configs(settings.trace_config)

    def _on_traces(
        self, exposures: ExposureSet, solution: AlignmentSolution
    ) -> tuple[AlignmentSolution, Mapping[str, TraceCheck]]:
        """The corrections, changed where spectra show a drift and that was asked for; what spectra show."""
        settings = self.settings(TraceSettings)
        if not settings.reads_traces:
            return solution, {}
        if not exposures.catalogs:
            name, allowed = (
                "verify_traces",
                "no source catalogs to predict spectra from; run grism_source_catalog",
            )
            raise SettingsError(name, settings.verify_traces, allowed)
        from grism_align.algorithms.traces.disagreements import common_offsets, with_disagreements
        from grism_align.algorithms.traces.refine import refine_on_traces
        from grism_align.workflows.traces.verify import verify_traces

        refused: Mapping[str, Remark] = {}
        found = verify_traces(exposures, solution, settings, track)
        if settings.refine_grism:
            refined, refused = refine_on_traces(exposures, solution, found, settings)
            if any(refined[key] is not fit for key, fit in solution.fits.items()):
                solution, found = refined, verify_traces(exposures, refined, settings, track)
        significance = settings.refine_significance
        _tell_of_spectra(found, common_offsets(found, significance))
        return with_disagreements(solution, found, refused, significance), found.checks


def _tell_of_spectra(found: TraceVerification, common: Sequence[str]) -> None:
    """Say how well the spectra agree, which could not be verified, and what is wrong with configurations."""
    measured = {key: check for key, check in found.checks.items() if check.is_measured}
    if measured:
        rms = np.sqrt(np.mean([check.after_px**2 for check in measured.values()]))
        logger.info("Spectra of %d grism exposures lie off by %.3f px rms", len(measured), rms)
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
    """The remarks of a fit, without the name of the exposure that the first is said of."""
    match fit.remarks:
        case (OfDirect(remarks=own), *others):
            return (*own, *others)
    return fit.remarks
