"""The map from pixels to sky of one simulated chip, read from FITS cards as any user would read them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from grism_align.simulation.hst.linear import LinearWcs
from grism_align.simulation.hst.lookup import add_lookup_cards
from grism_align.simulation.hst.optics import SIP_TERMS, ChipOptics
from grism_align.simulation.rotations import Aim, frame_at
from grism_align.simulation.sky import ChipSky
from grism_align.values.sphere import unproject
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Sequence


Floats = NDArray[np.float64]

# Each round of the inversion gains two digits at least: the distortion changes by 1 % over a chip.
_ROUNDS = 8


@dataclass(frozen=True, eq=False)
class ChipWcs(ChipSky):
    """Pixels of one chip to sky and back, with SIP, D2IM and NPOL.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The WCS cards.
    tables : sequence of astropy.io.fits.ImageHDU
        Lookup tables, of all chips; empty if there are none.
    shape : (ny, nx)
        Pixels.
    """

    header: fits.Header
    tables: Sequence[fits.ImageHDU]
    shape: tuple[int, int]

    @cached_property
    def wcs(self) -> WCS:
        """The astropy WCS."""
        return WCS(self.header, fits.HDUList([fits.PrimaryHDU(), *self.tables]))

    @property
    def plane(self) -> TangentPlane:
        """Tangent plane at the reference pixel."""
        ra, dec = self.wcs.wcs.crval
        return TangentPlane(float(ra), float(dec))

    def to_sky(self, xy: ArrayLike) -> Floats:
        """Return sky positions (N, 2) in deg of zero-based pixels (N, 2)."""
        return np.asarray(self.wcs.all_pix2world(np.asarray(xy, dtype=float).reshape(-1, 2), 0))

    def to_pixel(self, sky: ArrayLike) -> Floats:
        """Return zero-based pixels (N, 2) of sky positions (N, 2) in deg, meant for the chip's vicinity."""
        target = self.plane.to_plane(np.asarray(sky, dtype=float).reshape(-1, 2))
        inverse = np.linalg.inv(self.wcs.wcs.cd * 3600.0)
        xy = target @ inverse.T + self.wcs.wcs.crpix - 1
        for _ in range(_ROUNDS):
            xy = xy + (target - self.plane.to_plane(self.to_sky(xy))) @ inverse.T
        return np.asarray(xy, dtype=np.float64)


def linear_wcs(optics: ChipOptics, aim: Aim, aberration: float) -> LinearWcs:
    """Return the linear part of a chip's WCS when the instrument points somewhere.

    Parameters
    ----------
    optics : ChipOptics
        The chip.
    aim : Aim
        Where the instrument's centre looks, and the position angle of +y.
    aberration : float
        Scale factor of velocity aberration (VAFACTOR).
    """
    crval = unproject(np.array(optics.offset) * aberration, 0.0, 0.0)
    cd = np.array(optics.cd) * aberration / 3600.0
    return LinearWcs(np.array(optics.crpix), crval, cd).rotated(frame_at(*aim))


def wcs_header(linear: LinearWcs, optics: ChipOptics, extver: int | None) -> fits.Header:
    """Return cards of the primary WCS of a SCI extension.

    Parameters
    ----------
    linear : LinearWcs
        Its linear part.
    optics : ChipOptics
        Its distortion.
    extver : int or None
        Number of the SCI extension whose lookup tables are meant; None if there are none.
    """
    header = fits.Header()
    header["WCSAXES"] = (2, "number of World Coordinate System axes")
    header.update(linear_cards(linear, "RA---TAN-SIP", "DEC--TAN-SIP"))
    header["ORIENTAT"] = (linear.orientat, "position angle of image y axis (deg. e of n)")
    header["RADESYS"] = "ICRS"
    for axis, coefficients in (("A", optics.a), ("B", optics.b)):
        header[f"{axis}_ORDER"] = (4, "SIP polynomial order")
        for (p, q), value in zip(SIP_TERMS, coefficients, strict=True):
            header[f"{axis}_{p}_{q}"] = (value, "SIP distortion coefficient")
    if extver is not None:
        add_lookup_cards(header, extver)
    return header


def linear_cards(linear: LinearWcs, ctype1: str, ctype2: str, key: str = "") -> fits.Header:
    """Return CRPIX, CRVAL, CTYPE, CUNIT and CD of one WCS, `key` being its letter."""
    header = fits.Header()
    for axis, ctype in ((1, ctype1), (2, ctype2)):
        header[f"CRPIX{axis}{key}"] = (float(linear.crpix[axis - 1]), "pixel of the reference point")
        header[f"CRVAL{axis}{key}"] = (float(linear.crval[axis - 1]), "[deg] value at the reference point")
        header[f"CTYPE{axis}{key}"] = (ctype, "the coordinate type of the axis")
        header[f"CUNIT{axis}{key}"] = "deg"
        for by in (1, 2):
            header[f"CD{axis}_{by}{key}"] = float(linear.cd[axis - 1, by - 1])
    return header
