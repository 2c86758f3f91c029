"""Measure grism exposures against each other by their spectra, those of one grism and roll together."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.drift import FACTORS, posterior, with_sizes
from grism_align.algorithms.propagation.propagate import with_error_retold
from grism_align.algorithms.propagation.propagation_error import open_errors, own_variances
from grism_align.algorithms.spectra.combine import (
    Levels,
    PixelOffsets,
    averaged,
    combine,
    in_pixels,
    log_evidence,
    pixel_axes,
    shifted,
)
from grism_align.algorithms.spectra.field import FieldGradient, field_gradient
from grism_align.algorithms.spectra.offsets import SpectralOffsets, measure_offsets
from grism_align.algorithms.spectra.pieces import telling_pieces
from grism_align.values.failure import FoundElsewhere, SpectraMissing
from grism_align.values.solution import AlignmentSolution
from grism_align.values.sphere import ARCSEC_PER_RADIAN
from grism_align.values.trace import SpectralCheck, SpectrumPiece
from grism_align.workflows.keeping import Measurement
from grism_align.workflows.traces.cutting import cut_near
from grism_align.workflows.traces.verify import known_trace

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.propagation.propagation_error import OpenErrors
    from grism_align.algorithms.spectra.shifts import ExpectedStretch
    from grism_align.algorithms.traces.verification import GrismOffsets
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.settings import GrismSettings
    from grism_align.values.solution import ExposureFit
    from grism_align.values.transform import LinearTransform
    from grism_align.workflows.traces.verify import Survey, ViewJob


logger = logging.getLogger(__name__)

# Exposures that share templates: memory and the time of a solution grow with their number.
_MOST_TOGETHER = 16
#: Angles of the dispersion that differ by less are one roll, deg.
ONE_ROLL = 0.1
_FARTHEST = 1.5  # pixels, of the error that a correction claims: spectra are looked for within thrice that
#: Pixels: offset of an exposure that doesn't show the spectra.
UNKNOWN = 10.0
# Factors by which spectra of an exposure may be stronger or weaker than those of the others, and their edges
# and lines weaker: trailed ones are, and those of another field or at another place.
_STRENGTH, _LIKENESS = 1.4, 1.7
_LEAST_RATIO = 1e-3  # that is told from none
_FEWEST = 5  # bright spectra by which an exposure is told not to have those of the others
_PAIR = 1.5  # limits of unlikeness by which two exposures have to exceed it, as either may be the wrong one
# Sigma, and pixels, that spectra have to lie off from where they and direct exposures together put them, for
# the direct exposures to count no more.
_CONTRADICTED, _FAR_OFF = 8.0, 0.3
_UNLIKE, _TOO_FEW = "spectra are unlike those of the others", "too few spectra are bright enough"
# Sizes of drift and dither errors that are as much less likely than the likeliest don't count.
_LEAST_LIKELY = 1e-3
# Across a trace that rises by less than a pixel an exposure sees one phase of the pixels. Where the image of
# a point is smaller than this, wavelength by diameter in pixels, its profile then can't be told from an
# offset: by as many pixels.
_UNDERSAMPLED, _ONE_PHASE = 0.9, 0.015
#: Of the noise that tells which part of the information isn't real.
SEED = 20_261_129


@dataclass(frozen=True, eq=False)
class SpectraOutcome:
    """Corrections of grism exposures, changed by what spectra say, and what these say by exposure."""

    solution: AlignmentSolution
    checks: Mapping[str, SpectralCheck]


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


@dataclass(frozen=True, eq=False)
class _Measured:
    """Offsets of a group's exposures, and how far sources have moved over the detector, (N, 2) pixels.

    `pieces`: of spectra, by exposure.
    """

    offsets: SpectralOffsets
    places: NDArray[np.float64]
    pieces: Sequence[tuple[SpectrumPiece, ...]]


def correct_by_spectra(
    survey: Survey, grisms: Sequence[GrismOffsets], settings: GrismSettings, executor: Executor
) -> SpectraOutcome:
    """Move grism exposures to where their spectra and the direct exposures say.

    Parameters
    ----------
    survey : Survey
        The exposures with the corrections that direct exposures gave, and the sources.
    grisms : sequence of GrismOffsets
        Where the traces of each grism lie.
    settings : GrismSettings
        How large drift and the errors of dithers are.
    executor : Executor
        Measures the groups.

    Returns
    -------
    SpectraOutcome

    Raises
    ------
    InputError
        If the pixels of an exposure can't be read.
    """
    by_grism = [list(groups_of(survey, found)) for found in grisms]
    compared, missing = _compared([group for groups in by_grism for group in groups], executor)
    measured = iter(compared)
    variances = own_variances(survey.exposures.direct, survey.exposures.relative)
    radius = settings.propagation.pairing_radius
    told = []
    for found, groups in zip(grisms, by_grism, strict=True):
        alike = [_told(survey, group, one) for group, one in islice(measured, len(groups)) if one is not None]
        if alike:
            members = [job.exposure for one in alike for job in one.group.jobs]
            left_open = open_errors(members, survey.solution, survey.exposures.exposures, variances, radius)
            told.append(_Grism(found, alike, left_open))
    fits, checks = dict(survey.solution.fits), {}
    for number, each in enumerate(_combined(told, settings)):
        for key, (fit, check) in _corrected(survey, each).items():
            fits[key], checks[key] = fit, replace(check, group=number)
    for number, (key, remark) in enumerate(missing.items(), len(checks)):
        fits[key] = fits[key].noted(remark)
        checks[key] = replace(SpectralCheck.missing(_UNLIKE), group=number)
    return SpectraOutcome(AlignmentSolution(fits, survey.solution.reference), checks)


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


def shows_spectra(strength: float) -> bool:
    """Tell whether spectra that are so strong, in units of others', are those that should be there."""
    return bool(_oddness(np.array(strength), np.array(np.nan)) < 1.0)


def _oddness(strength: NDArray[np.float64], likeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how unlike others spectra are, in units of what is not believed; NaN without a strength."""
    stronger, weaker = (np.log(np.maximum(each, _LEAST_RATIO)) for each in (strength, likeness))
    by_strength = np.abs(stronger) / np.log(_STRENGTH)
    by_likeness = np.nan_to_num(-weaker / np.log(_LIKENESS))
    return np.asarray(np.maximum(by_strength, by_likeness))


def _gradient(found: GrismOffsets, chip: Chip) -> FieldGradient:
    model = found.models.get(chip.window.chip) or next(iter(found.models.values()))
    shape, window = chip.shape, chip.window
    if chip.along_columns:
        shape, window = shape[::-1], window.transposed()
    return field_gradient(model, window, shape, found.offsets.gradient, found.offsets.gradient_covariance)


def is_lost(survey: Survey, exposure: Exposure) -> bool:
    """Tell whether the spectra of an exposure lie elsewhere than they are predicted, or may lie far off."""
    fit = survey.solution[exposure.key]
    error = _transform(fit).at(exposure.plane).axis_error
    return lacks_spectra(fit) or not error < _FARTHEST * exposure.pixel_scale


def lacks_spectra(fit: ExposureFit) -> bool:
    """Tell whether the spectra of an exposure are not where its correction puts them."""
    return any(isinstance(each, SpectraMissing) for each in fit.remarks)


def _angle(survey: Survey, exposure: Exposure) -> float:
    """Return the position angle of the dispersion, deg."""
    east, north = pixel_axes(exposure, _transform(survey.solution[exposure.key]))[:, 0]
    return float(np.degrees(np.arctan2(north, east)))


def _measured(group: SpectralGroup) -> _Measured | None:
    """Solve for the offsets of exposures from their spectra."""
    cut, moved = cut_near(group.jobs, group.zeroth, group.n_spectra)
    try:
        offsets = measure_offsets(cut.spectra, cut.places, group.stretch, np.random.default_rng(SEED))
    except np.linalg.LinAlgError as error:
        logger.warning("%s: spectra can't be compared (%s)", ", ".join(group.keys), error)
        return None
    if offsets is None:
        return None
    pieces = telling_pieces(cut.spectra, offsets.offset)
    total = offsets.offset + moved - moved.mean(axis=0)
    return _Measured(replace(offsets, offset=total), cut.places, pieces)


_MEASUREMENT = Measurement("spectra", _measured, (_Measured, SpectralOffsets, SpectrumPiece))


def _compared(
    groups: Sequence[SpectralGroup], executor: Executor
) -> tuple[list[tuple[SpectralGroup, _Measured | None]], dict[str, SpectraMissing]]:
    """Measure groups without the exposures that don't show their spectra, and tell which these are.

    Spectra of another place lead those astray that they are compared with: without the exposures that are
    most unlike the others, a group is measured again.
    """
    compared = list(zip(groups, _measured_groups(groups, executor), strict=True))
    missing: dict[str, SpectraMissing] = {}
    while True:
        unlike = {number: found for number, one in enumerate(compared) if (found := _unlike(*one))}
        if not unlike:
            return compared, missing
        missing.update(each for found in unlike.values() for each in found.items())
        left = [compared[number][0].without(found) for number, found in unlike.items()]
        for number, group, one in zip(unlike, left, _measured_groups(left, executor), strict=True):
            compared[number] = group, one


def _measured_groups(groups: Sequence[SpectralGroup], executor: Executor) -> list[_Measured | None]:
    named = {", ".join(group.keys): group for group in groups if len(group.jobs) > 1}
    found = dict(zip(named, executor.map(_MEASUREMENT, named, "Measuring the spectra of"), strict=True))
    return [found.get(", ".join(group.keys)) for group in groups]


def _unlike(group: SpectralGroup, measured: _Measured | None) -> dict[str, SpectraMissing]:
    """Return the exposures that are most unlike the others, if any are.

    Of two that are unlike each other, either may be the one that doesn't show the spectra.
    """
    if measured is None:
        return {}
    offsets = measured.offsets
    odd = _oddness(offsets.strength, offsets.likeness)
    is_told = np.isfinite(odd) & (offsets.n_bright >= _FEWEST)
    most = np.max(odd[is_told], initial=0.0)
    if np.isfinite(odd).sum() > 2:
        is_unlike = is_told & (odd > max(1.0, 0.5 * most))
    else:
        is_unlike = np.isfinite(odd) & (most > _PAIR)
    return {
        group.keys[number]: SpectraMissing(float(offsets.strength[number]))
        for number in np.flatnonzero(is_unlike)
    }


@dataclass(frozen=True, eq=False)
class _Told:
    """What spectra tell of a group.

    Parameters
    ----------
    group : SpectralGroup
        The exposures.
    measured : _Measured
        Their offsets.
    told : PixelOffsets
        Those less what changes over the detector.
    is_usable : (N,) ndarray of bool
        Exposures that show the spectra.
    axes : (N, 2, 2) ndarray, arcsec
        One pixel along and one across the dispersion on the sky.
    """

    group: SpectralGroup
    measured: _Measured
    told: PixelOffsets
    is_usable: NDArray[np.bool_]
    axes: NDArray[np.float64]


def _told(survey: Survey, group: SpectralGroup, measured: _Measured) -> _Told:
    expected, spread = group.gradient.of(measured.places)
    odd = _oddness(measured.offsets.strength, measured.offsets.likeness)
    is_usable = odd < (1.0 if np.isfinite(odd).sum() > 2 else _PAIR)
    if is_usable.sum() < 2:
        is_usable = np.zeros_like(is_usable)
    unknown = np.diag(np.repeat(np.where(is_usable, 0.0, UNKNOWN**2), 2))
    unknown[1::2, 1::2] += np.diag([_ONE_PHASE**2 * _is_undersampled(job) for job in group.jobs])
    told = PixelOffsets(measured.offsets.offset - expected, measured.offsets.covariance + spread + unknown)
    members = [job.exposure for job in group.jobs]
    axes = np.array([pixel_axes(each, _transform(survey.solution[each.key])) for each in members])
    return _Told(group, measured, told, is_usable, axes)


@dataclass(frozen=True, eq=False)
class _Grism:
    """What spectra of a grism tell, group by group, and in how far direct exposures leave it open.

    Parameters
    ----------
    traces : GrismOffsets
        Where its traces lie.
    told : sequence of _Told
        What the spectra of each group tell.
    left_open : OpenErrors
        What direct exposures leave open of the exposures of all groups.
    displaced : frozenset of str
        Exposures of which direct exposures tell nothing, as spectra contradict them.
    """

    traces: GrismOffsets
    told: Sequence[_Told]
    left_open: OpenErrors
    displaced: frozenset[str] = frozenset()

    def prior(self, settings: GrismSettings) -> NDArray[np.float64]:
        """Return the covariance of the offsets before any spectrum is seen, (2N, 2N) pixels^2."""
        axes = np.concatenate([one.axes for one in self.told])
        unknown = [key in self.displaced for one in self.told for key in one.group.keys]
        return in_pixels(self.left_open.covariance(settings), axes) + np.diag(
            np.repeat(np.where(unknown, UNKNOWN**2, 0.0), 2)
        )

    def log_evidence(self, settings: GrismSettings) -> float:
        """Return the log probability of what spectra tell."""
        prior, total, first = self.prior(settings), 0.0, 0
        for one in self.told:
            own = slice(first, first + 2 * len(one.axes))
            total += log_evidence(one.told, prior[own, own])
            first = own.stop
        return total

    def combined(self, sizes: Sequence[tuple[float, GrismSettings]]) -> list[PixelOffsets]:
        """Return the offsets of the exposures by group, averaged over sizes of drift and dither errors."""
        measured, levels = [one.told for one in self.told], _levels(self)
        estimates = [combine(measured, levels, self.prior(settings)) for _, settings in sizes]
        return averaged(estimates, [probability for probability, _ in sizes])


@dataclass(frozen=True, eq=False)
class _Combined:
    """What spectra and direct exposures together tell of a group, and of what exposures spectra alone."""

    told: _Told
    offsets: PixelOffsets
    prior: NDArray[np.float64]
    displaced: frozenset[str]

    @property
    def left(self) -> NDArray[np.float64]:
        """How far spectra lie off from there, (N, 2) pixels."""
        one = self.told
        left = one.told.offset - one.told.offset.mean(axis=0) - self.offsets.offset
        common = left[one.is_usable].mean(axis=0) if one.is_usable.any() else 0.0
        return np.asarray(left - common)

    @property
    def left_error(self) -> NDArray[np.float64]:
        """The error of that by the spectra's, (N, 2) pixels."""
        return np.asarray(np.sqrt(np.diag(self.told.told.covariance)).reshape(-1, 2))

    @property
    def contradicted(self) -> frozenset[str]:
        """The exposure that lies farthest from where all others have it, if too far; of two, both."""
        keys = self.told.group.keys
        asked = self.told.is_usable & np.array([key not in self.displaced for key in keys])
        n = len(keys)
        total = self.prior + self.told.told.covariance + np.kron(np.full((n, n), UNKNOWN**2), np.eye(2))
        inverse = np.linalg.inv(total)
        # Residuals of each from what is told of it without it
        weight = np.diag(inverse).reshape(-1, 2)
        pulled = np.abs(inverse @ self.told.told.offset.ravel()).reshape(-1, 2)
        by_axis = np.where(pulled > _FAR_OFF * weight, pulled / np.sqrt(weight), 0.0)
        pulls = np.where(asked, by_axis.max(axis=1), 0.0)
        if pulls.max() < _CONTRADICTED or asked.sum() < 2:
            return frozenset()
        if asked.sum() == 2:
            return frozenset(key for key, one in zip(keys, asked, strict=True) if one)
        return frozenset([keys[int(pulls.argmax())]])

    @property
    def witnesses(self) -> int:
        """Exposures that direct exposures put where their spectra are."""
        keys = self.told.group.keys
        usable = zip(keys, self.told.is_usable, strict=True)
        return sum(bool(one) and key not in self.displaced for key, one in usable)


def _each_combined(grism: _Grism, sizes: Sequence[tuple[float, GrismSettings]]) -> list[_Combined]:
    prior = sum(probability * grism.prior(settings) for probability, settings in sizes)
    found, first = [], 0
    for one, offsets in zip(grism.told, grism.combined(sizes), strict=True):
        own = slice(first, first + 2 * len(one.axes))
        found.append(_Combined(one, offsets, np.asarray(prior)[own, own], grism.displaced))
        first = own.stop
    return found


def _combined(grisms: Sequence[_Grism], settings: GrismSettings) -> list[_Combined]:
    """Return what is known of each group, exposures that are displaced found one after the other."""
    while True:
        sizes = _sizes(grisms, settings)
        found = [_each_combined(grism, sizes) for grism in grisms]
        displaced = [frozenset().union(*(each.contradicted for each in groups)) for groups in found]
        if not any(displaced):
            return [each for groups in found for each in groups]
        grisms = [
            replace(grism, displaced=grism.displaced | more)
            for grism, more in zip(grisms, displaced, strict=True)
        ]


def _is_undersampled(job: ViewJob) -> bool:
    """Tell whether too few places of the profile across a trace are seen to know it."""
    exposure = job.exposure
    size = exposure.wavelength / exposure.telescope.diameter * ARCSEC_PER_RADIAN / exposure.pixel_scale
    middle = 0.5 * np.array(exposure.chips[0].shape)
    rises = [float(np.ptp(model.offsets(middle)[1])) for model in job.models.values()]
    return size < _UNDERSAMPLED and max(rises, default=0.0) < 1.0


def _transform(fit: ExposureFit) -> LinearTransform:
    assert fit.transform is not None  # only exposures with a correction are surveyed
    return fit.transform


def _sizes(grisms: Sequence[_Grism], given: GrismSettings) -> list[tuple[float, GrismSettings]]:
    """Return how large drift and the errors of dithers may be, with the probabilities that spectra tell."""
    if not (grisms and given.propagation.learn_errors and given.propagation.drift_error > 0):
        return [(1.0, given)]
    tried = [[with_sizes(given, drift, dither) for dither in FACTORS] for drift in FACTORS]
    told = [[sum(grism.log_evidence(each) for grism in grisms) for each in row] for row in tried]
    weights = posterior(np.array(told))
    likely = np.argwhere(weights > _LEAST_LIKELY * weights.max()).tolist()
    total = sum(float(weights[i, j]) for i, j in likely)
    return [(float(weights[i, j]) / total, tried[i][j]) for i, j in likely]


def _levels(grism: _Grism) -> Levels:
    """Return how high traces lie in each group, by the exposures that show them."""
    told, traces, keys = grism.told, grism.traces.offsets, grism.traces.keys
    is_known = np.isfinite(traces.offset)
    covariance = np.where(np.outer(is_known, is_known), traces.covariance, 0.0)
    means, weights = np.zeros((len(told), len(keys))), []
    for mean, one in zip(means, told, strict=True):
        rows = np.array([keys.index(key) for key in one.group.keys])
        used = one.is_usable & is_known[rows]
        weights.append(used / max(used.sum(), 1))
        mean[rows] = weights[-1]
    height = means @ np.where(is_known, traces.offset, 0.0)
    return Levels(height, means @ covariance @ means.T, weights)


def _corrected(survey: Survey, combined: _Combined) -> dict[str, tuple[ExposureFit, SpectralCheck]]:
    """Return fits that put spectra where they were found, and what the spectra say."""
    one, offsets, left, errors = combined.told, combined.offsets, combined.left, combined.left_error
    found = {}
    for number, key in enumerate(one.group.keys):
        fit = survey.solution[key]
        if not one.is_usable[number]:
            is_told = one.measured.offsets.n_bright[number] >= _FEWEST
            found[key] = fit, SpectralCheck.missing(_UNLIKE if is_told else _TOO_FEW)
            continue
        if key in combined.displaced and not combined.witnesses:
            # Nothing tells which of them is displaced
            missing = SpectraMissing(float(one.measured.offsets.strength[number]))
            found[key] = fit.noted(missing), SpectralCheck.missing(_UNLIKE)
            continue
        pair = slice(2 * number, 2 * number + 2)
        covariance = offsets.covariance[pair, pair]
        replaced = (1e-3 * fit.governed.propagation_error) ** 2 if fit.governed else 0.0
        moved = shifted(_transform(fit), one.axes[number], offsets.offset[number], covariance, replaced)
        n_sources = int(one.measured.offsets.n_sources[number])
        if key in combined.displaced:
            shift = float(np.hypot(*(one.axes[number] @ offsets.offset[number])))
            fit = fit.noted(FoundElsewhere(n_sources, combined.witnesses, shift))
        check = SpectralCheck(
            n_sources=n_sources,
            moved_px=_pair(offsets.offset[number]),
            moved_error=_pair(np.sqrt(np.diag(covariance))),
            left_px=_pair(left[number]),
            left_error=_pair(errors[number]),
            pieces=one.measured.pieces[number],
        )
        exposure = one.group.jobs[number].exposure
        found[key] = with_error_retold(replace(fit, transform=moved), exposure), check
    return found


def _pair(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
