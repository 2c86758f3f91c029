"""Hand the corrections of direct exposures to the grism exposures that they govern."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grism_align.algorithms.pair import candidate_governors
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import PropagationSettings

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
        A fit for every grism exposure; FAILED with the reason where none governs it.
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
    passed_over: list[str] = []
    for candidate in candidates:
        fit = solution.fits.get(candidate.key)
        if fit is not None and fit.is_aligned:
            note = f"instead of {', '.join(passed_over)}, not aligned" if passed_over else ""
            return replace(
                fit,
                status=FitStatus.ALIGNED,
                reason=note,
                governed_by=(candidate.key,),
                rule=f"{candidate.rule}, {candidate.gap:+.0f} s",
                residuals=None,
            )
        passed_over.append(candidate.key)
    return ExposureFit.failed(f"none of its direct exposures was aligned: {', '.join(passed_over)}")
