"""Hand the corrections of direct exposures to the grism exposures that they govern."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grism_align.algorithms.common_start import common_start
from grism_align.algorithms.pair import candidate_governors
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import PropagationSettings
    from grism_align.values.transform import LinearTransform

__all__ = ["propagate"]


def propagate(
    grisms: Sequence[Exposure],
    directs: Sequence[Exposure],
    solution: AlignmentSolution,
    settings: PropagationSettings,
) -> AlignmentSolution:
    """Give each grism exposure the total correction of the direct exposure that governs it.

    The transform is a map of the sky, written in the tangent plane of the direct exposure before its
    correction, so it holds for the grism exposure whatever its CRPIX, POSTARG or roll.

    Parameters
    ----------
    grisms, directs : sequence of Exposure
        The exposures of a field.
    solution : AlignmentSolution
        Total corrections of the direct exposures.
    settings : PropagationSettings
        The parameters.

    Returns
    -------
    AlignmentSolution
        A fit for every grism exposure, PRIOR_ONLY where that of the direct exposure is; FAILED with the
        reason where none governs it.
    """
    fits = {grism.key: _governed_fit(grism, directs, solution, settings) for grism in grisms}
    return AlignmentSolution(fits, solution.reference)


def _governed_fit(
    grism: Exposure,
    directs: Sequence[Exposure],
    solution: AlignmentSolution,
    settings: PropagationSettings,
) -> ExposureFit:
    candidates = candidate_governors(grism, directs, settings.pairing_radius)
    if not candidates:
        return ExposureFit.failed(f"no direct exposure in its guide-star acquisition ({grism.group})")
    by_key = {direct.key: direct for direct in directs}
    passed_over: list[str] = []
    for candidate in candidates:
        fit = solution.fits.get(candidate.key)
        if fit is None or fit.transform is None:
            passed_over.append(f"{candidate.key} (not aligned)")
            continue
        bridge, note = common_start(grism, by_key[candidate.key])
        if bridge is None:
            passed_over.append(f"{candidate.key} ({note})")
            continue
        transform = bridge.then(fit.transform.in_plane(bridge.plane))
        if passed_over:
            transform = _as_substitute(transform, settings.substitute_error)
        return replace(
            fit,
            status=FitStatus.PRIOR_ONLY if fit.status is FitStatus.PRIOR_ONLY else FitStatus.ALIGNED,
            transform=transform,
            reason="; ".join(_remarks(grism, by_key[candidate.key], fit, passed_over)),
            governed_by=(candidate.key,),
            rule=f"{candidate.rule}, {candidate.gap:+.0f} s" + (f", {note}" if note else ""),
            residuals=None,
        )
    return ExposureFit.failed(f"no direct exposure can lend its correction: {', '.join(passed_over)}")


def _as_substitute(transform: LinearTransform, error: float) -> LinearTransform:
    """A correction with the error of both dithers: that of the lender and that of the exposure itself."""
    covariance = transform.covariance.copy()
    covariance[[0, 1], [0, 1]] += 2 * error**2
    return replace(transform, covariance=covariance)


def _remarks(grism: Exposure, direct: Exposure, fit: ExposureFit, passed_over: list[str]) -> list[str]:
    """What to know about a correction that is not the usual one."""
    remarks = [f"instead of {', '.join(passed_over)}"] if passed_over else []
    if fit.status is FitStatus.PRIOR_ONLY:
        remarks.append(f"{direct.key} has the correction of its guide-star acquisition")
    elif fit.reason:
        remarks.append(f"{direct.key}: {fit.reason}")
    if direct.group != grism.group:
        remarks.append(f"{direct.key} is of another guide-star acquisition ({direct.group})")
    return remarks
