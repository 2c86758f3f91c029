"""Whether an ASDF file of others can be handed to asdf: it opens nothing else and is as large as it seems.

asdf follows what a tree says: arrays whose source is another file or an address, references to other files,
blocks that unpack to whatever size they state, and arrays of any shape whose strides are zero.
"""

from __future__ import annotations

import re
import struct
from functools import partial
from math import prod
from typing import TYPE_CHECKING

from grism_align.io.files.bounded import MB
from grism_align.io.files.yaml_bounds import check_yaml

if TYPE_CHECKING:
    from grism_align.io.files.yaml_bounds import Entries

_MAGIC, _BLOCK = b"#ASDF", b"\xd3BLK"
# After the magic and its own length: flags, compression, room, bytes in use, bytes unpacked.
_HEADER = struct.Struct(">I4sQQQ16s")
_STREAMED = 1
_INDEX = b"#ASDF BLOCK INDEX"
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

    check_yaml(content[:end], partial(_check_mapping, sources=sources))
    _check_blocks(content, end)


def _check_mapping(entries: Entries, sources: str) -> None:
    """Refuse a mapping that refers to other files, or is an array that is larger than its data."""
    if "$ref" in entries:
        msg = "it refers to other files ($ref)"
        raise ValueError(msg)
    source = entries.get("source")
    is_own = not isinstance(source, str) or _WHOLE_NUMBER.fullmatch(source)
    if not is_own and not (sources and str(source).startswith(sources)):
        msg = "the source of an array is outside the file"
        raise ValueError(msg)
    if "strides" in entries and _is_folded(entries.get("shape"), entries["strides"]):
        msg = "an array with strides that is larger than its data"
        raise ValueError(msg)


def _is_folded(shape: object, strides: object) -> bool:
    """Tell whether an array would have more values than the bytes that its strides span."""
    try:
        sizes, steps = ([abs(int(str(one))) for one in values] for values in (shape, strides))  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return True
    return len(sizes) != len(steps) or prod(sizes) > 1 + sum(
        (size - 1) * step for size, step in zip(sizes, steps, strict=True)
    )


def _check_blocks(content: bytes, place: int) -> None:
    """Go from block to block, and refuse an index that leads to others."""
    place, places = content.find(_BLOCK, place), []
    while place >= 0 and content.startswith(_BLOCK, place):
        places.append(place)
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
    index = [int(one) for one in re.findall(rb"\d+", content[place:].partition(b"\n---")[2])]
    if place >= 0 and content.startswith(_INDEX, place) and index != places:
        msg = "its index leads to other arrays than there are"
        raise ValueError(msg)
