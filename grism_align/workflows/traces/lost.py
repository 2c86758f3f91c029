"""Correct grism exposures that lie where nothing says by the spectra that others have.

Those are exposures that no direct exposure governs, and such as don't show their spectra where they should.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.poses import turn
from grism_align.algorithms.propagation.propagate import with_error_retold
from grism_align.algorithms.traces.offsets import TraceField
from grism_align.values.failure import (
    BySpectra,
    FlaggedByHeaders,
    FoundElsewhere,
    NoDirectExposure,
    NoneCanLend,
    NotFoundBySpectra,
    OfDirect,
)
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.sphere import sky_to_vector
from grism_align.values.transform import LinearTransform
from grism_align.workflows.traces.acquisition_search import SEARCH, TEMPLATES, AcquisitionJob
from grism_align.workflows.traces.spectral_comparison import shows_spectra
from grism_align.workflows.traces.spectral_groups import (
    NOT_THERE,
    ONE_ROLL,
    SpectralGroup,
    groups_of,
    is_lost,
    lacks_spectra,
)
from grism_align.workflows.traces.survey import own_models
from grism_align.workflows.traces.verify import is_looked_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.traces.verification import GrismOffsets
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.failure import Remark
    from grism_align.workflows.traces.acquisition_search import (
        FoundAcquisition,
        FoundExposure,
        KnownSpectra,
        KnownSpectrum,
    )
    from grism_align.workflows.traces.survey import Survey, ViewJob

_BRIGHTEST = 150  # known spectra, the brightest first
_GROUPS = 4  # of exposures whose spectra are taken: the nearest that share the field
_FEWEST = 5  # spectra that an exposure is found by
_FARTHEST = 1.5  # pixels, of the error of an exposure that is found
_ALIKE = 4.0  # sigma by which corrections may differ and say the same


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
    made = executor.map(TEMPLATES, groups, "Gathering the spectra of")
    known = dict(zip(groups, made, strict=True))
    jobs = {one.name: _job(survey, one, known) for one in acquisitions}
    fits: dict[str, ExposureFit] = {}
    looked = executor.map(SEARCH, jobs, "Looking for the spectra of")
    for acquisition, job, found in zip(acquisitions, jobs.values(), looked, strict=True):
        fits |= _fits(survey, acquisition, job, found)
    return fits


def was_found(fit: ExposureFit) -> bool:
    """Tell whether a correction is that of spectra alone."""
    return fit.says(BySpectra, FoundElsewhere)


def _acquisitions(survey: Survey, found: GrismOffsets) -> Iterator[_Acquisition]:
    """Yield the acquisitions without a correction, or not where it puts them, whose grism others have."""
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
    lacks = fit.says(NoDirectExposure, NoneCanLend)
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
    """Return the groups some of whose exposures share the field, of one frame, the nearest first.

    Where none does, it is the nearest.
    """
    here = sky_to_vector([[each.plane.ra, each.plane.dec] for each in members])

    def distance(group: SpectralGroup) -> float:
        planes = [one.exposure.plane for one in group.jobs]
        there = sky_to_vector([[plane.ra, plane.dec] for plane in planes])
        return float(np.arccos(np.clip((here @ there.T).max(), -1.0, 1.0)))

    corners = sky_to_vector(np.concatenate([chip.wcs.footprint() for chip in members[0].chips]))
    side = np.sqrt(2.0) * float(np.linalg.norm(corners - corners.mean(axis=0), axis=1).max())
    ordered = sorted((each for each in groups if _has_grism_of(each.first, members[0])), key=distance)
    alike = [each for each in ordered if each.frame == ordered[0].frame]
    return tuple([each for each in alike if distance(each) < side][:_GROUPS] or alike[:1])


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
    begin = survey.solution[exposure.key].transform or LinearTransform.identity(known.transform.plane)
    fit = ExposureFit(FitStatus.ALIGNED, begin)
    return replace(known, exposure=exposure, fit=fit, models=own_models(exposure, found.models))


def _fits(
    survey: Survey, acquisition: _Acquisition, job: AcquisitionJob, found: FoundAcquisition
) -> dict[str, ExposureFit]:
    """Return the fits of the exposures of an acquisition."""
    known = [one for group in acquisition.groups for one in group.jobs]
    common = np.mean([one.transform.covariance for one in known], axis=0)
    exposures = found.exposures or (None,) * len(job.jobs)
    fits = {}
    for one, each in zip(job.jobs, exposures, strict=True):
        before = survey.solution[one.exposure.key]
        why = _why_not(each, one.exposure) if each else found.why
        if each and not why and lacks_spectra(before) and not _is_independent(known):
            why = "those of exposures that one direct exposure governs don't tell which of them is displaced"
        if each is None or why:
            fits[one.exposure.key] = before.noted(NotFoundBySpectra(job.radius, why))
            continue
        transform = replace(each.transform, covariance=each.transform.covariance + common)
        fit = _where_found(before, transform, known, one.exposure)
        if fit.transform is transform:
            shift = float(np.hypot(*_apart(before, transform, one.exposure)))
            by = BySpectra if before.transform is None else FoundElsewhere
            fit = replace(
                fit.noted(by(each.n_used, len(known), shift)),
                n_matched=each.n_seen,
                n_used=each.n_used,
                reduced_chi2=each.reduced_chi2,
                false_match_probability=found.probability,
            )
        fits[one.exposure.key] = with_error_retold(fit, one.exposure)
    return fits


def _where_found(
    before: ExposureFit, transform: LinearTransform, known: Sequence[ViewJob], exposure: Exposure
) -> ExposureFit:
    """Return the fit of an exposure that was found, with the better correction if both say the same."""
    if before.transform is None:
        own: tuple[Remark, ...] = tuple(
            each for each in before.remarks if isinstance(each, NoneCanLend | FlaggedByHeaders)
        )
        return replace(_lent(known), transform=transform, remarks=(*own, *_of_directs(known)))
    kept = tuple(each for each in before.remarks if not isinstance(each, NOT_THERE))
    if not _agree(before, transform, exposure):
        own = tuple(each for each in kept if not isinstance(each, OfDirect))
        status = _lent(known).status
        return replace(before, transform=transform, status=status, remarks=(*own, *_of_directs(known)))
    claimed = before.transform.at(exposure.plane).axis_error
    # Of two exposures that were unlike each other, it was the right one.
    is_better = claimed < transform.at(exposure.plane).axis_error
    return replace(before, transform=before.transform if is_better else transform, remarks=kept)


def _is_independent(known: Sequence[ViewJob]) -> bool:
    """Tell whether enough exposures, or such of different direct exposures, agree to deny another one."""
    governors = {frozenset(one.fit.governors) for one in known if one.fit.governors}
    return len(known) > 2 or len(governors) > 1


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


def _of_directs(known: Sequence[ViewJob]) -> tuple[Remark, ...]:
    """Return what is remarked of the direct exposures that a frame is of."""
    return tuple(each for each in known[0].fit.remarks if isinstance(each, OfDirect))


def _why_not(found: FoundExposure, exposure: Exposure) -> str:
    """Tell why where an exposure was found is not believed; empty where it is."""
    if found.n_used < _FEWEST:
        return f"{found.n_used} spectra agree, {_FEWEST} required"
    if not shows_spectra(found.strength):
        return f"its spectra are {found.strength:.2f} times as strong as in the others"
    error = found.transform.at(exposure.plane).axis_error / exposure.pixel_scale
    return "" if error < _FARTHEST else f"they leave it uncertain by {error:.1f} px"
