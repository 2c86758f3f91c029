"""Find the shift and roll between two lists by the votes of their sources.

The scale is known to a part in a thousand. So the length of a pair of sources is the same in both
lists, and two pairs of one length give a roll and a shift; the true ones agree. No shapes are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter

from grism_align.algorithms.matching.motion import rigid_motion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


# Candidates of one vote: the best, and those that might rival it.
_CANDIDATES = 6
# Differences of positions that are binned at most; longer lists give their brightest.
_MOST_DIFFERENCES = 1_000_000
# Cells of the offsets' histogram from its middle to its edge: 8 million in all.
_FINEST_GRID = 1400
# Cells with fewer offsets than this share of the fullest one's are not looked at.
_WORTH = 0.4
# The same of votes of pairs, which go with the square of the number of sources.
_WORTH_OF_PAIRS = 0.1
# Side of the blocks of half cells in which the chance rate of offsets is counted.
_BLOCK = 16
# With fewer differences than the number of cells over this, they are sorted, not counted cell by cell.
_FEW = 4
# Pairs of pairs that vote at most; longer lists give their brightest.
_MOST_VOTES = 500_000
# Pairs used, in units of the first list's reach from its centre: short ones tell the roll badly, long
# ones are cut by the edges of a small overlap.
_SHORTEST, _LONGEST = 0.2, 1.0
# Least sides of the cells in which rolls (deg) and shifts (arcsec) agree.
_ROLL_CELL, _SHIFT_CELL = 1.0, 2.0
# By how much the scale of the lists may differ.
_SCALE = 1e-3


@dataclass(frozen=True)
class Candidate:
    """A shift and a roll that many sources agree on.

    Parameters
    ----------
    shift : (x, y), arcsec
        How `center` moves.
    roll : float, deg
        Growth of position angles.
    center : (x, y), arcsec
        The first list's centre.
    votes : int
        How many agree.
    """

    shift: tuple[float, float]
    roll: float
    center: tuple[float, float]
    votes: int


def vote_by_offsets(
    a: NDArray[np.float64], b: NDArray[np.float64], reach: float, tolerance: float
) -> list[Candidate]:
    """Return the most popular offsets between two lists that are turned alike.

    Parameters
    ----------
    a, b : (N, 2) ndarray, arcsec
        The lists, the brightest first.
    reach : float, arcsec
        Largest offset of an axis.
    tolerance : float, arcsec
        How well offsets agree.

    Returns
    -------
    list of Candidate
        Apart by more than three tolerances, the least explained by chance first.
    """
    tolerance = max(tolerance, reach / _FINEST_GRID)
    first = a[: max(int(_MOST_DIFFERENCES**0.5), _MOST_DIFFERENCES // len(b))]
    second = b[: _MOST_DIFFERENCES // len(first)]
    x, y = (np.subtract.outer(second[:, axis], first[:, axis]).ravel() for axis in (0, 1))
    near = np.flatnonzero((np.abs(x) <= reach) & (np.abs(y) <= reach))
    x, y = x[near], y[near]
    center = float(a[:, 0].mean()), float(a[:, 1].mean())
    found = []
    for guess_x, guess_y, count in _peaks(x, y, reach, tolerance):
        # A little more than the cell, on whose very border the peak may be.
        near = np.flatnonzero(np.abs(x - guess_x) <= 1.2 * tolerance)
        near = near[np.abs(y[near] - guess_y) <= 1.2 * tolerance]
        middle = len(near) // 2
        shift = float(np.sort(x[near])[middle]), float(np.sort(y[near])[middle])
        found.append(Candidate(shift, 0.0, center, count))
    return found


def _peaks(
    x: NDArray[np.float64], y: NDArray[np.float64], reach: float, tolerance: float
) -> list[tuple[float, float, int]]:
    """Return middles and counts of the cells, two tolerances wide, that exceed their surroundings most."""
    if len(x) == 0:
        return []
    half_x, half_y = (((each + reach) / tolerance).astype(np.int64) for each in (x, y))
    rate = _chance_rate(half_x, half_y)
    side = int(max(half_x.max(), half_y.max())) // 2 + 2
    corners, counts = [], []
    # Cells that begin at every half cell, so that a peak on a border is whole in one of them.
    for begin_x, begin_y in ((0, 0), (0, 1), (1, 0), (1, 1)):
        cell, count = _occupied(((half_x + begin_x) >> 1) * side + ((half_y + begin_y) >> 1), side * side)
        full = np.flatnonzero(count >= max(_WORTH * count.max(), 2))
        counts.append(count[full])
        column, row = np.divmod(cell[full], side)
        corners.append(np.stack([2 * column - begin_x, 2 * row - begin_y]))
    corner, count = np.concatenate(corners, axis=1), np.concatenate(counts)
    block = np.maximum(corner, 0) // _BLOCK
    surprise = poisson_surprise(count, rate[block[0], block[1]])
    best = np.argsort(-surprise, kind="stable")[: 40 * _CANDIDATES]
    found: list[tuple[float, float, int]] = []
    while len(best) and len(found) < _CANDIDATES:
        at = corner[:, best[0]]
        middle = (at + 1) * tolerance - reach
        found.append((float(middle[0]), float(middle[1]), int(count[best[0]])))
        best = best[np.abs(corner[:, best] - at[:, None]).max(axis=0) > 3]
    return found


def _occupied(cell: NDArray[np.int64], number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cells, of a number in all, that are not empty, and how many each holds."""
    if len(cell) > number // _FEW:
        every = np.bincount(cell)
        full = np.flatnonzero(every)
        return full, every[full]
    # Most cells are empty: to sort is quicker than to look at all.
    ordered = np.sort(cell)
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    start = np.flatnonzero(first)
    count = np.empty_like(start)
    np.subtract(start[1:], start[:-1], out=count[:-1])
    count[-1] = len(ordered) - start[-1]
    return ordered[start], count


def _chance_rate(half_x: NDArray[np.int64], half_y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return differences in a cell on average, for blocks of half cells with their neighbours."""
    block_x, block_y = half_x // _BLOCK, half_y // _BLOCK
    side = int(max(block_x.max(), block_y.max())) + 1
    sums = np.bincount(block_x * side + block_y, minlength=side * side).reshape(side, side)
    return np.asarray(4.0 * uniform_filter(sums.astype(float), 3, mode="constant") / _BLOCK**2)


def poisson_surprise(count: NDArray[np.int64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how improbable counts in excess of Poisson means are: minus the logarithm of the probability."""
    mean = np.maximum(expected, 1e-2)
    return np.asarray(np.where(count > mean, count * np.log(np.maximum(count, 1) / mean) - count + mean, 0.0))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of sources, the shortest first: rows of their ends, lengths (arcsec), angles (rad)."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    length: NDArray[np.float64]
    angle: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Votes:
    """Shift and roll from every two pairs of one length, and the sources that they bring together.

    These are (2, N) numbers, the row of `a` times the length of `b` plus the row of `b`.
    """

    roll: NDArray[np.float64]
    shift: NDArray[np.float64]
    joined: NDArray[np.int64]


def vote_by_pairs(
    a: NDArray[np.float64], b: NDArray[np.float64], reach: float, tolerance: float, max_roll: float
) -> list[Candidate]:
    """Return shifts and rolls that pairs of sources of one length agree on.

    Parameters
    ----------
    a, b : (N, 2) ndarray, arcsec
        The lists, the brightest first.
    reach : float, arcsec
        Largest offset of an axis, of the centre of `a`.
    tolerance : float, arcsec
        How well positions agree.
    max_roll : float, deg
        Largest roll; 180 for any.

    Returns
    -------
    list of Candidate
        The most voted for first.
    """
    center = a.mean(axis=0)
    arm = float(np.hypot(*(a - center).T).max())
    agree = tolerance + _SCALE * _LONGEST * arm
    votes = _pair_votes(a, b, arm, agree)
    keep = (np.abs(votes.roll) <= np.radians(max_roll) + 1e-9) & (np.abs(votes.shift) <= reach).all(axis=1)
    votes = _Votes(votes.roll[keep], votes.shift[keep], votes.joined[:, keep])
    if len(votes.roll) == 0:
        return []
    found: list[Candidate] = []
    for members in _agreeing(votes, reach, max(np.radians(_ROLL_CELL), 2 * agree / (_SHORTEST * arm)), agree):
        candidate = _agreed(a, b, votes.joined[:, members], agree)
        # The two sets of cells find the same peaks.
        if all(_differ(candidate, other, arm, 3 * agree) for other in found):
            found.append(candidate)
    return sorted(found, key=lambda candidate: -candidate.votes)[:_CANDIDATES]


def _differ(one: Candidate, other: Candidate, arm: float, limit: float) -> bool:
    turn = abs((one.roll - other.roll + 180.0) % 360.0 - 180.0)
    away = float(np.hypot(*np.subtract(one.shift, other.shift)))
    return away + float(np.radians(turn)) * arm > limit


def _pairs(xy: NDArray[np.float64], shortest: float, longest: float) -> _Pairs:
    i, j = np.triu_indices(len(xy), 1)
    step = xy[j] - xy[i]
    length = np.hypot(step[:, 0], step[:, 1])
    order = np.argsort(length)
    order = order[slice(*np.searchsorted(length[order], [shortest, longest]))]
    return _Pairs(i[order], j[order], length[order], np.arctan2(step[order, 0], step[order, 1]))


def _pair_votes(a: NDArray[np.float64], b: NDArray[np.float64], arm: float, agree: float) -> _Votes:
    """Return the votes of pairs of one length, in both directions of the second pair."""
    center, n, m = a.mean(axis=0), len(a), len(b)
    while True:
        first = _pairs(a[:n], _SHORTEST * arm, _LONGEST * arm)
        second = _pairs(b[:m], _SHORTEST * arm - agree, _LONGEST * arm + agree)
        low = np.searchsorted(second.length, first.length - agree)
        count = np.searchsorted(second.length, first.length + agree) - low
        if 2 * count.sum() <= _MOST_VOTES:
            break
        n, m = int(0.8 * n), int(0.8 * m)
    mine = np.repeat(np.arange(len(count)), count)
    theirs = np.arange(len(mine)) + np.repeat(low - np.cumsum(count) + count, count)
    turn = second.angle[theirs] - first.angle[mine]
    roll = (np.concatenate([turn, turn + np.pi]) + np.pi) % (2 * np.pi) - np.pi
    c, s = np.cos(roll), np.sin(roll)
    x, y = (0.5 * (a[first.i] + a[first.j]) - center)[np.concatenate([mine, mine])].T
    goal = (0.5 * (b[second.i] + b[second.j]) - center)[np.concatenate([theirs, theirs])]
    shift = goal - np.column_stack([c * x + s * y, c * y - s * x])
    (i, j), (p, q) = (first.i[mine], first.j[mine]), (second.i[theirs], second.j[theirs])
    joined = np.array([np.concatenate([i, i]), np.concatenate([j, j])]) * len(b)
    joined += np.array([np.concatenate([p, q]), np.concatenate([q, p])])
    return _Votes(roll, shift, joined)


def _agreeing(votes: _Votes, reach: float, roll_cell: float, agree: float) -> Iterator[NDArray[np.int64]]:
    """Yield the votes in each of the fullest cells of rolls and shifts."""
    shift_cell = max(_SHIFT_CELL, 4 * agree)
    rolls, side = max(int(2 * np.pi / roll_cell), 1), int(2 * reach / shift_cell) + 2
    # A peak on the border of cells is inside one of cells that are moved by half their sides.
    for offset in (0.0, 0.5):
        turn = np.floor((votes.roll + np.pi) * rolls / (2 * np.pi) + offset).astype(np.int64) % rolls
        at = np.floor((votes.shift + reach) / shift_cell + offset).astype(np.int64)
        key = (turn * side + at[:, 0]) * side + at[:, 1]
        cells, count = _occupied(key, rolls * side * side)
        fullest = np.argsort(-count, kind="stable")[:_CANDIDATES]
        for cell in cells[fullest[count[fullest] >= _WORTH_OF_PAIRS * count[fullest[0]]]]:
            yield np.flatnonzero(key == cell)


def _agreed(
    a: NDArray[np.float64], b: NDArray[np.float64], joined: NDArray[np.int64], agree: float
) -> Candidate:
    """Return the motion that most votes of one cell agree on."""
    partner, count = _occupied(joined.ravel(), len(a) * len(b))
    source, target = a[partner // len(b)], b[partner % len(b)]
    weight = np.where(count >= 0.4 * count.max(), count, 0).astype(float)
    matrix, shift = rigid_motion(source, target, weight)
    near = np.hypot(*(source @ matrix.T + shift - target).T) < 3 * agree
    if near.sum() >= 3:
        matrix, shift = rigid_motion(source[near], target[near], count[near].astype(float))
    center = a.mean(axis=0)
    x, y = center @ matrix.T + shift - center
    roll = float(np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0])))
    return Candidate((float(x), float(y)), roll, (float(center[0]), float(center[1])), joined.shape[1])
