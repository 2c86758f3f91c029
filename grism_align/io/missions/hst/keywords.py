"""What the header keywords of HST exposures mean, one entry an instrument."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grism_align.io.files.cards import Cards


#: INSTRUME and DETECTOR of the instruments that are read, and the name that the package gives them.
INSTRUMENTS: dict[tuple[str, str], str] = {
    ("WFC3", "IR"): "wfc3_ir",
    ("WFC3", "UVIS"): "wfc3_uvis",
    ("ACS", "WFC"): "acs_wfc",
}

_GUIDE_STAR_KEYWORDS = ("DGESTAR", "SGESTAR", "T_SGSTAR")


def instrument_of(cards: Cards) -> str | None:
    """Return the package's name of the instrument, None where it is not one that is read."""
    key = (cards.text("INSTRUME").upper(), cards.text("DETECTOR").upper())
    return INSTRUMENTS.get(key)


def guide_star_of(cards: Cards) -> str | None:
    """Return the guide star, None where the headers don't name it."""
    return next(filter(None, map(cards.text, _GUIDE_STAR_KEYWORDS)), None)


def positive_number(headers: Iterable[Cards], keyword: str) -> float:
    """Return the first positive number that headers have for a keyword; NaN for none."""
    values = (cards.number(keyword) for cards in headers)
    return next((value for value in values if value > 0), nan)


def ab_zero_point(headers: tuple[Cards, ...]) -> float:
    """AB magnitude of one count per second, from PHOTFLAM and PHOTPLAM, else from PHOTFNU.

    Parameters
    ----------
    headers : tuple of Cards
        The science and the primary header: WFC3/IR has the keywords in the latter, the CCDs in the former.

    Returns
    -------
    float
        NaN where the headers give none.

    References
    ----------
    Sirianni et al. 2005, PASP 117, 1049, for the AB zero point of PHOTFLAM and PHOTPLAM.
    """
    keywords = ("PHOTFLAM", "PHOTPLAM", "PHOTFNU")
    photflam, photplam, photfnu = (positive_number(headers, keyword) for keyword in keywords)
    from_flam = -2.5 * np.log10(photflam) - 5 * np.log10(photplam) - 2.408
    return float(from_flam if np.isfinite(from_flam) else 8.90 - 2.5 * np.log10(photfnu))
