"""What the true and the written WCSs of simulated chips have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Floats = NDArray[np.float64]


class ChipSky(ABC):
    """Pixels of one chip to sky and back; a `PixelSky` but for corrections.

    Parameters
    ----------
    shape : (ny, nx)
        Pixels.
    """

    shape: tuple[int, int]

    @property
    @abstractmethod
    def plane(self) -> TangentPlane:
        """Tangent plane at the reference point."""

    @abstractmethod
    def to_sky(self, xy: ArrayLike) -> Floats:
        """Return sky positions (N, 2) in deg of zero-based pixels (N, 2)."""

    @abstractmethod
    def to_pixel(self, sky: ArrayLike) -> Floats:
        """Return zero-based pixels (N, 2) of sky positions (N, 2) in deg, meant for the chip's vicinity."""

    @property
    def pixel_scale(self) -> float:
        """Mean side of a pixel at the centre, arcsec."""
        return float(np.sqrt(abs(np.linalg.det(self.jacobian()))))

    @property
    def center(self) -> Floats:
        """Zero-based pixel (2,) of the chip's centre."""
        return 0.5 * (np.array(self.shape[::-1], dtype=float) - 1)

    def jacobian(self, xy: ArrayLike | None = None) -> Floats:
        """Return the derivative (2, 2) of east and north, arcsec, by x and y at a pixel (the centre)."""
        at = self.center if xy is None else np.asarray(xy, dtype=float)
        steps = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
        sky = self.to_sky(at + steps)
        plane = TangentPlane(*sky[0]).to_plane(sky)
        return np.asarray((plane[1:3] - plane[3:5]).T / 2)

    def footprint(self) -> Floats:
        """Return outer corners of the chip, (4, 2) deg."""
        ny, nx = self.shape
        return self.to_sky(np.array([[0, 0], [nx, 0], [nx, ny], [0, ny]]) - 0.5)
