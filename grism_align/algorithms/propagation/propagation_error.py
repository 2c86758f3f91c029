"""What propagating corrections from direct to grism exposures adds to their error; how to average them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.prior import GENERATORS
from grism_align.algorithms.propagation.pair import Relation, places
from grism_align.values.exposure import by_pointing
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.propagation.pair import DirectCandidate
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import GrismSettings, PointingSettings
    from grism_align.values.solution import AlignmentSolution, ExposureFit
    from grism_align.values.transform import TangentPlane


# A microarcsecond squared: keeps weights finite where nothing has an error.
_TINY = 1e-12
# By how much the rate of a drift on gyros changes, in itself.
_RATE_CHANGES = 0.2
# An orbit, h.
_LONGEST_DRIFT = 1.6
# Of fewer sources the scatter tells too little.
_FEWEST = 5


def own_variances(exposures: Iterable[Exposure], solution: AlignmentSolution) -> dict[str, float]:
    """Find the variances of the shifts of corrections against others of their acquisition, arcsec^2.

    Parameters
    ----------
    exposures : iterable of Exposure
        Direct exposures; those of a pointing have one correction.
    solution : AlignmentSolution
        Their fits.

    Returns
    -------
    dict of str to float
        Of one axis, by key of the exposures that have a fit.

    Notes
    -----
    What the exposures of an acquisition have in common, such as the error of its tie to the frame or of its
    roll, is in the covariance of each, and cancels. The scatter of a pointing's own sources about the fit
    has none of it: with residuals r of weights u, the variance of the weighted mean is
    sum(u^2 r^2) / sum(u)^2 (Huber 1981). Without residuals it is that of the whole correction, less what the
    measured exposures of the acquisition have in common, and no less than their own.
    """
    found: dict[str, float] = {}
    unmeasured: dict[str, tuple[tuple[str, str], float]] = {}
    measured: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for members in by_pointing(exposures):
        fits = {e.key: solution.fits[e.key] for e in members if e.key in solution.fits}
        acquisition = members[0].visit, members[0].group
        whole = _whole_variance(list(fits.values()), members[0].plane)
        own = _scatter_variance(list(fits.values()))
        if own is None:
            unmeasured |= dict.fromkeys(fits, (acquisition, whole))
        else:
            found |= dict.fromkeys(fits, own)
            measured.setdefault(acquisition, []).append((whole, own))
    for key, (acquisition, whole) in unmeasured.items():
        known = measured.get(acquisition, [(0.0, 0.0)])
        common = min(max(each - own, 0.0) for each, own in known)
        found[key] = max(whole - common, min(own for _, own in known))
    return found


def _scatter_variance(fits: Sequence[ExposureFit]) -> float | None:
    known = [fit.residuals for fit in fits if fit.residuals is not None]
    weight = np.concatenate([np.zeros(0), *(one.weight / one.error**2 for one in known)])
    used = int((weight > 0).sum())
    if used < _FEWEST or not np.isfinite(weight).all():
        return None
    square = (1e-3 * np.concatenate([one.offset for one in known])) ** 2
    scatter = (weight**2 @ square).mean() / weight.sum() ** 2
    return float(scatter * used / (used - 1))


def _whole_variance(fits: Sequence[ExposureFit], place: TangentPlane) -> float:
    transform = next((fit.transform for fit in fits if fit.transform is not None), None)
    return 0.0 if transform is None else transform.at(place).axis_error ** 2


def drift_correlation(hours: NDArray[np.float64], drift_time: float) -> NDArray[np.float64]:
    """Return the correlation of the drifts at two times.

    Parameters
    ----------
    hours : ndarray
        Between them.
    drift_time : float, h
        Time within which drift is much the same.
    """
    return np.asarray(np.exp(-0.5 * (hours / drift_time) ** 2))


def propagation_covariance(
    candidates: Sequence[DirectCandidate], settings: GrismSettings
) -> NDArray[np.float64]:
    """Return the covariance of what the pointing error of each direct exposure differs by from the grism's.

    Parameters
    ----------
    candidates : sequence of DirectCandidate
        N direct exposures.
    settings : GrismSettings
        How large drift, dither errors and visit errors are.

    Returns
    -------
    (N, N) ndarray, arcsec^2
        Of one axis.

    Notes
    -----
    Drift is a smooth Gaussian process: linear over minutes, forgotten after some of the telescope's drift
    times. Each offset, and each acquisition of the same guide stars, has an error of ``dither_error``; other
    guide stars have one of ``visit_error``. Where gyros hold the pointing it drifts at a rate of
    ``gyro_drift``, which hardly changes, so that the error grows with time and between two direct exposures
    nearly cancels.
    """
    hours = np.array([each.hours for each in candidates])
    drift_time = candidates[0].exposure.telescope.coherence.drift_time
    mine = drift_correlation(hours, drift_time)
    shared = drift_correlation(hours[:, None] - hours, drift_time)
    drift = settings.propagation.drift_error**2 * (1.0 + shared - mine[:, None] - mine)
    unguided = _of_gyros(candidates, settings.pointing.gyro_drift)
    return np.asarray(drift + unguided + offset_covariance(candidates, settings.pointing))


def propagation_variance(
    candidates: Sequence[DirectCandidate], weights: NDArray[np.float64], settings: GrismSettings
) -> float:
    """Return what propagating the weighted mean of corrections adds to its variance, arcsec^2 of one axis.

    Parameters
    ----------
    candidates : sequence of DirectCandidate
        N direct exposures.
    weights : (N,) ndarray
        As of `weights_of`.
    settings : GrismSettings
        As for `propagation_covariance`.
    """
    added = weights @ propagation_covariance(candidates, settings) @ weights
    return float(added + max(each.bridge_variance for each in candidates))


def claimed_variance(rule: str, candidates: Sequence[DirectCandidate], settings: GrismSettings) -> float:
    """Return the variance that the correction of a grism exposure would have, arcsec^2 of one axis.

    Parameters
    ----------
    rule : str
        How the direct exposures were chosen.
    candidates : sequence of DirectCandidate
        Those that would govern it.
    settings : GrismSettings
        As for `propagation_covariance`.

    Notes
    -----
    What the direct exposures of an acquisition have in common is left out: it decides nothing between them.
    """
    weights = weights_of(rule, candidates, settings)
    own = float(weights @ [each.variance for each in candidates])
    return own + propagation_variance(candidates, weights, settings)


def _of_gyros(candidates: Sequence[DirectCandidate], rate: float) -> NDArray[np.float64]:
    """Return what drift at an unknown rate makes of it, and the changes of that rate."""
    moved = rate * np.array([each.drift_share * _hours_of_drift(each) for each in candidates])
    nearer = np.minimum.outer(np.abs(moved), np.abs(moved))
    on_one_side = np.multiply.outer(moved, moved) > 0
    return np.asarray(np.outer(moved, moved) + (_RATE_CHANGES * nearer) ** 2 * on_one_side)


def _hours_of_drift(candidate: DirectCandidate) -> float:
    """Return the hours through which a pointing drifts; another acquisition starts anew."""
    longest = _LONGEST_DRIFT if candidate.relation >= Relation.REACQUIRED else np.inf
    return float(np.clip(candidate.hours, -longest, longest))


def offset_covariance(
    candidates: Sequence[DirectCandidate], pointing: PointingSettings
) -> NDArray[np.float64]:
    """Return the part of `propagation_covariance` that is not drift.

    Parameters
    ----------
    candidates : sequence of DirectCandidate
        N direct exposures.
    pointing : PointingSettings
        How large dither errors and visit errors are.

    Returns
    -------
    (N, N) ndarray, arcsec^2
        Of one axis.
    """
    return np.array([[_of_offsets(first, second, pointing) for second in candidates] for first in candidates])


def _of_offsets(first: DirectCandidate, second: DirectCandidate, pointing: PointingSettings) -> float:
    relation = min(first.relation, second.relation)
    if relation <= Relation.SAME_POINTING:
        return 0.0
    # the grism exposure's own offset, and theirs if they have one in common; likewise acquisitions
    total = (1 + (first.stay == second.stay)) * pointing.dither_error**2
    if relation is Relation.OTHER:
        total += (1 + (first.exposure.group == second.exposure.group)) * pointing.visit_error**2
    elif relation >= Relation.OCCULTED:
        total += (1 + (first.orbit == second.orbit)) * pointing.dither_error**2
    return total


@dataclass(frozen=True, eq=False)
class OpenErrors:
    """What the corrections that N grism exposures were given leave open: covariances of one axis, (N, N).

    Parameters
    ----------
    drift, dither, visit : ndarray
        For drift, dithers and visits of unit variance.
    own : ndarray, arcsec^2
        Of the measurement of the direct exposures.
    """

    drift: NDArray[np.float64]
    dither: NDArray[np.float64]
    visit: NDArray[np.float64]
    own: NDArray[np.float64]

    @property
    def parts(self) -> tuple[NDArray[np.float64], ...]:
        """The four of them."""
        return self.drift, self.dither, self.visit, self.own


def variances_of(settings: GrismSettings) -> NDArray[np.float64]:
    """Return what the parts of `OpenErrors` are to be multiplied by, (4,), for errors of some size."""
    pointing, drift = settings.pointing, settings.propagation.drift_error
    return np.array([drift**2, pointing.dither_error**2, pointing.visit_error**2, 1.0])


def open_errors(
    grisms: Sequence[Exposure],
    solution: AlignmentSolution,
    exposures: Sequence[Exposure],
    variances: Mapping[str, float],
    pairing_radius: float,
) -> OpenErrors:
    """Tell what the corrections of direct exposures leave open in grism exposures.

    Parameters
    ----------
    grisms : sequence of Exposure
        N grism exposures of one instrument.
    solution : AlignmentSolution
        Their fits, with who governs each and by what weight.
    exposures : sequence of Exposure
        All exposures of the acquisitions of these and of those that govern them.
    variances : mapping of str to float, arcsec^2
        Of the direct exposures' own fits, as of `own_variances`.
    pairing_radius : float, arcsec
        Exposures nearer than this share a pointing.

    Returns
    -------
    OpenErrors

    Notes
    -----
    The same process as in `propagation_covariance`, between all of them at once: the error of a pointing is
    the sum of those of its acquisition, of its orbit and of its stay at one place, and of drift. A grism
    exposure is left with its own less the weighted mean of those that govern it.
    """
    by_key = {each.key: each for each in exposures}
    governors = dict.fromkeys(key for each in grisms for key in solution[each.key].governors if key in by_key)
    taken = [*grisms, *(by_key[key] for key in governors)]
    row = {each.key: number for number, each in enumerate(taken)}
    left = np.eye(len(grisms), len(taken))
    for number, grism in enumerate(grisms):
        governed = solution[grism.key].governed
        if governed is not None:
            for key, weight in zip(governed.exposures, governed.weights, strict=True):
                left[number, row[key]] -= weight
    hours = 24.0 * np.array([each.mid for each in taken])
    drift = drift_correlation(hours[:, None] - hours, taken[0].telescope.coherence.drift_time)
    stay, orbit = places(taken, exposures, pairing_radius)
    group = np.array([f"{each.visit} {each.group}" for each in taken])
    same_stay, same_orbit, same_group = (name[:, None] == name for name in (stay, orbit, group))
    own = np.diag([variances.get(each.key, 0.0) if each.is_direct else 0.0 for each in taken])
    unit = (drift, same_stay.astype(float) + same_orbit, same_group.astype(float), own)
    return OpenErrors(*(left @ each @ left.T for each in unit))


def weights_of(
    rule: str, candidates: Sequence[DirectCandidate], settings: GrismSettings
) -> NDArray[np.float64]:
    """Weigh the direct exposures for the correction of the grism exposure.

    Parameters
    ----------
    rule : str
        How they were chosen.
    candidates : sequence of DirectCandidate
        N direct exposures.
    settings : GrismSettings
        How large drift and dither errors are.

    Returns
    -------
    (N,) ndarray
        Not negative, with a sum of one.

    Notes
    -----
    The best linear unbiased estimate, from each one's variance and `propagation_covariance`. For two
    exposures of the grism exposure's pointing, measured without error, it is linear in time. The mean of a
    visit, one for all grism exposures, has the inverse of each one's variance and that of its dither.
    """
    variance = np.array([each.variance for each in candidates]) + _TINY
    if rule == "visit":
        weights = 1.0 / (variance + settings.pointing.dither_error**2)
    else:
        total = propagation_covariance(candidates, settings) + np.diag(variance)
        weights = np.clip(np.linalg.solve(total, np.ones(len(candidates))), 0.0, None)
    return np.asarray(weights / weights.sum())


def mean_transform(transforms: Sequence[LinearTransform], weights: NDArray[np.float64]) -> LinearTransform:
    """Return the weighted mean of maps of the sky, in the plane of the first.

    Parameters
    ----------
    transforms : sequence of LinearTransform
        N maps; in one plane, but for corrections that a user gives.
    weights : (N,) ndarray
        With a sum of one.

    Notes
    -----
    Exposures of one solution have errors in common, so the covariance is the mean too, and no smaller.
    """
    if len(transforms) == 1:
        return transforms[0]
    plane = transforms[0].plane
    moved = [transform.at(plane) for transform in transforms]
    matrix, shift, covariance = (
        np.tensordot(weights, [getattr(each, name) for each in moved], axes=1)
        for name in ("matrix", "shift", "covariance")
    )
    return LinearTransform(matrix, shift, plane, covariance)


def with_propagation_error(
    transform: LinearTransform,
    variance: float,
    relation: Relation,
    pointing: PointingSettings,
    place: TangentPlane,
    *,
    turns: bool = False,
) -> LinearTransform:
    """Add the error of having been propagated to a correction.

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
    place : TangentPlane
        At the exposure, about which they are.
    turns : bool, optional
        Whether the roll of the acquisition changes, and that of the exposure is not known.
    """
    covariance = transform.covariance.copy()
    covariance[[0, 1], [0, 1]] += variance
    sizes = np.zeros(2)
    if relation is Relation.OTHER:
        sizes = np.sqrt(2) * np.array([np.radians(pointing.roll_error), pointing.scale_error])
    elif turns:
        sizes[0] = np.radians(pointing.dither_roll_error)
    center = transform.plane.to_plane([place.ra, place.dec])
    for generator, size in zip(GENERATORS, sizes, strict=False):
        derivative = size * np.concatenate([-generator @ center, generator.ravel()])
        covariance += np.outer(derivative, derivative)
    return replace(transform, covariance=covariance)
