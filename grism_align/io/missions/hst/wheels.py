"""What stood in the light: the filter or grism that headers of HST name, of one wheel or of several."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grism_align.io.missions.hst.coarse_traces import COARSE_TRACES

if TYPE_CHECKING:
    from grism_align.io.files.cards import Cards


#: Filter of an exposure that was taken without one.
UNFILTERED = "CLEAR"
_WHEELS = ("FILTER", "FILTER1", "FILTER2")
# nothing in that wheel
_NOTHING = re.compile(r"CLEAR\w*|")
# some products name the wheels in one card: F606W;CLEAR2L
_BETWEEN = re.compile(r"[;,+\s]+")


def filter_of(primary: Cards) -> str:
    """Return the filter or grism of an exposure, in letters and digits, with hyphens between elements.

    Parameters
    ----------
    primary : Cards
        The primary header.

    Returns
    -------
    str
        A grism by itself, whatever stands in the other wheels, since it makes the exposure what it is;
        `UNFILTERED` where all wheels are clear; empty where the header does not name any.
    """
    wheels = [primary.text(keyword).upper() for keyword in _WHEELS]
    if not any(wheels):
        return ""
    found = [name for wheel in wheels for name in _BETWEEN.split(wheel) if not _NOTHING.fullmatch(name)]
    elements = list(dict.fromkeys(re.sub(r"[^A-Z0-9]", "", name) for name in found))
    dispersers = [name for name in elements if name in COARSE_TRACES]
    return "-".join(dispersers or elements) or UNFILTERED
