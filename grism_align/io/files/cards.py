"""Cards of FITS headers, read so that an error names file, extension, keyword and what stands there."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Any, TypeVar

from astropy.io import fits

from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# How archives write that there is no value; nothing to warn of.
_NO_VALUE = frozenset({"", "N/A", "NONE", "UNKNOWN", "INDEF"})
_PRIMARY = "the primary header"
_SHOWN = 30
_UNPRINTABLE = "?"
# What the standard has; its numbers are finite.
_TEXT, _LOGICAL, _COMMENT = rb"'(?:[ -&(-~]|'')*'", rb"[TF]", rb" *(?:/[ -~]*)?"
_NUMBER = rb"[+-]?(?:\d{1,18}|\d{1,30}\.\d{0,30}|\.\d{1,30})(?:[ED](?:-\d{1,3}|\+?\d{1,2}))?"
_PLAIN = re.compile(
    rb"(?:COMMENT |HISTORY | {8}|END {5})[ -~]{72}|"
    rb"[A-Z0-9_-]{1,8} *(?<=^.{8})= *(?:%b)?%b" % (b"|".join((_TEXT, _LOGICAL, _NUMBER)), _COMMENT)
)

T = TypeVar("T")

logger = logging.getLogger(__name__)


# a file is opened several times, and the next one has most of its cards
@lru_cache(maxsize=1 << 14)
def is_plain(card: bytes) -> bool:
    """Tell whether a card, 80 bytes, is written as the standard says, and so needs no mending."""
    return _PLAIN.fullmatch(card) is not None


def mend(header: fits.Header) -> None:
    """Make cards that can't be parsed, such as ``EXPTIME = NaN``, cards of a text that says so (in place).

    Parameters
    ----------
    header : Header
        As read from a file. Reading and writing its cards raises nothing afterwards.
    """
    for index, card in enumerate(header.cards):
        try:
            card.value = card.value  # astropy parses when asked
        except fits.VerifyError:
            _make_text(card)
        except ValueError:
            _replace(header, index, card)


def _make_text(card: fits.Card) -> None:
    try:
        card.verify("silentfix+ignore")
    except ValueError:
        card.value = _UNPRINTABLE


def _replace(header: fits.Header, index: int, card: fits.Card) -> None:
    """Replace a card that astropy lets nobody change: without an equals sign, or of an infinite number."""
    if card.keyword != "CONTINUE":
        del header[index]
        header.insert(index, (card.keyword, str(card.value).strip()))


@dataclass(frozen=True)
class Bounds:
    """What a number may be, both ends included."""

    low: float = -inf
    high: float = inf

    def __str__(self) -> str:
        return f"between {self.low:g} and {self.high:g}" if isfinite(self.high) else f"at least {self.low:g}"


_ANY = Bounds()


@dataclass(frozen=True)
class Cards:
    """The cards of one header.

    What is asked for and may be missing counts as missing where it can't be used, with a warning; what is
    required raises. A keyword that is stated several times with different values can't be used.

    Parameters
    ----------
    path : Path
        The file.
    header : Header
        One of its headers.
    extension : str, optional
        Which, such as ``SCI,1``.
    """

    path: Path
    header: fits.Header
    extension: str = _PRIMARY

    @classmethod
    def of(cls, path: Path, hdu: Any) -> Cards:
        """Return the cards of an extension of a file, named ``EXTNAME,EXTVER``."""
        return cls(path, hdu.header, f"{hdu.name},{hdu.ver}")

    def text(self, keyword: str) -> str:
        """Return a text, stripped; empty where there is none."""
        return self._optional(keyword, _text, "")

    def number(self, keyword: str, default: float = nan, within: Bounds = _ANY) -> float:
        """Return a finite number; the default where there is none."""
        return self._optional(keyword, lambda value: _number(value, within), default)

    def whole(self, keyword: str, default: int, within: Bounds = _ANY) -> int:
        """Return a whole number; the default where there is none."""
        return self._optional(keyword, lambda value: _whole(value, within), default)

    def required_text(self, keyword: str) -> str:
        """Return a text that must be there, stripped.

        Raises
        ------
        InputError
            If it is not, or is empty.
        """
        return self._required(keyword, _some_text)

    def required_number(self, keyword: str, within: Bounds = _ANY) -> float:
        """Return a finite number that must be there.

        Raises
        ------
        InputError
            If it is not, or out of bounds.
        """
        return self._required(keyword, lambda value: _number(value, within))

    def required_whole(self, keyword: str, within: Bounds = _ANY) -> int:
        """Return a whole number that must be there.

        Raises
        ------
        InputError
            If it is not, or out of bounds.
        """
        return self._required(keyword, lambda value: _whole(value, within))

    def value(self, keyword: str) -> Any:
        """Return whatever a keyword is; None where it is missing or can't be used."""
        return self._optional(keyword, lambda value: value, None)

    def _optional(self, keyword: str, read: Callable[[Any], T], default: T) -> T:
        try:
            value = self._value(keyword)
            is_none = value is None or (isinstance(value, str) and value.strip().upper() in _NO_VALUE)
            return default if is_none else read(value)
        except ValueError as error:
            _warn_once(self.path, self.extension, keyword, str(error))
            return default

    def _required(self, keyword: str, read: Callable[[Any], T]) -> T:
        try:
            value = self._value(keyword)
            if value is not None:
                return read(value)
        except ValueError as error:
            problem = f"{keyword} in {self.extension} {error}"
        else:
            problem = f"no {keyword} in {self.extension}"
        remedy = f"Set {keyword} to the right value, or fetch the file again"
        raise InputError(self.path, problem, remedy)

    def _value(self, keyword: str) -> Any:
        """Return the one value of a keyword, None for none."""
        if keyword not in self.header:
            return None
        values = [self.header[keyword, n] for n in range(self.header.count(keyword))]
        if any(value != values[0] for value in values):
            shown = ", ".join(map(_shown, values))
            msg = f"is stated {len(values)} times with different values ({shown})"
            raise ValueError(msg)
        return None if isinstance(values[0], fits.card.Undefined) else values[0]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        msg = f"is no text ({_shown(value)})"
        raise ValueError(msg)  # noqa: TRY004  # what a header holds, not what a caller gave
    return value.strip()


def _some_text(value: Any) -> str:
    text = _text(value)
    if text.upper() in _NO_VALUE:
        msg = f"has no value ({_shown(value)})"
        raise ValueError(msg)
    return text


def _number(value: Any, within: Bounds) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        msg = f"is no number ({_shown(value)})"
        raise ValueError(msg)
    if not within.low <= value <= within.high:
        msg = f"is {_shown(value)}, not {within}"
        raise ValueError(msg)
    return float(value)


def _whole(value: Any, within: Bounds) -> int:
    number = _number(value, within)
    if not number.is_integer():
        msg = f"is no whole number ({_shown(value)})"
        raise ValueError(msg)
    return int(number)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


@cache
def _warn_once(path: Path, extension: str, keyword: str, problem: str) -> None:
    logger.warning("%s: %s in %s %s; it counts as missing", path, keyword, extension, problem)
