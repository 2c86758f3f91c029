"""What the header keywords of HST exposures mean, one entry an instrument."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = ["INSTRUMENTS", "ab_zero_point", "guide_star_of", "instrument_of", "text_of"]

#: INSTRUME and DETECTOR of the instruments that are read, and the name that the package gives them.
INSTRUMENTS: dict[tuple[str, str], str] = {
    ("WFC3", "IR"): "wfc3_ir",
    ("WFC3", "UVIS"): "wfc3_uvis",
    ("ACS", "WFC"): "acs_wfc",
}

_NO_VALUE = frozenset({"", "N/A", "NONE", "UNKNOWN"})


_GUIDE_STAR_KEYWORDS = ("DGESTAR", "SGESTAR", "T_SGSTAR")


def text_of(header: Mapping[str, Any], keyword: str) -> str:
    """Return a keyword's value as stripped text, empty where it is missing."""
    return str(header.get(keyword, "")).strip()


def instrument_of(header: Mapping[str, Any]) -> str | None:
    """Return the package's name of the instrument, None where it is not one that is read."""
    key = (text_of(header, "INSTRUME").upper(), text_of(header, "DETECTOR").upper())
    return INSTRUMENTS.get(key)


def guide_star_of(header: Mapping[str, Any]) -> str | None:
    """Return the guide star, None where the headers don't name it."""
    names = (text_of(header, keyword) for keyword in _GUIDE_STAR_KEYWORDS)
    return next((name for name in names if name.upper() not in _NO_VALUE), None)


def positive_number(headers: Iterable[Mapping[str, Any]], keyword: str) -> float:
    """Return the first positive number that headers have for a keyword; NaN for none."""
    values = (header.get(keyword) for header in headers)
    positive = (float(value) for value in values if isinstance(value, int | float) and value > 0)
    return next(positive, float("nan"))


def ab_zero_point(headers: tuple[Mapping[str, Any], ...]) -> float:
    """AB magnitude of one count per second, from PHOTFLAM and PHOTPLAM, else from PHOTFNU.

    Parameters
    ----------
    headers : tuple of mappings
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
