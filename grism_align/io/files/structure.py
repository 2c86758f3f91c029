"""The keywords that say where a FITS file's extensions lie.

astropy trips over wrong ones in many ways, and counts to whatever NAXIS is.
"""

from __future__ import annotations

import io
import re
from math import prod
from typing import IO, TYPE_CHECKING

from astropy.io import fits

from grism_align.io.files.bounded import MOST_EXPOSURE
from grism_align.io.files.cards import Bounds, Cards, is_plain, mend
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_STRUCTURAL = re.compile(r"Z?BITPIX|Z?NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|ZTILE\d+")
# How the cards of these begin, however they are written.
_LIKE_STRUCTURAL = re.compile(rb"\s*(?:HIERARCH|Z?BITPIX|Z?NAXIS|PCOUNT|GCOUNT|TFIELDS|ZTILE)", re.IGNORECASE)
_BLOCK, _CARD = 2880, 80
_TYPES = (8, 16, 32, 64, -32, -64)
# of the FITS standard
_MOST_AXES = Bounds(0, 999)
_SIZES = Bounds(0, 1e12)
_GROUPS = Bounds(1, 1e12)
_COLUMNS = Bounds(0, 999)
# Of a header, 36 000 cards, and extensions: more than that no camera's software writes.
_MOST_BLOCKS, _MOST_EXTENSIONS = 1000, 2000
_END = b"END".ljust(_CARD)


def check_structure(path: Path, stream: IO[bytes]) -> frozenset[int]:
    """Refuse a file whose structural keywords are out of range.

    What is no FITS file, or ends too early, passes.

    Parameters
    ----------
    path : Path
        The file, for the error.
    stream : file
        The same, not compressed, open at its start.

    Returns
    -------
    frozenset of int
        Extensions all of whose cards are as the standard says.

    Raises
    ------
    InputError
        Naming extension and keyword.
    """
    plain = set()
    end = stream.seek(0, 2)
    place = number = 0
    while place < end:
        stream.seek(place)
        where = f"the header of extension {number}" if number else "the primary header"
        if number > _MOST_EXTENSIONS:
            raise InputError(path, f"more than {_MOST_EXTENSIONS} extensions", "Fetch the file again")
        try:
            raw = _raw_header(path, stream, where)
        except OSError:
            break
        if len(raw) % _BLOCK:
            break
        cards = _cards(raw)
        place = stream.tell() + _span(_structural(path, cards, where))
        if all(map(is_plain, cards)):
            plain.add(number)
        number += 1
    return frozenset(plain)


def read_header(path: Path, stream: IO[bytes], where: str) -> fits.Header:
    """Return the header at which a stream is, all of whose cards can be read.

    astropy would read on for one without end.

    Parameters
    ----------
    path : Path
        The file, for the error.
    stream : file
        It is behind the header afterwards.
    where : str
        Which header it is, for the error.

    Raises
    ------
    InputError
        If it is longer than any.
    OSError, EOFError
        If it is none.
    """
    raw = _raw_header(path, stream, where)
    header = fits.Header.fromfile(io.BytesIO(raw))
    if not all(map(is_plain, _cards(raw))):
        mend(header)
    return header


def _cards(raw: bytes) -> list[bytes]:
    return [raw[at : at + _CARD] for at in range(0, len(raw), _CARD)]


def _raw_header(path: Path, stream: IO[bytes], where: str) -> bytes:
    blocks = []
    for _ in range(_MOST_BLOCKS):
        blocks.append(stream.read(_BLOCK))
        # most blocks have no such text anywhere; within one it need not be a card
        if len(blocks[-1]) < _BLOCK or (_END in blocks[-1] and _END in _cards(blocks[-1])):
            return b"".join(blocks)
        if len(blocks) == 1 and blocks[0][:6] not in (b"SIMPLE", b"XTENSI"):
            msg = "no header"
            raise OSError(msg)
    raise InputError(path, f"{where} has no END among {_MOST_BLOCKS * 36} cards", "Fetch the file again")


def _structural(path: Path, cards: Sequence[bytes], where: str) -> Cards:
    like = [card for card in cards if _LIKE_STRUCTURAL.match(card)]
    header = fits.Header.fromstring(b"".join(like))
    if all(map(is_plain, like)):
        return Cards(path, header, where)
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
    if "TFIELDS" in cards.header:
        cards.required_whole("TFIELDS", _COLUMNS)
    _check_packed(cards)
    size = abs(bits) // 8 * groups * (extra + prod(sizes)) if axes else 0
    return -(-size // _BLOCK) * _BLOCK


def _check_packed(cards: Cards) -> None:
    """Refuse an image compressed in tiles that unpacks to more than an exposure has."""
    if "ZNAXIS" not in cards.header:
        return
    axes = cards.required_whole("ZNAXIS", _MOST_AXES)
    for stem in ("ZNAXIS", "ZTILE"):
        names = [f"{stem}{axis}" for axis in range(1, axes + 1)]
        sizes = [cards.required_whole(name, _SIZES) for name in names if name in cards.header]
        size = prod(sizes) * abs(cards.whole("ZBITPIX", 64)) // 8
        if size > MOST_EXPOSURE:
            problem = f"{cards.extension} is an image that unpacks to {size:.3g} bytes ({stem}1 and so on)"
            raise InputError(cards.path, problem, "Fetch the file again")
