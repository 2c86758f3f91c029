"""How probable it is that chance makes a match."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import poisson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.settings import MatchSettings

__all__ = ["chance_probability", "false_match_probability"]

# The neighbourhood in which chance partners are counted, in radii of the match.
_RING = 10.0


def chance_probability(n_matched: int, expected: float, trials: float) -> float:
    """Probability that chance gives so many matches in any of so many independent trials.

    Parameters
    ----------
    n_matched : int
        Matches found.
    expected : float
        Matches that chance gives in one trial (Poisson mean).
    trials : float
        Independent offsets and rolls that were open.
    """
    return float(min(1.0, trials * poisson.sf(n_matched - 1, max(expected, 1e-300))))


def false_match_probability(
    lists: tuple[NDArray[np.float64], NDArray[np.float64]],
    paired: NDArray[np.int64],
    n_used: int,
    radius: float,
    settings: MatchSettings,
    *,
    with_roll: bool,
) -> float:
    """Probability that lists without a common source match as well as two lists did.

    Chance partners are counted around every aligned source, in a ring of ten radii with the partner found
    left out, so that clustered sources, which find partners easily, count for what they are.

    Parameters
    ----------
    lists : ((N, 2) ndarray, (M, 2) ndarray), arcsec
        Positions of the two lists, the first moved onto the second.
    paired : (K,) ndarray of int
        Rows of the first list that have a partner.
    n_used : int
        Pairs that the fit used.
    radius : float, arcsec
        Within which partners were looked for.
    settings : MatchSettings
        What offsets and rolls were open.
    with_roll : bool
        Whether a roll was open too; a roll that other exposures fix was not.
    """
    aligned, others = lists
    if len(aligned) == 0 or len(others) == 0:
        return 1.0
    near = np.asarray(
        cKDTree(others).query_ball_point(aligned, _RING * radius, return_length=True), dtype=float
    )
    near[paired] -= 1.0
    local = near.sum() / (_RING**2 - 1.0)
    area = float(np.prod(np.ptp(aligned, axis=0) + 2 * radius))
    uniform = len(aligned) * len(others) * np.pi * radius**2 / area
    # Half of the uniform rate at least: a ring may be empty by luck where sources are few.
    expected = max(local, 0.5 * min(uniform, float(len(aligned))))
    trials = max(1.0, (settings.search_radius / radius) ** 2)
    if with_roll:
        reach = max(float(np.hypot(*(aligned - aligned.mean(axis=0)).T).max()), radius)
        trials *= 1.0 + 2.0 * np.radians(settings.max_roll) * reach / radius
    # A shift can always bring one pair together, with a roll two.
    return chance_probability(max(n_used - 1 - with_roll, 0), expected, trials)
