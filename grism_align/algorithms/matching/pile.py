"""Where most sources of a list lie from others, however few of the others near them are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: How far a source may lie from itself as others see it, arcsec.
REACH = 1.5
# Side of a cell, arcsec; what agrees lies in a block of three by three.
_CELL = 0.01
_BLOCK = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)])
_STRIDE = 1 << 20
# What agrees with less than this probability by chance is believed. Two alone that do are.
_BY_CHANCE = 3e-4


@dataclass(frozen=True, eq=False)
class Pile:
    """What differences agree on.

    Parameters
    ----------
    place : (2,) ndarray, arcsec
        Where they are, to some mas.
    agrees : (N,) ndarray of bool
        Which differences do.
    """

    place: NDArray[np.float64]
    agrees: NDArray[np.bool_]

    @property
    def n(self) -> int:
        """How many agree."""
        return int(self.agrees.sum())

    @property
    def share(self) -> float:
        """That share of all."""
        return self.n / len(self.agrees)


def pile_of(differences: NDArray[np.float64], fewest: int) -> Pile | None:
    """Return what most differences agree on; None where chance may do it.

    Parameters
    ----------
    differences : (N, 2) ndarray, arcsec
        From sources to what lies within `REACH` of them.
    fewest : int
        How many must agree at least.
    """
    known = np.asarray(np.isfinite(differences).all(axis=1))
    differences = differences[known]
    if len(differences) < fewest:
        return None
    cell = np.floor(differences / _CELL).astype(np.int64)
    keys, place, count = np.unique(cell @ [_STRIDE, 1], return_inverse=True, return_counts=True)
    around = np.zeros(len(keys), dtype=np.int64)
    for step in _BLOCK @ [_STRIDE, 1]:
        at = np.minimum(np.searchsorted(keys, keys + step), len(keys) - 1)
        around += np.where(keys[at] == keys + step, count[at], 0)
    best = int(np.argmax(around))
    own = np.isin(keys[place.ravel()], keys[best] + _BLOCK @ [_STRIDE, 1])
    n = int(own.sum())
    if n < fewest or len(differences) * _chance(n, differences[~own]) > _BY_CHANCE:
        return None
    agrees = np.zeros(len(known), dtype=np.bool_)
    agrees[known] = own
    return Pile(np.median(differences[own], axis=0), agrees)


def _chance(n: int, others: NDArray[np.float64]) -> float:
    """Return the probability that a difference has so many in its block by chance, given all other ones."""
    from scipy.special import pdtrc

    square = np.median((others**2).sum(axis=1)) if len(others) else REACH**2
    share = len(_BLOCK) * _CELL**2 / (np.pi * max(float(square), len(_BLOCK) * _CELL**2))
    return float(pdtrc(n - 2, max(len(others), 1) * share))
