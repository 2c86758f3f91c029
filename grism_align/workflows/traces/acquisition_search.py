"""Look for the exposures of an acquisition by spectra that are known, and measure where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.spectra.combine import (
    GroupPrior,
    Levels,
    PixelOffsets,
    chip_axes,
    combine,
    pixel_axes,
)
from grism_align.algorithms.spectra.cutouts import SpectralRange, cut_spectra
from grism_align.algorithms.spectra.finding import Correlation, ImageSpectrum, predicted_light
from grism_align.algorithms.spectra.offsets import measure_offsets, reference_spectra
from grism_align.algorithms.spectra.pointing import Optics, Sighting, fit_pointing
from grism_align.algorithms.spectra.references import ReferenceSpectrum
from grism_align.algorithms.traces.offsets import TraceField
from grism_align.values.transform import LinearTransform, TangentPlane
from grism_align.workflows.keeping import Measurement
from grism_align.workflows.traces.cutting import cut_near, other_light, rate_scale
from grism_align.workflows.traces.spectral_comparison import SEED, UNKNOWN, shows_spectra
from grism_align.workflows.traces.spectral_groups import as_seen
from grism_align.workflows.traces.survey import images, view_of, views

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.cutouts import CutSource
    from grism_align.algorithms.spectra.finding import Found
    from grism_align.algorithms.spectra.pointing import SpectralPointing
    from grism_align.algorithms.spectra.template import SpectrumCutout
    from grism_align.algorithms.traces.views import ChipView
    from grism_align.values.exposure import Chip
    from grism_align.workflows.traces.spectral_groups import SpectralGroup
    from grism_align.workflows.traces.survey import ViewJob

# Rolls that are tried, deg: between them a spectrum at the edge of a chip moves by half a pixel or so.
_ROLLS = (0.0, -0.06, 0.06, -0.12, 0.12, -0.18, 0.18)
_SEARCHED = 3  # exposures of an acquisition that are looked through: they lie off alike
_PASSES = 3  # of cutting spectra out, each time nearer to where they are
# Probability of chance that is believed, and by how much the peak has to exceed that of no sky.
_BELIEVED, _ABOVE = 1e-4, 1.5
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
        The nearest other exposures that have the same grism, and corrections.
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


def _templates(group: SpectralGroup) -> KnownSpectra:
    """Make the templates of a group of exposures."""
    layouts: dict[int, NDArray[np.float64]] = {}
    for job in group.jobs:
        for chip in job.exposure.chips:
            layouts.setdefault(chip.window.chip, view_of(job, chip, job.transform).xy)
    try:
        cut, _ = cut_near(group.jobs, group.zeroth, group.n_spectra)
        rng = np.random.default_rng(SEED)
        found = reference_spectra(cut.spectra, cut.places, group.stretch, rng)
    except np.linalg.LinAlgError as error:
        return KnownSpectra((), str(error))
    return KnownSpectra(tuple(KnownSpectrum(one, layouts[one.order]) for one in found))


TEMPLATES = Measurement("spectra-known", _templates, (KnownSpectra, KnownSpectrum, ReferenceSpectrum))


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


SEARCH = Measurement(
    "spectra-found", _found, (FoundAcquisition, FoundExposure, LinearTransform, TangentPlane)
)


def _searched(job: AcquisitionJob) -> tuple[float, Found] | None:
    """Return the roll, deg, by which spectra are seen best, and where; None where none is known there."""
    radius = int(np.ceil(job.radius / job.jobs[0].exposure.pixel_scale))
    correlations = {roll: Correlation(radius) for roll in _ROLLS}
    templates = {key: one.template for key, one in job.known.items()}
    for one in job.jobs[:_SEARCHED]:
        turned = {roll: _moved(one, np.zeros(2), roll).transform for roll in _ROLLS}
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
    transform = job.transform
    shift = -pixel_axes(job.exposure, transform) @ offset
    moved = LinearTransform.from_parameters(transform.plane, shift, roll, center=_center(job))
    return replace(job, fit=replace(job.fit, transform=transform.then(moved)))


def _center(job: ViewJob) -> NDArray[np.float64]:
    """Return where the centre of the first chip is in the plane of the correction, (2,) arcsec."""
    chip, transform = job.exposure.chips[0], job.transform
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
    transform = job.transform
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
    if len(jobs) < 2:
        return known
    cut, moved = cut_near(as_seen(jobs, group.gradient), group.zeroth, group.n_spectra)
    told = measure_offsets(cut.spectra, cut.places, group.stretch, np.random.default_rng(SEED))
    if told is None:
        return known
    expected, spread = group.gradient.of(cut.places)
    is_known = told.is_settled & [shows_spectra(each) for each in told.strength.tolist()]
    unknown = np.where(is_known, 0.0, UNKNOWN**2)
    covariance = told.covariance + spread + np.diag(np.repeat(unknown, 2))
    measured = PixelOffsets(told.offset + moved - expected, covariance)
    level = Levels(np.zeros(1), np.zeros((1, 1)), [np.zeros(len(jobs))])
    return combine([measured], level, [GroupPrior((0,), known.covariance)])[0]


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
    transform = job.transform
    rows = [2 * number, 2 * number + 1, len(fit.covariance) - 1]
    east, north = _center(job)
    jacobian = np.zeros((6, 3))
    jacobian[:2, :2] = -pixel_axes(job.exposure, transform)
    # A roll about the centre, against that of the spectra
    jacobian[:, 2] = [north, -east, 0.0, -1.0, 1.0, 0.0]
    return replace(transform, covariance=jacobian @ fit.covariance[np.ix_(rows, rows)] @ jacobian.T)
