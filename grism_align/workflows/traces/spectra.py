"""Move grism exposures to where their spectra and the direct exposures together say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.drift import FACTORS, posterior, with_sizes
from grism_align.algorithms.propagation.propagate import with_error_retold
from grism_align.algorithms.propagation.propagation_error import open_errors, own_variances, variances_of
from grism_align.algorithms.spectra.combine import (
    GroupPrior,
    Levels,
    PixelOffsets,
    averaged,
    combine,
    in_pixels,
    log_evidence,
    pixel_axes,
    shifted,
    slices_of,
)
from grism_align.values.failure import (
    FoundElsewhere,
    LentByAcquisition,
    OtherGuideStars,
    SameGuideStars,
    SpectraMissing,
    TracesElsewhere,
    WcsChanged,
    WcsDoubted,
)
from grism_align.values.solution import AlignmentSolution, FitStatus
from grism_align.values.trace import SpectralCheck
from grism_align.workflows.traces.spectral_comparison import UNKNOWN, compare_spectra
from grism_align.workflows.traces.spectral_groups import groups_of, is_lost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.traces.verification import GrismOffsets
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.failure import Remark
    from grism_align.values.settings import GrismSettings
    from grism_align.values.solution import ExposureFit
    from grism_align.workflows.traces.spectral_comparison import MeasuredGroup
    from grism_align.workflows.traces.spectral_groups import SpectralGroup
    from grism_align.workflows.traces.survey import Survey, ViewJob


# Sigma, and pixels, that spectra have to lie off from where all others and direct exposures put them, for the
# direct exposures to count no more.
_CONTRADICTED, _FAR_OFF = 8.0, 0.3
# What makes a grism exposure PRIOR_ONLY that its spectra can't settle.
_TOLD = 0.25  # of the variance of an unmeasured direct exposure: more than spectra that tell both axes leave
_NOT_BY_SPECTRA = (WcsChanged, WcsDoubted, SameGuideStars, OtherGuideStars)
_UNLIKE, _TOO_FEW = "spectra are unlike those of the others", "too few spectra are bright enough"
_ALONE = "no other exposure of its grism and roll sees a third of its field"
# Sizes of drift and dither errors that are as much less likely than the likeliest don't count.
_LEAST_LIKELY = 1e-3
# Across a trace that rises by less than a pixel an exposure sees one phase of the pixels. Where the image of
# a point is smaller than this, wavelength by diameter in pixels, its profile then can't be told from an
# offset: by as many pixels.
_UNDERSAMPLED, _ONE_PHASE = 0.9, 0.015


@dataclass(frozen=True, eq=False)
class SpectraOutcome:
    """Corrections of grism exposures, changed by what spectra say, and what these say by exposure."""

    solution: AlignmentSolution
    checks: Mapping[str, SpectralCheck]


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
    displaced = {key: TracesElsewhere(rows) for found in grisms for key, rows in found.displaced.items()}
    survey = replace(survey, solution=_noted(survey.solution, displaced))
    by_grism = [list(groups_of(survey, found)) for found in grisms]
    compared, unlike = compare_spectra([group for groups in by_grism for group in groups], executor)
    measured = iter(compared)
    variances = own_variances(survey.exposures.direct, survey.exposures.relative)
    radius = settings.propagation.pairing_radius
    told = []
    for found, groups in zip(grisms, by_grism, strict=True):
        alike = [_told(survey, group, one) for group, one in islice(measured, len(groups)) if one is not None]
        if alike:
            told.append(_Grism(found, alike, list(_linked(survey, alike, variances, radius))))
    relative = survey.exposures.relative.fits
    unmeasured = {
        key: variance for key, variance in variances.items() if relative[key].status is FitStatus.PRIOR_ONLY
    }
    solution = _noted(survey.solution, unlike)
    fits, checks = dict(solution.fits), {}
    for number, each in enumerate(_combined(told, settings)):
        for key, (fit, check) in _corrected(survey, each, unmeasured).items():
            fits[key], checks[key] = fit, replace(check, group=number)
    notes = {key: found.notes[key] for found in grisms for key in found.displaced}
    notes |= dict.fromkeys(unlike, _UNLIKE) | dict.fromkeys(_alone(survey, grisms, by_grism), _ALONE)
    for number, (key, note) in enumerate(notes.items(), len(checks)):
        checks[key] = replace(SpectralCheck.missing(note), group=number)
    return SpectraOutcome(AlignmentSolution(fits, solution.reference), checks)


def _alone(
    survey: Survey, grisms: Sequence[GrismOffsets], by_grism: Sequence[Sequence[SpectralGroup]]
) -> Iterator[str]:
    """Yield exposures that no other one of their grism, of which there are some, is compared with."""
    for found, groups in zip(grisms, by_grism, strict=True):
        grouped = {key for group in groups for key in group.keys}
        if found.models and len(found.keys) > 1:
            for key in found.keys:
                if key not in grouped and not is_lost(survey, survey.exposures[key]):
                    yield key


def _noted(solution: AlignmentSolution, remarks: Mapping[str, Remark]) -> AlignmentSolution:
    """Return corrections with what is remarked of some."""
    noted = {key: solution[key].noted(remark) for key, remark in remarks.items()}
    return AlignmentSolution({**solution.fits, **noted}, solution.reference)


@dataclass(frozen=True, eq=False)
class _Told:
    """What spectra tell of a group.

    Parameters
    ----------
    group : SpectralGroup
        The exposures.
    measured : MeasuredGroup
        Their offsets.
    told : PixelOffsets
        Those less what changes over the detector.
    axes : (N, 2, 2) ndarray, arcsec
        One pixel along and one across the dispersion on the sky.
    """

    group: SpectralGroup
    measured: MeasuredGroup
    told: PixelOffsets
    axes: NDArray[np.float64]

    @property
    def is_usable(self) -> NDArray[np.bool_]:
        """Exposures, (N,), that show the spectra."""
        return self.measured.is_usable


def _told(survey: Survey, group: SpectralGroup, measured: MeasuredGroup) -> _Told:
    expected, spread = group.gradient.of(measured.places)
    unknown = np.diag(np.repeat(np.where(measured.is_usable, 0.0, UNKNOWN**2), 2))
    unknown[1::2, 1::2] += np.diag([_ONE_PHASE**2 * _is_undersampled(job) for job in group.jobs])
    told = PixelOffsets(measured.offsets.offset - expected, measured.offsets.covariance + spread + unknown)
    members = [job.exposure for job in group.jobs]
    axes = np.array([pixel_axes(each, survey.transform(each)) for each in members])
    return _Told(group, measured, told, axes)


@dataclass(frozen=True, eq=False)
class _Linked:
    """Groups whose pointings are linked, and what direct exposures leave open of their N exposures.

    Parameters
    ----------
    groups : tuple of int
        Their numbers.
    left_open : (4, 2N, 2N) ndarray
        As the parts of `OpenErrors`, in pixels.
    """

    groups: tuple[int, ...]
    left_open: NDArray[np.float64]


def _linked(
    survey: Survey, told: Sequence[_Told], variances: Mapping[str, float], radius: float
) -> Iterator[_Linked]:
    """Put groups together that have acquisitions in common, their own or those of who governs them.

    What drift has in common beyond an acquisition is left out: it is that of differences within one.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    # Nodes are the groups, and after them the acquisitions
    numbers: dict[tuple[str, str], int] = {}
    every = survey.exposures.exposures
    node = {
        each.key: len(told) + numbers.setdefault((each.visit, each.group), len(numbers)) for each in every
    }
    links = [
        (group, node[key])
        for group, one in enumerate(told)
        for grism in one.group.keys
        for key in (grism, *survey.solution[grism].governors)
    ]
    size = len(told) + len(numbers)
    graph = csr_array((np.ones(len(links)), np.transpose(links)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1].tolist()
    near: dict[int, list[Exposure]] = defaultdict(list)
    for each in every:
        near[labels[node[each.key]]].append(each)
    linked: dict[int, list[int]] = defaultdict(list)
    for group, label in enumerate(labels[: len(told)]):
        linked[label].append(group)
    for label, groups in linked.items():
        members = [job.exposure for group in groups for job in told[group].group.jobs]
        left_open = open_errors(members, survey.solution, near[label], variances, radius)
        axes = np.concatenate([told[group].axes for group in groups])
        yield _Linked(tuple(groups), np.array([in_pixels(part, axes) for part in left_open.parts]))


@dataclass(frozen=True, eq=False)
class _Grism:
    """What spectra of a grism tell, group by group, and in how far direct exposures leave it open.

    Parameters
    ----------
    traces : GrismOffsets
        Where its traces lie.
    told : sequence of _Told
        What the spectra of each group tell.
    linked : sequence of _Linked
        What direct exposures leave open; each group is in one.
    displaced : frozenset of str
        Exposures of which direct exposures tell nothing, as spectra contradict them.
    """

    traces: GrismOffsets
    told: Sequence[_Told]
    linked: Sequence[_Linked]
    displaced: frozenset[str] = frozenset()

    def log_evidence(self, sizes: Sequence[GrismSettings]) -> NDArray[np.float64]:
        """Return the log probability of what spectra tell, (K,), with K sizes of drift and dither errors."""
        variances = np.array([variances_of(each) for each in sizes])
        total = np.zeros(len(sizes))
        for linked in self.linked:
            for group, own in self._parted(linked):
                one = self.told[group]
                priors = np.tensordot(variances, linked.left_open[:, own, own], 1) + self._unknown([group])
                total += log_evidence(one.told, priors)
        return total

    def combined(self, sizes: Sequence[tuple[float, GrismSettings]]) -> list[_Combined]:
        """Return what is known of each group, averaged over sizes of drift and dither errors."""
        measured, levels = [one.told for one in self.told], _levels(self)
        probabilities = [probability for probability, _ in sizes]
        variances = np.array([variances_of(settings) for _, settings in sizes])
        estimates = (combine(measured, levels, self._priors(each)) for each in variances)
        offsets = averaged(estimates, probabilities)
        found: dict[int, _Combined] = {}
        for linked, prior in zip(self.linked, self._priors(probabilities @ variances), strict=True):
            for group, own in self._parted(linked):
                one = self.told[group]
                found[group] = _Combined(one, offsets[group], prior.covariance[own, own], self.displaced)
        return [found[group] for group in range(len(self.told))]

    def _priors(self, variances: NDArray[np.float64]) -> list[GroupPrior]:
        """Return what is known before any spectrum is seen, for the variances of the parts."""
        return [
            GroupPrior(each.groups, np.tensordot(variances, each.left_open, 1) + self._unknown(each.groups))
            for each in self.linked
        ]

    def _unknown(self, groups: Sequence[int]) -> NDArray[np.float64]:
        """Return the covariance of exposures of which direct ones tell nothing, (2N, 2N) of groups."""
        unknown = [key in self.displaced for group in groups for key in self.told[group].group.keys]
        return np.diag(np.repeat(np.where(unknown, UNKNOWN**2, 0.0), 2))

    def _parted(self, linked: _Linked) -> Iterator[tuple[int, slice]]:
        """Yield groups and where their offsets are among those of all of a set."""
        sizes = (2 * len(self.told[group].axes) for group in linked.groups)
        yield from zip(linked.groups, slices_of(sizes), strict=True)


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
    def witnesses(self) -> tuple[str, ...]:
        """Exposures that direct exposures put where their spectra are."""
        keys = zip(self.told.group.keys, self.told.is_usable, strict=True)
        return tuple(key for key, usable in keys if usable and key not in self.displaced)

    def is_tied_to_measured(self, survey: Survey) -> bool:
        """Tell whether a measured direct exposure puts one of the exposures where its spectra are."""
        return any(survey.solution[key].status is not FitStatus.PRIOR_ONLY for key in self.witnesses)


def _combined(grisms: Sequence[_Grism], settings: GrismSettings) -> list[_Combined]:
    """Return what is known of each group, exposures that are displaced found one after the other."""
    while True:
        sizes = _sizes(grisms, settings)
        found = [grism.combined(sizes) for grism in grisms]
        displaced = [frozenset().union(*(each.contradicted for each in groups)) for groups in found]
        if not any(displaced):
            return [each for groups in found for each in groups]
        grisms = [
            replace(grism, displaced=grism.displaced | more)
            for grism, more in zip(grisms, displaced, strict=True)
        ]


def _is_undersampled(job: ViewJob) -> bool:
    """Tell whether too few places of the profile across a trace are seen to know it."""
    middle = 0.5 * np.array(job.exposure.chips[0].shape)
    rises = [float(np.ptp(model.offsets(middle)[1])) for model in job.models.values()]
    return job.exposure.resolution < _UNDERSAMPLED and max(rises, default=0.0) < 1.0


def _sizes(grisms: Sequence[_Grism], given: GrismSettings) -> list[tuple[float, GrismSettings]]:
    """Return how large drift and the errors of dithers may be, with the probabilities that spectra tell."""
    if not (grisms and given.propagation.learn_errors and given.propagation.drift_error > 0):
        return [(1.0, given)]
    tried = [[with_sizes(given, drift, dither) for dither in FACTORS] for drift in FACTORS]
    each = [settings for row in tried for settings in row]
    told = np.sum([grism.log_evidence(each) for grism in grisms], axis=0)
    weights = posterior(told.reshape(len(FACTORS), len(FACTORS)))
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


def _corrected(
    survey: Survey, combined: _Combined, unmeasured: Mapping[str, float]
) -> dict[str, tuple[ExposureFit, SpectralCheck]]:
    """Return fits that put spectra where they were found, and what the spectra say."""
    one, offsets, left, errors = combined.told, combined.offsets, combined.left, combined.left_error
    found = {}
    for number, key in enumerate(one.group.keys):
        fit = survey.solution[key]
        if not one.is_usable[number]:
            note = _UNLIKE if one.measured.is_told[number] else _TOO_FEW
            found[key] = fit, SpectralCheck.missing(note)
            continue
        if key in combined.displaced and not combined.witnesses:
            # Nothing tells which of them is displaced
            missing = SpectraMissing(float(one.measured.offsets.strength[number]))
            found[key] = fit.noted(missing), SpectralCheck.missing(_UNLIKE)
            continue
        pair = slice(2 * number, 2 * number + 2)
        covariance = offsets.covariance[pair, pair]
        exposure = one.group.jobs[number].exposure
        before = survey.transform(exposure)
        moved = shifted(
            before, one.axes[number], offsets.offset[number], covariance, _told_anew(fit, unmeasured)
        )
        n_sources = int(one.measured.offsets.n_sources[number])
        if key in combined.displaced:
            shift = float(np.hypot(*(one.axes[number] @ offsets.offset[number])))
            fit = fit.noted(FoundElsewhere(n_sources, len(combined.witnesses), shift))
        check = SpectralCheck(
            n_sources=n_sources,
            moved_px=_pair(offsets.offset[number]),
            moved_error=_pair(np.sqrt(np.diag(covariance))),
            left_px=_pair(left[number]),
            left_error=_pair(errors[number]),
            pieces=one.measured.pieces[number],
        )
        left_of_it = float(np.linalg.eigvalsh(one.axes[number] @ covariance @ one.axes[number].T)[-1])
        if left_of_it < _TOLD * _of_unmeasured(fit, unmeasured) and combined.is_tied_to_measured(survey):
            fit = _as_measured(fit, unmeasured)
        found[key] = with_error_retold(replace(fit, transform=moved), exposure), check
    return found


def _told_anew(fit: ExposureFit, unmeasured: Mapping[str, float]) -> float:
    """Return the variance of a correction that spectra take the place of, arcsec^2 of one axis.

    It is that of handing the correction on, and that of direct exposures that were not measured themselves.
    """
    if fit.governed is None:
        return 0.0
    return (1e-3 * fit.governed.propagation_error) ** 2 + _of_unmeasured(fit, unmeasured)


def _of_unmeasured(fit: ExposureFit, unmeasured: Mapping[str, float]) -> float:
    """Return what direct exposures that were not measured add to a variance, arcsec^2 of one axis."""
    if fit.governed is None:
        return 0.0
    shares = zip(fit.governed.exposures, fit.governed.weights, strict=True)
    return sum(weight * unmeasured.get(key, 0.0) for key, weight in shares)


def _as_measured(fit: ExposureFit, unmeasured: Mapping[str, float]) -> ExposureFit:
    """Return a fit that was as good as its acquisition alone, as spectra now have told it."""
    lent = [each.exposure for each in fit.remarks if isinstance(each, LentByAcquisition)]
    if not lent or not set(lent) <= set(unmeasured) or fit.says(*_NOT_BY_SPECTRA):
        return fit
    kept = tuple(each for each in fit.remarks if not isinstance(each, LentByAcquisition))
    return replace(fit, status=FitStatus.ALIGNED, remarks=kept)


def _pair(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
