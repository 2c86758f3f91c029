"""A list of sources in a tangent plane, as matching takes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.values.transform import LinearTransform


@dataclass(frozen=True, eq=False)
class PlaneList:
    """Positions in one tangent plane.

    Parameters
    ----------
    xy : (N, 2) ndarray, arcsec
        Positions.
    error : (N,) ndarray, arcsec
        Standard errors of one axis.
    mag : (N,) ndarray
        Magnitudes, for the choice of the brightest.
    epoch : (N,) ndarray
        Julian years of the measurements.
    """

    xy: NDArray[np.float64]
    error: NDArray[np.float64]
    mag: NDArray[np.float64]
    epoch: NDArray[np.float64]

    @classmethod
    def joined(cls, lists: Sequence[PlaneList]) -> PlaneList:
        """Make one list of several, one after the other."""
        return cls(
            np.concatenate([one.xy for one in lists]),
            np.concatenate([one.error for one in lists]),
            np.concatenate([one.mag for one in lists]),
            np.concatenate([one.epoch for one in lists]),
        )

    def __len__(self) -> int:
        return len(self.xy)

    def rows(self, index: NDArray[np.int64]) -> PlaneList:
        """Pick some rows."""
        return PlaneList(self.xy[index], self.error[index], self.mag[index], self.epoch[index])

    def moved(self, transform: LinearTransform) -> PlaneList:
        """Move the positions."""
        return replace(self, xy=transform.apply(self.xy))

    def brightest(self, number: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the brightest sources among `rows`; unknown magnitudes come last."""
        mag = self.mag[rows]
        order = np.argsort(np.where(np.isfinite(mag), mag, np.inf), kind="stable")
        return np.asarray(rows[order[:number]])
