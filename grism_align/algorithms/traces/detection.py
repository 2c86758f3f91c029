"""Whether there is a trace near the predicted place, from what all sources have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.traces.cutouts import stacked_profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.traces.cutouts import TraceCutouts


#: Pixels from where it is predicted within which a trace is taken for the predicted one.
NEAR = 4.0
#: Scatters by which the peak of a stacked profile stands out where it is believed by itself.
STANDS_OUT = 8.0

# Probability with which as many sources would agree on a row by chance, all trials counted: where that is all
# there is, and where their sum stands out somewhat.
_CHANCE, _CHANCE_BESIDE, _BESIDE = 1e-3, 0.03, 4.0
_BRIGHTEST = (5, 10, 20, 40)  # sources whose votes are counted, besides all


def common_height(cutouts: TraceCutouts, source: NDArray[np.int64]) -> float | None:
    """Find by how much the traces of all sources lie off the predicted ones, to half a pixel.

    Parameters
    ----------
    cutouts : TraceCutouts
        M cut-outs along the predicted traces.
    source : (M,) ndarray of int
        Number of each one's source, from zero on, the brightest first.

    Returns
    -------
    float or None
        Pixels; None where no trace is seen, or where what is seen is more than `NEAR` away.

    Notes
    -----
    A centroid settles somewhere on anything, on the traces of other sources above all. A trace of the
    sources themselves is what they have in common: the sum of their profiles stands out in one row, or more
    of them than by chance have their own highest peak there. Where many sources are too faint for their
    traces to be seen, the brightest alone decide.
    """
    from scipy.ndimage import gaussian_filter1d

    profiles = stacked_profile(cutouts, source, int(source.max()) + 1)
    profiles = gaussian_filter1d(profiles[profiles.any(axis=1)], 1.0, axis=1)
    stack = profiles.sum(axis=0)
    level = np.median(stack)
    scatter = 1.4826 * float(np.median(np.abs(stack - level)))
    peak = int(stack.argmax())
    signal = float(stack[peak] - level) / scatter if scatter > 0 else 0.0
    chance = _chance(np.abs(profiles.argmax(axis=1) - peak) <= 1, len(stack))
    if signal < STANDS_OUT and chance > (_CHANCE if signal < _BESIDE else _CHANCE_BESIDE):
        return None
    height = _vertex(stack, peak) - len(stack) // 2
    return height if abs(height) <= NEAR else None


def _chance(agrees: NDArray[np.bool_], n_rows: int) -> float:
    """Return the probability that as many sources have their peaks within a row of one place by chance."""
    from scipy.special import bdtrc

    if not len(agrees):
        return 1.0
    total = np.cumsum(agrees)
    numbers = [*(n for n in _BRIGHTEST if n < len(agrees)), len(agrees)]
    least = min(float(bdtrc(total[n - 1] - 1, n, 3 / n_rows)) for n in numbers)
    return least * len(numbers) * (2 * NEAR + 1) / 3


def _vertex(stack: NDArray[np.float64], peak: int) -> float:
    """Return where the parabola through the highest row and its neighbours is highest."""
    if not 0 < peak < len(stack) - 1:
        return float(peak)
    low, mid, high = stack[peak - 1 : peak + 2].tolist()
    curvature = low - 2.0 * mid + high
    return peak + 0.5 * (low - high) / curvature if curvature < 0 else float(peak)
