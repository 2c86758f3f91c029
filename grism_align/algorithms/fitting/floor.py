"""The error of positions that the pixels' noise does not explain, from residuals of repeated measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Median of the chi-square distribution with one degree of freedom.
_MEDIAN_CHI2 = 0.4549
_BISECTIONS = 16


def _are_too_small(square: NDArray[np.float64], variance: NDArray[np.float64]) -> bool:
    """Tell whether errors are too small where it matters.

    Parameters
    ----------
    square : (N, 2) ndarray
        Squared residuals of the two axes, each freed from what its own measurement took up of the fit.
    variance : (N,) ndarray
        Squared errors of one axis, same unit.

    Returns
    -------
    bool
        Whether the weighted median of the squared normalised residuals is above that of a chi-square
        distribution, as in `estimate_floor`: less than half of the weight lies below. That takes no sorting.
    """
    weight = 1.0 / variance
    below = (square <= (_MEDIAN_CHI2 * variance)[:, None]).sum(axis=1)
    return bool(weight @ below < weight.sum())


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
    square, variance = residual**2, error**2
    if len(residual) < 3 or not _are_too_small(square, variance + least**2):
        return least
    # No floor is larger than what it takes without any other error.
    low, high = least, max(least, float(np.abs(residual).max()) / np.sqrt(_MEDIAN_CHI2))
    for _ in range(_BISECTIONS):
        middle = np.sqrt(max(low, 1e-3 * high) * high)
        low, high = (middle, high) if _are_too_small(square, variance + middle**2) else (low, middle)
    return float(np.sqrt(low * high)) if low > 0 else float(high)
