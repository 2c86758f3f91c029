"""Match two lists of positions whose offset and roll are unknown, and say how sure the match is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from grism_align.algorithms.chance import false_match_probability
from grism_align.algorithms.fit import fit_linear
from grism_align.algorithms.vote import Candidate, vote_by_offsets, vote_by_pairs
from grism_align.values.errors import TooFewMatchesError, UnreliableMatchError
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from grism_align.values.settings import MatchSettings
    from grism_align.values.transform import TangentPlane

__all__ = ["LEAST_RADIUS", "ListMatch", "PlaneList", "match_lists", "mutual_nearest"]

# A match this improbable by chance ends the search.
_CERTAIN = 1e-12
_REFINEMENTS = 6
#: Smallest radius, arcsec, in which refined positions are paired.
LEAST_RADIUS = 0.08


@dataclass(frozen=True, eq=False)
class PlaneList:
    """Positions in one tangent plane.

    Parameters
    ----------
    xy : (N, 2) ndarray, arcsec
        Positions.
    error : (N,) ndarray, arcsec
        Standard errors of one axis.
    mag : (N,) ndarray
        Magnitudes, for the choice of the brightest.
    epoch : (N,) ndarray
        Julian years of the measurements.
    """

    xy: NDArray[np.float64]
    error: NDArray[np.float64]
    mag: NDArray[np.float64]
    epoch: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.xy)

    def rows(self, index: NDArray[np.int64]) -> PlaneList:
        """The list of some rows."""
        return PlaneList(self.xy[index], self.error[index], self.mag[index], self.epoch[index])

    def moved(self, transform: LinearTransform) -> PlaneList:
        """The list with its positions moved."""
        return replace(self, xy=transform.apply(self.xy))

    def brightest(self, number: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of the brightest sources among `rows`; unknown magnitudes come last."""
        order = np.argsort(np.nan_to_num(self.mag[rows], nan=np.inf), kind="stable")
        return np.asarray(rows[order[:number]])


@dataclass(frozen=True, eq=False)
class ListMatch:
    """A match that was accepted.

    Parameters
    ----------
    pairs : (N, 2) ndarray of int
        Rows of the first and of the second list, one to one.
    transform : LinearTransform
        Takes the first list onto the second.
    probability : float
        That lists without a common source match as well.
    """

    pairs: NDArray[np.int64]
    transform: LinearTransform
    probability: float


def mutual_nearest(
    first: NDArray[np.float64], second: NDArray[np.float64], radius: float
) -> NDArray[np.int64]:
    """Pairs of rows that are each other's nearest neighbour within a radius: (N, 2)."""
    # Lists of a wide field: what is out of reach of the other costs no tree.
    rows, columns = _within_reach(first, second, radius), _within_reach(second, first, radius)
    if len(rows) == 0 or len(columns) == 0:
        return np.zeros((0, 2), dtype=np.int64)
    near, others = first[rows], second[columns]
    distance, partner = cKDTree(others).query(near, distance_upper_bound=radius)
    _, back = cKDTree(near).query(others)
    found = np.flatnonzero(np.isfinite(distance))
    found = found[back[partner[found]] == found]
    return np.column_stack([rows[found], columns[partner[found]]]).astype(np.int64)


def _within_reach(xy: NDArray[np.float64], others: NDArray[np.float64], radius: float) -> NDArray[np.int64]:
    """Rows of the positions that lie within a radius of the box around others."""
    if len(others) == 0:
        return np.zeros(0, dtype=np.int64)
    low, high = others.min(axis=0) - radius, others.max(axis=0) + radius
    return np.flatnonzero(((xy >= low) & (xy <= high)).all(axis=1))


def match_lists(
    first: PlaneList, second: PlaneList, plane: TangentPlane, settings: MatchSettings
) -> ListMatch:
    """Find the shift and roll that take the first list onto the second.

    Offsets of all sources vote for a shift at the a priori roll; if that does not settle it, pairs of
    one length vote for a roll and then a shift. The winners are refined with mutual nearest neighbours in
    a shrinking radius, and judged after the last fit.

    Parameters
    ----------
    first, second : PlaneList
        In the same tangent plane.
    plane : TangentPlane
        That plane.
    settings : MatchSettings
        The parameters.

    Returns
    -------
    ListMatch

    Raises
    ------
    TooFewMatchesError
        If too few sources lie near each other's field or match.
    UnreliableMatchError
        If chance could have made the match.
    """
    a_rows, b_rows = _common_field(first, second, settings)
    fewest = min(len(a_rows), len(b_rows))
    if fewest < settings.min_matches:
        raise TooFewMatchesError(fewest, settings.min_matches, "possible in the common field")
    a, b = first.rows(a_rows), second.rows(b_rows)
    transform, pairs, probability = _best_match(a, b, plane, settings)
    if len(pairs) < settings.min_matches:
        raise TooFewMatchesError(len(pairs), settings.min_matches)
    if probability > settings.max_false_match:
        raise UnreliableMatchError(len(pairs), probability, settings.max_false_match)
    return ListMatch(np.column_stack([a_rows[pairs[:, 0]], b_rows[pairs[:, 1]]]), transform, probability)


def _common_field(
    first: PlaneList, second: PlaneList, settings: MatchSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the brightest sources of each list that may have a partner in the other."""
    reach = settings.search_radius
    a = first.brightest(settings.brightest, _within_reach(first.xy, second.xy, reach))
    # Fainter sources of the second list may be bright ones of another filter's first list.
    b = second.brightest(2 * settings.brightest, _within_reach(second.xy, first.xy, reach))
    return a, b


def _candidates(a: PlaneList, b: PlaneList, settings: MatchSettings) -> Iterator[Candidate]:
    """Shifts and rolls to try: the a priori roll first, which nearly always is right."""
    reach, tolerance = settings.search_radius, settings.tolerance
    yield vote_by_offsets(a.xy, b.xy, reach, tolerance)
    if settings.max_roll > 0:
        yield from vote_by_pairs(a.xy, b.xy, reach, tolerance, settings.max_roll)


def _best_match(
    a: PlaneList, b: PlaneList, plane: TangentPlane, settings: MatchSettings
) -> tuple[LinearTransform, NDArray[np.int64], float]:
    """The refined candidate that chance explains least: transform, pairs and probability."""
    center = a.xy.mean(axis=0)
    best = (LinearTransform.identity(plane), np.zeros((0, 2), dtype=np.int64), 1.0)
    for candidate in _candidates(a, b, settings):
        start = LinearTransform.from_parameters(
            plane, shift=candidate.shift, roll=candidate.roll, center=center
        )
        transform, pairs, radius = _refine(a, b, start, settings)
        probability = false_match_probability(
            (transform.apply(a.xy), b.xy), pairs[:, 0], len(pairs), radius, settings, with_roll=True
        )
        if probability < best[2] or (probability == best[2] and len(pairs) > len(best[1])):
            best = (transform, pairs, probability)
        if len(pairs) >= settings.min_matches and probability < _CERTAIN:
            break
    return best


def _refine(
    a: PlaneList, b: PlaneList, start: LinearTransform, settings: MatchSettings
) -> tuple[LinearTransform, NDArray[np.int64], float]:
    """Pair, fit and tighten; returns the transform, the pairs and the radius of the last pairing."""
    transform, radius = start, 2 * settings.tolerance
    pairs = mutual_nearest(transform.apply(a.xy), b.xy, radius)
    for _ in range(_REFINEMENTS):
        if len(pairs) < 3:
            break
        error = np.hypot(a.error[pairs[:, 0]], b.error[pairs[:, 1]])
        fit = fit_linear(a.xy[pairs[:, 0]], b.xy[pairs[:, 1]], error, start.plane, "rshift", settings.clip)
        transform = fit.transform
        typical = float(np.median(np.hypot(error, fit.scatter)))
        radius = float(np.clip(settings.clip * typical * np.sqrt(2), LEAST_RADIUS, settings.tolerance))
        before, pairs = pairs, mutual_nearest(transform.apply(a.xy), b.xy, radius)
        if np.array_equal(before, pairs):
            break
    return transform, pairs, radius
