"""Group grism exposures that see the same spectra, and tell which may lie elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.spectra.combine import pixel_axes
from grism_align.algorithms.spectra.field import FieldGradient, field_gradient
from grism_align.values.failure import SpectraMissing, TracesElsewhere
from grism_align.workflows.traces.survey import known_trace

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from grism_align.algorithms.spectra.shifts import ExpectedStretch
    from grism_align.algorithms.traces.verification import GrismOffsets
    from grism_align.values.detector import DetectorWindow
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.solution import ExposureFit
    from grism_align.values.trace import TraceModel
    from grism_align.workflows.traces.survey import Survey, ViewJob


# Exposures that share templates: memory and the time of a solution grow with their number.
_MOST_TOGETHER = 16
#: Angles of the dispersion that differ by less are one roll, deg.
ONE_ROLL = 0.1
#: Remarks on exposures whose spectra are not where their correction puts them.
NOT_THERE = SpectraMissing, TracesElsewhere
_UNTOLD = 2.0  # pixels, by which traces may rise over a chip where they don't tell


@dataclass(frozen=True, eq=False)
class SpectralGroup:
    """Exposures that share templates, with what cutting their spectra and comparing them needs."""

    jobs: tuple[ViewJob, ...]
    n_spectra: int
    zeroth: tuple[float, float] | None
    gradient: FieldGradient
    stretch: ExpectedStretch

    @property
    def keys(self) -> tuple[str, ...]:
        """Of the exposures."""
        return tuple(job.exposure.key for job in self.jobs)

    @property
    def first(self) -> Exposure:
        """The first of the exposures."""
        return self.jobs[0].exposure

    @property
    def frame(self) -> int:
        """The relative frame of the exposures."""
        return self.jobs[0].fit.frame

    def without(self, keys: Container[str]) -> SpectralGroup:
        """Return the group without some of its exposures."""
        return replace(self, jobs=tuple(job for job in self.jobs if job.exposure.key not in keys))


def as_seen(jobs: Iterable[ViewJob], gradient: FieldGradient) -> tuple[ViewJob, ...]:
    """Return jobs whose models change over the detector by as much as traces were seen to."""
    return tuple(replace(job, models=dict(_models_seen(job, gradient))) for job in jobs)


def _models_seen(job: ViewJob, gradient: FieldGradient) -> Iterator[tuple[int, TraceModel]]:
    for chip in job.exposure.chips:
        model = job.models.get(chip.window.chip)
        if model is not None:
            yield chip.window.chip, gradient.as_seen(model)


def _along_rows(chip: Chip) -> tuple[DetectorWindow, tuple[int, int]]:
    """Return window and shape of a chip by pixels with the dispersion along rows."""
    if not chip.along_columns:
        return chip.window, chip.shape
    ny, nx = chip.shape
    return chip.window.transposed(), (nx, ny)


def groups_of(survey: Survey, found: GrismOffsets) -> Iterator[SpectralGroup]:
    """Yield exposures of a grism that see the same spectra: of one frame and roll."""
    if not found.models:
        return
    members = [survey.exposures[key] for key in found.keys if not is_lost(survey, survey.exposures[key])]
    members.sort(key=lambda each: each.start)
    alike: list[list[Exposure]] = []
    angles: list[float] = []
    for exposure in members:
        frame, angle = survey.solution[exposure.key].frame, _angle(survey, exposure)
        for group, angle_of_group in zip(alike, angles, strict=True):
            turn = (angle_of_group - angle + 180.0) % 360.0 - 180.0
            if (
                abs(turn) < ONE_ROLL
                and survey.solution[group[0].key].frame == frame
                and len(group) < _MOST_TOGETHER
            ):
                group.append(exposure)
                break
        else:
            alike.append([exposure])
            angles.append(angle)
    for group in alike:
        if len(group) > 1:
            jobs = tuple(survey.job(each, found.models) for each in group)
            coarse = known_trace(group[0], group[0].chips[0])
            zeroth, stretch = (coarse.zeroth, coarse.stretch) if coarse else (None, None)
            gradient = _gradient(found, group[0].chips[0])
            n_spectra = survey.settings.spectra_sources
            yield SpectralGroup(jobs, n_spectra, zeroth, gradient, gradient.stretch(stretch))


def is_lost(survey: Survey, exposure: Exposure) -> bool:
    """Tell whether the spectra of an exposure lie elsewhere than they are predicted, or may lie far off."""
    return lacks_spectra(survey.solution[exposure.key]) or survey.is_uncertain(exposure)


def lacks_spectra(fit: ExposureFit) -> bool:
    """Tell whether the spectra of an exposure are not where its correction puts them."""
    return fit.says(*NOT_THERE)


def _gradient(found: GrismOffsets, chip: Chip) -> FieldGradient:
    model = found.models.get(chip.window.chip) or next(iter(found.models.values()))
    offsets = found.offsets
    measured, covariance = offsets.gradient, offsets.gradient_covariance
    if not found.config and 2 * np.isfinite(offsets.offset).sum() < len(offsets.offset):
        # Those few may be the ones that are elsewhere
        measured, covariance = np.zeros(2), _UNTOLD**2 * np.eye(2)
    return field_gradient(model, *_along_rows(chip), measured, covariance)


def _angle(survey: Survey, exposure: Exposure) -> float:
    """Return the position angle of the dispersion, deg."""
    east, north = pixel_axes(exposure, survey.transform(exposure))[:, 0]
    return float(np.degrees(np.arctan2(north, east)))
