"""HISTORY cards of what was done to a file, in order; what is done again and again is told once."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from grism_align import __version__
from grism_align.io.files.fits import plain_text

if TYPE_CHECKING:
    from astropy.io import fits


_CARD = 72
_BEGIN = re.compile(r"grism_align \S+ \d{4}-\d\d-\d\d: ")


def tell_history(header: fits.Header, words: str) -> None:
    """Say at the end of the history what was done, and there alone if the last thing done was the same.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The primary header.
    words : str
        What was done.
    """
    words = plain_text(words).strip()
    for row in reversed(_said_last(header, words)):
        del header[row]
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    header["HISTORY"] = f"grism_align {__version__} {date}: {words}"


def _said_last(header: fits.Header, words: str) -> range:
    """Return the cards of what was said last, if it is the same, on whatever day; else none."""
    rows = [row for row, card in enumerate(header.cards) if card.keyword == "HISTORY"]
    texts = [str(header[row]) for row in rows]
    begins = [(at, found[0]) for at, text in enumerate(texts) if (found := _BEGIN.match(text))]
    if not begins:
        return range(0)
    at, begin = begins[-1]
    whole = f"{begin}{words}".rstrip()
    parts = [whole[first : first + _CARD].rstrip() for first in range(0, len(whole), _CARD)]
    own = range(rows[at], rows[at] + len(parts))
    is_in_order = rows[at : at + len(parts)] == [*own]
    is_same = [one.rstrip() for one in texts[at : at + len(parts)]] == parts
    return own if is_in_order and is_same else range(0)
