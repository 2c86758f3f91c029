"""Where headers say that the telescope was pointed, whatever was done to their WCSs since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.missions.hst.headers import LinearTerms
from grism_align.io.missions.hst.wcs import FitsWcs
from grism_align.values.exposure import OriginalPointing

if TYPE_CHECKING:
    from grism_align.io.files.cards import Cards
    from grism_align.values.exposure import Chip


_LINEAR = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
# deg^2: a square of a microarcsecond
_SMALLEST_PIXEL = 1e-19
# How far WCSs of filters and grisms are from alternate O, 0.06" in WFC3/IR; arcsec.
_BETWEEN_FILTERS = 0.1
# How far the reference points of their apertures are from each other, 8.7" in WFC3/IR; arcsec.
_BETWEEN_APERTURES = 12.0


def original_pointing(science: Cards, chip: Chip) -> OriginalPointing | None:
    """Return alternate O, which updatewcs makes and keeps, else the pointing of the aperture.

    Parameters
    ----------
    science : Cards
        Of the science header.
    chip : Chip
        What it is of.
    """
    values = np.array([science.number(f"{name}O") for name in _LINEAR])
    cd = values[4:].reshape(2, 2)
    if np.isfinite(values).all() and abs(np.linalg.det(cd)) > _SMALLEST_PIXEL:
        terms = LinearTerms(values[:2], values[2:4], cd)
        return _pointing(terms, chip, _BETWEEN_FILTERS)
    ra, dec, angle = (science.number(f"{name}_APER") for name in ("RA", "DEC", "PA"))
    if not np.isfinite([ra, dec, angle]).all():
        return None
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    turn = chip.wcs.pixel_scale / 3600 * np.array([[-cosine, sine], [sine, cosine]])
    # the aperture's reference pixel is not in the header: any will do that is one for all exposures
    middle = 0.5 * (np.array(chip.shape[::-1]) + 1)
    terms = LinearTerms(middle, np.array([ra, dec]), turn)
    return _pointing(terms, chip, _BETWEEN_APERTURES)


def _pointing(terms: LinearTerms, chip: Chip, error: float) -> OriginalPointing:
    x, y = (terms.crpix - 1).tolist()
    return OriginalPointing(FitsWcs.tangential(terms, chip.shape), (x, y), error)
