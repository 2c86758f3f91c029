"""Headers as they should not be: each card of a file damaged in each of many ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from astropy.io import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CARD, _BLOCK = 80, 2880


@dataclass(frozen=True)
class Damage:
    """One card of one header, damaged.

    Parameters
    ----------
    extension : str
        Which header: ``0`` or ``EXTNAME,EXTVER``.
    keyword : str
        Which card.
    kind : str
        What was done to it.
    start, end : int
        Where the header lies in the file.
    number : int
        Which of its cards.
    cards : tuple of bytes
        What takes its place.
    """

    extension: str
    keyword: str
    kind: str
    start: int
    end: int
    number: int
    cards: tuple[bytes, ...]

    def __str__(self) -> str:
        return f"{self.extension} {self.keyword} {self.kind}"

    def applied(self, content: bytes) -> bytes:
        """Return the bytes of the file with the damage."""
        images = _images(content, self.start, self.end)
        images[self.number : self.number + 1] = self.cards
        header = b"".join(image.ljust(_CARD)[:_CARD] for image in (*images, b"END"))
        return content[: self.start] + header + b" " * (-len(header) % _BLOCK) + content[self.end :]


def damages(path: Path) -> Iterator[Damage]:
    """Yield every damage to every card of a file that is not compressed.

    Parameters
    ----------
    path : Path
        A FITS file.
    """
    content = path.read_bytes()
    with fits.open(path) as hdus:
        places = [(f"{hdu.name},{hdu.ver}", hdu.fileinfo()) for hdu in hdus]
    for index, (name, place) in enumerate(places):
        start, end = place["hdrLoc"], place["datLoc"]
        images = _images(content, start, end)
        for n, kind, new in _all_changes(images):
            yield Damage(name if index else "0", images[n][:8].decode().strip(), kind, start, end, n, new)


def _images(content: bytes, start: int, end: int) -> list[bytes]:
    """Cut a header into its cards, without END."""
    images = [content[at : at + _CARD] for at in range(start, end, _CARD)]
    return images[: next(n for n, image in enumerate(images) if image.rstrip() == b"END")]


def _all_changes(images: list[bytes]) -> Iterator[tuple[int, str, tuple[bytes, ...]]]:
    """Which card, what is done, and what takes its place."""
    for n, image in enumerate(images):
        for kind, change in _KINDS.items():
            yield n, kind, change(image)
        for pattern, keyword in _RIVALS:
            if re.match(pattern, image):
                yield n, f"beside {keyword.decode()}", (image, keyword.ljust(8) + b"= 0.7")


def _value(text: bytes) -> Callable[[bytes], tuple[bytes, ...]]:
    return lambda image: (image[:8] + b"= " + text,)


def _other(image: bytes) -> bytes:
    """Return the card with another value of the same type."""
    value = image[10:].split(b"/")[0].strip()
    if value.startswith(b"'"):
        return image[:8] + b"= 'X" + value[2:]
    if value in (b"T", b"F"):
        return image[:8] + b"= " + (b"F" if value == b"T" else b"T")
    digit = re.search(rb"[0-8](?=[.\d]*)", value)
    return image[:8] + b"= " + (value.replace(digit[0], b"%d" % (int(digit[0]) + 1), 1) if digit else b"1")


def _negative(image: bytes) -> bytes:
    value = image[10:].split(b"/")[0].strip()
    is_number = re.match(rb"-?[\d.]", value)
    return image[:8] + b"= " + (b"-" + value if is_number else b"-1").replace(b"--", b"")


_LONG = (b"= '" + b"x" * 66 + b"&'", b"CONTINUE  '" + b"y" * 66 + b"&'", b"CONTINUE  'z'")

_KINDS: dict[str, Callable[[bytes], tuple[bytes, ...]]] = {
    "deleted": lambda _: (),
    "twice": lambda image: (image, image),
    "twice, otherwise": lambda image: (image, _other(image)),
    "twice, NaN": lambda image: (image, image[:8] + b"= NaN"),
    "otherwise": lambda image: (_other(image),),
    "NaN": _value(b"NaN"),
    "INDEF": _value(b"INDEF"),
    "comma": _value(b"5,25"),
    "garbage": _value(b"#!?&/(("),
    "empty": _value(b""),
    "text": _value(b"'north'"),
    "empty text": _value(b"''"),
    "number": _value(b"12.5"),
    "whole": _value(b"3"),
    "logical": _value(b"T"),
    "complex": _value(b"(1.0, 2.0)"),
    "zero": _value(b"0"),
    "huge": _value(b"1E300"),
    "infinite": _value(b"1E999"),
    "long whole": _value(b"9" * 60),
    "negative": lambda image: (_negative(image),),
    "lower case": lambda image: (image[:8].lower() + image[8:],),
    "not ASCII": _value(b"'\xc3\xa9t\xc3\xa9'"),
    "control": _value(b"'\x01\x02'"),
    "unclosed": _value(b"'open"),
    "long": lambda image: (image[:8] + _LONG[0], *_LONG[1:]),
    "long, cut": lambda image: (image[:8] + _LONG[0],),
    "no equals sign": lambda image: (image[:8] + b"  " + image[10:],),
}
# Cards that state the same as others, after which they come.
_RIVALS = (
    (rb"CD1_1 ", b"PC1_1"),
    (rb"CD2_2 ", b"PC2_2"),
    (rb"CD2_2 ", b"CROTA2"),
    (rb"CD1_1 ", b"CDELT1"),
    (rb"CRVAL2 ", b"LONPOLE"),
    (rb"CRVAL2 ", b"PV2_1"),
    (rb"CRVAL2 ", b"PV1_1"),
    (rb"CRVAL1 ", b"VELREF"),
    (rb"WCSNAME ", b"WCSNAME"),
    (rb"A_2_0 ", b"A_0_0"),
    (rb"A_2_0 ", b"A_5_5"),
    (rb"A_2_0 ", b"AP_1_0"),
    (rb"EXTVER ", b"EXTLEVEL"),
    (rb"BITPIX ", b"BLANK"),
    (rb"GCOUNT ", b"BSCALE"),
)
