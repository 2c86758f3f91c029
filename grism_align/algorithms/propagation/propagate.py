"""Hand the corrections of direct exposures to the grism exposures that they govern."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.govern import Choice, choose, choose_elsewhere, named_candidates
from grism_align.algorithms.propagation.lend import Lender, Lent, usable
from grism_align.algorithms.propagation.pair import (
    Acquisitions,
    Relation,
    direct_candidate,
    direct_candidates,
    is_rolled,
)
from grism_align.algorithms.propagation.propagation_error import (
    mean_transform,
    own_variances,
    propagation_variance,
    weights_of,
    with_propagation_error,
)
from grism_align.values.failure import (
    InAnotherFrame,
    InsteadOf,
    LentByAcquisition,
    NoDirectExposure,
    NoneCanLend,
    NotByOwnSources,
    OfDirect,
    OtherDistortion,
    OtherDither,
    OtherGuideStars,
    OtherOrbit,
    OtherTarget,
    PassedOver,
    Remark,
    SameGuideStars,
    ShiftError,
    Unguided,
)
from grism_align.values.solution import NOTABLE_ERROR, AlignmentSolution, ExposureFit, FitStatus, Governed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grism_align.algorithms.propagation.pair import DirectCandidate
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import GrismSettings
    from grism_align.values.transform import LinearTransform


def propagate(
    grisms: Sequence[Exposure],
    directs: Sequence[Exposure],
    solution: AlignmentSolution,
    settings: GrismSettings,
    relative: AlignmentSolution | None = None,
) -> AlignmentSolution:
    """Give each grism exposure the total correction of the direct exposures that govern it.

    The transform is a map of the sky, in the plane of the direct exposures' frame. So it holds for the grism
    exposure whatever its reference pixel, offset or roll.

    Parameters
    ----------
    grisms, directs : sequence of Exposure
        The exposures of a field.
    solution : AlignmentSolution
        Total corrections of the direct exposures.
    settings : GrismSettings
        Which direct exposures govern, and how good the pointing is.
    relative : AlignmentSolution, optional
        Corrections in the relative frame, whose own errors weigh the direct exposures, because they are free
        of the catalog's, which all have in common. `solution` by default.

    Returns
    -------
    AlignmentSolution
        A fit for every grism exposure: PRIOR_ONLY where that of a direct exposure is, or where that is of
        another guide-star acquisition; FAILED, with the reason as a remark, where none governs it.
    """
    exposures = (*directs, *grisms)
    acquisitions = Acquisitions(exposures)
    variances = own_variances(directs, relative or solution)
    lender = Lender(grisms, directs, solution, variances, settings.pointing.detector_error)
    fits = {grism.key: _governed_fit(grism, exposures, acquisitions, lender, settings) for grism in grisms}
    return AlignmentSolution(fits, solution.reference)


def _governed_fit(
    grism: Exposure,
    exposures: Sequence[Exposure],
    acquisitions: Acquisitions,
    lender: Lender,
    settings: GrismSettings,
) -> ExposureFit:
    radius, near = settings.propagation.pairing_radius, acquisitions.around(grism)
    named, own = named_candidates(grism, near, radius), direct_candidates(grism, near, radius)
    lent, refusals = lender.lend(grism, (*named, *own))
    choice = choose(usable(named, lent), usable(own, lent), settings)
    missing = [key for key in choose(named, own, settings).keys if key not in choice.keys]
    if not choice.candidates:
        others = [
            direct_candidate(grism, each, acquisitions.of(each), radius)
            for each in exposures
            if each.is_direct
        ]
        alike = [each for each in others if each.relation is Relation.REACQUIRED]
        lent, _ = lender.lend(grism, alike)
        choice = choose_elsewhere(usable(others, lent))
    if not choice.candidates:
        return ExposureFit.failed(_why_nobody(grism, exposures, refusals))
    if choice.rule == "association":
        missing = [each.key for each in named[: [each.key for each in named].index(choice.keys[0])]]
    passed_over = tuple(PassedOver(key, refusals.get(key) or _why_passed_over(lent[key])) for key in missing)
    remarks = _remarks(grism, choice, lent, passed_over)
    return _combined(grism, choice, lent, settings, remarks)


def _why_passed_over(lent: Lent) -> Remark:
    """Tell why another was preferred to an exposure that can lend."""
    if lent.changed:
        return lent.changed
    is_weak = lent.fit.status is FitStatus.PRIOR_ONLY
    return NotByOwnSources() if is_weak else InAnotherFrame()


def _why_nobody(grism: Exposure, exposures: Iterable[Exposure], refusals: dict[str, Remark]) -> Remark:
    if not refusals:
        rolled = tuple(each.key for each in exposures if each.is_direct and is_rolled(each, grism))
        return NoDirectExposure(grism.group, rolled)
    return NoneCanLend(tuple(PassedOver(key, why) for key, why in refusals.items()))


def _combined(
    grism: Exposure,
    choice: Choice,
    lent: dict[str, Lent],
    settings: GrismSettings,
    remarks: list[Remark],
) -> ExposureFit:
    """Return the fit of a grism exposure: the mean correction of those that govern it."""
    chosen = [lent[key] for key in choice.keys]
    transforms = [one.transform for one in chosen]
    weights = weights_of(choice.rule, choice.candidates, settings)
    relation = max(each.relation for each in choice.candidates)
    variance = propagation_variance(choice.candidates, weights, settings)
    mean = mean_transform(transforms, weights)
    turns = any(one.fit.roll == "exposure" for one in chosen)
    transform = with_propagation_error(mean, variance, relation, settings.pointing, grism.plane, turns=turns)
    remarks = [*remarks, *_unguided(grism, choice, variance)]
    told = shift_error(grism, transform)
    if relation is Relation.OFFSET and told.pixels > NOTABLE_ERROR:
        remarks = [*remarks, OtherDither(choice.keys[0], 1e3 * settings.pointing.dither_error)]
    if relation >= Relation.OCCULTED or told.pixels > NOTABLE_ERROR:
        remarks = [*remarks, told]
    is_own = relation < Relation.REACQUIRED
    main = chosen[int(weights.argmax())].fit
    return replace(
        main,
        status=_status(chosen) if is_own else FitStatus.PRIOR_ONLY,
        transform=transform,
        remarks=tuple(remarks),
        governed=Governed(
            exposures=choice.keys,
            rule=choice.rule,
            weights=tuple(weights.tolist()),
            idle_times=tuple(each.idle_time for each in choice.candidates),
            propagation_error=1e3 * float(np.sqrt(variance)),
            shared_wcs=tuple(dict.fromkeys(one.shared_wcs for one in chosen if one.shared_wcs)),
        ),
        residuals=None,
    )


def shift_error(grism: Exposure, transform: LinearTransform) -> ShiftError:
    """Return the claimed error of the correction of a grism exposure."""
    error = transform.at(grism.plane).axis_error
    return ShiftError(1e3 * error, error / grism.pixel_scale)


def with_error_retold(fit: ExposureFit, grism: Exposure) -> ExposureFit:
    """Return a fit whose remark on the claimed error is true of a correction that has changed since.

    Parameters
    ----------
    fit : ExposureFit
        Of the grism exposure, with the correction as it is now.
    grism : Exposure
        The exposure.
    """
    if fit.transform is None:
        return fit
    told = shift_error(grism, fit.transform)
    remarks = tuple(each for each in fit.remarks if not _is_taken_out(each, told))
    return replace(fit, remarks=(*remarks, told) if told.pixels > NOTABLE_ERROR else remarks)


def _is_taken_out(remark: Remark, now: ShiftError) -> bool:
    """Tell whether a remark is on an error that is no longer there: spectra have told it."""
    drifted = isinstance(remark, Unguided) and remark.error > now.error
    return drifted or isinstance(remark, ShiftError | OtherDither)


def _unguided(grism: Exposure, choice: Choice, variance: float) -> list[Remark]:
    """Tell which exposures gyros held, where the pointing may have drifted between them."""
    taken = (grism, *(each.exposure for each in choice.candidates))
    drifting = [each for each in taken if each.tracking.guiding.drift_share > 0]
    if not drifting:
        return []
    worst = max((each.tracking.guiding for each in drifting), key=lambda guiding: guiding.drift_share)
    return [Unguided(tuple(each.key for each in drifting), worst.value, 1e3 * float(np.sqrt(variance)))]


def _status(chosen: Sequence[Lent]) -> FitStatus:
    """Tell how a grism exposure came out; with a direct one that nothing was matched to, neither was it."""
    is_prior = any(one.changed or one.fit.status is FitStatus.PRIOR_ONLY for one in chosen)
    if is_prior:
        return FitStatus.PRIOR_ONLY
    is_alone = all(one.fit.status is FitStatus.REFERENCE and one.fit.n_matched == 0 for one in chosen)
    return FitStatus.REFERENCE if is_alone else FitStatus.ALIGNED


def _remarks(
    grism: Exposure, choice: Choice, lent: dict[str, Lent], passed_over: tuple[PassedOver, ...]
) -> list[Remark]:
    """Tell what to know about a correction that is not the usual one."""
    remarks: list[Remark] = [InsteadOf(passed_over)] if passed_over else []
    for each in choice.candidates:
        fit, changed = lent[each.key].fit, lent[each.key].changed
        if changed:
            remarks.append(changed)
        elif _is_of_other_model(each.exposure, grism):
            remarks.append(OtherDistortion(each.key, each.exposure.distortion, grism.distortion))
        if fit.status is FitStatus.PRIOR_ONLY:
            remarks.append(LentByAcquisition(each.key))
        elif fit.remarks:
            remarks.append(OfDirect(each.key, fit.remarks))
        remarks += _between(each)
        if each.relation > Relation.SAME_POINTING and each.exposure.target != grism.target:
            remarks.append(OtherTarget(each.key, each.exposure.target))
    return remarks


def _is_of_other_model(direct: Exposure, grism: Exposure) -> bool:
    """Tell whether two exposures of one instrument have distortion models of other names.

    Detectors of other instruments have models of their own.
    """
    return direct.instrument == grism.instrument and direct.distortion != grism.distortion


def _between(candidate: DirectCandidate) -> list[Remark]:
    """Tell what is to be known of the guide stars that a direct exposure was taken with."""
    if candidate.relation < Relation.OCCULTED:
        return []
    if candidate.relation is Relation.OCCULTED:
        return [OtherOrbit(candidate.key)]
    kind = SameGuideStars if candidate.relation is Relation.REACQUIRED else OtherGuideStars
    return [kind(candidate.key, candidate.exposure.group)]
