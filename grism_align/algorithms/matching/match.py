"""Match two lists of positions whose offset and roll are unknown, and say how sure the match is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from grism_align.algorithms.fitting.fit import weighted_transform
from grism_align.algorithms.matching.chance import Opening, PairedLists, Targets, chance_of, log_evidence
from grism_align.algorithms.matching.motion import rigid_motion, robust_motion_weights
from grism_align.algorithms.matching.vote import Candidate, poisson_surprise, vote_by_offsets, vote_by_pairs
from grism_align.values.errors import (
    AmbiguousMatchError,
    LooseMatchError,
    TooFewMatchesError,
    UnreliableMatchError,
)
from grism_align.values.failure import AmbiguousMatch, ChanceMatch, LooseMatch, TooFewMatches, TooFewPossible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from grism_align.values.plane_list import PlaneList
    from grism_align.values.settings import MatchSettings
    from grism_align.values.transform import LinearTransform, TangentPlane


# A match this improbable by chance ends the search.
_CERTAIN = 1e-9
_REFINEMENTS = 8
_LAST_FITS = 3
# The a priori pointing nearly always is this good: arcsec of an axis, deg.
_NEAR_OFFSET, _NEAR_ROLL = 3.0, 0.1
# Rolls that a vote of offsets does not notice, deg.
_SMALL_ROLL = 0.5
# Looks at the lists, and openings of each, that may give a match: chance has them all.
_TESTS = 4 * 3
# Brightest sources of the two lists that pairs are made of, until a match is found.
_PAIR_SOURCES = ((40, 60), (80, 140), (160, 300))
# A look that has this share of another's sources need not be followed by the other.
_MOSTLY = 0.8
# Candidates whose partners are no more surprising than this, in logarithm of the chance and as a share
# of the best one's, can't win or rival it.
_LEAST_PROMISE, _RIVAL_PROMISE = 12.0, 0.25
# A match must be this much more convincing than any other, in log evidence, or it is ambiguous.
_RIVAL_EVIDENCE = 0.6
# So is one that has a rival beyond chance with more than this share of its pairs.
_RIVAL_PAIRS = 0.5
# Trials that may have more than this share of the best one's evidence are fitted like it, and then compared.
_NEAR_RIVAL = 0.1
# Largest error of an axis at the corners of the first list, in units of the tolerance.
_CORNER_ERROR = 0.25
#: Smallest radius, arcsec, in which refined positions are paired.
LEAST_RADIUS = 0.08


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
    """Return the pairs of rows that are each other's nearest neighbour within a radius: (N, 2)."""
    # Lists of a wide field: what is out of reach of the other costs no tree.
    rows, columns = _within_reach(first, second, radius), _within_reach(second, first, radius)
    if len(rows) == 0 or len(columns) == 0:
        return np.zeros((0, 2), dtype=np.int64)
    near, others = first[rows], second[columns]
    distance, partner = cKDTree(others).query(near, distance_upper_bound=radius)
    found = np.flatnonzero(np.isfinite(distance))
    partner = partner[found]
    # Only what is somebody's partner is asked for its own, which is no farther away.
    back = cKDTree(near).query(others[partner], distance_upper_bound=radius)[1]
    mutual = back == found
    return np.column_stack([rows[found[mutual]], columns[partner[mutual]]]).astype(np.int64)


def mutual_nearest_in_each(
    lists: Sequence[NDArray[np.float64]], others: NDArray[np.float64], radius: float
) -> list[NDArray[np.int64]]:
    """Return the row of others that `mutual_nearest` pairs each row of each list with; -1 for none."""
    xy, number = np.concatenate(lists), np.repeat(np.arange(len(lists)), list(map(len, lists)))
    known, targets = (np.flatnonzero(np.isfinite(each).all(axis=1)) for each in (xy, others))
    pairs = np.full(len(xy), -1, dtype=np.int64)
    if len(known) and len(targets):
        # Lists lie in planes of their own, farther apart than what is looked for.
        height = 4.0 * radius * number[known]
        tree = cKDTree(np.column_stack([xy[known], height]), balanced_tree=False)
        distance, partner = cKDTree(others[targets]).query(xy[known], distance_upper_bound=radius)
        found = np.flatnonzero(np.isfinite(distance))
        partner = targets[partner[found]]
        wanted = np.column_stack([others[partner], height[found]])
        mutual = tree.query(wanted, distance_upper_bound=radius)[1] == found
        pairs[known[found[mutual]]] = partner[mutual]
    return np.split(pairs, np.cumsum(list(map(len, lists)))[:-1])


def _within_reach(xy: NDArray[np.float64], others: NDArray[np.float64], radius: float) -> NDArray[np.int64]:
    """Return the rows of finite positions that lie within a radius of the box around others."""
    if len(others) == 0:
        return np.zeros(0, dtype=np.int64)
    inside = np.ones(len(xy), dtype=bool)
    # Column by column, as there are two, and ignoring what is not finite.
    for own, theirs in zip(xy.T, others.T, strict=True):
        inside &= (own >= np.fmin.reduce(theirs) - radius) & (own <= np.fmax.reduce(theirs) + radius)
    return np.flatnonzero(inside)


@dataclass(frozen=True, eq=False)
class _Task:
    """Two lists that are to be matched, in a plane, and how."""

    first: PlaneList
    second: PlaneList
    plane: TangentPlane
    settings: MatchSettings


@dataclass(frozen=True, eq=False)
class _Look:
    """The sources of two lists that are matched.

    Parameters
    ----------
    a, b : PlaneList
        The brightest first.
    rows : (ndarray of int, ndarray of int)
        Their rows in the lists.
    targets : Targets
        The positions of `b`.
    rate : float
        Chance partners of all of `a`, for the square of a radius, arcsec^-2.
    """

    a: PlaneList
    b: PlaneList
    rows: tuple[NDArray[np.int64], NDArray[np.int64]]
    targets: Targets
    rate: float

    @classmethod
    def at(cls, first: PlaneList, second: PlaneList, margin: float, brightest: Sequence[int]) -> _Look:
        """Look at so many of the brightest sources of each list that lie within a margin of the other."""
        a = first.brightest(brightest[0], _within_reach(first.xy, second.xy, margin))
        b = second.brightest(brightest[1], _within_reach(second.xy, first.xy, margin))
        xy = second.xy[b]
        area = float(np.prod(np.maximum(np.ptp(xy, axis=0), 1.0))) if len(b) else 1.0
        return cls(first.rows(a), second.rows(b), (a, b), Targets(xy), np.pi * len(a) * len(b) / area)

    def __len__(self) -> int:
        return min(len(self.a), len(self.b))

    def stands_for(self, other: _Look) -> bool:
        """Return whether it has most sources of another look."""
        return len(self.a) >= _MOSTLY * len(other.a) and len(self.b) >= _MOSTLY * len(other.b)

    def rows_of(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return pairs as rows of the lists, those of the first list rising."""
        rows = np.column_stack([self.rows[0][pairs[:, 0]], self.rows[1][pairs[:, 1]]])
        return np.asarray(rows[np.argsort(rows[:, 0])])

    def after(self, transform: LinearTransform, task: _Task) -> _Look:
        """Look, at no less than here, at what is near once the first list is moved."""
        least = task.settings.brightest
        brightest = max(least, len(self.a)), max(2 * least, len(self.b))
        moved = _Look.at(task.first.moved(transform), task.second, task.settings.tolerance, brightest)
        return replace(moved, a=task.first.rows(moved.rows[0]))


@dataclass(frozen=True, eq=False)
class _Trial:
    """A refined candidate: what it pairs within which radius, and the log evidence for it."""

    look: _Look
    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    pairs: NDArray[np.int64]
    radius: float
    evidence: float = 0.0

    @property
    def moved(self) -> NDArray[np.float64]:
        """The look's first list, moved."""
        return self.look.a.xy @ self.matrix.T + self.shift

    def distance(self, other: _Trial) -> float:
        """Return how far apart two trials put a typical source of the first list, arcsec."""
        away = self.moved - (self.look.a.xy @ other.matrix.T + other.shift)
        return float(np.median(np.hypot(away[:, 0], away[:, 1])))


def match_lists(
    first: PlaneList, second: PlaneList, plane: TangentPlane, settings: MatchSettings
) -> ListMatch:
    """Find the shift and roll that take the first list onto the second.

    Offsets of all sources vote for a shift at the a priori roll; if that does not settle it, pairs of
    one length vote for a roll and a shift. Candidates are refined with mutual nearest neighbours, and
    judged after the last fit: by the likelihood of the positions against chance, and against the next
    candidate.

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
    AmbiguousMatchError
        If another transform explains the lists nearly as well.
    LooseMatchError
        If the fit leaves the corners of the first list uncertain by a quarter of the tolerance.
    """
    task = _Task(first, second, plane, settings)
    trials: list[_Trial] = []
    searched = []
    wide = _widest(task)
    for look, candidates in _searches(task, wide):
        searched.append((look, candidates))
        if len(look) >= settings.min_matches:
            trials += _trials(look, candidates, settings, _LEAST_PROMISE)
        if trials and _chance(_best(trials, settings)) <= min(_CERTAIN, settings.max_false_match):
            break
    most, candidates = max(searched, key=lambda one: len(one[0]))
    if len(most) < settings.min_matches:
        raise TooFewMatchesError(TooFewPossible(len(most), settings.min_matches))
    # What holds no promise still tells why the lists don't match.
    trials = trials or _trials(most, candidates, settings, 0.0)
    if not trials:
        raise TooFewMatchesError(TooFewMatches(0, settings.min_matches))
    trials += _trials(wide, _rivals(wide, _best(trials, settings), settings), settings, _LEAST_PROMISE)
    return _judged(task, trials)


def _searches(task: _Task, wide: _Look) -> Iterator[tuple[_Look, list[Candidate]]]:
    """Yield where to look, and the shifts and rolls to try there; the likeliest to succeed first."""
    first, second, settings = task.first, task.second, task.settings
    reach, tolerance = settings.search_radius, settings.tolerance
    # Fainter sources of the second list may be bright ones of another filter's first list.
    near_reach = min(reach, _NEAR_OFFSET)
    near = _Look.at(first, second, near_reach, (settings.brightest, 2 * settings.brightest))
    if near.stands_for(wide):
        yield near, _offsets(near, reach, tolerance)
    else:
        yield near, _offsets(near, near_reach, tolerance)
        yield wide, _offsets(wide, reach, tolerance)
    if settings.max_roll > 0:
        for pair_sources in _PAIR_SOURCES:
            yield wide, _turned(wide, settings, pair_sources)
    every = _Look.at(first, second, near_reach, (len(first), len(second)))
    if (len(every.a), len(every.b)) != (len(near.a), len(near.b)):
        yield every, _offsets(every, near_reach, tolerance)


def _widest(task: _Task) -> _Look:
    """Look at all that may have a partner, wherever the search ends."""
    settings = task.settings
    margin = min(farthest_partner(each.xy, settings) for each in (task.first, task.second))
    most = settings.brightest
    return _Look.at(task.first, task.second, margin, (most, 2 * most))


def farthest_partner(xy: NDArray[np.float64], settings: MatchSettings) -> float:
    """Return how far outside the box around a list its sources may have partners in another one, arcsec.

    Parameters
    ----------
    xy : (N, 2) ndarray, arcsec
        The smaller list.
    settings : MatchSettings
        What offsets and rolls are open.
    """
    known = xy[np.isfinite(xy).all(axis=1)]
    half = 0.5 * float(np.hypot(*np.ptp(known, axis=0))) if len(known) else 0.0
    # A turned list reaches as far out as its corners.
    return settings.search_radius + half * min(2 * float(np.sin(np.radians(settings.max_roll) / 2)), 1.0)


def _rivals(wide: _Look, best: _Trial, settings: MatchSettings) -> list[Candidate]:
    """Return other offsets, at the roll of the best trial, where the search for it did not look for them."""
    roll = float(np.degrees(np.arctan2(best.matrix[0, 1], best.matrix[0, 0])))
    if abs(roll) < _SMALL_ROLL and best.look.stands_for(wide):
        return []
    center = wide.a.xy.mean(axis=0)
    turned = (wide.a.xy - center) @ best.matrix.T + center
    offsets = vote_by_offsets(turned, wide.b.xy, settings.search_radius, settings.tolerance)
    return [replace(candidate, roll=roll) for candidate in offsets]


def _offsets(look: _Look, reach: float, tolerance: float) -> list[Candidate]:
    return vote_by_offsets(look.a.xy, look.b.xy, reach, tolerance) if len(look) else []


def _turned(look: _Look, settings: MatchSettings, numbers: Sequence[int]) -> list[Candidate]:
    """Return candidates of any roll, from the pairs of some of the brightest sources."""
    if len(look) < 2:
        return []
    error = float(np.hypot(np.median(look.a.error), np.median(look.b.error)))
    tolerance = min(settings.clip * error, settings.tolerance)
    a, b = look.a.xy[: numbers[0]], look.b.xy[: numbers[1]]
    return vote_by_pairs(a, b, settings.search_radius, tolerance, settings.max_roll)


def _trials(
    look: _Look, candidates: Sequence[Candidate], settings: MatchSettings, least_promise: float
) -> list[_Trial]:
    """Refine the candidates, as far as they might be the best match or rival it."""
    started = [_started(look, candidate, 2 * settings.tolerance) for candidate in candidates]
    promise = [_standing_out(trial, _claimed(trial, trial.radius)[1])[1] for trial in started]
    least = max(_RIVAL_PROMISE * max(promise, default=0.0), least_promise)
    refined = (_refined(t, settings) for t, own in zip(started, promise, strict=True) if own >= least)
    return [_weighed(trial, settings) for trial in refined if len(trial.pairs) >= 3]


def _started(look: _Look, candidate: Candidate, radius: float) -> _Trial:
    angle, center = np.radians(candidate.roll), np.array(candidate.center)
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.array([[c, s], [-s, c]])
    return _Trial(look, matrix, center + candidate.shift - matrix @ center, np.zeros((0, 2), int), radius)


def _claimed(trial: _Trial, radius: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return pairs of rows within a radius, each source in one; and their distances, rising."""
    distance, partner = trial.look.targets.tree.query(trial.moved, distance_upper_bound=radius)
    order = np.argsort(distance, kind="stable")[: np.count_nonzero(distance < np.inf)]
    wanted = partner[order]
    owner = np.empty(len(trial.look.b), dtype=np.int64)
    owner[wanted[::-1]] = order[::-1]  # the closest is written last, and stays
    order = order[owner[wanted] == order]
    return np.array([order, partner[order]]).T, distance[order]


def _refined(trial: _Trial, settings: MatchSettings) -> _Trial:
    """Fit what stands out against chance, and pair again within what that leaves of the radius."""
    a, b = trial.look.a, trial.look.b
    radius = trial.radius
    for _ in range(_REFINEMENTS):
        pairs, distance = _claimed(trial, radius)
        if len(pairs) < 3:
            return replace(trial, pairs=pairs)
        close, _ = _standing_out(trial, distance)
        n = max(int(np.searchsorted(distance, 1.5 * close, side="right")), 3)
        i, j = pairs[:n].T
        weight = 1 / (a.error[i] ** 2 + b.error[j] ** 2 + distance[n // 2] ** 2)
        matrix, shift = rigid_motion(a.xy[i], b.xy[j], weight)
        done = np.array_equal(trial.pairs, pairs)
        radius = float(np.clip(2.2 * close, LEAST_RADIUS, 2 * settings.tolerance))
        trial = replace(trial, matrix=matrix, shift=shift, pairs=pairs, radius=radius)
        if done:
            break
    return replace(trial, pairs=_claimed(trial, radius)[0])


def _standing_out(trial: _Trial, distance: NDArray[np.float64]) -> tuple[float, float]:
    """Return the radius in which partners exceed chance most, and minus the logarithm of the chance."""
    if len(distance) == 0:
        return 0.0, 0.0
    surprise = poisson_surprise(np.arange(1, len(distance) + 1), trial.look.rate * distance**2)
    most = int(np.argmax(surprise))
    return float(distance[most]), float(surprise[most])


def _weighed(trial: _Trial, settings: MatchSettings, *, either: bool = False) -> _Trial:
    """Return the trial with its evidence, for the narrowest opening that its shift and roll lie in."""
    center = trial.look.a.xy.mean(axis=0)
    offset = float(np.abs(trial.matrix @ center + trial.shift - center).max())
    roll = float(np.degrees(np.abs(np.arctan2(trial.matrix[0, 1], trial.matrix[0, 0]))))
    reach, most = settings.search_radius, settings.max_roll
    opening = Opening(reach, most)
    for far, turned in ((_NEAR_OFFSET, _NEAR_ROLL), (reach, _SMALL_ROLL)):
        if offset <= far <= reach and roll <= turned <= most:
            opening = Opening(far, turned)
            break
    lists = PairedLists(trial.moved, trial.look.targets, trial.pairs[:, 0], len(trial.pairs), trial.radius)
    evidence = log_evidence(lists, opening, either=either)
    return replace(trial, evidence=evidence - float(np.log(_TESTS)))


def _best(trials: Sequence[_Trial], settings: MatchSettings) -> _Trial:
    return max(trials, key=lambda trial: (len(trial.pairs) >= settings.min_matches, trial.evidence))


def _evidence(trial: _Trial) -> float:
    return trial.evidence


def _chance(trial: _Trial) -> float:
    """Return the probability that lists without a common source give such a match."""
    return chance_of(trial.evidence)


def _judged(task: _Task, trials: Sequence[_Trial]) -> ListMatch:
    """Return the last fit of the best trial, if neither chance nor another trial explains it."""
    settings = task.settings
    chosen = _best(trials, settings)
    transform, best = _settled(task, chosen)
    if len(best.pairs) < settings.min_matches:
        raise TooFewMatchesError(TooFewMatches(len(best.pairs), settings.min_matches))
    probability = _chance(best)
    if probability > settings.max_false_match:
        raise UnreliableMatchError(ChanceMatch(len(best.pairs), probability, settings.max_false_match))
    # A rival has the benefit of the doubt: either list's evidence, and the gain of the best by its last fit.
    least_before = _NEAR_RIVAL * best.evidence - max(best.evidence - chosen.evidence, 0.0)
    apart = (trial for trial in trials if best.distance(trial) > settings.tolerance)
    others = [
        max(trial, _weighed(_settled(task, trial)[1], settings, either=True), key=_evidence)
        for trial in (_weighed(one, settings, either=True) for one in apart)
        if trial.evidence > least_before
    ]
    if others:
        rival = max(others, key=_evidence)
        least = max(-np.log(max(settings.max_false_match, 1e-300)), _RIVAL_EVIDENCE * best.evidence)
        regular = chance_of(rival.evidence) <= settings.max_false_match
        alike = len(rival.pairs) > _RIVAL_PAIRS * len(best.pairs)
        if best.evidence - rival.evidence < least or (regular and alike):
            raise AmbiguousMatchError(AmbiguousMatch(len(best.pairs), len(rival.pairs), best.distance(rival)))
        probability = min(1.0, probability + float(np.exp(rival.evidence - best.evidence)))
    _require_firm(transform, len(best.pairs), task.first, settings.tolerance)
    return ListMatch(best.look.rows_of(best.pairs), transform, probability)


def _settled(task: _Task, trial: _Trial) -> tuple[LinearTransform, _Trial]:
    """Return the robust fit of a trial's pairs, and the trial with what that pairs and its evidence.

    Pairs are those of the common field as it turned out to be.
    """
    look, pairs, settings = trial.look, trial.pairs, task.settings
    before, matrix, shift = look.rows_of(pairs), trial.matrix, trial.shift
    for number in range(_LAST_FITS):
        i, j = pairs.T
        source, target = look.a.xy[i], look.b.xy[j]
        error = np.hypot(look.a.error[i], look.b.error[j])
        weight, total = robust_motion_weights(source, target, error, matrix, shift, settings.clip)
        transform = weighted_transform(source, target, weight, task.plane, "rshift")
        matrix, shift, typical = transform.matrix, transform.shift, float(np.median(total))
        radius = float(np.clip(settings.clip * typical * np.sqrt(2), LEAST_RADIUS, settings.tolerance))
        if number == 0:
            look = look.after(transform, task)
        pairs = mutual_nearest(transform.apply(look.a.xy), look.b.xy, radius)
        now = look.rows_of(pairs)
        if len(pairs) < 3 or np.array_equal(before, now):
            break
        before = now
    return transform, _weighed(_Trial(look, matrix, shift, pairs, radius), settings)


def _require_firm(transform: LinearTransform, n: int, first: PlaneList, tolerance: float) -> None:
    """Refuse a fit of n sources that leaves the corners of the first list uncertain."""
    low, high = np.nanmin(first.xy, axis=0), np.nanmax(first.xy, axis=0)
    corners = np.array([[low[0], low[1]], [low[0], high[1]], [high[0], low[1]], [high[0], high[1]]])
    # d(matrix @ p + shift), with p a corner
    jacobian = np.zeros((4, 2, 6))
    jacobian[:, [0, 1], [0, 1]] = 1.0
    jacobian[:, 0, 2:4] = jacobian[:, 1, 4:6] = corners
    variance = ((jacobian @ transform.covariance) * jacobian).sum(axis=(1, 2)) / 2
    error = float(np.sqrt(max(variance.max(), 0.0)))
    if error > _CORNER_ERROR * tolerance:
        raise LooseMatchError(LooseMatch(n, error, _CORNER_ERROR * tolerance))
