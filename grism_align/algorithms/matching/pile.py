"""A displacement that most pairs of neighbouring sources agree on, however many of the pairs are chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: How far a source and its partner may lie apart, arcsec.
REACH = 0.5
# How well pairs agree, arcsec.
_AGREEMENT = 0.015
# Pairs that must agree: so many, and so many of their errors more than by chance.
_FEWEST, _SURE = 8, 5.0
# Pairs farther than so many times the usual distance from the middle of a pile are others.
_CLIP, _ROUNDS = 4.0, 5
# Of a normal distribution in two dimensions, in units of the median distance.
_SIGMA = 1.0 / np.sqrt(2.0 * np.log(2.0))


@dataclass(frozen=True)
class Pile:
    """What pairs agree on.

    Parameters
    ----------
    offset : (x, y), arcsec
        From sources to their partners.
    error : float, arcsec
        Of one axis.
    share : float
        Share of all pairs that agree.
    """

    offset: tuple[float, float]
    error: float
    share: float


def pile_of(differences: NDArray[np.float64]) -> Pile | None:
    """Return what most differences agree on; None where they don't.

    Parameters
    ----------
    differences : (N, 2) ndarray, arcsec
        From sources to all that lies within `REACH` of them.
    """
    if len(differences) < _FEWEST:
        return None
    tree = KDTree(differences)
    agreeing = tree.query_ball_point(differences, _AGREEMENT, return_length=True)
    pile = differences[tree.query_ball_point(differences[np.argmax(agreeing)], _AGREEMENT)]
    by_chance = len(differences) * (_AGREEMENT / REACH) ** 2
    if len(pile) < max(_FEWEST, by_chance + _SURE * np.sqrt(by_chance)):
        return None
    middle, share = np.median(pile, axis=0), len(pile) / len(differences)
    for _ in range(_ROUNDS):
        distance = np.hypot(*(pile - middle).T)
        own = pile[distance <= _CLIP * _SIGMA * np.median(distance)]
        middle = own.mean(axis=0)
    error = float(np.sqrt(((own - middle) ** 2).mean() / len(own)))
    return Pile((float(middle[0]), float(middle[1])), error, share)
