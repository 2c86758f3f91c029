"""What stood in the light: the filter or grism that headers of HST name, of one wheel or of several."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from grism_align.io.missions.hst.coarse_traces import COARSE_TRACES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UNFILTERED", "filter_of"]

#: Filter of an exposure that was taken without one.
UNFILTERED = "CLEAR"
_WHEELS = ("FILTER", "FILTER1", "FILTER2")
# nothing in that wheel, or a wheel that the instrument does not have
_NOTHING = re.compile(r"CLEAR\w*|N/?A|NONE|")
# some products name the wheels in one card: F606W;CLEAR2L
_BETWEEN = re.compile(r"[;,+\s]+")


def filter_of(header: Mapping[str, Any]) -> str:
    """Return the filter or grism of an exposure, in letters and digits, with hyphens between elements.

    Parameters
    ----------
    header : mapping
        The primary header.

    Returns
    -------
    str
        A grism by itself, whatever stands in the other wheels, since it makes the exposure what it is;
        `UNFILTERED` where all wheels are clear; empty where the header does not name any.
    """
    cards = [str(header[keyword]).strip().upper() for keyword in _WHEELS if keyword in header]
    if not any(cards):
        return ""
    found = [name for card in cards for name in _BETWEEN.split(card) if not _NOTHING.fullmatch(name)]
    elements = list(dict.fromkeys(re.sub(r"[^A-Z0-9]", "", name) for name in found))
    dispersers = [name for name in elements if name in COARSE_TRACES]
    return "-".join(dispersers or elements) or UNFILTERED
