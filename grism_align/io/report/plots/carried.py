"""How much of a fit each of its measurements carries, and how that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.solution import Residuals

#: Opacity and size of the measurements of each class.
LOOKS = ((0.95, 4.2), (0.6, 3.0), (0.28, 2.2))
#: What is said of them.
LOOKS_IN_WORDS = "Strong ones carry half of the weight, faint ones the last tenth"

_HALF, _MOST = 0.5, 0.9


def share_of(matches: Residuals) -> NDArray[np.float64]:
    """Return the weight of each measurement in a fit, robust weight over variance, (N,); 0 where clipped."""
    return np.asarray(matches.weight / np.fmax(matches.error, 1e-3) ** 2, dtype=float)


def classes_of(share: NDArray[np.float64]) -> NDArray[np.int64]:
    """Sort measurements by what they carry.

    Parameters
    ----------
    share : (N,) ndarray
        Weight of each in the fit.

    Returns
    -------
    (N,) ndarray of int
        0 for the heaviest, which together have half of the weight, 1 up to nine tenths, 2 for the others; -1
        for those without weight.
    """
    order = np.argsort(-share, kind="stable")
    before = np.cumsum(share[order]) - share[order]
    found = np.full(len(share), -1, dtype=np.int64)
    total = share.sum()
    if total > 0:
        found[order] = np.searchsorted([_HALF * total, _MOST * total], before, side="right")
    return np.where(share > 0, found, -1)
