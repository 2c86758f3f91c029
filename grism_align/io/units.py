"""Units as people, archives and instruments write them."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Any

from astropy import units as u

_ALIASES: dict[str, u.UnitBase] = {
    **dict.fromkeys(("electrons", "e", "el"), u.electron),
    **dict.fromkeys(("counts", "cts"), u.ct),
    **dict.fromkeys(("adus", "dns"), u.adu),
    "photons": u.photon,
    "cps": u.ct / u.s,
    **dict.fromkeys(("sec", "secs", "seconds"), u.s),
    **dict.fromkeys(("degrees", "degs", "d:m:s"), u.deg),
    **dict.fromkeys(("radians", "rads"), u.rad),
    **dict.fromkeys(("hrs", "hours", "h:m:s"), u.hourangle),
    **dict.fromkeys(("arcseconds", "arcsecs", "asec"), u.arcsec),
    **dict.fromkeys(("milliarcsec", "milliarcsecond", "milliarcseconds", "marcsec"), u.mas),
    **dict.fromkeys(("days", "mjd", "jd"), u.d),
    **dict.fromkeys(("years", "yrs", "jyear"), u.yr),
}
_REWRITTEN = (
    (r"\be-(?!\d)", "electron"),
    (r"\s+per\s+", "/"),
    (r"\bjulian years?\b", "yr"),
    (r"^1/\((\w+)/(\w+)\)\^2$", r"\2^2/\1^2"),
)


@lru_cache(maxsize=256)
def parse_unit(text: str) -> Any:
    """Return the unit that a text means, whatever its case, quotes and plural; None for none that is known.

    Parameters
    ----------
    text : str
        Such as ``mas/yr``, ``ELECTRONS/S``, ``counts per sec``, ``"h:m:s"``. Hours are of right ascension.

    Returns
    -------
    astropy.units.UnitBase or None
    """
    plain = text.strip(" \t\0'\"").rstrip(".")
    plain = re.sub(r"^[\[(]([^()\[\]]*)[\])]$", r"\1", plain)
    lowered = plain.lower()
    for pattern, replacement in _REWRITTEN:
        lowered = re.sub(pattern, replacement, lowered)
    with u.set_enabled_aliases(_ALIASES), warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        for spelling in filter(None, (plain, lowered)):
            try:
                unit = u.Unit(spelling)
            except (ValueError, TypeError):
                continue
            # the S of DN/S is no siemens; text with commas is a unit of structures
            if isinstance(unit, u.UnitBase) and u.S not in unit.bases:
                return u.hourangle if unit == u.h else unit
    return None
