"""Whether an ASDF file of others can be handed to asdf: it opens nothing else and is as large as it seems.

asdf follows what a tree says: arrays whose source is another file or an address, references to other files,
blocks that unpack to whatever size they state, and arrays of any shape whose strides are zero.
"""

from __future__ import annotations

import re
import struct
from itertools import takewhile
from typing import TYPE_CHECKING

from grism_align.io.files.bounded import MB
from grism_align.io.files.yaml_bounds import check_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC, _BLOCK = b"#ASDF", b"\xd3BLK"
# After the magic and its own length: flags, compression, room, bytes in use, bytes unpacked.
_HEADER = struct.Struct(">I4sQQQ16s")
_STREAMED = 1
_PLAIN = bytes(4)
_TREE_ENDS = re.compile(rb"\r?\n\.\.\.[ \t]*\r?\n")
_MOST_TREE = 64 * MB
_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,9}")


def check_asdf(content: bytes, sources: str = "") -> None:
    """Refuse an ASDF file that leads outside, or is larger than it seems.

    Parameters
    ----------
    content : bytes
        The whole file.
    sources : str, optional
        How sources of arrays may begin besides being blocks of the file, such as ``fits:`` in a FITS file.

    Raises
    ------
    ValueError
        If it does; it says what is wrong.
    yaml.YAMLError
        If its tree is no YAML.
    """
    if not content.startswith(_MAGIC):
        msg = "it doesn't begin as ASDF files do"
        raise ValueError(msg)
    ends = _TREE_ENDS.search(content)
    end = ends.end() if ends else max(content.find(_BLOCK), 0) or len(content)
    if end > _MOST_TREE:
        msg = f"a tree of more than {_MOST_TREE // MB} MB"
        raise ValueError(msg)

    def check(key: str, value: str | None) -> None:
        _refuse_outside(key, value, sources)

    check_yaml(content[:end], check)
    for _ in takewhile(bool, _blocks(content, end)):
        pass


def _refuse_outside(key: str, value: str | None, sources: str) -> None:
    if key == "$ref":
        msg = "it refers to other files ($ref)"
        raise ValueError(msg)
    if key == "strides":
        msg = "an array with strides, which may be larger than its data"
        raise ValueError(msg)
    is_outside = value is not None and not _WHOLE_NUMBER.fullmatch(value)
    if key == "source" and is_outside and not (sources and str(value).startswith(sources)):
        msg = "the source of an array is outside the file"
        raise ValueError(msg)


def _blocks(content: bytes, place: int) -> Iterator[bool]:
    """Go from block to block; what comes after the last one, the index, is for asdf to judge."""
    place = content.find(_BLOCK, place)
    while place >= 0 and content.startswith(_BLOCK, place):
        [length] = struct.unpack_from(">H", content, place + 4)
        flags, packing, room, used, unpacked, _ = _HEADER.unpack_from(content, place + 6)
        place += 6 + length
        if packing != _PLAIN:
            msg = "an array that is compressed; save it without compression"
            raise ValueError(msg)
        if not flags & _STREAMED and (used > room or unpacked != used or place + used > len(content)):
            msg = "an array that is longer than the file"
            raise ValueError(msg)
        place += room if not flags & _STREAMED else len(content)
        yield True
