"""The error of positions that the pixels' noise does not explain, from residuals of repeated measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["estimate_floor"]

# Median of the chi-square distribution with one degree of freedom.
_MEDIAN_CHI2 = 0.4549
_BISECTIONS = 16


def estimate_floor(residual: NDArray[np.float64], error: NDArray[np.float64], least: float) -> float:
    """The floor that, added to the errors in quadrature, gives residuals of unit width where it matters.

    Parameters
    ----------
    residual : (N, 2) ndarray
        Residuals of the two axes, each freed from what its own measurement took up of the fit.
    error : (N,) ndarray
        Known errors of one axis, same unit.
    least : float
        Least value returned, same unit.

    Returns
    -------
    float

    Notes
    -----
    The median of the squared normalised residuals is brought to that of a chi-square distribution, each
    measurement counting with its weight in the fit. A plain median is a matter of the many faint sources:
    where their errors are too small by a tenth only, it asks for a floor of half their error, which would
    rob the few bright ones, who make the fit, of nearly all their weight.
    """

    def excess(floor: float) -> float:
        variance = error**2 + floor**2
        chi2 = (residual**2 / variance[:, None]).ravel()
        order = np.argsort(chi2)
        share = np.cumsum(np.repeat(1.0 / variance, 2)[order])
        return float(chi2[order][np.searchsorted(share, 0.5 * share[-1])]) - _MEDIAN_CHI2

    if len(residual) < 3 or excess(least) <= 0:
        return least
    # No floor is larger than what it takes without any other error.
    low, high = least, max(least, float(np.abs(residual).max()) / np.sqrt(_MEDIAN_CHI2))
    for _ in range(_BISECTIONS):
        middle = np.sqrt(max(low, 1e-3 * high) * high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return float(np.sqrt(low * high)) if low > 0 else float(high)
