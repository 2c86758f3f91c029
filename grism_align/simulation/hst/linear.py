"""The part of a FITS WCS that a pointing decides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grism_align.values.sphere import sky_to_vector, tangent_axes, vector_to_sky

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearWcs:
    """The part of a WCS that a pointing decides.

    Parameters
    ----------
    crpix : (2,) ndarray, pixels, one-based
        Reference pixel.
    crval : (2,) ndarray, deg
        Its direction.
    cd : (2, 2) ndarray, deg/pixel
        Linear terms.
    """

    crpix: Floats
    crval: Floats
    cd: Floats

    def rotated(self, rotation: Floats) -> LinearWcs:
        """Return the WCS whose sky is this one's, turned by a (3, 3) rotation; exact for every pixel."""
        crval = vector_to_sky(rotation @ sky_to_vector(self.crval))
        before, after = tangent_axes(*self.crval), tangent_axes(*crval)
        # east and north are carried elsewhere by the rotation: coordinates in the new ones
        turn = (after @ rotation @ before.T)[:2, :2]
        return replace(self, crval=crval, cd=turn @ self.cd)

    def cut(self, x: int, y: int) -> LinearWcs:
        """Return the WCS of a cut that begins at pixel (x, y), zero-based."""
        return replace(self, crpix=self.crpix - [x, y])

    @property
    def orientat(self) -> float:
        """Position angle of the y axis, deg."""
        return float(np.degrees(np.arctan2(self.cd[0, 1], self.cd[1, 1])))
