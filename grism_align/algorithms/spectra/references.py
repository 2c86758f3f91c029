"""Spectra that are known, and where those of an exposure of another visit lie by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ReferenceSpectrum:
    """The template of one order of one source, from exposures whose pointing is known.

    Parameters
    ----------
    source, order : int
        Numbers of the source and of the order, which is that of one chip.
    place : (2,) ndarray, zero-based pixels
        Of the source, on average over these exposures.
    n_exposures : int
        Their number.
    first : float, pixels
        From the place of a source to the first knot along the dispersion.
    surface : (n, m) ndarray, electron/s
        Coefficients of the template.
    """

    source: int
    order: int
    place: NDArray[np.float64]
    n_exposures: int
    first: float
    surface: NDArray[np.float64]
