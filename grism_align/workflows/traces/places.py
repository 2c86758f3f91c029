"""Where the traces of a grism lie: as configurations say, else where most of its exposures have them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial.polynomial import polysub, polyval

from grism_align.algorithms.traces.detection import NEAR
from grism_align.algorithms.traces.model import NO_TRACE, find_trace, measure_chip
from grism_align.algorithms.traces.offsets import TraceMeasurements
from grism_align.io.grism_configs import model_for
from grism_align.workflows.keeping import Measurement
from grism_align.workflows.traces.survey import known_trace, views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.trace import TraceModel
    from grism_align.workflows.traces.survey import Survey, TracesByChip, ViewJob

# More than sources in a frame, so that each has a number of its own in all frames.
_FRAME = 10_000_000
# Places where exposures of a grism have their traces: more are not looked for.
_MOST_PLACES = 4


def place_of_traces(survey: Survey, members: Sequence[Exposure], executor: Executor) -> TracePlace:
    """Return where the traces of a grism lie.

    Parameters
    ----------
    survey : Survey
        The exposures, their corrections, and the sources.
    members : sequence of Exposure
        Those of the grism that have a correction.
    executor : Executor
        Measures them.

    Raises
    ------
    InputError
        If the pixels of an exposure can't be read.
    """
    named = named_models(survey, members)
    models = {chip: model for chip, model in named.items() if model is not None}
    if len(models) == len(named):
        return TracePlace(models, _measured(survey, members, models, executor))
    detectors = _by_detector(sorted(members, key=survey.is_uncertain))
    models = {chip: model for part in detectors.values() for chip, model in _models_of(survey, part).items()}
    place = TracePlace(models, _measured(survey, members, models, executor))
    for chips, part in detectors.items():
        place = place.updated(chips, _believed(survey, part, place, executor))
    return place


@dataclass(frozen=True, eq=False)
class TracePlace:
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

    def updated(self, chips: frozenset[int], other: TracePlace) -> TracePlace:
        """Return the place with what is known of the exposures of one detector, which has these chips."""
        rest = {chip: model for chip, model in self.models.items() if chip not in chips}
        displaced = self.displaced | other.displaced
        return TracePlace(rest | other.models, self.measured | other.measured, displaced)

    def apart(self, other: TracePlace) -> float:
        """Return how far apart traces lie, by these models and others, pixels."""
        both = [(model, other.models[chip]) for chip, model in self.models.items() if chip in other.models]
        apart = [polyval(np.mean(one.span), polysub(one.curve, two.curve)) for one, two in both]
        return float(np.max(np.abs(apart), initial=0.0))


def _believed(
    survey: Survey, members: Sequence[Exposure], first: TracePlace, executor: Executor
) -> TracePlace:
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
        places.append(TracePlace(models, _measured(survey, members, models, executor)))
    # of as many, the first
    main = max(places, key=lambda place: (place.votes(sure), place.votes(keys)))
    shown = main.shown & sure
    if not shown:
        return main
    apart = {key: place.apart(main) for place in places for key in (place.told & sure) - main.told}
    # nearer ones are too faint to stand out by the curve of another exposure's, and no farther off than that
    off = {key: rows for key, rows in apart.items() if rows > NEAR}
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


def _measured(
    survey: Survey, members: Sequence[Exposure], models: TracesByChip, executor: Executor
) -> dict[str, tuple[list[TraceMeasurements], str]]:
    """Return what the traces of exposures say, or why they say nothing; empty without a model."""
    jobs = {each.key: survey.job(each, models) for each in members} if models else {}
    return dict(zip(jobs, executor.map(_MEASUREMENT, jobs, "Verifying"), strict=True)) if jobs else {}


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


def configurations(survey: Survey, members: Sequence[Exposure]) -> list[TraceModel]:
    """Return the configurations that are used for a grism: none where one of its chips has none."""
    named = named_models(survey, members)
    used = (model_for(survey.models, members[0].filter, chip) for chip in named)
    return [model for model in used if model is not None] if all(named.values()) else []
