"""Where headers say that the telescope was pointed, whatever was done to their WCSs since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.files.cards import Bounds
from grism_align.io.missions.hst.headers import LinearTerms
from grism_align.io.missions.hst.wcs import FitsWcs
from grism_align.io.missions.hst.wcs_cards import linear_terms
from grism_align.values.exposure import OriginalPointing
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.io.files.cards import Cards
    from grism_align.values.exposure import Chip


_APERTURE = {"RA": Bounds(-360.0, 720.0), "DEC": Bounds(-90.0, 90.0), "PA": Bounds(-360.0, 720.0)}
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
    terms = linear_terms(science, "O")
    if terms is not None:
        return _pointing(terms, chip, _BETWEEN_FILTERS)
    ra, dec, angle = (science.number(f"{name}_APER", within=bounds) for name, bounds in _APERTURE.items())
    if not np.isfinite([ra, dec, angle]).all():
        return None
    # the aperture's reference pixel is not in the header: any will do that is one for all exposures
    middle = 0.5 * (np.array(chip.shape[::-1]) + 1)
    return _pointing(LinearTerms(middle, np.array([ra, dec]), _turned(chip, angle)), chip, _BETWEEN_APERTURES)


def _turned(chip: Chip, angle: float) -> NDArray[np.float64]:
    """Return the linear terms in the middle of a chip, deg per pixel, with +y at a position angle."""
    x, y = 0.5 * (np.array(chip.shape[::-1]) - 1)
    sky = chip.wcs.to_sky([[x, y], [x + 1, y], [x - 1, y], [x, y + 1], [x, y - 1]])
    ends = TangentPlane(*sky[0].tolist()).to_plane(sky) / 3600
    terms = np.column_stack([ends[1] - ends[2], ends[3] - ends[4]]) / 2
    roll = np.radians(angle) - np.arctan2(*terms[:, 1])
    return np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]]) @ terms


def _pointing(terms: LinearTerms, chip: Chip, error: float) -> OriginalPointing:
    x, y = (terms.crpix - 1).tolist()
    return OriginalPointing(FitsWcs.tangential(terms, chip.shape), (x, y), error)
