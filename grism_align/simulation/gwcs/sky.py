"""The map from pixels to sky of one simulated detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grism_align.simulation.rotations import Aim, frame_at, turned
from grism_align.simulation.sky import ChipSky
from grism_align.values.sphere import sky_to_vector, vector_to_sky
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from grism_align.simulation.gwcs.apertures import Aperture

Floats = NDArray[np.float64]


def attitude_at(aperture: Aperture, aim: Aim) -> Floats:
    """Return the rotation (3, 3) from the telescope's sphere, of longitude V2 and latitude V3, to the sky.

    Parameters
    ----------
    aperture : Aperture
        What aims.
    aim : Aim
        Where its reference point looks, and the position angle of its ideal y axis.
    """
    sky = frame_at(aim.ra, aim.dec, aim.angle - aperture.angle)
    return np.asarray(sky @ frame_at(aperture.v2 / 3600, aperture.v3 / 3600, 0.0).T)


@dataclass(frozen=True, eq=False)
class DetectorSky(ChipSky):
    """Pixels of one detector to sky and back.

    Parameters
    ----------
    aperture : Aperture
        The detector.
    attitude : (3, 3) ndarray
        See `attitude_at`.
    aberration : float
        Scale factor of velocity aberration, about the reference point (VA_SCALE).
    corner : (x, y)
        Zero-based first pixel of the cut.
    shift : (x, y), pixels
        Of the filter; see `Element`.
    shape : (ny, nx)
        Pixels of the cut.
    """

    aperture: Aperture
    attitude: Floats
    aberration: float
    corner: tuple[int, int]
    shift: tuple[float, float]
    shape: tuple[int, int]

    @property
    def aim(self) -> Aim:
        """Where the reference point looks, and the position angle of V3 there: RA_REF, DEC_REF, ROLL_REF."""
        return self.aim_of(self.aperture.v2, self.aperture.v3)

    def aim_of(self, v2: float, v3: float) -> Aim:
        """Return where a point of the telescope looks, and the position angle of V3 there."""
        return turned(self.attitude, Aim(v2 / 3600, v3 / 3600, 0.0))

    @property
    def plane(self) -> TangentPlane:
        """Tangent plane at the reference point."""
        return TangentPlane(*self.aim[:2])

    def to_sky(self, xy: ArrayLike) -> Floats:
        """Return sky positions (N, 2) in deg of zero-based pixels (N, 2)."""
        pixels = np.asarray(xy, dtype=float).reshape(-1, 2) + self.corner + self.shift
        v = self._center + self.aberration * (self.aperture.to_telescope(pixels) - self._center)
        return vector_to_sky(sky_to_vector(v / 3600) @ self.attitude.T)

    def to_pixel(self, sky: ArrayLike) -> Floats:
        """Return zero-based pixels (N, 2) of sky positions (N, 2) in deg, meant for the chip's vicinity."""
        places = np.asarray(sky, dtype=float).reshape(-1, 2)
        v = 3600 * vector_to_sky(sky_to_vector(places) @ self.attitude)
        # longitudes come from 0 to 360 deg
        v[:, 0] = (v[:, 0] + 648000.0) % 1296000.0 - 648000.0
        v = self._center + (v - self._center) / self.aberration
        return np.asarray(self.aperture.from_telescope(v) - self.corner - self.shift)

    @property
    def _center(self) -> Floats:
        return np.array([self.aperture.v2, self.aperture.v3])
