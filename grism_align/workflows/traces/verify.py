"""Verify corrections on the traces of spectra, one exposure's pixels at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial.polynomial import polysub, polyval

from grism_align.algorithms.traces.correction import rows_moved
from grism_align.algorithms.traces.cutouts import GrismImage
from grism_align.algorithms.traces.model import NO_TRACE, find_trace, measure_chip
from grism_align.algorithms.traces.offsets import (
    LEAST_ERROR,
    TraceMeasurements,
    contrast_with_others,
    fit_offsets,
)
from grism_align.algorithms.traces.sources import frame_sources
from grism_align.algorithms.traces.views import chip_view
from grism_align.io.grism_configs import model_for, read_trace_configs
from grism_align.io.missions import facts_of
from grism_align.values.settings import DetectionSettings
from grism_align.values.trace import TraceCheck
from grism_align.workflows.keeping import Measurement
from grism_align.workflows.pixels import read_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from grism_align.algorithms.traces.sources import TraceSources
    from grism_align.algorithms.traces.views import ChipView
    from grism_align.io.grism_configs import TraceModels
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import TraceSettings
    from grism_align.values.solution import AlignmentSolution, ExposureFit
    from grism_align.values.trace import CoarseTrace, TraceModel
    from grism_align.values.transform import LinearTransform

    #: Models of a grism by chip of the detector.
    TracesByChip = Mapping[int, TraceModel]

from grism_align.algorithms.traces.verification import GrismOffsets, TraceVerification

# More than sources in a frame, so that each has a number of its own in all frames.
_FRAME = 10_000_000

_NOTHING: tuple[list[TraceMeasurements], str] = [], ""
_ALONE = "no other exposure of the grism, nor a configuration"
_ELSEWHERE = f"{NO_TRACE} of where the others have it"
# Places where exposures of a grism have their traces: more are not looked for.
_MOST_PLACES = 4
_FARTHEST = 1.5  # pixels, of the error that a correction claims: spectra are looked for within thrice that
_LEFT_OUT = "no trace that agrees with those of other sources and exposures"


@dataclass(frozen=True, eq=False)
class Survey:
    """What measuring exposures needs: sources by frame."""

    exposures: ExposureSet
    solution: AlignmentSolution
    settings: TraceSettings
    models: TraceModels
    sources: Mapping[int, TraceSources]

    @classmethod
    def of(cls, exposures: ExposureSet, solution: AlignmentSolution, settings: TraceSettings) -> Survey:
        """Read the configurations, and gather the sources of the frames.

        Raises
        ------
        InputError
            If a configuration can't be read.
        """
        models = read_trace_configs(settings.trace_config)
        fits = [fit for exposure in exposures.grisms if (fit := _fit_of(solution, exposure))]
        sources = {frame: frame_sources(exposures, frame) for frame in {fit.frame for fit in fits}}
        return cls(exposures, solution, settings, models, sources)

    def transform(self, exposure: Exposure) -> LinearTransform:
        """Return the correction of an exposure that has one."""
        transform = self.solution[exposure.key].transform
        assert transform is not None
        return transform

    def is_uncertain(self, exposure: Exposure) -> bool:
        """Tell whether the spectra of an exposure may lie far off, by the error that is claimed."""
        error = self.transform(exposure).at(exposure.plane).axis_error
        return not error < _FARTHEST * exposure.pixel_scale

    def job(self, exposure: Exposure, models: TracesByChip | None = None) -> ViewJob:
        """Return what measuring one exposure needs, with the models of its grism."""
        fit = self.solution[exposure.key]
        return ViewJob(
            exposure,
            fit,
            self.settings,
            self.sources[fit.frame],
            _band(self.exposures, fit),
            _good_bits(self.exposures, fit),
            own_models(exposure, models or {}),
        )


@dataclass(frozen=True, eq=False)
class ViewJob:
    """What measuring one exposure needs, wherever that is done.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    fit : ExposureFit
        Its correction.
    settings : TraceSettings
        The parameters.
    sources : TraceSources
        Those of its frame.
    band : str
        Filter of the direct exposures whose correction it has.
    good_bits : int
        DQ bits of usable pixels.
    models : mapping of int to TraceModel
        By chip of the detector.
    """

    exposure: Exposure
    fit: ExposureFit
    settings: TraceSettings
    sources: TraceSources
    band: str
    good_bits: int
    models: TracesByChip = field(default_factory=dict)

    @property
    def transform(self) -> LinearTransform:
        """The correction of an exposure that has one."""
        assert self.fit.transform is not None
        return self.fit.transform


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
    used = {model for members in groups.values() for model in _configurations(survey, members)}
    for members in groups.values():
        aligned = tuple(exposure for exposure in members if _fit_of(solution, exposure))
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


def _configurations(survey: Survey, members: Sequence[Exposure]) -> list[TraceModel]:
    """Return the configurations that are used for a grism: none where one of its chips has none."""
    named = named_models(survey, members)
    used = (model_for(survey.models, members[0].filter, chip) for chip in named)
    return [model for model in used if model is not None] if all(named.values()) else []


def _fit_of(solution: AlignmentSolution, exposure: Exposure) -> ExposureFit | None:
    """Return the fit of an exposure that has a correction."""
    fit = solution.fits.get(exposure.key)
    return fit if fit is not None and fit.is_aligned else None


def _measured_grism(survey: Survey, members: Sequence[Exposure], executor: Executor) -> GrismOffsets:
    """Return offsets of the exposures of one grism, and why some have none."""
    named = named_models(survey, members)
    models = {chip: model for chip, model in named.items() if model is not None}
    absolute = len(models) == len(named)
    detectors = {} if absolute else _by_detector(sorted(members, key=survey.is_uncertain))
    if not absolute:
        models = {
            chip: model for part in detectors.values() for chip, model in _models_of(survey, part).items()
        }
    place = _Place(models, _measured(survey, members, models, executor))
    for chips, part in detectors.items():
        place = place.updated(chips, _believed(survey, part, place, executor))
    models, displaced = place.models, place.displaced
    visits = {name: number for number, name in enumerate(dict.fromkeys(e.visit for e in members))}
    parts: list[TraceMeasurements] = []
    notes = {}
    numbered = {exposure.key: number for number, exposure in enumerate(members)}
    for exposure in members:
        found, why = place.measured.get(exposure.key, _NOTHING)
        if exposure.key in displaced:
            notes[exposure.key] = _ELSEWHERE
        elif found:
            numbers = (numbered[exposure.key], visits[exposure.visit])
            parts += [_numbered(part, *numbers) for part in found]
        else:
            notes[exposure.key] = why or _why_none(exposure, models)
    measurements = TraceMeasurements.joined(parts)
    offsets = fit_offsets(measurements, len(members), "" if absolute else _field_of(models))
    names = ", ".join(dict.fromkeys(model.name for model in models.values())) if absolute else ""
    moved = [_rows_moved(survey, exposure, models) for exposure in members]
    return GrismOffsets(tuple(numbered), offsets, np.array(moved), names, models, notes, displaced)


@dataclass(frozen=True, eq=False)
class _Place:
    """Where traces of a grism may lie.

    `measured`: what the traces of exposures say if they lie there, or why they say nothing.
    `displaced`: exposures that have theirs elsewhere, and how far off, pixels.
    """

    models: dict[int, TraceModel]
    measured: dict[str, tuple[list[TraceMeasurements], str]]
    displaced: dict[str, float] = field(default_factory=dict)

    @property
    def denied(self) -> frozenset[str]:
        """The exposures that show no trace there on a chip whose sources are bright enough."""
        return frozenset(key for key, (_, why) in self.measured.items() if NO_TRACE in why)

    @property
    def told(self) -> frozenset[str]:
        """The exposures that show traces there, if only on some of their chips."""
        return frozenset(key for key, (found, _) in self.measured.items() if found)

    @property
    def shown(self) -> frozenset[str]:
        """The exposures that show their traces there on all chips."""
        return self.told - self.denied

    def votes(self, keys: frozenset[str]) -> int:
        """Return on how many chips those of some exposures are that show their traces there."""
        return sum(len(self.measured[key][0]) for key in self.shown & keys)

    def updated(self, chips: frozenset[int], other: _Place) -> _Place:
        """Return the place with what is known of the exposures of one detector, which has these chips."""
        rest = {chip: model for chip, model in self.models.items() if chip not in chips}
        displaced = self.displaced | other.displaced
        return _Place(rest | other.models, self.measured | other.measured, displaced)

    def apart(self, other: _Place) -> float:
        """Return how far apart traces lie, by these models and others, pixels."""
        both = [(model, other.models[chip]) for chip, model in self.models.items() if chip in other.models]
        apart = [polyval(np.mean(one.span), polysub(one.curve, two.curve)) for one, two in both]
        return float(np.max(np.abs(apart), initial=0.0))


def _believed(survey: Survey, members: Sequence[Exposure], first: _Place, executor: Executor) -> _Place:
    """Return where most exposures of a detector have their traces, and which are displaced from there.

    Without a configuration it is exposures that tell where traces lie, and the one asked first may be
    displaced. Those that show none there are asked in their turn. Exposures that may be far off by what they
    claim come last: they are asked only where no other shows a trace, and none is displaced by them.
    """
    keys = frozenset(each.key for each in members)
    sure = frozenset(each.key for each in members if not survey.is_uncertain(each))
    places, left = [first], members
    while len(places) < _MOST_PLACES:
        asked = sure if places[-1].votes(sure) else keys
        # the first of them has told where, or can't
        left = [each for each in left[1:] if each.key in places[-1].denied & asked]
        if not left:
            break
        models = _models_of(survey, left)
        places.append(_Place(models, _measured(survey, members, models, executor)))
    # of as many, the first
    main = max(places, key=lambda place: (place.votes(sure), place.votes(keys)))
    shown = main.shown & sure
    if not shown:
        return main
    off = {key: place.apart(main) for place in places for key in (place.told & sure) - main.told}
    if len(off) >= len(shown):
        off |= dict.fromkeys(shown, max(off.values()))
    return replace(main, displaced=off)


def _by_detector(members: Sequence[Exposure]) -> dict[frozenset[int], list[Exposure]]:
    """Return exposures by the chips that they have, together where they have one in common."""
    parts: dict[frozenset[int], list[Exposure]] = {}
    for exposure in members:
        chips = frozenset(chip.window.chip for chip in exposure.chips)
        alike = [other for other in parts if chips & other]
        before = [each for other in alike for each in parts.pop(other)]
        parts[chips.union(*alike)] = [*before, exposure]
    return parts


def _measured(
    survey: Survey, members: Sequence[Exposure], models: TracesByChip, executor: Executor
) -> dict[str, tuple[list[TraceMeasurements], str]]:
    """Return what the traces of exposures say, or why they say nothing; empty without a model."""
    jobs = {each.key: survey.job(each, models) for each in members} if models else {}
    return dict(zip(jobs, executor.map(_MEASUREMENT, jobs, "Verifying"), strict=True)) if jobs else {}


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


def known_trace(exposure: Exposure, chip: Chip) -> CoarseTrace | None:
    """Return where the traces of an exposure's grism lie: as itself tells, else as its mission does."""
    return chip.trace or facts_of(exposure).dispersers.get(exposure.filter)


def own_models(exposure: Exposure, models: TracesByChip) -> TracesByChip:
    """Return models of a grism as they are for one exposure, which may tell the traces of its own."""
    found = dict(models)
    for chip in exposure.chips:
        model = models.get(chip.window.chip)
        if model is not None and chip.trace is not None and not model.name:
            found[chip.window.chip] = replace(chip.trace.model, curve=model.curve)
    return found


def _numbered(measured: TraceMeasurements, exposure: int, visit: int) -> TraceMeasurements:
    ones = np.ones(len(measured), np.int64)
    return replace(measured, exposure=exposure * ones, visit=visit * ones)


def _models_of(survey: Survey, members: Sequence[Exposure]) -> dict[int, TraceModel]:
    """Return a grism's models by chip, as found on the first exposures."""
    chips = {chip.window.chip for exposure in members for chip in exposure.chips}
    models: dict[int, TraceModel] = {}
    for exposure in members:
        known = {chip.window.chip: known_trace(exposure, chip) for chip in exposure.chips}
        if not any(known.values()):
            continue
        for image, view in views(survey.job(exposure)):
            chip = view.window.chip
            coarse = None if chip in models else known[chip]
            model = None if coarse is None else find_trace(image, view, coarse)
            if model is not None:
                models[chip] = model
        if len(models) == len(chips):
            break
    return models


def named_models(survey: Survey, members: Sequence[Exposure]) -> dict[int, TraceModel | None]:
    """Return a grism's models by chip; None where there is no configuration."""
    chips = {chip.window.chip: chip for exposure in members for chip in exposure.chips}
    named = {number: model_for(survey.models, members[0].filter, number) for number in sorted(chips)}
    return {number: model and _turned(model, chips[number]) for number, model in named.items()}


def _turned(model: TraceModel, chip: Chip) -> TraceModel | None:
    """Return a model by pixels with the dispersion along rows; None if it has it across."""
    if not chip.along_columns:
        return model
    if model.origin.any():
        return None  # aXe's, which are of dispersion along rows
    turned = model.transposed()
    along, across = (offsets[0] for offsets in turned.offsets([0.5 * np.array(chip.shape)]))
    return turned if np.ptp(along) > np.ptp(across) else None


def _measure_exposure(job: ViewJob) -> tuple[list[TraceMeasurements], str]:
    """Return what the chips of an exposure say, and why some say nothing."""
    parts, reasons = [], []
    for image, view in views(job):
        chip = view.window.chip
        if chip in job.models:
            found, reason = measure_chip(image, view, job.models[chip], job.settings)
            reasons += [reason] if reason else []
            if found is not None:
                ones = np.ones(len(found), np.int64)
                source = found.source + _FRAME * job.fit.frame
                parts.append(replace(found, source=source, chip=chip * ones))
    return parts, "; ".join(dict.fromkeys(reasons))


_MEASUREMENT = Measurement("traces", _measure_exposure, (TraceMeasurements,))


def views(job: ViewJob) -> Iterator[tuple[GrismImage, ChipView]]:
    """Yield image and sources of each chip of an exposure, one at a time, with the dispersion along rows."""
    if job.fit.transform is not None:
        for chip, image in images(job):
            yield image, view_of(job, chip, job.fit.transform)


def images(job: ViewJob) -> Iterator[tuple[Chip, GrismImage]]:
    """Yield the chips of an exposure and their pixels, one at a time, with the dispersion along rows."""
    for chip, pixels in read_pixels(job.exposure):
        image = GrismImage.of(pixels.sci, pixels.err, pixels.dq, job.good_bits)
        yield chip, image.transposed() if chip.along_columns else image


def view_of(job: ViewJob, chip: Chip, transform: LinearTransform) -> ChipView:
    """Return the sources of a chip as a correction puts them, with the dispersion along rows."""
    view = replace(chip_view(chip, transform, job.sources, job.settings), band=job.band)
    return view.transposed() if chip.along_columns else view


def _band(exposures: ExposureSet, fit: ExposureFit) -> str:
    """Return the filter of the direct exposures whose correction an exposure has."""
    filters = {direct.key: direct.filter for direct in exposures.direct}
    return next((filters[key] for key in fit.governors if key in filters), "")


def _good_bits(exposures: ExposureSet, fit: ExposureFit) -> int:
    """Return DQ bits of usable pixels: those that the direct exposures were measured with."""
    for key in (*fit.governors, *exposures.catalogs):
        if key in exposures.catalogs:
            meta = exposures.catalogs[key].table.meta.get("settings", {})
            return int(meta.get("good_bits", DetectionSettings.good_bits))
    return DetectionSettings.good_bits


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
