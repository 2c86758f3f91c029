"""Solve the exposures of a frame anew, with the reference catalog as one more set of measurements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.chance import false_match_probability
from grism_align.algorithms.epoch import covariance_at, positions_at
from grism_align.algorithms.fit import axis_rms, leverage, weighted_rms
from grism_align.algorithms.frame import followed, pointing_prior
from grism_align.algorithms.frame_tie import require_right_epoch
from grism_align.algorithms.identify import identified, on_catalog
from grism_align.algorithms.joint import LEAST_WEIGHT, N_TERMS_OF, REFERENCE, Measurements, solve_joint
from grism_align.algorithms.pointing import roll_groups
from grism_align.algorithms.prior import GENERATORS
from grism_align.values.errors import AlignmentError, TooFewMatchesError, UnreliableMatchError
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
# Error of the mean of N squared residuals of one axis as a share, times root N.
_SQUARE_ERROR = np.sqrt(2.0)
# Stars of less than this share of the typical variance are others, of which the scatter tells nothing.
_OTHERS = 0.25
# Share of a frame's reference stars that must keep their weight. Of honest fields three in four did.
_LEAST_SHARE = 0.5


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
    number : (M,) ndarray of int
        The source of the relative frame that each measurement is of, -1 where it is of none.
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
    home = np.repeat(np.arange(len(frames)), [len(frame.sources) for frame in frames])
    sources = on_catalog([(frame.sources, frame.tie.transform) for frame in frames], plane)
    rows = identified(sources, catalog, plane, max(frame.tie.radius for frame in frames))
    if not any((row >= 0).any() for row in rows):
        # The whole was near the catalog at one epoch, and no exposure is at its own.
        failed = ExposureFit.failed("no star of the catalog is where it should be at the exposures' times")
        return [dict.fromkeys((one.exposure.key for one in frame.sources), failed) for frame in frames]
    solved = _solved(frames, (sources, rows, home), (catalog, plane), settings)
    verdict = _Verdict(solved, catalog, plane, settings.match)
    return [
        _fits_of(frame, [(n, sources[n]) for n in np.flatnonzero(home == number).tolist()], solved, verdict)
        for number, frame in enumerate(frames)
    ]


@dataclass(frozen=True, eq=False)
class _Solved:
    """The joint solution, and what it adds to the correction of each exposure.

    Parameters
    ----------
    tied : _Tied
        What was solved.
    solution : JointSolution
        Its solution.
    at : dict of int to int
        Place in the solution of each exposure that is in it, by its place among all.
    steps : dict of int to LinearTransform
        What follows the tie of its frame, by its place among all.
    groups : list of str
        Guide-star acquisition of each of all.
    geometry : str
        What was fitted.
    """

    tied: _Tied
    solution: JointSolution
    at: dict[int, int]
    steps: dict[int, LinearTransform]
    groups: list[str]
    geometry: str

    def step(self, number: int) -> LinearTransform | None:
        """The step of an exposure, else that of another of its acquisition."""
        others = (n for n in self.steps if self.groups[n] == self.groups[number])
        return self.steps.get(number if number in self.steps else next(others, -1))


def _solved(
    frames: Sequence[TiedFrame],
    seen: tuple[Sequence[MeasuredSources], Sequence[NDArray[np.int64]], NDArray[np.int64]],
    reference: tuple[ReferenceCatalog, TangentPlane],
    settings: AbsoluteSettings,
) -> _Solved:
    """Solve what was `seen`: sources, the catalog's rows that they are, and the frame of each exposure."""
    (sources, rows, home), (catalog, plane) = seen, reference
    groups = roll_groups([one.exposure for one in sources], plane)
    # An exposure that its own sources could not align stays with its acquisition.
    places = [n for n, one in enumerate(sources) if (rows[n] >= 0).any() or one.matched.any()]
    own, labels = [sources[n] for n in places], [groups[n] for n in places]
    stated = _as_the_scatter_tells(catalog, [frame.tie for frame in frames])
    tied = _tied(own, [rows[n] for n in places], labels, (stated, plane), settings.selection.unknown_motion)
    # The catalog may be worse than it says; how much of the frames' scatter is its own, the residuals tell.
    tied.scatter[-1] = np.median([frame.tie.fit.scatter for frame in frames])
    geometry = max((frame.geometry for frame in frames), key=N_TERMS_OF.__getitem__)
    prior = pointing_prior(settings.pointing, tied.measured, [one.transform for one in own])
    solution = solve_joint(tied.measured, geometry, settings.match.clip, prior, tied.scatter)
    steps = {}
    found = followed(tied.measured, solution, plane)
    for n, group, step in zip(places, tied.measured.group, found, strict=True):
        kept = _frame_terms(frames[home[n]].tie, solution.center[group], N_TERMS_OF[geometry])
        steps[n] = replace(step, covariance=step.covariance + kept)
    return _Solved(tied, solution, {n: at for at, n in enumerate(places)}, steps, groups, geometry)


def _fits_of(
    frame: TiedFrame, members: Sequence[tuple[int, MeasuredSources]], solved: _Solved, verdict: _Verdict
) -> dict[str, ExposureFit]:
    """The fits of a frame's exposures, each with its place among all; all of them FAILED if the frame has."""
    try:
        probability = verdict.require(
            [solved.at[n] for n, _ in members if n in solved.at], frame, [one for _, one in members]
        )
    except AlignmentError as error:
        return dict.fromkeys((one.exposure.key for _, one in members), ExposureFit.failed(str(error)))
    geometry = max(solved.geometry, frame.tie.fit.geometry, key=N_TERMS_OF.__getitem__)
    fits = {}
    for n, one in members:
        judged = verdict.fit(solved.at.get(n))
        judged = replace(judged, geometry=geometry, false_match_probability=probability)
        fit = _followed(judged, frame, one.exposure, solved.step(n))
        fits[one.exposure.key] = replace(fit, includes_earlier=n in solved.steps)
    return fits


def _as_the_scatter_tells(catalog: ReferenceCatalog, ties: Sequence[FrameTie]) -> ReferenceCatalog:
    """The catalog with smaller errors of each axis on which its sources scatter clearly less than it states.

    What scatters more, the solution itself finds.
    """
    used = [tie.fit.weight > 0 for tie in ties]
    number = sum(int(mine.sum()) for mine in used)
    if number < _FEWEST_FOR_SCATTER:
        return catalog
    rows = np.concatenate([tie.pairs[mine, 1] for tie, mine in zip(ties, used, strict=True)])
    own = np.concatenate([tie.own_error[mine] for tie, mine in zip(ties, used, strict=True)]) ** 2
    years = np.concatenate([tie.epoch[mine] for tie, mine in zip(ties, used, strict=True)])
    residual = np.concatenate(
        [_to_sky_axes(tie, catalog)[mine] for tie, mine in zip(ties, used, strict=True)]
    )
    stated = 1e-6 * np.diagonal(covariance_at(catalog[rows], years), axis1=1, axis2=2)
    everywhere = 1e-6 * np.diagonal(covariance_at(catalog, float(years.mean())), axis1=1, axis2=2)
    scale = np.ones((len(catalog), 5))
    for axis in (0, 1):
        total = stated[:, axis] + own
        share = float((residual[:, axis] ** 2 / total).mean())
        if share > 1.0 - _CERTAIN * _SQUARE_ERROR / np.sqrt(number):
            continue
        theirs = float(np.median(stated[:, axis]))
        left = max(share * float(np.median(total)) - float(np.median(own)), 0.01 * theirs)
        alike = everywhere[:, axis] > _OTHERS * theirs
        scale[:, [axis, 3 + axis]] = np.where(alike, np.sqrt(left / theirs), 1.0)[:, None]
    return replace(catalog, covariance=scale[:, :, None] * catalog.covariance * scale[:, None, :])


def _to_sky_axes(tie: FrameTie, catalog: ReferenceCatalog) -> NDArray[np.float64]:
    """The residuals of a tie to the east and the north of each star, which near a pole aren't the plane's."""
    turn = _turns(catalog.sky[tie.pairs[:, 1]], tie.transform.plane)
    return np.asarray(np.einsum("nki,nk->ni", turn, tie.fit.residual))


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
    return _Tied(measured, scatter, identities[known], np.concatenate([number, in_frame[known]]))


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
    turn = _turns(stars.sky, plane)
    covariance = turn @ covariance_at(stars, years) @ turn.swapaxes(1, 2)
    return np.asarray(1e-3 * np.sqrt(np.maximum(covariance[:, (0, 1), (0, 1)], 0.0)))


def _turns(sky: NDArray[np.float64], plane: TangentPlane) -> NDArray[np.float64]:
    """What takes east and north of positions (N, 2), deg, to the axes of a plane: (N, 2, 2)."""
    east, north, _ = np.moveaxis(tangent_axes(*sky.T), 1, 0)
    out, origin = sky_to_vector(sky), plane.to_plane(sky)
    steps = [plane.to_plane(vector_to_sky(out + _STEP * axis)) - origin for axis in (east, north)]
    return np.asarray(np.stack(steps, axis=-1) / (_STEP * ARCSEC_PER_RADIAN))


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
    """Tells how exposures, and frames of them, agree with the catalog.

    A source that the catalog knows well follows it, so its residual says little. What is judged of a frame
    is where its exposures alone put the source minus where the catalog has it; what is on record of an
    exposure is where that one puts it.
    """

    def __init__(
        self, solved: _Solved, catalog: ReferenceCatalog, plane: TangentPlane, match: MatchSettings
    ) -> None:
        measured, solution = solved.tied.measured, solved.solution
        rows = measured.exposure == REFERENCE
        variance = measured.error**2 + solution.scatter[measured.kind] ** 2
        inverse = np.maximum(solution.weight, LEAST_WEIGHT) / variance
        total = np.bincount(measured.source, inverse)[measured.source[rows]]
        alone = np.maximum(total - inverse[rows], 1e-3 * LEAST_WEIGHT * total)
        used = (solution.weight[rows] > 0) & (alone > 1e-6 * total)
        self._solved, self._catalog, self._plane, self._match = solved, catalog, plane, match
        self._rows = np.flatnonzero(rows)
        self._residual = -solution.residual[rows] * (total / alone)[:, None]
        self._weight = np.where(used, solution.weight[rows], 0.0)
        self._expected = measured.error[rows] ** 2 + 1.0 / alone

    def require(self, members: Sequence[int], frame: TiedFrame, sources: Sequence[MeasuredSources]) -> float:
        """The probability that chance ties a frame; AlignmentError if the frame is not tied after all."""
        measured, limit = self._solved.tied.measured, self._match.max_false_match
        mine = np.unique(measured.source[np.isin(measured.exposure, members)])
        at = np.flatnonzero(np.isin(measured.source[self._rows], mine))
        used = at[self._weight[at] > 0]
        least = max(self._match.min_matches, int(np.ceil(_LEAST_SHARE * len(at))))
        if len(used) < least:
            raise TooFewMatchesError(len(used), least, f"of {len(at)} keep their weight with all exposures")
        partner, residual = self._catalog[self._solved.tied.rows[at]], self._residual[at]
        require_right_epoch(residual, partner, self._weight[at] / self._expected[at], self._plane)
        self._require_visits(members)
        probability = max(frame.tie.probability, self._chance(used, frame, sources))
        if probability > limit:
            raise UnreliableMatchError(len(used), probability, limit)
        return probability

    def _require_visits(self, members: Sequence[int]) -> None:
        """Refuse a frame half of whose acquisitions see most reference stars where the others don't.

        Wrong motions do that: the stars are where they should be at the epoch of some, and there alone.
        """
        measured = self._solved.tied.measured
        of_star = np.isin(measured.source, measured.source[self._rows])
        mine = np.flatnonzero(of_star & np.isin(measured.exposure, members))
        group = measured.group[measured.exposure[mine]]
        total = np.bincount(group)
        kept = np.bincount(group, self._solved.solution.weight[mine] > 0)
        judged = total >= 2 * self._match.min_matches
        lost = np.flatnonzero(judged & (kept <= _LEAST_SHARE * total))
        if len(lost) and 2 * len(lost) >= judged.sum():
            worst = lost[np.argmin(kept[lost] / total[lost])]
            msg = (
                f"{len(lost)} of {judged.sum()} acquisitions disagree with the catalog: "
                f"of one {kept[worst]:.0f} of {total[worst]} measurements of its stars keep their weight"
            )
            raise AlignmentError(msg)

    def _chance(self, used: NDArray[np.int64], frame: TiedFrame, sources: Sequence[MeasuredSources]) -> float:
        """Probability that chance makes the agreement that is left, with all other sources of the frame."""
        tied = self._solved.tied
        stars = tied.rows[used]
        year = float(np.mean([one.time for one in sources]))
        reference = self._plane.to_plane(positions_at(self._catalog, year))
        # All at one epoch, or motions would pass for scatter.
        placed = reference[stars] + self._residual[used]
        # A star that moved may be several sources of the relative frame.
        measured = tied.measured
        theirs = tied.number[np.isin(measured.source, measured.source[self._rows[used]])]
        number = np.concatenate([one.number for one in sources])
        _, first = np.unique(number, return_index=True)
        first = first[(number[first] >= 0) & ~np.isin(number[first], theirs)]
        rest = np.concatenate([one.xy for one in sources])[first]
        return false_match_probability(
            (np.concatenate([placed, rest]), reference),
            np.arange(len(used)),
            len(used),
            frame.tie.radius,
            self._match,
            with_roll=True,
        )

    def fit(self, member: int | None) -> ExposureFit:
        """What one exposure's own measurements of reference stars tell of its fit; without a transform."""
        measured, solution, tied = self._solved.tied.measured, self._solved.solution, self._solved.tied
        row_of = np.full(len(solution.source_xy), -1)
        row_of[measured.source[self._rows]] = np.arange(len(self._rows))
        at = np.flatnonzero((measured.exposure == member) & (row_of[measured.source] >= 0))
        star = row_of[measured.source[at]]
        residual = solution.residual[at] - solution.residual[self._rows[star]]
        weight = np.where(self._weight[star] > 0, solution.weight[at], 0.0)
        given = np.hypot(measured.error[at], measured.error[self._rows[star]])
        used = weight > 0
        chi2 = (residual[used] ** 2).mean(axis=1) / given[used] ** 2
        names = self._catalog.identifier[tied.rows[star]]
        return ExposureFit(
            status=FitStatus.ALIGNED,
            transform=None,
            reference=self._catalog.name,
            n_matched=len(at),
            n_used=int(used.sum()),
            rms=1e3 * weighted_rms(residual, weight),
            rms_axes=axis_rms(1e3 * residual, weight),
            reduced_chi2=float(chi2.mean()) if used.any() else float("nan"),
            leverage=leverage(np.where(used, given**-2.0, 0.0)),
            residuals=Residuals(tied.number[at], names, 1e3 * residual, weight, 1e3 * given),
        )
