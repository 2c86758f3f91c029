"""Match sources that lie rightly to each other with a reference catalog, and fit them as one rigid whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.epoch import errors_at, positions_at
from grism_align.algorithms.fitting.fit import LinearFit, fit_linear
from grism_align.algorithms.matching.chance import PairedLists, Targets, false_match_probability
from grism_align.algorithms.matching.match import LEAST_RADIUS, match_lists, mutual_nearest
from grism_align.algorithms.relative.model import AUTO
from grism_align.values.errors import AlignmentError, TooFewMatchesError, UnreliableMatchError
from grism_align.values.failure import (
    ChanceMatch,
    LargeTieRms,
    StandsStill,
    TooFewMatches,
    UncertainField,
    WrongEpoch,
)
from grism_align.values.plane_list import PlaneList

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.settings import AbsoluteSettings, MatchSettings, PointingSettings
    from grism_align.values.transform import LinearTransform, TangentPlane


_ROUNDS = 5
# A scale is kept where it differs from one by this many of its errors.
_SIGNIFICANT = 3.0
# An epoch is wrong if proper motions, each known to so many of its errors, tell it with as many of its
# own, and by so many years.
_CERTAIN = 5.0
_YEARS_OFF = 1.0
# Stars that move by so much, mas/yr, and as many as tell an epoch.
_LEAST_MOTION, _FEWEST_MOVING = 0.1, 5


@dataclass(frozen=True, eq=False)
class MeasurementTimes:
    """When what positions are the means of was measured.

    Parameters
    ----------
    years : (T,) ndarray
        Julian years.
    shares : (N, T) ndarray
        Share that each time has in each of N positions.
    """

    years: NDArray[np.float64]
    shares: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FrameSources:
    """Sources whose relative positions are known.

    Parameters
    ----------
    positions : PlaneList
        N positions in `plane`.
    number : (N,) ndarray of int
        Their numbers in the relative frame.
    plane : TangentPlane
        The plane.
    pixel_scale : float, arcsec
        The smallest one of the exposures that saw them.
    seen : MeasurementTimes, optional
        Of the measurements that positions are means of; without it all are of the position's epoch.
    """

    positions: PlaneList
    number: NDArray[np.int64]
    plane: TangentPlane
    pixel_scale: float
    seen: MeasurementTimes | None = None

    def __len__(self) -> int:
        return len(self.number)

    def rows(self, index: NDArray[np.int64]) -> FrameSources:
        """Pick the sources of some rows."""
        seen = None if self.seen is None else replace(self.seen, shares=self.seen.shares[index])
        return replace(self, positions=self.positions.rows(index), number=self.number[index], seen=seen)


@dataclass(frozen=True, eq=False)
class FrameTie:
    """How sources lie on a reference catalog.

    Parameters
    ----------
    fit : LinearFit
        From the sources to the catalog; residuals are those of `pairs`.
    pairs : (N, 2) ndarray of int
        Number of the source, row of the catalog.
    error : (N,) ndarray, arcsec
        Standard error of one axis that the pairs were given.
    own_error : (N,) ndarray, arcsec
        That of the source alone.
    epoch : (N,) ndarray
        Julian year of the source, the mean one of its measurements.
    radius : float, arcsec
        Within which they were looked for.
    probability : float
        That chance made the match.
    """

    fit: LinearFit
    pairs: NDArray[np.int64]
    error: NDArray[np.float64]
    own_error: NDArray[np.float64]
    epoch: NDArray[np.float64]
    radius: float
    probability: float

    @property
    def transform(self) -> LinearTransform:
        """From the sources to the catalog."""
        return self.fit.transform


def match_frame(
    own: FrameSources,
    catalog: ReferenceCatalog,
    settings: AbsoluteSettings,
    parts: Sequence[FrameSources] = (),
) -> FrameTie:
    """Match sources with a catalog at an unknown offset and roll, and fit them.

    Parameters
    ----------
    own : FrameSources
        The sources.
    catalog : ReferenceCatalog
        The reference; each of its stars is taken to the epoch of its partner.
    settings : AbsoluteSettings
        The parameters.
    parts : sequence of FrameSources
        The sources as they were at one epoch each, to search where all of them, which have moved between the
        epochs, don't match.

    Returns
    -------
    FrameTie

    Raises
    ------
    AlignmentError
        If they don't match, if chance could have matched them, or if the fit is not acceptable.
    """
    failures: list[AlignmentError] = []
    for look in (own, *parts):
        reference = _reference_list(catalog, float(look.positions.epoch.mean()), own.plane)
        try:
            start = match_lists(look.positions, reference, own.plane, settings.match)
            tie = refine_tie(own, catalog, start.transform, settings)
            # Each look is one more chance.
            return _judged(tie, look, catalog, settings.match, tries=1 + len(parts))
        except AlignmentError as error:
            failures.append(error)
    wrong_epoch = next((one for one in failures if isinstance(one.remark, WrongEpoch)), None)
    raise wrong_epoch or _explained(failures[0], own, catalog, settings.match)


def _explained(
    failure: AlignmentError, own: FrameSources, catalog: ReferenceCatalog, match: MatchSettings
) -> AlignmentError:
    """Return the failure, or, if so it is, that the catalog would match if its stars stood still."""
    year = float(own.positions.epoch.mean())
    still = PlaneList(
        own.plane.to_plane(catalog.sky), 1e-3 * catalog.error.max(axis=1), catalog.mag, catalog.epoch
    )
    moved = np.hypot(*(_reference_list(catalog, year, own.plane).xy - still.xy).T)
    if np.median(moved) < LEAST_RADIUS:
        return failure
    try:
        match_lists(own.positions, still, own.plane, match)
    except AlignmentError:
        return failure
    return AlignmentError(StandsStill(year, float(np.median(catalog.epoch))))


def _judged(
    tie: FrameTie, look: FrameSources, catalog: ReferenceCatalog, match: MatchSettings, *, tries: int
) -> FrameTie:
    """Give the tie the probability that one of so many tries shows by chance what this look does."""
    reference = _reference_list(catalog, float(look.positions.epoch.mean()), look.plane)
    aligned = tie.transform.apply(look.positions.xy)
    pairs = mutual_nearest(aligned, reference.xy, match.tolerance)
    own_epoch = _partners(look, catalog, pairs)
    pairs_apart = np.hypot(*(aligned[pairs[:, 0]] - own_epoch).T)
    # All at one epoch, or motions would pass for scatter.
    aligned[pairs[:, 0]] += reference.xy[pairs[:, 1]] - own_epoch
    paired = pairs[pairs_apart < tie.radius, 0]
    n_used = min(tie.fit.n_used, len(paired))
    lists = PairedLists(aligned, Targets(reference.xy), paired, n_used, tie.radius)
    probability = min(1.0, tries * false_match_probability(lists, match, with_roll=True))
    if probability > match.max_false_match:
        raise UnreliableMatchError(ChanceMatch(n_used, probability, match.max_false_match))
    return replace(tie, probability=probability)


def refine_tie(
    own: FrameSources, catalog: ReferenceCatalog, start: LinearTransform, settings: AbsoluteSettings
) -> FrameTie:
    """Fit sources whose place on the catalog is nearly known, in a radius that shrinks with the residuals.

    Parameters
    ----------
    own : FrameSources
        The sources.
    catalog : ReferenceCatalog
        The reference.
    start : LinearTransform
        From the sources to the catalog, good to the tolerance of the match.
    settings : AbsoluteSettings
        The parameters.

    Returns
    -------
    FrameTie
        Its probability is NaN: nothing was searched.

    Raises
    ------
    AlignmentError
        If there are too few pairs or their fit is not acceptable.
    """
    match = settings.match
    if len(own) < match.min_matches:
        raise TooFewMatchesError(TooFewMatches(len(own), match.min_matches))
    reference = _reference_list(catalog, float(own.positions.epoch.mean()), own.plane)
    transform, radius = start, match.tolerance
    pairs, fit = np.zeros((0, 2), dtype=np.int64), None
    for _ in range(_ROUNDS):
        near = mutual_nearest(transform.apply(own.positions.xy), reference.xy, match.tolerance)
        moved = transform.apply(own.positions.xy[near[:, 0]])
        before, pairs = pairs, near[np.hypot(*(moved - _partners(own, catalog, near)).T) < radius]
        if len(pairs) < match.min_matches:
            raise TooFewMatchesError(TooFewMatches(len(pairs), match.min_matches))
        if fit is not None and np.array_equal(before, pairs):
            break
        fit, error = _fit_pairs(own, catalog, pairs, settings)
        transform = fit.transform
        typical = float(np.median(np.hypot(error, fit.scatter)))
        radius = float(np.clip(match.clip * 2 * typical, LEAST_RADIUS, match.tolerance))
    fit, error = _fit_pairs(own, catalog, pairs, settings)
    numbered = np.column_stack([own.number[pairs[:, 0]], pairs[:, 1]])
    if fit.n_used < match.min_matches:
        raise TooFewMatchesError(TooFewMatches(fit.n_used, match.min_matches))
    weight = fit.weight / np.hypot(error, fit.scatter) ** 2
    require_right_epoch(fit.residual, catalog[pairs[:, 1]], weight, own.plane)
    _require_small(own, fit, match, float(np.median(error)))
    _require_better(own, fit.transform, settings.pointing)
    mine = own.positions.rows(pairs[:, 0])
    return FrameTie(fit, numbered, error, mine.error, mine.epoch, radius, float("nan"))


def _reference_list(catalog: ReferenceCatalog, epoch: float, plane: TangentPlane) -> PlaneList:
    """Take the catalog to one epoch, for the search."""
    xy = plane.to_plane(positions_at(catalog, epoch))
    return PlaneList(xy, 1e-3 * errors_at(catalog, epoch), catalog.mag, np.full(len(xy), epoch))


def _partners(own: FrameSources, catalog: ReferenceCatalog, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Find where the star of each pair was, (N, 2), arcsec, when its source was measured."""
    mine, partner = own.rows(pairs[:, 0]), catalog[pairs[:, 1]]
    if mine.seen is None:
        return own.plane.to_plane(positions_at(partner, mine.positions.epoch))
    # Parallax is not linear in time, and so its mean is none of the mean time.
    at = np.array([own.plane.to_plane(positions_at(partner, time)) for time in mine.seen.years])
    return np.asarray(np.einsum("nt,tnk->nk", mine.seen.shares, at))


def _fit_pairs(
    own: FrameSources, catalog: ReferenceCatalog, pairs: NDArray[np.int64], settings: AbsoluteSettings
) -> tuple[LinearFit, NDArray[np.float64]]:
    """Fit pairs, and return their errors, arcsec; a scale that the data can't tell from one is not fitted."""
    geometry, clip = settings.reference.fitgeometry, settings.match.clip
    geometry = "rscale" if geometry == AUTO else geometry
    mine, partner = own.positions.rows(pairs[:, 0]), catalog[pairs[:, 1]]
    error = np.hypot(mine.error, 1e-3 * errors_at(partner, mine.epoch))
    target = _partners(own, catalog, pairs)
    fit = fit_linear(mine.xy, target, error, own.plane, geometry, clip)
    if geometry == "rscale" and not _scale_is_significant(fit):
        fit = fit_linear(mine.xy, target, error, own.plane, "rshift", clip)
    return fit, error


def _scale_is_significant(fit: LinearFit) -> bool:
    """Tell whether a scale is one that chance does not make; few stars tell its error badly."""
    from scipy.special import ndtr, stdtrit

    scale_error = float(np.sqrt(fit.transform.covariance[2, 2]))
    limit = stdtrit(max(2 * fit.n_used - 4, 1), ndtr(_SIGNIFICANT))
    return bool(abs(fit.transform.scale - 1.0) > limit * scale_error)


def _require_small(own: FrameSources, fit: LinearFit, match: MatchSettings, error: float) -> None:
    limit = float(np.hypot(match.max_rms * own.pixel_scale, error))
    if not fit.rms <= limit:
        raise AlignmentError(LargeTieRms(1e3 * fit.rms, 1e3 * limit))


def require_right_epoch(
    residual: NDArray[np.float64],
    partner: ReferenceCatalog,
    weight: NDArray[np.float64],
    plane: TangentPlane,
) -> None:
    """Refuse a catalog whose residuals follow its proper motions, as those of a wrong epoch do.

    Parameters
    ----------
    residual : (N, 2) ndarray, arcsec
        Where the fit puts the sources minus where the catalog has them, in `plane`.
    partner : ReferenceCatalog
        The N rows.
    weight : (N,) ndarray
        Inverse variances of the residuals.
    plane : TangentPlane
        The plane.

    Raises
    ------
    AlignmentError
        If the residuals are those of an epoch that is off by years.
    """
    error = np.sqrt((partner.motion_error**2).mean(axis=1))
    size = np.hypot(*np.nan_to_num(partner.motion).T)
    known = (weight > 0) & (size > np.maximum(_CERTAIN * error, _LEAST_MOTION))
    if known.sum() < _FEWEST_MOVING:
        return
    stars = partner[known]
    # East and north turn within a field near a pole, so the motion is that of the plane.
    before, after = (plane.to_plane(positions_at(stars, stars.epoch + dt)) for dt in (0.0, 1.0))
    share = weight[known] / weight[known].sum()
    # The fit took up what is common to all.
    motion = (after - before) - share @ (after - before)
    left = residual[known] - share @ residual[known]
    norm = float((share[:, None] * motion**2).sum())
    years = float((share[:, None] * motion * left).sum()) / norm
    rest = left - years * motion
    scatter = float((share[:, None] * rest**2).sum()) / (2 * known.sum() - 5)
    # Few residuals may be small by chance: no less than their errors.
    uncertain = float(np.sqrt(max(scatter, 1.0 / weight[known].sum()) / norm))
    if abs(years) > max(_CERTAIN * uncertain, _YEARS_OFF):
        stated = float(np.median(stars.epoch))
        raise AlignmentError(WrongEpoch(stated - years, uncertain, stated))


def _require_better(own: FrameSources, transform: LinearTransform, pointing: PointingSettings) -> None:
    """Refuse a fit that leaves the field less certain than it was before."""
    low, high = own.positions.xy.min(axis=0), own.positions.xy.max(axis=0)
    middle = 0.5 * (low + high)
    for corner in ((x, y) for x in (low[0], high[0]) for y in (low[1], high[1])):
        error = _error_at(transform, np.array(corner))
        arm = float(np.hypot(*(corner - middle)))
        before = float(np.hypot(pointing.visit_error, np.radians(pointing.roll_error) * arm))
        if error > before:
            raise AlignmentError(UncertainField(error, before))


def _error_at(transform: LinearTransform, point: NDArray[np.float64]) -> float:
    """Return the standard error of one axis, arcsec, of a point moved by a transform."""
    derivative = np.zeros((2, 6))
    derivative[0, [0, 2, 3]] = 1.0, *point
    derivative[1, [1, 4, 5]] = 1.0, *point
    return float(np.sqrt(0.5 * np.trace(derivative @ transform.covariance @ derivative.T)))
