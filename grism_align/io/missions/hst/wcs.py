"""The WCS of HST: linear terms (CRVAL, CD) under SIP, D2IM and NPOL distortion.

A correction changes CRVAL and CD only; the distortion stays as the instrument team calibrated it.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, DistortionLookupTable, Sip

from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from astropy.io import fits
    from numpy.typing import ArrayLike, NDArray

    from grism_align.io.missions.hst.headers import LinearTerms
    from grism_align.values.transform import LinearTransform


# Grid of points on a chip, a side, on which the corrected linear terms are found.
_GRID = 5
# Where an inverse solution may lie outside the chip, in units of its size: SIP polynomials
# diverge far outside the detector.
_MARGIN = 0.5
# What makes a WCS of the TAN projection, and the lookup tables, as astropy names them.
_CORE = ("crpix", "crval", "cd", "lonpole", "latpole", "radesys", "equinox")
_TABLES = ("det2im1", "det2im2", "cpdis1", "cpdis2")


class FitsWcs:
    """Pixels of one HST chip to the sky and back. Immutable.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        TAN-SIP with CD terms, and the lookup tables where the file has them.
    shape : (ny, nx)
        Size of the chip.
    """

    def __init__(self, wcs: WCS, shape: tuple[int, int]) -> None:
        self._wcs = wcs
        self._shape = shape

    @classmethod
    def from_header(cls, header: fits.Header, tables: fits.HDUList, shape: tuple[int, int]) -> FitsWcs:
        """Read the primary WCS of a science header.

        Parameters
        ----------
        header : astropy.io.fits.Header
            Of the SCI extension.
        tables : astropy.io.fits.HDUList
            The file, for its D2IMARR and WCSDVARR extensions.
        shape : (ny, nx)
            Size of the chip.

        Raises
        ------
        Exception
            Whatever `astropy.wcs` raises on an inconsistent header.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            return cls(WCS(header, tables), shape)

    @classmethod
    def tangential(cls, terms: LinearTerms, shape: tuple[int, int]) -> FitsWcs:
        """Make a WCS of linear terms alone.

        Parameters
        ----------
        terms : LinearTerms
            Of a TAN projection.
        shape : (ny, nx)
            Size of the chip.
        """
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
        wcs.wcs.crpix, wcs.wcs.crval, wcs.wcs.cd = terms.crpix, terms.crval, terms.cd
        wcs.wcs.set()
        return cls(wcs, shape)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle every number as it is; astropy's own pickles round them as headers do."""
        terms = self._wcs.wcs
        core = {name: getattr(terms, name) for name in _CORE}
        core |= {"ctype": list(terms.ctype), "cunit": [str(unit) for unit in terms.cunit]}
        sip = self._wcs.sip and [getattr(self._wcs.sip, name) for name in ("a", "b", "ap", "bp", "crpix")]
        tables = {name: getattr(self._wcs, name) for name in _TABLES}
        parts = {name: (t.data, t.crpix, t.crval, t.cdelt) for name, t in tables.items() if t is not None}
        return _unpickled, (core, sip, parts, self._shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Size of the chip, (ny, nx)."""
        return self._shape

    @property
    def crval(self) -> NDArray[np.float64]:
        """Sky position of the reference pixel, (2,) deg."""
        return np.array(self._wcs.wcs.crval)

    @property
    def cd(self) -> NDArray[np.float64]:
        """Linear terms, (2, 2) deg per pixel."""
        return np.array(self._wcs.wcs.cd)

    @property
    def plane(self) -> TangentPlane:
        """The tangent plane at CRVAL."""
        ra, dec = self._wcs.wcs.crval
        return TangentPlane(float(ra), float(dec))

    @property
    def pixel_scale(self) -> float:
        """Mean side of a pixel from the linear terms, arcsec."""
        return float(np.sqrt(abs(np.linalg.det(self.cd))) * 3600)

    @property
    def axes(self) -> NDArray[np.float64]:
        """East and north of a step of one pixel along x and along y, (2, 2) arcsec, as columns."""
        return 3600.0 * self.cd

    def to_sky(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Sky positions (N, 2) in deg of (N, 2) zero-based pixels."""
        pixels = np.asarray(xy, dtype=float).reshape(-1, 2)
        if len(pixels) == 0:
            return pixels
        return np.asarray(self._wcs.all_pix2world(pixels, 0))

    def to_pixel(self, sky: ArrayLike) -> NDArray[np.float64]:
        """Zero-based pixels (N, 2) of (N, 2) sky positions in deg.

        NaN farther than half the chip's size outside the chip, where the distortion has no inverse.
        """
        positions = np.asarray(sky, dtype=float).reshape(-1, 2)
        pixels = np.full(positions.shape, np.nan)
        if len(positions) == 0:
            return pixels
        near = self._inside(self._wcs.wcs_world2pix(positions, 0), _MARGIN)
        if near.any():
            found = self._wcs.all_world2pix(positions[near], 0, tolerance=1e-6, quiet=True)
            found[~self._inside(found, 1.5 * _MARGIN)] = np.nan
            pixels[near] = found
        return pixels

    def _inside(self, pixels: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
        size = np.array(self._shape[::-1])
        with np.errstate(invalid="ignore"):
            inside = (pixels > -margin * size) & (pixels < (1 + margin) * size)
        return np.asarray(inside.all(axis=1))

    def corrected(self, transform: LinearTransform) -> FitsWcs:
        """Return the WCS whose sky positions are those of this one moved by `transform`."""
        return self.with_linear_terms(*corrected_linear_terms(self, transform))

    def with_linear_terms(self, crval: NDArray[np.float64], cd: NDArray[np.float64]) -> FitsWcs:
        """Return the WCS with the same distortion and other linear terms.

        Parameters
        ----------
        crval : (2,) ndarray, deg
            Sky position of the reference pixel.
        cd : (2, 2) ndarray, deg per pixel
            Linear terms.
        """
        wcs = copy.deepcopy(self._wcs)
        wcs.wcs.crval = crval
        wcs.wcs.cd = cd
        wcs.wcs.set()
        return FitsWcs(wcs, self._shape)

    def grid(self) -> NDArray[np.float64]:
        """Pixels (N, 2) spread over the chip, its corners included."""
        ny, nx = self._shape
        x, y = np.meshgrid(np.linspace(0, nx - 1, _GRID), np.linspace(0, ny - 1, _GRID))
        return np.column_stack([x.ravel(), y.ravel()])

    def footprint(self) -> NDArray[np.float64]:
        """Outline of the chip on the sky, (4, 2) deg: the outer corners of the corner pixels."""
        ny, nx = self._shape
        low, right, top = -0.5, nx - 0.5, ny - 0.5
        return self.to_sky([[low, low], [right, low], [right, top], [low, top]])


def _unpickled(
    core: dict[str, Any], sip: list[Any] | None, tables: dict[str, tuple[Any, ...]], shape: tuple[int, int]
) -> FitsWcs:
    wcs = WCS(naxis=2)
    for name, value in core.items():
        setattr(wcs.wcs, name, value)
    wcs.wcs.set()
    wcs.sip = sip and Sip(*sip)
    for name, parts in tables.items():
        setattr(wcs, name, DistortionLookupTable(*parts))
    return FitsWcs(wcs, shape)


def corrected_linear_terms(
    wcs: FitsWcs, transform: LinearTransform
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """CRVAL and CD of a WCS whose sky is moved by a transform.

    CRVAL moves exactly. CD is what agrees best, in least squares over the chip, with the moved sky
    seen from the new CRVAL; for shifts of arcseconds the two differ by less than 0.01 mas.

    Parameters
    ----------
    wcs : FitsWcs
        The WCS before.
    transform : LinearTransform
        The correction, in any tangent plane.

    Returns
    -------
    crval : (2,) ndarray, deg
    cd : (2, 2) ndarray, deg per pixel
    """
    crval = transform.apply_to_sky(wcs.crval)
    sky = wcs.to_sky(wcs.grid())
    before = wcs.plane.to_plane(sky)
    after = TangentPlane(float(crval[0]), float(crval[1])).to_plane(transform.apply_to_sky(sky))
    linear, *_ = np.linalg.lstsq(before, after, rcond=None)
    return crval, linear.T @ wcs.cd
