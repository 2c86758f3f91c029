"""What carrying corrections from direct to grism exposures adds to their error, and how to average them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.pair import Relation, same_pointing
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.govern import Choice
    from grism_align.algorithms.pair import Lender
    from grism_align.values.settings import PointingSettings, PropagationSettings
    from grism_align.values.transform import TangentPlane

__all__ = ["carried_covariance", "mean_transform", "weights_of", "with_carried_error"]

# Hours for which a drift goes on: after an orbit the guide stars are acquired again.
_ORBIT = 1.6
# A microarcsecond squared: keeps weights finite where nothing has an error.
_TINY = 1e-12


def carried_covariance(
    lenders: Sequence[Lender], propagation: PropagationSettings, pointing: PointingSettings
) -> NDArray[np.float64]:
    """Covariance of what each direct exposure's pointing error differs by from the grism exposure's.

    Parameters
    ----------
    lenders : sequence of Lender
        N direct exposures.
    propagation, pointing : PropagationSettings, PointingSettings
        How large drift, dither errors and visit errors are.

    Returns
    -------
    (N, N) ndarray, arcsec^2
        Of one axis.

    Notes
    -----
    Drift is a random walk of at most an orbit, so two exposures on one side of the grism exposure share it
    as far as the nearer one, and two on both sides have nothing in common. Each offset, and each acquisition
    of the same guide stars, has an error of ``dither_error``; other guide stars have one of ``visit_error``.
    What belongs to the grism exposure itself all others share.
    """
    hours = _drifting(lenders)
    same_side = np.sign(hours)[:, None] * np.sign(hours) >= 0
    drift = np.where(same_side, np.minimum(*np.abs(np.broadcast_arrays(hours[:, None], hours))), 0.0)
    covariance = propagation.drift_error**2 * drift
    for i, first in enumerate(lenders):
        for j, second in enumerate(lenders):
            covariance[i, j] += _of_offsets(first, second, pointing)
    return covariance


def _drifting(lenders: Sequence[Lender]) -> NDArray[np.float64]:
    """Hours of drift to each of N exposures; negative for those before."""
    return np.clip([each.hours for each in lenders], -_ORBIT, _ORBIT)


def _of_offsets(first: Lender, second: Lender, pointing: PointingSettings) -> float:
    relation = min(first.relation, second.relation)
    if relation is Relation.SAME_POINTING:
        return 0.0
    # the grism exposure's own offset, and theirs if they have one in common
    offsets = 1 + same_pointing(first.exposure, second.exposure)
    total = offsets * pointing.dither_error**2
    if relation >= Relation.REACQUIRED:
        visit = pointing.dither_error if relation is Relation.REACQUIRED else pointing.visit_error
        total += (1 + (first.exposure.group == second.exposure.group)) * visit**2
    return total


def weights_of(
    choice: Choice,
    transforms: Sequence[LinearTransform],
    propagation: PropagationSettings,
    pointing: PointingSettings,
) -> NDArray[np.float64]:
    """Weights of the direct exposures in the correction of the grism exposure.

    Parameters
    ----------
    choice : Choice
        N direct exposures.
    transforms : sequence of LinearTransform
        Their corrections.
    propagation, pointing : PropagationSettings, PointingSettings
        How large drift and dither errors are.

    Returns
    -------
    (N,) ndarray
        Positive, with a sum of one.

    Notes
    -----
    Interpolated in time, the inverse of each one's variance and the drift since. For two, one on each side,
    that is the best linear unbiased estimate; of corrections without errors it is linear in time. The mean of
    a visit has the inverse of each one's variance and that of its dither.
    """
    variance = np.array([np.diag(transform.covariance)[:2].mean() for transform in transforms])
    if choice.rule == "visit":
        variance += pointing.dither_error**2
    else:
        variance += propagation.drift_error**2 * np.abs(_drifting(choice.lenders))
    inverse = 1.0 / (variance + _TINY)
    return np.asarray(inverse / inverse.sum())


def mean_transform(
    transforms: Sequence[LinearTransform], weights: NDArray[np.float64], plane: TangentPlane
) -> LinearTransform:
    """Weighted mean of maps of the sky, in the plane of the exposure that is to have it.

    Parameters
    ----------
    transforms : sequence of LinearTransform
        N maps, each in a plane of its own; one alone stays as it is.
    weights : (N,) ndarray
        With a sum of one.
    plane : TangentPlane
        Of the grism exposure.

    Notes
    -----
    Exposures of one solution have errors in common, so the covariance is the mean too, and no smaller.
    """
    if len(transforms) == 1:
        return transforms[0]
    moved = [transform.in_plane(plane) for transform in transforms]
    matrix, shift, covariance = (
        np.tensordot(weights, [getattr(each, name) for each in moved], axes=1)
        for name in ("matrix", "shift", "covariance")
    )
    return LinearTransform(matrix, shift, plane, covariance)


def with_carried_error(
    transform: LinearTransform, variance: float, relation: Relation, pointing: PointingSettings
) -> LinearTransform:
    """A correction with the error of having been carried.

    Parameters
    ----------
    transform : LinearTransform
        The correction.
    variance : float, arcsec^2
        Of the shift, of one axis.
    relation : Relation
        To other guide stars, roll and scale have the errors of both visits too.
    pointing : PointingSettings
        How large those are.
    """
    covariance = transform.covariance.copy()
    covariance[[0, 1], [0, 1]] += variance
    if relation is Relation.OTHER:
        roll = np.array([0.0, 0.0, 0.0, 1.0, -1.0, 0.0]) * np.radians(pointing.roll_error)
        scale = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 1.0]) * pointing.scale_error
        covariance += 2 * (np.outer(roll, roll) + np.outer(scale, scale))
    return replace(transform, covariance=covariance)
