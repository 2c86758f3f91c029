"""Find grism exposures that lie where nothing says, by the spectra that others have.

Those are exposures that no direct exposure governs, and such as don't show their spectra where they should.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.poses import turn
from grism_align.algorithms.propagation.propagate import with_error_retold
from grism_align.algorithms.spectra.combine import Levels, PixelOffsets, chip_axes, combine, pixel_axes
from grism_align.algorithms.spectra.cutouts import SpectralRange, cut_spectra
from grism_align.algorithms.spectra.finding import Correlation, ImageSpectrum, predicted_light
from grism_align.algorithms.spectra.offsets import measure_offsets, reference_spectra
from grism_align.algorithms.spectra.pointing import Optics, Sighting, fit_pointing
from grism_align.algorithms.spectra.references import ReferenceSpectrum
from grism_align.algorithms.traces.offsets import TraceField
from grism_align.values.failure import (
    BySpectra,
    FlaggedByHeaders,
    FoundElsewhere,
    NoDirectExposure,
    NoneCanLend,
    NotFoundBySpectra,
    OfDirect,
    SpectraMissing,
)
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.sphere import sky_to_vector
from grism_align.values.transform import LinearTransform, TangentPlane
from grism_align.workflows.keeping import Measurement
from grism_align.workflows.traces.cutting import cut_near, other_light, rate_scale
from grism_align.workflows.traces.spectra import (
    ONE_ROLL,
    SEED,
    UNKNOWN,
    SpectralGroup,
    groups_of,
    is_lost,
    lacks_spectra,
    shows_spectra,
)
from grism_align.workflows.traces.verify import images, is_looked_at, own_models, view_of, views

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.cutouts import CutSource
    from grism_align.algorithms.spectra.finding import Found
    from grism_align.algorithms.spectra.pointing import SpectralPointing
    from grism_align.algorithms.spectra.template import SpectrumCutout
    from grism_align.algorithms.traces.verification import GrismOffsets
    from grism_align.algorithms.traces.views import ChipView
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.failure import Remark
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
_ALIKE = 4.0  # sigma by which corrections may differ and say the same
_NONE_KNOWN = "none of their sources' spectra is known"


@dataclass(frozen=True, eq=False)
class KnownSpectrum:
    """The template of a spectrum, and where the exposures that it is of see all sources, (N, 2) pixels."""

    template: ReferenceSpectrum
    layout: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KnownSpectra:
    """The templates of a group of exposures; none, with the reason in `why`, where they can't be made."""

    spectra: tuple[KnownSpectrum, ...]
    why: str = ""


@dataclass(frozen=True, eq=False)
class AcquisitionJob:
    """What finding the exposures of an acquisition needs.

    Parameters
    ----------
    jobs : tuple of ViewJob
        The exposures, with the correction to begin with.
    group : SpectralGroup
        The nearest exposures of other visits that have the same grism, and corrections.
    known : mapping of (source, chip) to KnownSpectrum
        Their spectra, and those of others.
    traces : mapping of int to TraceField
        How traces rise over each chip.
    radius : float, arcsec
        By how much the acquisition may be off.
    """

    jobs: tuple[ViewJob, ...]
    group: SpectralGroup
    known: Mapping[tuple[int, int], KnownSpectrum]
    traces: Mapping[int, TraceField]
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


@dataclass(frozen=True, eq=False)
class _Acquisition:
    """Exposures that lie off alike, and the groups whose spectra they are looked for by.

    Those without a correction are of one acquisition and roll; one with a correction is on its own.
    """

    members: tuple[Exposure, ...]
    groups: tuple[SpectralGroup, ...]
    found: GrismOffsets

    @property
    def name(self) -> str:
        return ", ".join(each.key for each in self.members)


def find_by_spectra(
    survey: Survey, grisms: Sequence[GrismOffsets], executor: Executor
) -> dict[str, ExposureFit]:
    """Find exposures without a correction, or with one that spectra deny, by the spectra of the others.

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
    if not survey.settings.spectra_search_radius:
        return {}
    acquisitions = [one for found in grisms for one in _acquisitions(survey, found)]
    groups = {", ".join(group.keys): group for one in acquisitions for group in one.groups}
    made = executor.map(_TEMPLATES, groups, "Gathering the spectra of")
    known = dict(zip(groups, made, strict=True))
    jobs = {one.name: _job(survey, one, known) for one in acquisitions}
    fits: dict[str, ExposureFit] = {}
    looked = executor.map(_MEASUREMENT, jobs, "Looking for the spectra of")
    for acquisition, job, found in zip(acquisitions, jobs.values(), looked, strict=True):
        fits |= _fits(survey, acquisition, job, found)
    return fits


def was_found(fit: ExposureFit) -> bool:
    """Tell whether a correction is that of spectra alone."""
    return any(isinstance(each, BySpectra | FoundElsewhere) for each in fit.remarks)


def _acquisitions(survey: Survey, found: GrismOffsets) -> Iterator[_Acquisition]:
    """Yield the acquisitions without a correction whose grism others have."""
    like = survey.exposures[found.keys[0]]
    alone = [each for each in survey.exposures.grisms if _is_alone(survey, each)]
    alike: list[list[Exposure]] = []
    for exposure in (each for each in alone if _has_grism_of(each, like)):
        for members in alike:
            if _are_together(members[0], exposure):
                members.append(exposure)
                break
        else:
            alike.append([exposure])
    aligned = [survey.exposures[key] for key in found.keys]
    lost = [[each] for each in aligned if is_lost(survey, each)]
    groups = list(groups_of(survey, found)) if alike or lost else []
    for members in alike:
        near = _nearest(groups, members)
        if near:
            yield _Acquisition(tuple(members), near, found)
    for members in lost:
        frame = survey.solution[members[0].key].frame
        near = _nearest([each for each in groups if each.frame == frame], members)
        if near:
            yield _Acquisition(tuple(members), near, found)


def _is_alone(survey: Survey, exposure: Exposure) -> bool:
    fit = survey.solution[exposure.key]
    lacks = any(isinstance(each, NoDirectExposure | NoneCanLend) for each in fit.remarks)
    return fit.status is FitStatus.FAILED and lacks and is_looked_at(exposure, survey.settings)


def _has_grism_of(exposure: Exposure, other: Exposure) -> bool:
    """Tell whether two exposures have a grism in common, and the same pixels of their detectors."""
    first, second = (
        (each.instrument, each.filter, each.blocking_filter, [(c.window, c.shape) for c in each.chips])
        for each in (exposure, other)
    )
    return first == second


def _are_together(first: Exposure, second: Exposure) -> bool:
    is_one = (first.visit, first.group) == (second.visit, second.group)
    return is_one and abs(turn(first, second)) < ONE_ROLL


def _nearest(groups: Sequence[SpectralGroup], members: Sequence[Exposure]) -> tuple[SpectralGroup, ...]:
    """Return the groups some of whose exposures lie nearest, of one frame."""
    here = sky_to_vector([[each.plane.ra, each.plane.dec] for each in members])

    def distance(group: SpectralGroup) -> float:
        planes = [one.exposure.plane for one in group.jobs]
        there = sky_to_vector([[plane.ra, plane.dec] for plane in planes])
        return float(-(here @ there.T).max())

    ordered = sorted((each for each in groups if _has_grism_of(each.first, members[0])), key=distance)
    return tuple(each for each in ordered if each.frame == ordered[0].frame)[:_GROUPS]


def _job(survey: Survey, one: _Acquisition, known: Mapping[str, KnownSpectra]) -> AcquisitionJob:
    spectra: dict[tuple[int, int], KnownSpectrum] = {}
    for group in one.groups:
        for each in known[", ".join(group.keys)].spectra:
            key = each.template.source, each.template.order
            if key not in spectra or spectra[key].template.n_exposures < each.template.n_exposures:
                spectra[key] = each
    unmeasured = TraceField.as_predicted() if one.found.config else TraceField.unknown()
    chips = [chip.window.chip for chip in one.members[0].chips]
    return AcquisitionJob(
        tuple(_begun(survey, each, one.groups[0], one.found) for each in one.members),
        one.groups[0],
        dict(sorted(spectra.items())[:_BRIGHTEST]),
        {chip: one.found.offsets.fields.get(chip, unmeasured) for chip in chips},
        survey.settings.spectra_search_radius,
    )


def _begun(survey: Survey, exposure: Exposure, group: SpectralGroup, found: GrismOffsets) -> ViewJob:
    """Return what looking for an exposure needs, which begins where its correction or its headers put it."""
    known = group.jobs[0]
    begin = survey.solution[exposure.key].transform or LinearTransform.identity(_transform(known).plane)
    fit = ExposureFit(FitStatus.ALIGNED, begin)
    return replace(known, exposure=exposure, fit=fit, models=own_models(exposure, found.models))


def _transform(job: ViewJob) -> LinearTransform:
    assert job.fit.transform is not None  # of exposures with corrections alone
    return job.fit.transform


def _templates(group: SpectralGroup) -> KnownSpectra:
    """Make the templates of a group of exposures."""
    layouts: dict[int, NDArray[np.float64]] = {}
    for job in group.jobs:
        for chip in job.exposure.chips:
            layouts.setdefault(chip.window.chip, view_of(job, chip, _transform(job)).xy)
    try:
        cut, _ = cut_near(group.jobs, group.zeroth, group.n_spectra)
        rng = np.random.default_rng(SEED)
        found = reference_spectra(cut.spectra, cut.places, group.stretch, rng)
    except np.linalg.LinAlgError as error:
        return KnownSpectra((), str(error))
    return KnownSpectra(tuple(KnownSpectrum(one, layouts[one.order]) for one in found))


_TEMPLATES = Measurement("spectra-known", _templates, (KnownSpectra, KnownSpectrum, ReferenceSpectrum))


def _found(job: AcquisitionJob) -> FoundAcquisition:
    """Look for the spectra of an acquisition, and measure where they are."""
    searched = _searched(job)
    if searched is None:
        return FoundAcquisition((), why=_NONE_KNOWN)
    roll, peak = searched
    if peak.false_match_probability > _BELIEVED or peak.height < _ABOVE * peak.rival:
        why = f"the best place stands out by {peak.height:.1f} sigma, and chance by {peak.rival:.1f}"
        return FoundAcquisition((), peak.false_match_probability, why)
    jobs = [_moved(one, peak.lag.astype(float), roll) for one in job.jobs]
    try:
        exposures = _measured(job, jobs)
    except np.linalg.LinAlgError as error:
        return FoundAcquisition((), why=f"they can't be compared ({error})")
    return FoundAcquisition(exposures, peak.false_match_probability, "" if exposures else _NONE_KNOWN)


_MEASUREMENT = Measurement(
    "spectra-found", _found, (FoundAcquisition, FoundExposure, LinearTransform, TangentPlane)
)


def _searched(job: AcquisitionJob) -> tuple[float, Found] | None:
    """Return the roll, deg, by which spectra are seen best, and where; None where none is known there."""
    radius = int(np.ceil(job.radius / job.jobs[0].exposure.pixel_scale))
    correlations = {roll: Correlation(radius) for roll in _ROLLS}
    templates = {key: one.template for key, one in job.known.items()}
    for one in job.jobs[:_SEARCHED]:
        turned = {roll: _transform(_moved(one, np.zeros(2), roll)) for roll in _ROLLS}
        for chip, pixels in images(one):
            model = one.models.get(chip.window.chip)
            if model is not None:
                image = ImageSpectrum.of(pixels, radius)
                for roll, correlation in correlations.items():
                    light = predicted_light(templates, view_of(one, chip, turned[roll]), model)
                    correlation.add(image, light)
    peaks = [(roll, peak) for roll, each in correlations.items() if (peak := each.peak(len(_ROLLS)))]
    return max(peaks, key=lambda one: one[1].height, default=None)


def _measured(job: AcquisitionJob, jobs: Sequence[ViewJob]) -> tuple[FoundExposure, ...]:
    """Return where exposures are that begin within a pixel of that; none where no spectrum is known."""
    from scipy.linalg import block_diag

    optics = Optics(job.traces, job.group.gradient, job.group.stretch)
    for _ in range(_PASSES):
        sightings = list(_sightings(job, jobs))
        if not sightings:
            return ()
        fit = fit_pointing(sightings, optics, len(jobs))
        turned = -np.degrees(fit.roll)
        jobs = [_moved(one, offset, turned) for one, offset in zip(jobs, fit.offset, strict=True)]
    told = _against_each_other(jobs, fit, job.group)
    jobs = [_moved(one, offset, 0.0) for one, offset in zip(jobs, told.offset, strict=True)]
    fit = replace(fit, covariance=block_diag(told.covariance, fit.covariance[-1:, -1:]))
    return _exposures(jobs, fit, [one.exposure for one in sightings])


def _moved(job: ViewJob, offset: NDArray[np.float64], roll: float) -> ViewJob:
    """Return a job whose correction puts spectra some pixels from where it has them, and turned by deg."""
    transform = _transform(job)
    shift = -pixel_axes(job.exposure, transform) @ offset
    moved = LinearTransform.from_parameters(transform.plane, shift, roll, center=_center(job))
    return replace(job, fit=replace(job.fit, transform=transform.then(moved)))


def _center(job: ViewJob) -> NDArray[np.float64]:
    """Return where the centre of the first chip is in the plane of the correction, (2,) arcsec."""
    chip, transform = job.exposure.chips[0], _transform(job)
    ny, nx = chip.shape
    sky = chip.wcs.to_sky([[(nx - 1) / 2, (ny - 1) / 2]])
    return np.asarray(transform.plane.to_plane(transform.apply_to_sky(sky))[0])


def _sightings(job: AcquisitionJob, jobs: Sequence[ViewJob]) -> Iterator[Sighting]:
    """Yield the known spectra that are seen in exposures."""
    for number, one in enumerate(jobs):
        scale = rate_scale(one.exposure)
        chips = {chip.window.chip: chip for chip in one.exposure.chips}
        for image, view in views(one):
            model = one.models.get(view.window.chip)
            if model is not None:
                span = SpectralRange.on_chip(model, view.shape)
                for cut in cut_spectra(image, view, model, span, scale, number):
                    known = job.known.get((cut.row, view.window.chip))
                    if known is not None:
                        cutout = _without_others(job, view, span, cut, known)
                        yield _sighting(one, chips[view.window.chip], replace(cut, cutout=cutout), known)


def _without_others(
    job: AcquisitionJob, view: ChipView, span: SpectralRange, cut: CutSource, known: KnownSpectrum
) -> SpectrumCutout:
    """Return a cutout whose pixels count less where another source's light is, here or in the template."""
    others = other_light(np.array([known.layout, view.xy]), view, span, job.group.zeroth)
    return others.lessened_by_all(cut.cutout, cut.row)


def _sighting(job: ViewJob, chip: Chip, cut: CutSource, known: KnownSpectrum) -> Sighting:
    transform = _transform(job)
    own = chip_axes(chip, transform)
    xy = cut.place[::-1] if chip.along_columns else cut.place
    shape = chip.shape[::-1] if chip.along_columns else chip.shape
    here = transform.plane.to_plane(transform.apply_to_sky(chip.wcs.to_sky(xy[None])))[0]
    east, north = here - _center(job)
    there, risen = TraceField.design(np.array([known.template.place, cut.place]), shape)
    return Sighting(
        cut.cutout.exposure,
        known.template,
        cut.cutout,
        cut.place - known.template.place,
        risen - there,
        np.asarray(np.linalg.solve(own, pixel_axes(job.exposure, transform))),
        # A turn from north to east moves the sky by its distance to the north eastwards
        np.asarray(np.linalg.solve(own, np.array([north, -east]))),
    )


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
    transform = _transform(job)
    rows = [2 * number, 2 * number + 1, len(fit.covariance) - 1]
    east, north = _center(job)
    jacobian = np.zeros((6, 3))
    jacobian[:2, :2] = -pixel_axes(job.exposure, transform)
    # A roll about the centre, against that of the spectra
    jacobian[:, 2] = [north, -east, 0.0, -1.0, 1.0, 0.0]
    return replace(transform, covariance=jacobian @ fit.covariance[np.ix_(rows, rows)] @ jacobian.T)


def _fits(
    survey: Survey, acquisition: _Acquisition, job: AcquisitionJob, found: FoundAcquisition
) -> dict[str, ExposureFit]:
    """Return the fits of the exposures of an acquisition."""
    known = [one for group in acquisition.groups for one in group.jobs]
    common = np.mean([_transform(one).covariance for one in known], axis=0)
    exposures = found.exposures or (None,) * len(job.jobs)
    fits = {}
    for one, each in zip(job.jobs, exposures, strict=True):
        before = survey.solution[one.exposure.key]
        why = _why_not(each, one.exposure) if each else found.why
        if each is None or why:
            fits[one.exposure.key] = before.noted(NotFoundBySpectra(job.radius, why))
            continue
        transform = replace(each.transform, covariance=each.transform.covariance + common)
        if lacks_spectra(before) and _agree(before, transform, one.exposure):
            # It was compared with another one that doesn't show the spectra
            rest = tuple(remark for remark in before.remarks if not isinstance(remark, SpectraMissing))
            fits[one.exposure.key] = replace(before, remarks=rest)
            continue
        shift = float(np.hypot(*_apart(before, transform, one.exposure)))
        by = BySpectra if before.transform is None else FoundElsewhere
        fit = replace(
            _lent(known),
            transform=transform,
            n_matched=each.n_seen,
            n_used=each.n_used,
            reduced_chi2=each.reduced_chi2,
            false_match_probability=found.probability,
            remarks=(*_kept(before, known), by(each.n_used, len(known), shift)),
        )
        fits[one.exposure.key] = with_error_retold(fit, one.exposure)
    return fits


def _apart(before: ExposureFit, now: LinearTransform, exposure: Exposure) -> NDArray[np.float64]:
    """Return how far an exposure is from where its correction or its headers put it, (2,) arcsec."""
    there = before.transform.at(exposure.plane).shift if before.transform else np.zeros(2)
    return np.asarray(now.at(exposure.plane).shift - there)


def _agree(before: ExposureFit, now: LinearTransform, exposure: Exposure) -> bool:
    """Tell whether two corrections of an exposure are alike within their errors."""
    assert before.transform is not None  # of exposures with corrections alone
    known = sum(each.at(exposure.plane).covariance[:2, :2] for each in (before.transform, now))
    apart = _apart(before, now, exposure)
    return bool(apart @ np.linalg.solve(known, apart) < _ALIKE**2)


def _lent(known: Sequence[ViewJob]) -> ExposureFit:
    """Return a fit in the frame of the known exposures, no more certain than theirs."""
    statuses = {one.fit.status for one in known}
    status = FitStatus.PRIOR_ONLY if FitStatus.PRIOR_ONLY in statuses else FitStatus.ALIGNED
    fit = known[0].fit
    return ExposureFit(status, fit.transform, fit.reference, frame=fit.frame, geometry="rshift")


def _kept(before: ExposureFit, known: Sequence[ViewJob]) -> list[Remark]:
    """Return what is to be known of an exposure anyway, and of the direct exposures that its frame is of."""
    own = [each for each in before.remarks if isinstance(each, NoneCanLend | FlaggedByHeaders)]
    return [*own, *(each for each in known[0].fit.remarks if isinstance(each, OfDirect))]


def _why_not(found: FoundExposure, exposure: Exposure) -> str:
    """Tell why where an exposure was found is not believed; empty where it is."""
    if found.n_used < _FEWEST:
        return f"{found.n_used} spectra agree, {_FEWEST} required"
    if not shows_spectra(found.strength):
        return f"its spectra are {found.strength:.2f} times as strong as in the others"
    error = found.transform.at(exposure.plane).axis_error / exposure.pixel_scale
    return "" if error < _FARTHEST else f"they leave it uncertain by {error:.1f} px"
