"""How an exposure of HST went, as its headers tell.

FGSLOCK is what was commanded; that guide stars were not found, or lost, stands in GSFAIL, QUALITY and its
comments. GYROMODE only says how many gyros were in use, and with fewer of them fine lock is as good.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from grism_align.values.tracking import Guiding, Motion, Tracking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.io.files.cards import Cards

_QUALITY = ("QUALITY", "QUALCOM1", "QUALCOM2", "QUALCOM3")
_USUAL = frozenset({"", "OK", "NORMAL", "GOOD", "FINE", "F", "N/A", "NONE", "NO"})
_LOST = re.compile(
    r"GS_?FAIL|NO ?LOCK|LOSS.{0,20}LOCK|LOST.{0,5}LOCK|\bLOCK.{0,5}LOS[ST]|TDF.?DOWN"
    r"|GUIDE.?STAR\w* (ACQUISITION )?(FAIL|LOST|LOSS)|(FAIL|LOST|LOSS)\w* .*GUIDE.?STAR"
)
# of one guide star FINE/GYRO, cut short in some headers
_LOCKS = (
    (re.compile(r"FINE ?/ ?G\w*"), Guiding.ONE_GUIDE_STAR),
    (re.compile(r"FINE.*"), Guiding.GUIDE_STARS),
    (re.compile(r"COARSE.*"), Guiding.COARSE),
    (re.compile(r"GYRO.*"), Guiding.GYROS),
)


def tracking_of(headers: Sequence[Cards]) -> Tracking:
    """Return how an exposure went.

    Parameters
    ----------
    headers : sequence of Cards
        Its headers, the primary one first; keywords are in the one or the other.
    """
    quality = {keyword: _first(headers, keyword) for keyword in _QUALITY}
    failure = _first(headers, "GSFAIL")
    flags = {"EXPFLAG": _first(headers, "EXPFLAG"), "GSFAIL": failure, **quality}
    is_lost = failure not in _USUAL or any(_LOST.search(text) for text in quality.values())
    return Tracking(
        Guiding.LOST if is_lost else _commanded(_first(headers, "FGSLOCK")),
        _motion(headers),
        tuple(f"{keyword} {text}" for keyword, text in flags.items() if text not in _USUAL),
    )


def _commanded(lock: str) -> Guiding:
    return next((guiding for pattern, guiding in _LOCKS if pattern.fullmatch(lock)), Guiding.UNKNOWN)


def _motion(headers: Sequence[Cards]) -> Motion:
    if _first(headers, "SCAN_TYP") not in {*_USUAL, "N"}:
        return Motion.SCAN
    is_moving = _first(headers, "MTFLAG") in {"T", "TRUE", "Y", "YES", "1"}
    return Motion.MOVING_TARGET if is_moving else Motion.FIXED


def _first(headers: Sequence[Cards], keyword: str) -> str:
    """Return the first value that headers have, in capitals; a logical one as FITS has it."""
    return next(filter(None, (_as_text(cards.value(keyword)) for cards in headers)), "")


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    return "" if value is None else str(value).strip().upper()
