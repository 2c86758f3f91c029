"""Solve the exposures of a frame anew, with the reference catalog as one more set of measurements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.epoch import covariance_at, errors_at, positions_at
from grism_align.algorithms.fit import axis_rms, leverage, weighted_rms
from grism_align.algorithms.frame import followed, pointing_prior
from grism_align.algorithms.frame_tie import require_right_epoch
from grism_align.algorithms.identify import identified, on_catalog
from grism_align.algorithms.joint import LEAST_WEIGHT, N_TERMS_OF, REFERENCE, Measurements, solve_joint
from grism_align.algorithms.pointing import roll_groups
from grism_align.algorithms.prior import GENERATORS
from grism_align.values.errors import AlignmentError, TooFewMatchesError
from grism_align.values.solution import ExposureFit, FitStatus, Residuals
from grism_align.values.sphere import (
    ARCSEC_PER_RADIAN,
    mean_direction,
    sky_to_vector,
    tangent_axes,
    vector_to_sky,
)
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.frame_tie import FrameTie
    from grism_align.algorithms.joint import JointSolution
    from grism_align.algorithms.measured import MeasuredSources
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import AbsoluteSettings, MatchSettings
    from grism_align.values.transform import LinearTransform

__all__ = ["TiedFrame", "joint_fits"]

# Radians, to tell the direction of an axis by.
_STEP = 1e-7
# A source that no catalog knows may have moved between measurements further apart than this, in years.
_YEARS_APART = 0.5
# A catalog overstates its errors if the scatter of as many pairs tells it, to so many of its own errors.
_FEWEST_FOR_SCATTER, _CERTAIN = 20, 3.0
# Median squared length of residuals of unit variance, and the error of that of N as a share, times root N.
_MEDIAN_SQUARE, _MEDIAN_ERROR = 2 * np.log(2.0), 1 / np.log(2.0)
# Stars of less than this share of the typical variance are others, of which the scatter tells nothing.
_OTHERS = 0.25


@dataclass(frozen=True, eq=False)
class TiedFrame:
    """A relative frame that was matched with the catalog as a whole.

    Parameters
    ----------
    sources : sequence of MeasuredSources
        What each of its exposures measured, on the relative frame.
    tie : FrameTie
        How it lies on the catalog.
    geometry : {'shift', 'rshift', 'rscale', 'general'}
        What its relative alignment fitted.
    """

    sources: Sequence[MeasuredSources]
    tie: FrameTie
    geometry: str


@dataclass(frozen=True, eq=False)
class _Tied:
    """All measurements on the catalog's frame, each source at one epoch, those by the catalog last.

    Parameters
    ----------
    measured : Measurements
        All of them.
    scatter : (K,) ndarray, arcsec
        First guess of the scatter of each kind of them.
    rows : (R,) ndarray of int
        The row of the catalog that each of the last R is.
    number : (R,) ndarray of int
        The source of the relative frame that each of these is, -1 where it is none.
    """

    measured: Measurements
    scatter: NDArray[np.float64]
    rows: NDArray[np.int64]
    number: NDArray[np.int64]


def joint_fits(
    frames: Sequence[TiedFrame], catalog: ReferenceCatalog, settings: AbsoluteSettings
) -> list[dict[str, ExposureFit]]:
    """Corrections of the exposures of neighbouring frames, each by its own, that follow the relative ones.

    Every measurement is brought to the epoch of its source by the reference's proper motion and parallax.
    Sources that several frames saw are one.

    Parameters
    ----------
    frames : sequence of TiedFrame
        The frames.
    catalog : ReferenceCatalog
        The reference.
    settings : AbsoluteSettings
        Weights; how well the a priori WCSs are known.

    Returns
    -------
    list of dict of str to ExposureFit
        Of each frame, by exposure key. Their covariances are those of the total corrections. An exposure
        without matches has the correction of another of its guide-star acquisition, or of the frame. All of a
        frame are FAILED if too few reference sources keep their weight, or if their residuals are those of a
        wrong epoch: what it did to other frames is not undone here.
    """
    touching = [frame.tie.transform.plane for frame in frames]
    plane = TangentPlane(*mean_direction([(one.ra, one.dec) for one in touching]))
    home = np.repeat(np.arange(len(frames)), [len(frame.sources) for frame in frames]).tolist()
    sources = on_catalog([(frame.sources, frame.tie.transform) for frame in frames], plane)
    groups = roll_groups([one.exposure for one in sources], plane)
    rows = identified(sources, catalog, plane, max(frame.tie.radius for frame in frames))
    if not any((row >= 0).any() for row in rows):
        # The whole was near the catalog at one epoch, and no exposure is at its own.
        failed = ExposureFit.failed("no star of the catalog is where it should be at the exposures' times")
        return [dict.fromkeys((one.exposure.key for one in frame.sources), failed) for frame in frames]
    # An exposure that its own sources could not align stays with its acquisition.
    solved = [n for n, one in enumerate(sources) if (rows[n] >= 0).any() or one.matched.any()]
    own, labels = [sources[n] for n in solved], [groups[n] for n in solved]
    year = float(np.mean([one.time for one in own]))
    stated = _as_the_scatter_tells(catalog, [frame.tie for frame in frames], year)
    tied = _tied(own, [rows[n] for n in solved], labels, (stated, plane), settings.selection.unknown_motion)
    # The catalog may be worse than it says; how much of the frames' scatter is its own, the residuals tell.
    tied.scatter[-1] = np.median([frame.tie.fit.scatter for frame in frames])
    geometry = max((frame.geometry for frame in frames), key=N_TERMS_OF.__getitem__)
    prior = pointing_prior(settings.pointing, tied.measured, [one.transform for one in own])
    solution = solve_joint(tied.measured, geometry, settings.match.clip, prior, tied.scatter)
    steps: dict[int, LinearTransform] = {}
    by_group: dict[str, LinearTransform] = {}
    for n, group, step in zip(
        solved, tied.measured.group, followed(tied.measured, solution, plane), strict=True
    ):
        kept = _frame_terms(frames[home[n]].tie, solution.center[group], N_TERMS_OF[geometry])
        steps[n] = replace(step, covariance=step.covariance + kept)
        by_group.setdefault(groups[n], steps[n])
    verdict = _Verdict(tied, solution, catalog, plane)
    out: list[dict[str, ExposureFit]] = []
    for number, frame in enumerate(frames):
        mine = [n for n in range(len(sources)) if home[n] == number]
        try:
            judged = verdict.fit([solved.index(n) for n in mine if n in steps], frame, settings.match)
        except AlignmentError as error:
            failed = ExposureFit.failed(str(error))
            out.append(dict.fromkeys((sources[n].exposure.key for n in mine), failed))
            continue
        judged = replace(judged, geometry=max(geometry, judged.geometry, key=N_TERMS_OF.__getitem__))
        fits = {}
        for n in mine:
            found = steps.get(n, by_group.get(groups[n]))
            fit = _followed(judged, frame, sources[n].exposure, found)
            fits[sources[n].exposure.key] = replace(fit, includes_earlier=n in steps)
        out.append(fits)
    return out


def _as_the_scatter_tells(
    catalog: ReferenceCatalog, ties: Sequence[FrameTie], year: float
) -> ReferenceCatalog:
    """The catalog with smaller errors, if its sources scatter clearly less than those it states.

    What scatters more, the solution itself finds.
    """
    used = [tie.fit.weight > 0 for tie in ties]
    number = sum(int(mine.sum()) for mine in used)
    if number < _FEWEST_FOR_SCATTER:
        return catalog
    square = np.concatenate([(t.fit.residual[u] ** 2).sum(axis=1) for t, u in zip(ties, used, strict=True)])
    total = np.concatenate([tie.error[mine] for tie, mine in zip(ties, used, strict=True)]) ** 2
    own = np.concatenate([tie.own_error[mine] for tie, mine in zip(ties, used, strict=True)]) ** 2
    share = float(np.median(square / total)) / _MEDIAN_SQUARE
    if share > 1.0 - _CERTAIN * _MEDIAN_ERROR / np.sqrt(number):
        return catalog
    theirs = float(np.median(total - own))
    left = max(share * float(np.median(total)) - float(np.median(own)), 0.01 * theirs)
    alike = (1e-3 * errors_at(catalog, year)) ** 2 > _OTHERS * theirs
    factor = np.where(alike, left / theirs, 1.0)
    return replace(catalog, covariance=catalog.covariance * factor[:, None, None])


def _followed(
    judged: ExposureFit, frame: TiedFrame, exposure: Exposure, step: LinearTransform | None
) -> ExposureFit:
    """The fit of one exposure: its frame's tie and then a step, with the covariance of the step."""
    tie = frame.tie.transform.in_plane(exposure.plane)
    if step is None:
        return replace(judged, transform=tie)
    own = step.in_plane(exposure.plane)
    return replace(judged, transform=replace(tie.then(own), covariance=own.covariance))


def _frame_terms(tie: FrameTie, center: NDArray[np.float64], n_terms: int) -> NDArray[np.float64]:
    """Covariance (6, 6) of the terms that only the frame as a whole was fitted for, about a point."""
    out = np.zeros((6, 6))
    for matrix in GENERATORS[n_terms : N_TERMS_OF[tie.fit.geometry]]:
        along = 0.5 * matrix.ravel()
        derivative = np.concatenate([-matrix @ center, matrix.ravel()])
        out += (along @ tie.transform.covariance[2:, 2:] @ along) * np.outer(derivative, derivative)
    return out


def _tied(
    own: Sequence[MeasuredSources],
    rows: Sequence[NDArray[np.int64]],
    labels: Sequence[str],
    reference: tuple[ReferenceCatalog, TangentPlane],
    unknown_motion: float,
) -> _Tied:
    """Measurements of all sources that more than one exposure, or an exposure and the catalog, measured."""
    catalog, plane = reference
    exposure, row = np.repeat(np.arange(len(own)), [len(one) for one in own]), np.concatenate(rows)
    number = np.concatenate([one.number for one in own])
    matched = np.concatenate([one.matched for one in own])
    # Rows of the catalog come first, then sources that it does not have.
    identity = np.where(row >= 0, row, len(catalog) + number)
    kept = np.flatnonzero((row >= 0) | matched)
    exposure, row, number = exposure[kept], row[kept], number[kept]
    identities, source = np.unique(identity[kept], return_inverse=True)
    source = source.ravel()
    time = np.array([one.time for one in own])[exposure]
    epoch = np.bincount(source, time) / np.bincount(source)
    known = identities < len(catalog)
    stars = catalog[identities[known]]
    anchor = plane.to_plane(positions_at(stars, epoch[known]))
    xy = np.concatenate([one.xy for one in own])[kept]
    error = np.concatenate([one.error for one in own])[kept]
    seen = row >= 0
    star, apart = np.cumsum(known)[source[seen]] - 1, time - epoch[source]
    xy[seen] -= plane.to_plane(positions_at(stars[star], time[seen])) - anchor[star]
    error[seen] = np.hypot(error[seen], _motion_error(stars, star, apart[seen]))
    kind, scatter = _kinds(own, exposure, np.where(seen, 0.0, np.abs(apart)), unknown_motion)
    axes = _axis_errors(stars, epoch[known], plane)
    _, group = np.unique(labels, return_inverse=True)
    measured = Measurements(
        exposure=np.concatenate([exposure, np.full(len(stars), REFERENCE)]),
        source=np.concatenate([source, np.flatnonzero(known)]),
        xy=np.concatenate([xy, anchor]),
        error=np.concatenate([error, np.sqrt((axes**2).mean(axis=1))]),
        kind=np.concatenate([kind, np.full(len(stars), len(scatter) - 1)]),
        group=group.ravel(),
        fixed=np.zeros(len(own), dtype=bool),
        axis_error=np.concatenate([error[:, None].repeat(2, axis=1), axes]),
    )
    in_frame = np.full(len(identities), -1)
    in_frame[source[number >= 0]] = number[number >= 0]
    return _Tied(measured, scatter, identities[known], in_frame[known])


def _kinds(
    own: Sequence[MeasuredSources],
    exposure: NDArray[np.int64],
    years: NDArray[np.float64],
    unknown_motion: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Class of each measurement, and the first guess of each class's scatter (K,), that of a catalog last.

    What nobody knows to stay over some `years` is a class of its own: the residuals tell how much it moves.
    """
    instruments, instrument = np.unique([one.exposure.instrument for one in own], return_inverse=True)
    kind = instrument.ravel()[exposure]
    kind[years > _YEARS_APART] += len(instruments)
    scatter = np.zeros(2 * len(instruments) + 1)
    for number in np.unique(kind[years > _YEARS_APART]).tolist():
        scatter[number] = 1e-3 * unknown_motion * float(np.median(years[kind == number]))
    return kind, scatter


def _axis_errors(
    stars: ReferenceCatalog, years: NDArray[np.float64], plane: TangentPlane
) -> NDArray[np.float64]:
    """Standard errors (N, 2), arcsec, of stars along the axes of a plane, which near a pole aren't theirs."""
    east, north, _ = np.moveaxis(tangent_axes(*stars.sky.T), 1, 0)
    out = sky_to_vector(stars.sky)
    origin = plane.to_plane(stars.sky)
    steps = [plane.to_plane(vector_to_sky(out + _STEP * axis)) - origin for axis in (east, north)]
    turn = np.stack(steps, axis=-1) / (_STEP * ARCSEC_PER_RADIAN)
    covariance = turn @ covariance_at(stars, years) @ turn.swapaxes(1, 2)
    return np.asarray(1e-3 * np.sqrt(np.maximum(covariance[:, (0, 1), (0, 1)], 0.0)))


def _motion_error(
    stars: ReferenceCatalog, star: NDArray[np.int64], years: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Error, arcsec, of bringing each measurement of a star over some years.

    It is the same for all of one time, which together must not beat it down.
    """
    motion = np.sqrt((stars.motion_error**2).mean(axis=1))
    _, place, times = np.unique(
        np.column_stack([star, np.round(years, 1)]), axis=0, return_inverse=True, return_counts=True
    )
    return np.asarray(1e-3 * motion[star] * years * np.sqrt(times[place.ravel()]))


class _Verdict:
    """Tells how each frame's exposures agree with the catalog.

    A source that the catalog knows well follows it, so its residual says little. What is judged is where
    the exposures alone put the source minus where the catalog has it.
    """

    def __init__(
        self, tied: _Tied, solution: JointSolution, catalog: ReferenceCatalog, plane: TangentPlane
    ) -> None:
        measured = tied.measured
        rows = measured.exposure == REFERENCE
        variance = measured.error**2 + solution.scatter[measured.kind] ** 2
        inverse = np.maximum(solution.weight, LEAST_WEIGHT) / variance
        total = np.bincount(measured.source, inverse)[measured.source[rows]]
        alone = np.maximum(total - inverse[rows], 1e-3 * LEAST_WEIGHT * total)
        used = (solution.weight[rows] > 0) & (alone > 1e-6 * total)
        self._tied, self._catalog, self._plane = tied, catalog, plane
        self._residual = -solution.residual[rows] * (total / alone)[:, None]
        self._weight = np.where(used, solution.weight[rows], 0.0)
        self._error = measured.error[rows]
        self._expected = self._error**2 + 1.0 / alone

    def fit(self, members: Sequence[int], frame: TiedFrame, match: MatchSettings) -> ExposureFit:
        """What the catalog's measurements tell of some exposures' fits; without a transform."""
        measured = self._tied.measured
        mine = np.unique(measured.source[np.isin(measured.exposure, members)])
        at = np.flatnonzero(np.isin(measured.source[measured.exposure == REFERENCE], mine))
        residual, weight, expected = self._residual[at], self._weight[at], self._expected[at]
        n_used = int((weight > 0).sum())
        if n_used < match.min_matches:
            raise TooFewMatchesError(n_used, match.min_matches)
        partner = self._catalog[self._tied.rows[at]]
        require_right_epoch(residual, partner, weight / expected, self._plane)
        used = weight > 0
        return ExposureFit(
            status=FitStatus.ALIGNED,
            transform=None,
            reference=self._catalog.name,
            n_matched=len(at),
            n_used=n_used,
            rms=1e3 * weighted_rms(residual, weight),
            rms_axes=axis_rms(1e3 * residual, weight),
            reduced_chi2=float(((residual**2).mean(axis=1) / expected)[used].mean()),
            leverage=leverage(np.where(used, 1.0 / expected, 0.0)),
            false_match_probability=frame.tie.probability,
            geometry=frame.tie.fit.geometry,
            residuals=Residuals(
                self._tied.number[at], partner.identifier, 1e3 * residual, weight, 1e3 * self._error[at]
            ),
        )
