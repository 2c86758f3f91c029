"""Group grism exposures that see the same spectra, and tell which may lie elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.spectra.combine import pixel_axes
from grism_align.algorithms.spectra.field import FieldGradient, field_gradient
from grism_align.values.failure import SpectraMissing, TracesElsewhere
from grism_align.values.sphere import sky_to_vector
from grism_align.workflows.traces.survey import known_trace

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.shifts import ExpectedStretch
    from grism_align.algorithms.traces.verification import GrismOffsets
    from grism_align.values.detector import DetectorWindow
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.solution import ExposureFit
    from grism_align.values.trace import TraceModel
    from grism_align.values.transform import TangentPlane
    from grism_align.workflows.traces.survey import Survey, ViewJob


# Exposures that share templates: memory and the time of a solution grow with their number.
_MOST_TOGETHER = 16
# Of the field of one exposure, that another has to see for their spectra to be compared: few in common say
# less of two exposures than the direct ones do.
_SHARED = 1 / 3
_NEAR = 0.01  # radian, between the middles of fields: more than any is wide
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
    """Yield exposures of a grism that see the same spectra: of one frame, roll and field."""
    if not found.models:
        return
    members = [survey.exposures[key] for key in found.keys if not is_lost(survey, survey.exposures[key])]
    members.sort(key=lambda each: each.start)
    for group in _alike([_View.of(survey, each) for each in members]):
        if len(group) > 1:
            jobs = tuple(survey.job(each.exposure, found.models) for each in group)
            first = group[0].exposure
            coarse = known_trace(first, first.chips[0])
            zeroth, stretch = (coarse.zeroth, coarse.stretch) if coarse else (None, None)
            gradient = _gradient(found, first.chips[0])
            n_spectra = survey.settings.spectra_sources
            yield SpectralGroup(jobs, n_spectra, zeroth, gradient, gradient.stretch(stretch))


@dataclass(frozen=True, eq=False)
class _View:
    """How an exposure lies on the sky.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    frame : int
        Of its correction.
    plane : TangentPlane
        Of its correction.
    axes : (2, 2) ndarray, arcsec
        One pixel along and one across the dispersion, in the plane.
    corners : (N, 2) ndarray, deg
        Of its chips, corrected.
    """

    exposure: Exposure
    frame: int
    plane: TangentPlane
    axes: NDArray[np.float64]
    corners: NDArray[np.float64]

    @classmethod
    def of(cls, survey: Survey, exposure: Exposure) -> _View:
        """Look at an exposure with its correction."""
        transform = survey.transform(exposure)
        corners = np.concatenate([chip.wcs.footprint() for chip in exposure.chips])
        return cls(
            exposure,
            survey.solution[exposure.key].frame,
            transform.plane,
            pixel_axes(exposure, transform),
            transform.apply_to_sky(corners),
        )

    @property
    def angle(self) -> float:
        """The position angle of the dispersion, deg."""
        east, north = self.axes[:, 0]
        return float(np.degrees(np.arctan2(north, east)))

    def shares_spectra(self, other: _View) -> bool:
        """Tell whether another of this frame and roll sees enough of the same field."""
        boxes = [self._box(self.corners), self._box(other.corners)]
        (low, high), (left, right) = boxes
        shared = np.clip(np.minimum(high, right) - np.maximum(low, left), 0.0, None).prod()
        return bool(shared > _SHARED * min(np.ptp(box, axis=0).prod() for box in boxes))

    def _box(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the least and largest coordinates of a field, (2, 2), in pixels of this exposure."""
        pixels = np.linalg.solve(self.axes, self.plane.to_plane(corners).T).T
        return np.array([pixels.min(axis=0), pixels.max(axis=0)])


def _alike(seen: Sequence[_View]) -> list[list[_View]]:
    """Put together what is of one frame and roll and shares the field of the first of a group."""
    groups: list[list[_View]] = []
    first = np.empty((len(seen), 5))
    looks = np.array([[*sky_to_vector(each.corners).mean(axis=0), each.angle, each.frame] for each in seen])
    for each, look in zip(seen, looks, strict=True):
        of_groups = first[: len(groups)]
        turn = (of_groups[:, 3] - look[3] + 180.0) % 360.0 - 180.0
        near = np.abs(of_groups[:, :3] - look[:3]).max(axis=1, initial=0.0) < _NEAR
        asked = near & (np.abs(turn) < ONE_ROLL) & (of_groups[:, 4] == look[4])
        for number in np.flatnonzero(asked):
            group = groups[number]
            if len(group) < _MOST_TOGETHER and group[0].shares_spectra(each):
                group.append(each)
                break
        else:
            first[len(groups)] = look
            groups.append([each])
    return groups


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
