"""Corrections of grism exposures improved by their spectra."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.traces.correction import carried_error, has_partner, refinement
from grism_align.algorithms.traces.offsets import contrast_with_best, contrast_with_mean
from grism_align.algorithms.traces.verification import Drift
from grism_align.values.failure import PartnerInTime, Remark
from grism_align.values.solution import AlignmentSolution

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.traces.verification import GrismOffsets, TraceVerification
    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import TraceSettings


def refine_on_traces(
    exposures: ExposureSet,
    solution: AlignmentSolution,
    verification: TraceVerification,
    settings: TraceSettings,
) -> tuple[AlignmentSolution, dict[str, Remark]]:
    """Correct grism exposures without a direct partner in time by their significant drifts.

    Parameters
    ----------
    exposures : ExposureSet
        All exposures.
    solution : AlignmentSolution
        Corrections of the grism exposures.
    verification : TraceVerification
        What their traces say with these corrections.
    settings : TraceSettings
        The parameters.

    Returns
    -------
    solution : AlignmentSolution
        With changed fits for exposures that were corrected, whose remarks say so. Errors across the
        dispersion become those of the measurement and of what it is relative to.
    refused : dict of str to Remark
        Why the other exposures were not corrected.

    Notes
    -----
    Drifts are relative to the exposures of the same grism that have a partner; where none has, to the mean
    of all. What all have in common is no drift but the configuration's, or that of where the sources are.
    """
    by_key = {direct.key: direct for direct in exposures.direct}
    fits = dict(solution.fits)
    refused: dict[str, Remark] = {}
    for found in verification.grisms:
        partners = {
            key: [by_key[one] for one in solution[key].governors if one in by_key] for key in found.keys
        }
        paired = np.array([has_partner(exposures[key], partners[key], settings) for key in found.keys])
        for number, key in enumerate(found.keys):
            if paired[number]:
                refused[key] = PartnerInTime()
                continue
            drift = _drift(exposures, solution, found, number, paired)
            refined, remark = refinement(exposures[key], fits[key], drift, settings)
            if refined is not None:
                fits[key] = replace(fits[key], transform=refined).noted(remark)
            else:
                refused[key] = remark
    return AlignmentSolution(fits, solution.reference), refused


def _drift(
    exposures: ExposureSet,
    solution: AlignmentSolution,
    found: GrismOffsets,
    number: int,
    paired: NDArray[np.bool_],
) -> Drift:
    """Return the drift of an exposure against those with a partner, else against the mean of all."""
    others = paired & np.isfinite(found.offsets.offset)
    if others.any():
        value, error, weight = contrast_with_best(found.offsets, number, others)
    else:
        value, error, weight = contrast_with_mean(found.offsets, number)
    # as if they all erred alike, which those do that one direct exposure governs
    carried = 0.0
    for key, share in zip(found.keys, np.abs(weight).tolist(), strict=True):
        transform = solution[key].transform
        if share and transform is not None:
            carried += share * carried_error(exposures[key], transform)
    return Drift(value, error, carried)
