"""Put on record which exposures disagree in their traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.traces.offsets import disagreements
from grism_align.values.failure import SpectraOff
from grism_align.values.solution import AlignmentSolution

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grism_align.algorithms.traces.verification import GrismOffsets, TraceVerification


_ALLOWANCE = 0.01  # pixels: what the verification itself can be off by


def with_disagreements(
    solution: AlignmentSolution,
    verification: TraceVerification,
    significance: float,
) -> AlignmentSolution:
    """Note on fits by how much their spectra disagree with the others.

    Parameters
    ----------
    solution : AlignmentSolution
        Corrections of the grism exposures.
    verification : TraceVerification
        What their traces say with these corrections.
    significance : float
        Least disagreement that is told, in its errors.

    Returns
    -------
    AlignmentSolution
        What all exposures of a grism have in common is told in none of them; see `common_offsets`.
    """
    fits = dict(solution.fits)
    for found in verification.grisms:
        for key, remark in _disagreeing(found, significance):
            fits[key] = fits[key].noted(remark)
    return AlignmentSolution(fits, solution.reference)


def _disagreeing(found: GrismOffsets, significance: float) -> Iterator[tuple[str, SpectraOff]]:
    """Yield exposures whose offsets differ significantly, and by how much from what."""
    offsets = found.offsets
    value, error, reference = disagreements(offsets, significance)
    alone = bool(found.config) and int(np.isfinite(offsets.offset).sum()) == 1
    if alone:
        value, error = offsets.offset, np.sqrt(np.diag(offsets.covariance) + _ALLOWANCE**2)
    for number in np.flatnonzero(np.abs(value) > significance * error):
        n = int(reference.sum() - reference[number])
        config = found.config if alone else ""
        yield found.keys[number], SpectraOff(float(value[number]), float(error[number]), config, n)


def common_offsets(verification: TraceVerification, significance: float) -> list[str]:
    """Say by how much all exposures of a grism lie off its configuration alike.

    Parameters
    ----------
    verification : TraceVerification
        What the traces say.
    significance : float
        Least offset that is told, in its errors.
    """
    texts = []
    for found in verification.grisms:
        offset = found.offsets.offset
        known = np.isfinite(offset)
        n = int(known.sum())
        if found.config and n > 1:
            mean = float(offset[known].mean())
            own = float(found.offsets.covariance[np.ix_(known, known)].mean())
            error = float(np.sqrt(own + np.var(offset[known], ddof=1) / n + _ALLOWANCE**2))
            if abs(mean) > significance * error:
                texts.append(
                    f"spectra of {n} exposures lie off {found.config} by {mean:+.3f} +- {error:.3f} px in "
                    "the mean: what they have in common is taken for the configuration's, and not corrected"
                )
    return texts
