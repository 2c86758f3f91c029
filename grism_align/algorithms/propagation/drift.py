"""How large drift and the errors of dithers are, told by the direct exposures themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.pair import stays
from grism_align.algorithms.propagation.propagation_error import drift_correlation, own_variances
from grism_align.values.exposure import by_pointing
from grism_align.values.settings import GrismSettings
from grism_align.values.solution import FitStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure
    from grism_align.values.solution import AlignmentSolution


# What is given beforehand is known to this factor, one standard deviation.
_KNOWN_TO = 3.0
#: Factors tried: two decades either way.
FACTORS = np.geomspace(0.01, 100.0, 25)
# Arcsec: what the parameters are bounded by.
_LEAST_DITHER, _LARGEST_DRIFT = 1e-4, 10.0
# A posterior with more than this of the prior's variance tells nothing new.
_AS_WIDE = 0.98
# Least error of a shift, arcsec: equal corrections have no scatter at all.
_LEAST = 1e-5


@dataclass(frozen=True, eq=False)
class _Track:
    """Where the pointings of one acquisition, N, were found.

    Parameters
    ----------
    hours : (N,) ndarray
        Since the first.
    shifts : (N, 2) ndarray, arcsec
        Of their corrections, at one place.
    noise, drift, offsets : (N, N) ndarray
        Covariances of one axis: of the measurement in arcsec^2, of drift and of dithers of unit variance.
    """

    hours: NDArray[np.float64]
    shifts: NDArray[np.float64]
    noise: NDArray[np.float64]
    drift: NDArray[np.float64]
    offsets: NDArray[np.float64]


def learnt_errors(
    exposures: Sequence[Exposure], relative: AlignmentSolution, given: GrismSettings
) -> GrismSettings:
    """Replace the sizes of drift and dither errors by what the direct exposures of a field tell of them.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct and grism exposures.
    relative : AlignmentSolution
        Corrections of the direct exposures in the relative frame.
    given : GrismSettings
        The parameters as given.

    Returns
    -------
    GrismSettings
        With other ``drift_error``, ``dither_error`` and ``gyro_drift``; as given where nothing tells.

    Notes
    -----
    Within an acquisition, corrections differ by drift, the same smooth process as in
    `propagation_covariance`; by one error for each pointing, and one for each orbit; and by the own errors of
    the fits. The two sizes are rms over the posterior, which makes the errors claimed with them honest in the
    mean; it comes from the restricted likelihood of all acquisitions and a prior that is log-normal about
    what is given, with a factor of three for its standard deviation. A size whose posterior is as wide as its
    prior stays as given. Exposures that gyros held tell of the rate of their drift alone.
    """
    propagation = given.propagation
    pointing = replace(given.pointing, gyro_drift=_gyro_drift(exposures, relative, given))
    given = GrismSettings(propagation, pointing)
    tracks = _tracks(exposures, relative, propagation.pairing_radius)
    if not tracks or propagation.drift_error == 0:
        return given
    drifts, dithers = propagation.drift_error * FACTORS, pointing.dither_error * FACTORS
    weights = posterior(np.sum([_log_likelihood(track, drifts, dithers) for track in tracks], axis=0))
    return with_sizes(given, _factor(weights.sum(axis=1)), _factor(weights.sum(axis=0)))


def posterior(log_likelihood: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of sizes of drift and dither errors.

    Parameters
    ----------
    log_likelihood : (K, K) ndarray
        For `FACTORS` times the drift that is given, and times the dither error.

    Returns
    -------
    (K, K) ndarray
        With a sum of one; the prior is about what is given.
    """
    away = np.log(FACTORS) / np.log(_KNOWN_TO)
    log_prior = np.where(away > 0, -0.5 * away**2, -np.log1p(away**2))
    log_posterior = log_likelihood + log_prior[:, None] + log_prior
    weights = np.exp(log_posterior - log_posterior.max())
    return np.asarray(weights / weights.sum())


def with_sizes(given: GrismSettings, drift: float, dither: float) -> GrismSettings:
    """Return the parameters with drift and dither errors so many times larger.

    Parameters
    ----------
    given : GrismSettings
        The parameters as given.
    drift, dither : float
        Factors; a dither error has a least size.
    """
    dither_error = max(dither * given.pointing.dither_error, _LEAST_DITHER)
    drift_error = min(drift * given.propagation.drift_error, _LARGEST_DRIFT)
    return GrismSettings(
        replace(given.propagation, drift_error=float(drift_error)),
        replace(given.pointing, dither_error=float(dither_error)),
    )


def _gyro_drift(exposures: Sequence[Exposure], relative: AlignmentSolution, given: GrismSettings) -> float:
    """Return the size of a drift on gyros, of one axis, arcsec/h: the rms over its posterior."""
    size = given.pointing.gyro_drift
    log_posterior = -0.5 * (np.log(FACTORS) / np.log(_KNOWN_TO)) ** 2
    for track in _tracks(exposures, relative, given.propagation.pairing_radius, on_gyros=True):
        error = track.noise + given.pointing.dither_error**2 * track.offsets
        terms = np.column_stack([np.ones_like(track.hours), track.hours])
        covariance = np.linalg.inv(terms.T @ np.linalg.solve(error, terms))
        rate = (covariance @ terms.T @ np.linalg.solve(error, track.shifts))[1]
        total = (size * FACTORS) ** 2 + covariance[1, 1]
        log_posterior -= 0.5 * (rate @ rate / total) + np.log(total)
    weights = np.exp(log_posterior - log_posterior.max())
    return size * _factor(weights / weights.sum())


def _factor(weights: NDArray[np.float64]) -> float:
    """Return the rms of a size over its posterior, in units of what is given; one where nothing tells it."""
    logs = np.log(FACTORS)
    variance = weights @ (logs - weights @ logs) ** 2
    return 1.0 if variance > _AS_WIDE * np.log(_KNOWN_TO) ** 2 else float(np.sqrt(weights @ FACTORS**2))


def _tracks(
    exposures: Sequence[Exposure],
    relative: AlignmentSolution,
    pairing_radius: float,
    *,
    on_gyros: bool = False,
) -> list[_Track]:
    """Find the acquisitions that two or more direct exposures tell of, guided ones or those on gyros."""
    acquisitions: dict[tuple[str, str, str], list[Exposure]] = {}
    for exposure in sorted(exposures, key=lambda each: (each.start, each.key)):
        acquisitions.setdefault((exposure.visit, exposure.group, exposure.mount), []).append(exposure)
    variances = own_variances(exposures, relative)
    tracks = []
    for members in acquisitions.values():
        labels = dict(
            zip((e.key for e in members), zip(*stays(members, pairing_radius), strict=True), strict=True)
        )
        tracks += [
            _track(alike, relative, variances, np.array([labels[each.key] for each in alike]))
            for alike in _comparable(members, relative, on_gyros=on_gyros)
        ]
    return tracks


def _comparable(
    members: Iterable[Exposure], relative: AlignmentSolution, *, on_gyros: bool
) -> list[list[Exposure]]:
    """Find direct exposures whose own sources were aligned, of one frame, and from the grism exposures' WCS.

    Each stands for its pointing. A WCS that was fitted to an exposure no longer tells where its telescope
    pointed; one that gyros held drifts by its own law.
    """
    solutions = {each.wcs_solution for each in members if not each.is_direct}
    found: dict[tuple[int, str], list[Exposure]] = {}
    for each in members:
        fit = relative.fits.get(each.key)
        if fit is None or fit.transform is None or fit.status is FitStatus.PRIOR_ONLY:
            continue
        is_asked_for = (each.tracking.guiding.drift_share == 1) is on_gyros
        if each.is_direct and is_asked_for and each.wcs_solution in solutions:
            found.setdefault((fit.frame, each.wcs_solution), []).append(each)
    firsts = ([members[0] for members in by_pointing(alike)] for alike in found.values())
    return [alike for alike in firsts if len(alike) > 1]


def _track(
    directs: Sequence[Exposure],
    relative: AlignmentSolution,
    variances: Mapping[str, float],
    labels: NDArray[np.int_],
) -> _Track:
    place = directs[0].plane
    transforms = [transform.at(place) for each in directs if (transform := relative[each.key].transform)]
    hours = 24.0 * np.array([each.mid - directs[0].mid for each in directs])
    variance = np.array([variances[each.key] for each in directs])
    same = labels[:, None] == labels
    return _Track(
        hours,
        np.array([transform.shift for transform in transforms]),
        np.diag(variance + _LEAST**2),
        drift_correlation(hours[:, None] - hours, directs[0].telescope.coherence.drift_time),
        same.sum(axis=-1).astype(float),
    )


def _log_likelihood(
    track: _Track, drifts: NDArray[np.float64], dithers: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the restricted log likelihood, (drifts, dithers): the mean pointing is free."""
    total = (
        track.noise
        + drifts[:, None, None, None] ** 2 * track.drift
        + dithers[:, None, None] ** 2 * track.offsets
    )
    ones = np.ones((len(track.shifts), 1))
    solved = np.linalg.solve(total, np.broadcast_to(ones, (*total.shape[:2], *ones.shape)))
    information = solved.sum(axis=(-2, -1))
    mean = np.einsum("abij,ik->abk", solved, track.shifts) / information[..., None]
    residual = track.shifts - mean[..., None, :]
    chi2 = (residual * np.linalg.solve(total, residual)).sum(axis=(-2, -1))
    # two axes
    return np.asarray(-0.5 * chi2 - np.linalg.slogdet(total)[1] - np.log(information))
