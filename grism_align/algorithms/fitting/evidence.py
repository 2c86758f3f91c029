"""Bayes factors of models of which one has parameters that the other holds at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def log_bayes_factor(
    value: NDArray[np.float64], covariance: NDArray[np.float64], prior: NDArray[np.float64]
) -> float:
    """Return the logarithm of the Bayes factor for parameters to be free rather than zero.

    Parameters
    ----------
    value : (N,) ndarray
        What the data alone say of them.
    covariance, prior : (N, N) ndarray
        Covariances of that, and of what they are expected to be, about zero.

    Returns
    -------
    float
        Zero where the data say nothing, above zero where they want the parameters.

    Notes
    -----
    The evidence of a linear model with normal errors is a normal density of the data, and what other
    parameters take up cancels: N(value; 0, covariance + prior) / N(value; 0, covariance).
    """
    if len(value) == 0:
        return 0.0
    # In units of the prior, rolls and scales are of one size.
    size = np.sqrt(np.diag(prior))
    unit = np.outer(size, size)
    noise, total, value = covariance / unit, (covariance + prior) / unit, value / size
    chi2 = value @ np.linalg.solve(noise, value) - value @ np.linalg.solve(total, value)
    return 0.5 * float(chi2 - np.linalg.slogdet(total)[1] + np.linalg.slogdet(noise)[1])
