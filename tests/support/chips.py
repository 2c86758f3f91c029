"""WCSs of real chips, SIP and all, for any pointing."""

from __future__ import annotations

from functools import cache

from astropy.io import fits

from grism_align.io.missions.hst.wcs import FitsWcs
from grism_align.simulation.hst.chips import linear_wcs, wcs_header
from grism_align.simulation.hst.instruments import INSTRUMENTS
from grism_align.simulation.hst.lookup import lookup_tables


def chip_wcs(
    name: str, pointing: tuple[float, float, float], number: int = 0, *, lookup: bool = False
) -> FitsWcs:
    """The WCS of one chip of a filter; with its D2IM and NPOL tables if asked for.

    Parameters
    ----------
    name : str
        ``wfc3_ir``, ``wfc3_uvis`` or ``acs_wfc``.
    pointing : (ra, dec, angle), deg
        Where the instrument looks, and the position angle of +y.
    number : int
        Chip, 0 or 1.
    lookup : bool
        Whether it has lookup tables.
    """
    linear = linear_wcs(INSTRUMENTS[name].direct[number], pointing, 1.0)
    return _anywhere(name, number, lookup).with_linear_terms(linear.crval, linear.cd)


@cache
def _anywhere(name: str, number: int, lookup: bool) -> FitsWcs:
    """A chip's WCS, of which one that looks elsewhere is made in less time than of a header."""
    camera = INSTRUMENTS[name]
    optics = camera.direct[number]
    header = wcs_header(linear_wcs(optics, (0.0, 0.0, 0.0), 1.0), optics, number + 1 if lookup else None)
    tables = lookup_tables(2, [(0, 0), (0, 0)]) if lookup else []
    return FitsWcs.from_header(header, fits.HDUList([fits.PrimaryHDU(), *tables]), camera.shape)
