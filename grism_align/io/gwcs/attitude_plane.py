"""The tangent plane in the telescope's own field, V2 and V3, in which corrections of a gwcs are written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.sphere import sky_to_vector, vector_to_sky

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


_ARCSEC_PER_DEGREE = 3600.0


@dataclass(frozen=True)
class PlaneAffine:
    """An affine map of that plane, exactly as files have it.

    Parameters
    ----------
    matrix : tuple of float
        Its rows, one after the other.
    translation : (float, float), rad
        What is added after it.
    """

    matrix: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 1.0)
    translation: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, matrix: ArrayLike, translation: ArrayLike) -> PlaneAffine:
        """Make one of arrays, (2, 2) and (2,)."""
        a, b, c, d = np.asarray(matrix, dtype=float).ravel().tolist()
        x, y = np.asarray(translation, dtype=float).ravel().tolist()
        return cls((a, b, c, d), (x, y))

    def apply(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map positions (N, 2), rad."""
        return np.asarray(xy @ np.reshape(self.matrix, (2, 2)).T + self.translation)

    def undo(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map positions (N, 2), rad, back."""
        return np.asarray((xy - self.translation) @ np.linalg.inv(np.reshape(self.matrix, (2, 2))).T)


@dataclass(frozen=True)
class AttitudePlane:
    """The plane that touches the telescope's field at an exposure's reference point, turned to north.

    Parameters
    ----------
    v2_ref, v3_ref : float, arcsec
        The reference point, as the file has it: corrections are told apart by its last digits.
    roll_ref : float, deg
        Position angle of V3 there.
    """

    v2_ref: float
    v3_ref: float
    roll_ref: float

    @cached_property
    def _axes(self) -> NDArray[np.float64]:
        """Outward, and the two axes of the plane, as rows, in the frame of V1, V2 and V3."""
        v2, v3 = np.radians([self.v2_ref / _ARCSEC_PER_DEGREE, self.v3_ref / _ARCSEC_PER_DEGREE])
        roll = np.radians(self.roll_ref)
        out = np.array([np.cos(v3) * np.cos(v2), np.cos(v3) * np.sin(v2), np.sin(v3)])
        along = np.array([-np.sin(v2), np.cos(v2), 0.0])
        up = np.array([-np.sin(v3) * np.cos(v2), -np.sin(v3) * np.sin(v2), np.cos(v3)])
        turned = np.cos(roll) * along + np.sin(roll) * up, np.cos(roll) * up - np.sin(roll) * along
        return np.array([out, *turned])

    def to_plane(self, v2v3: NDArray[np.float64]) -> NDArray[np.float64]:
        """Plane positions (N, 2), rad, of (N, 2) arcsec in V2 and V3."""
        out, x, y = self._axes @ sky_to_vector(v2v3 / _ARCSEC_PER_DEGREE).T
        return np.column_stack([x / out, y / out])

    def to_v2v3(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """V2 and V3 (N, 2), arcsec, of plane positions (N, 2), rad."""
        sky = vector_to_sky(np.column_stack([np.ones(len(xy)), xy]) @ self._axes)
        sky[:, 0] -= 360.0 * (sky[:, 0] > 180.0)
        return np.asarray(_ARCSEC_PER_DEGREE * sky)

    def corrected(self, v2v3: NDArray[np.float64], affine: PlaneAffine) -> NDArray[np.float64]:
        """Apply a correction to (N, 2) arcsec in V2 and V3."""
        return self.to_v2v3(affine.apply(self.to_plane(v2v3)))

    def uncorrected(self, v2v3: NDArray[np.float64], affine: PlaneAffine) -> NDArray[np.float64]:
        """Take a correction off (N, 2) arcsec in V2 and V3."""
        return self.to_v2v3(affine.undo(self.to_plane(v2v3)))
