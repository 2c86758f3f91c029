"""Tell sources from noise on the smooth light of a large galaxy, which is bright wherever one looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.measuring.centroid import Stamps


# Radius of what is taken as the surroundings of a peak, in sigmas of the source.
_SURROUNDINGS = 5.0


def peak_contrast(stamps: Stamps, sigma: float) -> NDArray[np.float64]:
    """Return by how many standard errors Gaussian sources stand out of a level that is fitted with them.

    Parameters
    ----------
    stamps : Stamps
        N cut-outs centred on the sources' peaks.
    sigma : float, pix
        Width of the source.

    Returns
    -------
    (N,) ndarray
        Zero where too few pixels are good to tell.
    """
    half = stamps.data.shape[1] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    square = (x**2 + y**2) / sigma**2
    source = np.exp(-0.5 * square)
    used = stamps.good & (square <= _SURROUNDINGS**2)
    weight = np.divide(1.0, stamps.variance, out=np.zeros_like(stamps.variance), where=used)

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((weight * values).sum(axis=(1, 2)))

    level = total(np.ones_like(source))
    # what the level leaves of the source
    shared = np.divide(total(source), level, out=np.zeros_like(level), where=level > 0)
    information = total(source**2) - shared * total(source)
    signal = total(source * stamps.data) - shared * total(stamps.data)
    known = information > 1e-6 * level
    return np.divide(signal, np.sqrt(np.clip(information, 0, None)), out=np.zeros_like(level), where=known)
