"""How probable it is that chance makes a match."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.settings import MatchSettings


# Shares of common sources that are thought possible, equally likely.
_SHARES = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.95])
# Neighbours of a pair that tell how crowded its place is.
_NEIGHBOURS = 8
# Least scatter of pairs, arcsec: closer ones are no more convincing.
_LEAST_SCATTER = 0.005
# Of which the inverse is still a number.
_MOST_EVIDENCE = 690.0


@dataclass(frozen=True, eq=False)
class Targets:
    """A list of positions among which others look for partners.

    Parameters
    ----------
    xy : (M, 2) ndarray, arcsec
        The positions.
    """

    xy: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.xy)

    @cached_property
    def tree(self) -> cKDTree:
        """Tells which are next to a place."""
        return cKDTree(self.xy)

    @cached_property
    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper corner of the box around them, arcsec."""
        return self.xy.min(axis=0), self.xy.max(axis=0)

    @property
    def density(self) -> float:
        """Their mean density in it, arcsec^-2."""
        low, high = self.box
        return len(self) / float(np.prod(np.maximum(high - low, 1.0)))


@dataclass(frozen=True, eq=False)
class PairedLists:
    """Two lists of positions that lie on each other, and the pairs among them.

    Parameters
    ----------
    first : (N, 2) ndarray, arcsec
        Positions, moved onto the second list.
    second : Targets
        The second list.
    paired : (K,) ndarray of int
        Rows of the first list that have a partner.
    n_used : int
        Pairs that the fit used; the closest are taken.
    radius : float, arcsec
        Within which partners were looked for.
    """

    first: NDArray[np.float64]
    second: Targets
    paired: NDArray[np.int64]
    n_used: int
    radius: float

    def swapped(self) -> PairedLists:
        """Return the second list first, with the rows of the partners."""
        _, partner = self.second.tree.query(self.first[self.paired])
        return replace(self, first=self.second.xy, second=Targets(self.first), paired=np.unique(partner))


@dataclass(frozen=True)
class Opening:
    """The offsets and rolls that a search tried.

    Parameters
    ----------
    offset : float, arcsec
        The largest along one axis.
    roll : float, deg
        The largest.
    """

    offset: float
    roll: float


def false_match_probability(lists: PairedLists, settings: MatchSettings, *, with_roll: bool) -> float:
    """Return the probability that lists without a common source match as well as two lists did, or better.

    Parameters
    ----------
    lists : PairedLists
        The lists and their pairs.
    settings : MatchSettings
        What offsets and rolls were open.
    with_roll : bool
        Whether a roll was open too; a roll that other exposures fix was not.

    Returns
    -------
    float
        An upper limit: the inverse of the likelihood ratio, by Markov's inequality.
    """
    opening = Opening(settings.search_radius, settings.max_roll if with_roll else 0.0)
    return chance_of(log_evidence(lists, opening))


def chance_of(evidence: float) -> float:
    """Return the largest probability that chance gives such a log evidence, or a larger one; never zero."""
    return float(np.exp(-np.clip(evidence, 0.0, _MOST_EVIDENCE)))


def log_evidence(lists: PairedLists, opening: Opening, *, either: bool = False) -> float:
    """Return the logarithm of how much likelier positions are with common sources than without any.

    The likelihood is averaged over all offsets and rolls that were open, and over the share of common
    sources. So its mean over lists without a common source is one, however much was tried.

    Parameters
    ----------
    lists : PairedLists
        The lists and their pairs.
    opening : Opening
        What was open.
    either : bool
        Whether each list may ask for partners in the other, and the larger evidence counts; else the shorter
        one asks. The two differ where one list has its sources twice, and what is open to doubt must not
        hang on which one is shorter.
    """
    if len(lists.second) == 0 or min(len(lists.paired), lists.n_used) == 0:
        return 0.0
    found = []
    # The shorter list asks: each of its sources may have a partner.
    if either or len(lists.first) <= len(lists.second):
        found.append(_evidence_of_first(lists, opening))
    if either or len(lists.second) < len(lists.first):
        found.append(_evidence_of_first(lists.swapped(), opening))
    return max(found)


def _evidence_of_first(lists: PairedLists, opening: Opening) -> float:
    """Return the log evidence of the first list, whose sources ask for partners in the second."""
    arms = lists.first[lists.paired]
    distance, density = _surroundings(arms, lists.second)
    used = np.argsort(distance, kind="stable")[: lists.n_used]
    spread = float(np.clip(np.sqrt((distance[used] ** 2).mean() / 2), _LEAST_SCATTER, lists.radius))
    ratio = np.exp(-0.5 * (distance[used] / spread) ** 2) / (2 * np.pi * spread**2 * density[used])
    low, high = lists.second.box
    reached = (lists.first >= low - lists.radius) & (lists.first <= high + lists.radius)
    inside = int(reached.all(axis=1).sum())
    gain = np.log1p(_SHARES * (ratio[:, None] - 1)).sum(axis=0)
    gain += max(inside - len(used), 0) * np.log1p(-_SHARES)
    evidence = float(gain.max() + np.log(np.exp(gain - gain.max()).mean()))
    return evidence + _log_precision(arms[used], spread, opening)


def _surroundings(
    near: NDArray[np.float64], targets: Targets
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance (arcsec) of each partner, and the density of other targets around it (arcsec^-2).

    The density is the largest that any number of neighbours gives, and at least the mean of the list:
    sources that cluster, on whatever scale, find partners easily and count for what they are.
    """
    number = min(_NEIGHBOURS + 1, len(targets))
    distance, _ = targets.tree.query(near, k=np.arange(1, number + 1))
    with np.errstate(divide="ignore"):
        local = np.arange(1, number) / (np.pi * distance[:, 1:] ** 2)
    return distance[:, 0], np.maximum(local.max(axis=1, initial=0.0), targets.density)


def _log_precision(arms: NDArray[np.float64], spread: float, opening: Opening) -> float:
    """Return the logarithm of the share of the open offsets and rolls that agrees with the fit."""
    shift = 2 * np.pi * spread**2 / len(arms) / (2 * opening.offset) ** 2
    size = np.sqrt(max(float(((arms - arms.mean(axis=0)) ** 2).sum()), 1e-300))
    turned = 2 * np.radians(opening.roll)
    roll = np.sqrt(2 * np.pi) * spread / size / turned if opening.roll > 0 else 1.0
    return float(np.log(min(shift, 1.0)) + np.log(min(roll, 1.0)))
