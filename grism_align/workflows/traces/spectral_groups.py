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


# Exposures that share templates: memory and the time of a solution grow with their number. One that would be
# alone may come on top.
_MOST_TOGETHER = 16
# Of the field of an exposure, that one of the others has to see for spectra to be compared: few in common say
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
    pixels : tuple
        Windows and shapes of its chips.
    frame : int
        Of its correction.
    plane : TangentPlane
        Of its correction.
    axes : (2, 2) ndarray, arcsec
        One pixel along and one across the dispersion, in the plane.
    corners : (C, 4, 2) ndarray, deg
        Of its chips, corrected.
    """

    exposure: Exposure
    pixels: tuple[object, ...]
    frame: int
    plane: TangentPlane
    axes: NDArray[np.float64]
    corners: NDArray[np.float64]

    @classmethod
    def of(cls, survey: Survey, exposure: Exposure) -> _View:
        """Look at an exposure with its correction."""
        transform = survey.transform(exposure)
        corners = np.array([chip.wcs.footprint() for chip in exposure.chips])
        return cls(
            exposure,
            tuple((chip.window, chip.shape) for chip in exposure.chips),
            survey.solution[exposure.key].frame,
            transform.plane,
            pixel_axes(exposure, transform),
            transform.apply_to_sky(corners.reshape(-1, 2)).reshape(corners.shape),
        )

    @property
    def angle(self) -> float:
        """The position angle of the dispersion, deg."""
        east, north = self.axes[:, 0]
        return float(np.degrees(np.arctan2(north, east)))

    def share(self, other: _View) -> float:
        """Return the share of the field, chip by chip, that another with these pixels and this roll sees."""
        own, theirs = (self._boxes(each.corners) for each in (self, other))
        low, high = np.maximum(own[0], theirs[0]), np.minimum(own[1], theirs[1])
        area = (own[1] - own[0]).prod(axis=1).sum()
        return float(np.clip(high - low, 0.0, None).prod(axis=1).sum() / area)

    def _boxes(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the least and largest coordinates of chips, (2, C, 2), in pixels of this exposure."""
        place = self.plane.to_plane(corners.reshape(-1, 2))
        pixels = np.linalg.solve(self.axes, place.T).T.reshape(corners.shape)
        return np.array([pixels.min(axis=1), pixels.max(axis=1)])


def _alike(seen: Sequence[_View]) -> list[list[_View]]:
    """Put together what is of one frame and roll, has the same pixels and shares a field.

    Each joins the group of the exposure that it shares most of its field with. One that would be alone joins
    a group that is full.
    """
    group = np.full(len(seen), -1)
    middle = np.array([sky_to_vector(each.corners.reshape(-1, 2)).mean(axis=0) for each in seen])
    angle, frame = np.array([[each.angle, each.frame] for each in seen]).reshape(-1, 2).T

    def nearest(at: int, asked: NDArray[np.bool_]) -> int | None:
        turn = (angle - angle[at] + 180.0) % 360.0 - 180.0
        near = np.abs(middle - middle[at]).max(axis=1) < _NEAR
        rows = np.flatnonzero(asked & near & (np.abs(turn) < ONE_ROLL) & (frame == frame[at])).tolist()
        shares = {row: seen[row].share(seen[at]) for row in rows if seen[row].pixels == seen[at].pixels}
        best = max(shares, key=shares.__getitem__, default=None)
        return None if best is None or shares[best] <= _SHARED else best

    for at in range(len(seen)):
        is_placed = group >= 0
        sizes = np.bincount(group[is_placed], minlength=len(seen))
        found = nearest(at, is_placed & (sizes[group] < _MOST_TOGETHER))
        group[at] = group.max() + 1 if found is None else group[found]
    for at in range(len(seen)):
        others = group != group[at]
        if others.sum() == len(seen) - 1:
            found = nearest(at, others)
            group[at] = group[at] if found is None else group[found]
    return [[seen[row] for row in np.flatnonzero(group == each).tolist()] for each in np.unique(group)]


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
