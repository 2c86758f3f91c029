"""Numbers and lists as the report writes them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


#: Stands for what nobody knows.
UNKNOWN = "\N{EN DASH}"

_LONGEST_LIST = 6
_ARCSEC = 1e3

_MJD_ZERO = datetime(1858, 11, 17)


def count(n: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 exposure``, ``2 exposures``."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def all_of(n: int, total: int, noun: str) -> str:
    """Return how many of all: ``Both exposures``, ``All 3 exposures``, ``2 of 3 exposures``."""
    if n < total:
        return f"{n} of {count(total, noun)}"
    whole = {1: "The", 2: "Both"}.get(total, f"All {total}")
    return f"{whole} {noun if total == 1 else noun + 's'}"


def fixed(value: float, digits: int = 1, *, sign: bool = False) -> str:
    """Return a number with so many decimals, a dash where nobody knows it; nothing reads -0.0."""
    if not math.isfinite(value):
        return UNKNOWN
    rounded = round(value, digits) + 0.0
    return f"{rounded:+.{digits}f}" if sign else f"{rounded:.{digits}f}"


def utc(mjd: float) -> str:
    """Return an instant, MJD in UTC, as a date with hours and minutes; a dash where nobody knows it."""
    if not math.isfinite(mjd):
        return UNKNOWN
    return f"{_MJD_ZERO + timedelta(minutes=round(1440 * mjd)):%Y-%m-%d %H:%M}"


def length(mas: float) -> str:
    """Return a distance on the sky in mas, in arcsec from one on."""
    return f"{fixed(mas / 1e3, 2)}″" if mas >= _ARCSEC else f"{fixed(mas, 0)} mas"


def value_range(values: Sequence[float], digits: int = 1) -> str:
    """From the least to the largest of numbers, those that nobody knows left out."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return UNKNOWN
    low, high = fixed(min(known), digits), fixed(max(known), digits)
    return low if low == high else f"{low} to {high}"


def probability(value: float) -> str:
    """Return a probability as a power of ten; what is below any meaning is said to be less."""
    if not math.isfinite(value):
        return UNKNOWN
    if value < 1e-99:
        return "< 1e-99"
    return f"{value:.0e}" if value < 0.01 else f"{value:.2f}"


def listed(names: Sequence[str], longest: int = _LONGEST_LIST) -> str:
    """Names in a row, the many cut short."""
    more = len(names) - longest
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:longest])} and {more} more"


def setting(value: Any) -> str:
    """Return the value of a parameter."""
    if value is None or value == "":
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
