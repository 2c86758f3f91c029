"""The keywords that say where a FITS file's extensions lie.

astropy trips over wrong ones in many ways, and counts to whatever NAXIS is.
"""

from __future__ import annotations

import re
from itertools import count
from math import prod
from typing import IO, TYPE_CHECKING

from astropy.io import fits

from grism_align.io.files.cards import Bounds, Cards, mend
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_STRUCTURAL = re.compile(r"BITPIX|NAXIS\d*|PCOUNT|GCOUNT|EXTNAME|EXTVER")
_BLOCK = 2880
_TYPES = (8, 16, 32, 64, -32, -64)
# of the FITS standard
_MOST_AXES = Bounds(0, 999)
_SIZES = Bounds(0, 1e12)
_GROUPS = Bounds(1, 1e12)


def check_structure(path: Path, stream: IO[bytes]) -> None:
    """Refuse a file whose structural keywords are out of range.

    What is no FITS file, or ends too early, passes.

    Parameters
    ----------
    path : Path
        The file, for the error.
    stream : file
        The same, not compressed, open at its start.

    Raises
    ------
    InputError
        Naming extension and keyword.
    """
    end = stream.seek(0, 2)
    place = stream.seek(0)
    for number in count():
        if place >= end:
            return
        stream.seek(place)
        try:
            header = fits.Header.fromfile(stream)
        except (OSError, EOFError):
            return
        where = f"the header of extension {number}" if number else "the primary header"
        place = stream.tell() + _span(_structural(path, header, where))


def _structural(path: Path, header: fits.Header, where: str) -> Cards:
    only = fits.Header(card for card in header.cards if _STRUCTURAL.fullmatch(card.keyword))
    mend(only)
    return Cards(path, only, where)


def _span(cards: Cards) -> int:
    """Bytes of the data that follow a header, whole blocks."""
    axes = cards.required_whole("NAXIS", _MOST_AXES)
    sizes = [cards.required_whole(f"NAXIS{axis}", _SIZES) for axis in range(1, axes + 1)]
    bits = cards.required_whole("BITPIX")
    if bits not in _TYPES:
        known = ", ".join(map(str, _TYPES))
        raise InputError(
            cards.path, f"BITPIX in {cards.extension} is {bits}, not one of {known}", "Fetch the file again"
        )
    optional = (("PCOUNT", 0, _SIZES), ("GCOUNT", 1, _GROUPS))
    extra, groups = (
        cards.required_whole(name, within) if name in cards.header else default
        for name, default, within in optional
    )
    size = abs(bits) // 8 * groups * (extra + prod(sizes)) if axes else 0
    return -(-size // _BLOCK) * _BLOCK
