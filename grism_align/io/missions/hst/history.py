"""HISTORY cards of what was done to a file, each thing once: files are aligned in place again and again."""

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
    """Say at the end of the history what was done, and there alone if it was done before (in place).

    Parameters
    ----------
    header : astropy.io.fits.Header
        The primary header.
    words : str
        What was done.
    """
    words = plain_text(words).strip()
    for rows in _said_before(header, words):
        for row in reversed(rows):
            del header[row]
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    header["HISTORY"] = f"grism_align {__version__} {date}: {words}"


def _said_before(header: fits.Header, words: str) -> list[range]:
    """Return the cards that say the same on whatever day, the last first."""
    found = []
    rows = [row for row, card in enumerate(header.cards) if card.keyword == "HISTORY"]
    texts = [str(header[row]) for row in rows]
    for at, text in enumerate(texts):
        begin = _BEGIN.match(text)
        if begin is None:
            continue
        whole = f"{begin[0]}{words}".rstrip()
        parts = [whole[first : first + _CARD].rstrip() for first in range(0, len(whole), _CARD)]
        is_in_order = rows[at : at + len(parts)] == [*range(rows[at], rows[at] + len(parts))]
        if is_in_order and [one.rstrip() for one in texts[at : at + len(parts)]] == parts:
            found.append(range(rows[at], rows[at] + len(parts)))
    return found[::-1]
