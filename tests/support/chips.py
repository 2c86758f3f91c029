"""WCSs of real chips, SIP and all, for any pointing."""

from __future__ import annotations

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
    camera = INSTRUMENTS[name]
    optics = camera.direct[number]
    linear = linear_wcs(optics, pointing, 1.0)
    header = wcs_header(linear, optics, number + 1 if lookup else None)
    tables = lookup_tables(2, [(0, 0), (0, 0)]) if lookup else []
    return FitsWcs.from_header(header, fits.HDUList([fits.PrimaryHDU(), *tables]), camera.shape)
