"""Find the shift and roll between two lists by the votes of their pairs.

The scale is known to a part in a thousand, so the length of a pair of sources is the same in both
lists: pairs of one length, not triangles of one shape, are what to look for. A true pair gives the
true roll, and then the true shift, and thousands of them agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter

from grism_align.algorithms.chance import chance_probability

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Candidate", "vote_by_offsets", "vote_by_pairs"]

# Pairs are made of the brightest sources of each list: 4950 pairs of 100.
_PAIR_SOURCES = 100
# Shorter pairs tell the roll badly; in units of the tolerance.
_SHORTEST_PAIR = 40.0
# Cells of the offsets' histogram from its middle to its edge: 8 million in all.
_FINEST_GRID = 1400
# Rolls whose shifts are looked at: the most voted for.
_ROLLS_TRIED = 5


@dataclass(frozen=True)
class Candidate:
    """A shift and a roll that many pairs agree on.

    Parameters
    ----------
    shift : (x, y), arcsec
        Of the first list's centre.
    roll : float, deg
        Growth of position angles, about the first list's centre.
    probability : float
        That chance gives as many votes.
    """

    shift: tuple[float, float]
    roll: float
    probability: float


def vote_by_offsets(
    a: NDArray[np.float64], b: NDArray[np.float64], reach: float, tolerance: float, roll: float = 0.0
) -> Candidate:
    """The most popular offset between two lists whose roll is known.

    Parameters
    ----------
    a, b : (N, 2) ndarray, arcsec
        The lists; `a` is turned by the roll.
    reach : float, arcsec
        Largest offset of an axis.
    tolerance : float, arcsec
        How well offsets agree.
    roll : float, deg
        The roll of `a`, for the record.
    """
    difference = (b[None, :, :] - a[:, None, :]).reshape(-1, 2)
    tolerance = max(tolerance, reach / _FINEST_GRID)
    half = int(np.ceil(reach / tolerance))
    side = 2 * half + 1
    cell = np.rint(difference / tolerance).astype(np.int64) + half
    inside = ((cell >= 0) & (cell < side)).all(axis=1)
    flat = np.bincount(cell[inside] @ np.array([side, 1]), minlength=side * side)
    votes = flat.reshape(side, side).astype(float)
    # Two by two cells, so that a peak on a border is whole in one of them.
    summed = votes[:-1, :-1] + votes[1:, :-1] + votes[:-1, 1:] + votes[1:, 1:]
    local = 4 * uniform_filter(votes, 31, mode="constant")[:-1, :-1]
    expected = np.maximum(local, max(4 * float(votes.mean()), 1e-3))
    excess = (summed - expected) / np.sqrt(expected)
    i, j = np.unravel_index(int(np.argmax(excess)), excess.shape)
    guess = (np.array([i, j]) + 0.5 - half) * tolerance
    near = difference[np.abs(difference - guess).max(axis=1) <= tolerance]
    shift = np.median(near, axis=0) if len(near) else guess
    probability = chance_probability(int(summed[i, j]), float(expected[i, j]), summed.size)
    return Candidate((float(shift[0]), float(shift[1])), roll, probability)


def vote_by_pairs(
    a: NDArray[np.float64], b: NDArray[np.float64], reach: float, tolerance: float, max_roll: float
) -> list[Candidate]:
    """Shifts and rolls that pairs of sources of one length agree on.

    Parameters
    ----------
    a, b : (N, 2) ndarray, arcsec
        The lists, the brightest first.
    reach : float, arcsec
        Largest offset of an axis.
    tolerance : float, arcsec
        How well positions agree.
    max_roll : float, deg
        Largest roll; 180 for any.

    Returns
    -------
    list of Candidate
        One for each of the most popular rolls, the least explained by chance first.
    """
    first, second = a[:_PAIR_SOURCES], b[:_PAIR_SOURCES]
    angles = _roll_votes(first, second, tolerance, max_roll)
    center = a.mean(axis=0)
    candidates = (
        vote_by_offsets(_turned(a, center, roll), b, reach, tolerance, roll)
        for roll in _popular(angles, first, tolerance, max_roll)
    )
    return sorted(candidates, key=lambda candidate: candidate.probability)


def _turned(xy: NDArray[np.float64], center: NDArray[np.float64], roll: float) -> NDArray[np.float64]:
    angle = np.radians(roll)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray((xy - center) @ turn.T + center)


def _pair_table(xy: NDArray[np.float64], shortest: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Length (arcsec) and position angle (deg) of all pairs, shortest first."""
    i, j = np.triu_indices(len(xy), 1)
    step = xy[j] - xy[i]
    length = np.hypot(*step.T)
    order = np.argsort(length)
    order = order[np.searchsorted(length[order], shortest) :]
    return length[order], np.degrees(np.arctan2(step[order, 0], step[order, 1]))


def _roll_votes(
    a: NDArray[np.float64], b: NDArray[np.float64], tolerance: float, max_roll: float
) -> NDArray[np.float64]:
    """Roll, deg in [-180, 180), of every two pairs of one length, in both directions of the second."""
    a_length, a_angle = _pair_table(a, _SHORTEST_PAIR * tolerance)
    b_length, b_angle = _pair_table(b, _SHORTEST_PAIR * tolerance)
    low = np.searchsorted(b_length, a_length - tolerance)
    count = np.searchsorted(b_length, a_length + tolerance) - low
    start = np.repeat(low - np.concatenate([[0], np.cumsum(count)[:-1]]), count)
    partner = start + np.arange(count.sum())
    difference = b_angle[partner] - np.repeat(a_angle, count)
    both = np.concatenate([difference, difference + 180.0])
    both = (both + 180.0) % 360.0 - 180.0
    return np.asarray(both[np.abs(both) <= max_roll])


def _popular(
    angles: NDArray[np.float64], a: NDArray[np.float64], tolerance: float, max_roll: float
) -> list[float]:
    """The rolls with most votes above the average, in steps that no source notices by the tolerance."""
    if len(angles) == 0:
        return []
    reach = max(float(np.hypot(*(a - a.mean(axis=0)).T).max()), 1.0)
    step = float(np.degrees(tolerance / reach))
    half = int(np.ceil(max_roll / step))
    cell = np.rint(angles / step).astype(np.int64) + half
    votes = np.bincount(np.clip(cell, 0, 2 * half), minlength=2 * half + 1)
    return [(int(k) - half) * step for k in np.argsort(-votes, kind="stable")[:_ROLLS_TRIED]]
