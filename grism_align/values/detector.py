"""The part of a detector that an exposure was read out from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.trace import TraceModel


@dataclass(frozen=True)
class DetectorWindow:
    """The part of a detector that an array is: a whole chip, a subarray of it, or either one binned.

    Parameters
    ----------
    chip : int
        Its number as grism configurations have it; 1 for a detector of one chip.
    ltm : (x, y)
        Pixels of the array in a pixel of the detector: 0.5 where it is binned by two.
    ltv : (x, y), pixels
        An array's pixel, counted from one, is ltm times the detector's plus this.
    """

    chip: int = 1
    ltm: tuple[float, float] = (1.0, 1.0)
    ltv: tuple[float, float] = (0.0, 0.0)

    def to_chip(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Zero-based pixels (N, 2) of the detector of those of the array."""
        return np.asarray((xy + 1.0 - np.array(self.ltv)) / np.array(self.ltm) - 1.0)

    def from_chip(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Zero-based pixels (N, 2) of the array of those of the detector, within the array or not."""
        return np.asarray((xy + 1.0) * np.array(self.ltm) + np.array(self.ltv) - 1.0)

    def offsets(
        self, model: TraceModel, xy: NDArray[np.float64], band: str = ""
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what `TraceModel.offsets` gives, from and to pixels of the array."""
        dx, dy = model.offsets(self.to_chip(xy), band)
        return dx * self.ltm[0], dy * self.ltm[1]

    def ahead(self, model: TraceModel, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what `TraceModel.ahead` gives, from and to pixels of the array."""
        return model.ahead(self.to_chip(xy)) * self.ltm[0]

    def transposed(self) -> DetectorWindow:
        """Return the same part by pixels whose rows are its columns."""
        return replace(self, ltm=self.ltm[::-1], ltv=self.ltv[::-1])
