"""The error of positions that the pixels' noise does not explain, from residuals of repeated measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Median of the chi-square distribution with one degree of freedom.
_MEDIAN_CHI2 = 0.4549
_BISECTIONS = 16


def _error_factor(residual: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    """Return what the errors have to be multiplied by to give residuals of unit width where it matters.

    Parameters
    ----------
    residual : (N, 2) ndarray
        Residuals of the two axes, each freed from what its own measurement took up of the fit.
    error : (N,) ndarray
        Errors of one axis, same unit.

    Returns
    -------
    float
        From the weighted median of the squared normalised residuals, as in `estimate_floor`.
    """
    weight = error**-2.0
    chi2 = (residual**2 * weight[:, None]).ravel()
    order = np.argsort(chi2)
    share = np.cumsum(np.repeat(weight, 2)[order])
    return float(np.sqrt(chi2[order][np.searchsorted(share, 0.5 * share[-1])] / _MEDIAN_CHI2))


def estimate_floor(residual: NDArray[np.float64], error: NDArray[np.float64], least: float) -> float:
    """Find the floor that, added to the errors in quadrature, gives residuals of unit width where it matters.

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
    if len(residual) < 3 or _error_factor(residual, np.hypot(error, least)) <= 1:
        return least
    # No floor is larger than what it takes without any other error.
    low, high = least, max(least, float(np.abs(residual).max()) / np.sqrt(_MEDIAN_CHI2))
    for _ in range(_BISECTIONS):
        middle = np.sqrt(max(low, 1e-3 * high) * high)
        low, high = (middle, high) if _error_factor(residual, np.hypot(error, middle)) > 1 else (low, middle)
    return float(np.sqrt(low * high)) if low > 0 else float(high)
