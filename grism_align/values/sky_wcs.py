"""The WCS of a chip as other packages of astropy take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units
from astropy.coordinates import ICRS, SkyCoord
from astropy.wcs.wcsapi import BaseLowLevelWCS, HighLevelWCSMixin

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from grism_align.values.pixel_sky import PixelSky


class SkyWcs(BaseLowLevelWCS, HighLevelWCSMixin):  # type: ignore[misc]  # astropy has no types
    """A WCS by astropy's interface (APE 14), with all distortion: for `WCSAxes`, reproject and the like.

    Parameters
    ----------
    wcs : PixelSky
        Pixels to sky.
    shape : (ny, nx)
        Of the chip.
    """

    pixel_n_dim = world_n_dim = 2
    world_axis_physical_types = ("pos.eq.ra", "pos.eq.dec")
    world_axis_units = ("deg", "deg")
    world_axis_names = ("ra", "dec")
    pixel_axis_names = ("x", "y")
    world_axis_object_components = (
        ("celestial", 0, "spherical.lon.degree"),
        ("celestial", 1, "spherical.lat.degree"),
    )

    def __init__(self, wcs: PixelSky, shape: tuple[int, int]) -> None:
        self._wcs = wcs
        self._shape = shape

    def __repr__(self) -> str:
        plane = self._wcs.plane
        return (
            f"<SkyWcs of {self._shape[1]} x {self._shape[0]} pixels, about {plane.ra:.5f} {plane.dec:+.5f}>"
        )

    @property
    def array_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._shape

    @property
    def pixel_shape(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._shape[1], self._shape[0]

    @property
    def world_axis_object_classes(self) -> dict[str, Any]:
        """What sky positions are made of."""
        return {"celestial": (SkyCoord, (), {"frame": ICRS(), "unit": (units.deg, units.deg)})}

    def pixel_to_world_values(self, *pixel_arrays: ArrayLike) -> tuple[Any, Any]:
        """Return RA and Dec, in deg, of zero-based pixels x and y.

        Parameters
        ----------
        *pixel_arrays : array_like
            Columns and rows.
        """
        return _mapped(self._wcs.to_sky, pixel_arrays)

    def world_to_pixel_values(self, *world_arrays: ArrayLike) -> tuple[Any, Any]:
        """Return zero-based pixels x and y of RA and Dec, in deg; NaN where there is none.

        Parameters
        ----------
        *world_arrays : array_like
            RA and Dec.
        """
        return _mapped(self._wcs.to_pixel, world_arrays)


def _mapped(function: Any, arrays: tuple[ArrayLike, ...]) -> tuple[Any, Any]:
    """Map two arrays of any shape, or two numbers, by a function of (N, 2) points."""
    first, second = np.broadcast_arrays(*(np.asarray(one, dtype=float) for one in arrays))
    found = function(np.column_stack([first.ravel(), second.ravel()]))
    return found[:, 0].reshape(first.shape)[()], found[:, 1].reshape(first.shape)[()]
