"""Hand the corrections of direct exposures to the grism exposures that they govern."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fit import fit_linear
from grism_align.algorithms.pair import candidate_governors
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.values.exposure import Exposure
    from grism_align.values.pixel_sky import PixelSky
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
        bridge, note = _common_start(grism, by_key[candidate.key])
        if bridge is None:
            passed_over.append(f"{candidate.key} ({note})")
            continue
        return replace(
            fit,
            status=FitStatus.PRIOR_ONLY if fit.status is FitStatus.PRIOR_ONLY else FitStatus.ALIGNED,
            transform=bridge.then(fit.transform.in_plane(bridge.plane)),
            reason="; ".join(_remarks(grism, by_key[candidate.key], fit, passed_over)),
            governed_by=(candidate.key,),
            rule=f"{candidate.rule}, {candidate.gap:+.0f} s" + (f", {note}" if note else ""),
            residuals=None,
        )
    return ExposureFit.failed(f"no direct exposure can lend its correction: {', '.join(passed_over)}")


def _remarks(grism: Exposure, direct: Exposure, fit: ExposureFit, passed_over: list[str]) -> list[str]:
    """What to know about a correction that is not the usual one."""
    remarks = [f"instead of {', '.join(passed_over)}"] if passed_over else []
    if fit.status is FitStatus.PRIOR_ONLY:
        remarks.append(f"{direct.key} has the correction of its guide-star acquisition")
    if direct.group != grism.group:
        remarks.append(f"{direct.key} is of another guide-star acquisition ({direct.group})")
    return remarks


def _common_start(grism: Exposure, direct: Exposure) -> tuple[LinearTransform | None, str]:
    """What takes the grism's WCS to the one that the direct exposure's correction starts from.

    The archive gives direct exposures a posteriori WCSs that the grism exposures of the same pointing
    don't have. They differ by arcseconds, so a correction holds for both only from a WCS that they share.
    """
    mine, theirs = grism.wcs_solution, direct.wcs_solution
    if mine == theirs:
        return LinearTransform.identity(direct.plane), ""
    if mine in direct.alternates:
        return _difference(direct.alternates[mine], direct.chips[0].wcs, direct), f"from its WCS {mine}"
    if theirs in grism.alternates:
        return _difference(grism.chips[0].wcs, grism.alternates[theirs], grism), f"from its WCS {theirs}"
    return (
        None,
        f"its WCS {theirs or 'without name'} and the grism's {mine or 'without name'} have no common start",
    )


def _difference(before: PixelSky, after: PixelSky, exposure: Exposure) -> LinearTransform:
    """The map of the sky from one WCS of a chip to another with the same distortion."""
    ny, nx = exposure.chips[0].shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, 5), np.linspace(0, ny - 1, 5))
    xy = np.column_stack([x.ravel(), y.ravel()])
    plane = before.plane
    source, target = plane.to_plane(before.to_sky(xy)), plane.to_plane(after.to_sky(xy))
    moved = fit_linear(source, target, np.full(len(xy), 1e-3), plane, "general", 20.0).transform
    return LinearTransform(moved.matrix, moved.shift, plane)
