"""Find grism exposures that no direct exposure governs, by the spectra that other visits have."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.propagate import with_error_retold
from grism_align.algorithms.spectra.combine import Levels, PixelOffsets, combine, pixel_axes
from grism_align.algorithms.spectra.cutouts import SpectralRange, cut_spectra
from grism_align.algorithms.spectra.finding import Correlation, predicted_light
from grism_align.algorithms.spectra.neighbours import OtherLight
from grism_align.algorithms.spectra.offsets import measure_offsets, reference_spectra
from grism_align.algorithms.spectra.pointing import Optics, Sighting, fit_pointing
from grism_align.algorithms.traces.offsets import TraceField, TraceOffsets
from grism_align.values.failure import BySpectra, NoDirectExposure, NoneCanLend, NotFoundBySpectra
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform, TangentPlane
from grism_align.workflows.keeping import Measurement
from grism_align.workflows.traces.cutting import cut_near
from grism_align.workflows.traces.spectra import SEED, UNKNOWN, SpectralGroup, groups_of, shows_spectra
from grism_align.workflows.traces.verify import images, is_looked_at, own_models, view_of, views

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.finding import Found
    from grism_align.algorithms.spectra.pointing import SpectralPointing
    from grism_align.algorithms.spectra.references import ReferenceSpectrum
    from grism_align.algorithms.traces.verification import GrismOffsets
    from grism_align.algorithms.traces.views import ChipView
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.workflows.traces.verify import Survey, ViewJob

logger = logging.getLogger(__name__)

# Rolls that are tried, deg: between them a spectrum at the edge of a chip moves by half a pixel or so.
_ROLLS = (0.0, -0.06, 0.06, -0.12, 0.12, -0.18, 0.18)
_SEARCHED = 3  # exposures of an acquisition that are looked through: they lie off alike
_BRIGHTEST = 150  # known spectra, the brightest first
_GROUPS = 2  # of exposures whose spectra are taken: the nearest
_PASSES = 3  # of cutting spectra out, each time nearer to where they are
_FEWEST = 5  # spectra that an exposure is found by
# Probability of chance that is believed, and by how much the peak has to exceed that of no sky.
_BELIEVED, _ABOVE = 1e-4, 1.5
_FARTHEST = 1.5  # pixels, of the error of an exposure that is found


@dataclass(frozen=True, eq=False)
class AcquisitionJob:
    """What finding the exposures of an acquisition needs.

    Parameters
    ----------
    jobs : tuple of ViewJob
        The exposures, with the correction to begin with.
    groups : tuple of SpectralGroup
        Exposures of other visits that have the same grism, and corrections.
    traces : TraceOffsets
        How traces lie over the chips.
    radius : float, arcsec
        By how much the acquisition may be off.
    """

    jobs: tuple[ViewJob, ...]
    groups: tuple[SpectralGroup, ...]
    traces: TraceOffsets
    radius: float


@dataclass(frozen=True, eq=False)
class FoundExposure:
    """Where one exposure was found: `transform` in the plane of its job; as in `SpectralPointing` else."""

    transform: LinearTransform
    n_seen: int
    n_used: int
    strength: float
    reduced_chi2: float


@dataclass(frozen=True, eq=False)
class FoundAcquisition:
    """Where the exposures of an acquisition were found, and how probably that is chance.

    `exposures` is empty, with the reason in `why`, where they weren't.
    """

    exposures: tuple[FoundExposure, ...]
    probability: float = 1.0
    why: str = ""


def find_by_spectra(
    survey: Survey, grisms: Sequence[GrismOffsets], executor: Executor
) -> dict[str, ExposureFit]:
    """Find exposures that no direct exposure governs by the spectra of those that have corrections.

    Parameters
    ----------
    survey : Survey
        The exposures with their corrections, and the sources.
    grisms : sequence of GrismOffsets
        Where the traces of each grism lie.
    executor : Executor
        Looks for the acquisitions.

    Returns
    -------
    dict of str to ExposureFit
        By exposure: the corrections of those that were found, and why others weren't.

    Raises
    ------
    InputError
        If the pixels of an exposure can't be read.
    """
    jobs = dict(_jobs(survey, grisms)) if survey.settings.spectra_search_radius else {}
    fits: dict[str, ExposureFit] = {}
    for job, found in zip(
        jobs.values(), executor.map(_MEASUREMENT, jobs, "Looking for the spectra of"), strict=True
    ):
        fits |= _fits(survey, job, found)
    return fits


def _jobs(survey: Survey, grisms: Sequence[GrismOffsets]) -> Iterator[tuple[str, AcquisitionJob]]:
    """Yield the acquisitions without a correction whose grism others have, by the names of the exposures."""
    alone = [each for each in survey.exposures.grisms if _is_alone(survey, each)]
    for found in grisms:
        like = survey.exposures[found.keys[0]]
        acquisitions: dict[tuple[str, str], list[Exposure]] = {}
        for exposure in alone:
            if _has_grism_of(exposure, like):
                acquisitions.setdefault((exposure.visit, exposure.group), []).append(exposure)
        groups = list(groups_of(survey, found)) if acquisitions else []
        for members in acquisitions.values():
            near = _nearest(groups, members[0])
            if near:
                job = AcquisitionJob(
                    tuple(_begun(survey, each, near[0], found) for each in members),
                    near,
                    found.offsets,
                    survey.settings.spectra_search_radius,
                )
                yield ", ".join(each.key for each in members), job


def _is_alone(survey: Survey, exposure: Exposure) -> bool:
    fit = survey.solution[exposure.key]
    lacks = any(isinstance(each, NoDirectExposure | NoneCanLend) for each in fit.remarks)
    return fit.status is FitStatus.FAILED and lacks and is_looked_at(exposure, survey.settings)


def _has_grism_of(exposure: Exposure, other: Exposure) -> bool:
    return (exposure.instrument, exposure.filter, exposure.blocking_filter) == (
        *(other.instrument, other.filter),
        other.blocking_filter,
    ) and {chip.window.ltm for chip in exposure.chips} == {chip.window.ltm for chip in other.chips}


def _nearest(groups: Sequence[SpectralGroup], exposure: Exposure) -> tuple[SpectralGroup, ...]:
    """Return the groups whose exposures lie nearest, of one frame."""

    def distance(group: SpectralGroup) -> float:
        there = group.jobs[0].exposure.plane
        return float(np.hypot(*exposure.plane.to_plane([there.ra, there.dec])))

    ordered = sorted(groups, key=distance)
    return tuple(each for each in ordered if each.frame == ordered[0].frame)[:_GROUPS]


def _begun(survey: Survey, exposure: Exposure, group: SpectralGroup, found: GrismOffsets) -> ViewJob:
    """Return what looking for an exposure needs, which begins where its headers put it."""
    known = group.jobs[0]
    assert known.fit.transform is not None  # of exposures with corrections alone
    fit = ExposureFit(
        FitStatus.ALIGNED, LinearTransform.identity(known.fit.transform.plane), frame=known.fit.frame
    )
    return replace(known, exposure=exposure, fit=fit, models=own_models(exposure, found.models))


def _found(job: AcquisitionJob) -> FoundAcquisition:
    """Look for the spectra of an acquisition, and measure where they are."""
    from scipy.linalg import block_diag

    known = _Known.of(job.groups)
    searched = _searched(job, known)
    if searched is None:
        return FoundAcquisition((), why="none of their sources' spectra is known")
    roll, peak = searched
    if peak.false_match_probability > _BELIEVED or peak.height < _ABOVE * peak.rival:
        why = f"the best place stands out by {peak.height:.1f} sigma, and chance by {peak.rival:.1f}"
        return FoundAcquisition((), peak.false_match_probability, why)
    jobs = [_moved(one, peak.lag.astype(float), roll) for one in job.jobs]
    for _ in range(_PASSES):
        sightings = list(_sightings(jobs, known))
        if not sightings:
            return FoundAcquisition((), why="none of their sources' spectra is known")
        fit = fit_pointing(sightings, _optics(jobs, job))
        jobs = [
            _moved(one, offset, -np.degrees(fit.roll)) for one, offset in zip(jobs, fit.offset, strict=True)
        ]
    told = _against_each_other(jobs, fit, job.groups[0])
    jobs = [_moved(one, offset, 0.0) for one, offset in zip(jobs, told.offset, strict=True)]
    fit = replace(fit, covariance=block_diag(told.covariance, fit.covariance[-1:, -1:]))
    exposures = _exposures(jobs, fit, [one.exposure for one in sightings])
    return FoundAcquisition(exposures, peak.false_match_probability)


_MEASUREMENT = Measurement(
    "spectra-found", _found, (FoundAcquisition, FoundExposure, LinearTransform, TangentPlane)
)


@dataclass(frozen=True, eq=False)
class _Known:
    """The brightest spectra by source and chip, and where their exposures see all sources, (N, 2)."""

    spectra: Mapping[tuple[int, int], ReferenceSpectrum]
    layouts: Mapping[tuple[int, int], NDArray[np.float64]]
    zeroth: tuple[float, float] | None

    @classmethod
    def of(cls, groups: Sequence[SpectralGroup]) -> _Known:
        """Make the templates of groups of exposures; of each spectrum that of the most exposures is taken."""
        found: dict[tuple[int, int], ReferenceSpectrum] = {}
        layouts: dict[tuple[int, int], NDArray[np.float64]] = {}
        for group in groups:
            cut, _ = cut_near(group.jobs, group.zeroth, group.n_spectra)
            rng = np.random.default_rng(SEED)
            first = group.jobs[0]
            seen = {chip.window.chip: _view(first, chip).xy for chip in first.exposure.chips}
            for one in reference_spectra(cut.spectra, cut.places, group.stretch, rng):
                other = found.get((one.source, one.order))
                if other is None or other.n_exposures < one.n_exposures:
                    found[one.source, one.order] = one
                    layouts[one.source, one.order] = seen[one.order]
        brightest = dict(sorted(found.items())[:_BRIGHTEST])
        return cls(brightest, layouts, groups[0].zeroth)


def _view(job: ViewJob, chip: Chip) -> ChipView:
    assert job.fit.transform is not None
    return view_of(job, chip, job.fit.transform)


def _searched(job: AcquisitionJob, known: _Known) -> tuple[float, Found] | None:
    """Return the roll, deg, by which spectra are seen best, and where; None where none is known there."""
    radius = int(np.ceil(job.radius / job.jobs[0].exposure.pixel_scale))
    correlations = {roll: Correlation(radius) for roll in _ROLLS}
    for one in job.jobs[:_SEARCHED]:
        turned = {roll: _moved(one, np.zeros(2), roll) for roll in _ROLLS}
        for chip, image in images(one):
            model = one.models.get(chip.window.chip)
            if model is not None:
                for roll, correlation in correlations.items():
                    light = predicted_light(known.spectra, _view(turned[roll], chip), model)
                    correlation.add(image, light)
    peaks = [(roll, peak) for roll, each in correlations.items() if (peak := each.peak())]
    return max(peaks, key=lambda one: one[1].height, default=None)


def _moved(job: ViewJob, offset: NDArray[np.float64], roll: float) -> ViewJob:
    """Return a job whose correction puts spectra some pixels from where it has them, and turned by deg."""
    transform = job.fit.transform
    assert transform is not None
    center = transform.plane.to_plane(transform.apply_to_sky(_center(job)))
    shift = -pixel_axes(job.exposure, transform) @ offset
    moved = LinearTransform.from_parameters(transform.plane, shift, roll, center=center)
    return replace(job, fit=replace(job.fit, transform=transform.then(moved)))


def _center(job: ViewJob) -> NDArray[np.float64]:
    """Return where the headers put the centre of the first chip."""
    ny, nx = job.exposure.chips[0].shape
    return np.asarray(job.exposure.chips[0].wcs.to_sky([[(nx - 1) / 2, (ny - 1) / 2]])[0])


def _optics(jobs: Sequence[ViewJob], job: AcquisitionJob) -> Optics:
    axes = [pixel_axes(one.exposure, one.fit.transform) for one in jobs if one.fit.transform is not None]
    chip = jobs[0].exposure.chips[0]
    ny, nx = chip.shape[::-1] if chip.along_columns else chip.shape
    center = np.array([(nx - 1) / 2, (ny - 1) / 2])
    traces = job.traces.fields.get(chip.window.chip) or TraceField.as_predicted()
    return Optics(np.array(axes), center, traces, job.groups[0].gradient, job.groups[0].stretch)


def _sightings(jobs: Sequence[ViewJob], known: _Known) -> Iterator[Sighting]:
    """Yield the known spectra that are seen in exposures."""
    for number, job in enumerate(jobs):
        scale = 1.0 if job.exposure.is_rate else 1.0 / job.exposure.exposure_time
        for image, view in views(job):
            chip = view.window.chip
            model = job.models.get(chip)
            if model is None:
                continue
            ny, nx = view.shape
            span = SpectralRange.of(model, np.array([[0.0, 0.0], [nx, 0.0], [0.0, ny], [nx, ny]]))
            order = float(span.first), float(span.first + span.length)
            brightness = 10 ** (-0.4 * view.mag)
            for each in cut_spectra(image, view, model, span, scale, number):
                reference = known.spectra.get((each.row, chip))
                if reference is not None:
                    places = np.array([known.layouts[each.row, chip], view.xy])
                    others = OtherLight(places, brightness, order, known.zeroth)
                    cutout = others.lessened_by_all(each.cutout, each.row)
                    here, there = TraceField.design(np.array([each.place, reference.place]), view.shape)
                    yield Sighting(number, reference, cutout, each.place, here - there)


def _against_each_other(jobs: Sequence[ViewJob], fit: SpectralPointing, group: SpectralGroup) -> PixelOffsets:
    """Return what spectra of the exposures say of each other, with what known spectra say of all of them."""
    known = PixelOffsets(np.zeros((len(jobs), 2)), fit.covariance[:-1, :-1])
    cut, moved = cut_near(jobs, group.zeroth, group.n_spectra)
    told = measure_offsets(cut.spectra, cut.places, group.stretch, np.random.default_rng(SEED))
    if told is None:
        return known
    expected, spread = group.gradient.of(cut.places)
    unknown = [0.0 if shows_spectra(each) else UNKNOWN**2 for each in told.strength.tolist()]
    covariance = told.covariance + spread + np.diag(np.repeat(unknown, 2))
    measured = PixelOffsets(told.offset + moved - expected, covariance)
    level = Levels(np.zeros(1), np.zeros((1, 1)), [np.zeros(len(jobs))])
    return combine([measured], level, known.covariance)[0]


def _exposures(
    jobs: Sequence[ViewJob], fit: SpectralPointing, seen: Sequence[int]
) -> tuple[FoundExposure, ...]:
    n_seen = np.bincount(seen, minlength=len(jobs))
    return tuple(
        FoundExposure(
            _with_error(job, fit, number),
            int(n_seen[number]),
            int(fit.n_used[number]),
            float(fit.strength[number]),
            fit.reduced_chi2,
        )
        for number, job in enumerate(jobs)
    )


def _with_error(job: ViewJob, fit: SpectralPointing, number: int) -> LinearTransform:
    """Return the correction of an exposure with the covariance that its spectra leave."""
    transform = job.fit.transform
    assert transform is not None
    rows = [2 * number, 2 * number + 1, len(fit.covariance) - 1]
    center = transform.plane.to_plane(transform.apply_to_sky(_center(job)))
    east, north = center
    jacobian = np.zeros((6, 3))
    jacobian[:2, :2] = -pixel_axes(job.exposure, transform)
    # A roll about the centre
    jacobian[:, 2] = [-north, east, 0.0, 1.0, -1.0, 0.0]
    return replace(transform, covariance=jacobian @ fit.covariance[np.ix_(rows, rows)] @ jacobian.T)


def _fits(survey: Survey, job: AcquisitionJob, found: FoundAcquisition) -> dict[str, ExposureFit]:
    """Return the fits of the exposures of an acquisition."""
    if not found.exposures:
        return {
            one.exposure.key: survey.solution[one.exposure.key].noted(
                NotFoundBySpectra(job.radius, found.why)
            )
            for one in job.jobs
        }
    known = [one for group in job.groups for one in group.jobs]
    common = np.mean([one.fit.transform.covariance for one in known if one.fit.transform], axis=0)
    fits = {}
    for one, each in zip(job.jobs, found.exposures, strict=True):
        key = one.exposure.key
        why = _why_not(each, one.exposure)
        if why:
            fits[key] = survey.solution[key].noted(NotFoundBySpectra(job.radius, why))
            continue
        transform = replace(each.transform, covariance=each.transform.covariance + common)
        shift = float(np.hypot(*transform.at(one.exposure.plane).shift))
        fit = replace(
            one.fit,
            transform=transform,
            reference=f"spectra of {len(known)} exposures",
            n_matched=each.n_seen,
            n_used=each.n_used,
            reduced_chi2=each.reduced_chi2,
            false_match_probability=found.probability,
            geometry="rshift",
            remarks=(BySpectra(each.n_used, len(known), shift),),
        )
        fits[key] = with_error_retold(fit, one.exposure)
    return fits


def _why_not(found: FoundExposure, exposure: Exposure) -> str:
    """Tell why where an exposure was found is not believed; empty where it is."""
    if found.n_used < _FEWEST:
        return f"{found.n_used} spectra agree, {_FEWEST} required"
    if not shows_spectra(found.strength):
        return f"its spectra are {found.strength:.2f} times as strong as in the others"
    error = found.transform.at(exposure.plane).axis_error / exposure.pixel_scale
    return "" if error < _FARTHEST else f"they leave it uncertain by {error:.1f} px"
