"""Which pointing fixes a frame: the first one that is where most visits say that the frame is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Visits farther from the others than this many errors of a pointing are displaced.
_DISPLACED = 5.0
# So many visits tell the error of a pointing themselves, down to this share of the prior.
_ENOUGH_VISITS = 5
_LEAST_SCATTER = 0.1
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Zero:
    """What fixes a frame.

    Parameters
    ----------
    row : int
        The pointing, by its row.
    apart : float, arcsec
        How far visits lie from each other a priori where none can be told from the others as displaced; 0
        where they agree, or most do.
    """

    row: int
    apart: float = 0.0


def zero_of(shifts: NDArray[np.float64], visits: Sequence[str], error: float) -> Zero:
    """Choose the pointing whose a priori WCS fixes a frame.

    Parameters
    ----------
    shifts : (N, 2) ndarray, arcsec
        Where pointings are moved to by any one solution, in the order of preference.
    visits : sequence of str
        Of each, its visit: its pointings are displaced together.
    error : float, arcsec
        Error of the pointing of a visit, of one axis, as known beforehand.

    Returns
    -------
    Zero
        The first pointing that is not displaced from the median of the visits, if most visits are not; else
        the first that agrees with most of its own visit.
    """
    names = list(dict.fromkeys(visits))
    number = {name: n for n, name in enumerate(names)}
    visit = np.array([number[name] for name in visits])
    order = np.argsort(visit, kind="stable")
    rows = np.split(order, np.searchsorted(visit[order], np.arange(1, len(names))))
    medians = np.array([np.median(shifts[own], axis=0) for own in rows])
    center = np.median(medians, axis=0)
    away = np.hypot(*(medians - center).T)
    limit = _DISPLACED * _scatter(medians - center, error)
    if len(names) > 2 and (away <= limit).sum() * 2 > len(names):
        near = np.hypot(*(shifts - center).T) <= limit
        return Zero(int(np.flatnonzero(near)[0]) if near.any() else 0)
    # half way between two is as far from both
    apart = float(2.0 * away.max())
    own = np.hypot(*(shifts[rows[0]] - medians[0]).T) <= limit
    first = int(rows[0][own][0]) if own.any() else 0
    return Zero(first, apart if apart > np.sqrt(2.0) * limit else 0.0)


def _scatter(shifts: NDArray[np.float64], error: float) -> float:
    """Return the error of a pointing of one axis, by the shifts of visits where there are enough."""
    if len(shifts) < _ENOUGH_VISITS:
        return error
    seen = _MAD_TO_SIGMA * float(np.median(np.abs(shifts)))
    return float(np.clip(seen, _LEAST_SCATTER * error, error))
