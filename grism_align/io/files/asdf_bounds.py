"""Whether an ASDF file of others can be handed to asdf: it opens nothing else and is as large as it seems.

asdf follows what a tree says: arrays whose source is another file or an address, references to other files,
blocks that unpack to whatever size they state, and arrays of any shape whose strides are zero.
"""

from __future__ import annotations

import io
import re
import struct
from functools import partial
from math import prod
from typing import IO, TYPE_CHECKING

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
# Those that asdf knows by itself or with what Roman's files need.
_PACKINGS = (b"lz4\0", b"zlib", b"bzp2")
_TREE_ENDS = re.compile(rb"\r?\n\.\.\.[ \t]*\r?\n")
_MOST_TREE = 64 * MB
_MOST_INDEX = MB
_PIECE = 1 << 16
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
    check_asdf_file(io.BytesIO(content), sources)


def check_asdf_file(stream: IO[bytes], sources: str = "", most_unpacked: int = 0) -> None:
    """Refuse an ASDF file as `check_asdf`, without reading its arrays.

    Parameters
    ----------
    stream : file-like
        The file, open for reading.
    sources : str, optional
        As for `check_asdf`.
    most_unpacked : int, optional
        Bytes that compressed arrays may have in all when they are unpacked; none may be compressed if not
        given.

    Raises
    ------
    ValueError, yaml.YAMLError
        As `check_asdf`.
    """
    tree = tree_text(stream)
    check_yaml(tree, partial(_check_mapping, sources=sources))
    _check_blocks(stream, len(tree), most_unpacked)


def tree_text(stream: IO[bytes]) -> bytes:
    """Return what an ASDF file has before its arrays.

    Parameters
    ----------
    stream : file-like
        The file, open for reading.

    Raises
    ------
    ValueError
        If it is no ASDF file, or its tree is too large.
    """
    stream.seek(0)
    if stream.read(len(_MAGIC)) != _MAGIC:
        msg = "it doesn't begin as ASDF files do"
        raise ValueError(msg)
    found, size = b"", _PIECE
    while len(found) <= _MOST_TREE:
        stream.seek(len(found))
        piece = stream.read(size)
        found, size = found + piece, 2 * size
        ends = _TREE_ENDS.search(found)
        if ends and ends.end() <= _MOST_TREE:
            return found[: ends.end()]
        if not piece:
            break
    end = max(found.find(_BLOCK), 0) or len(found)
    if end > _MOST_TREE:
        msg = f"a tree of more than {_MOST_TREE // MB} MB"
        raise ValueError(msg)
    return found[:end]


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


def _check_blocks(stream: IO[bytes], place: int, most_unpacked: int) -> None:
    """Go from block to block, and refuse an index that leads to others."""
    size = stream.seek(0, io.SEEK_END)
    place, places, left = _first_block(stream, place), [], most_unpacked
    while place >= 0 and _at(stream, place, len(_BLOCK)) == _BLOCK:
        places.append(place)
        [length] = struct.unpack(">H", _at(stream, place + 4, 2))
        flags, packing, room, used, unpacked, _ = _HEADER.unpack(_at(stream, place + 6, _HEADER.size))
        place += 6 + length
        is_packed = packing != _PLAIN
        if is_packed:
            left -= unpacked
            _check_packing(packing if most_unpacked else b"", left)
        is_long = used > room or place + used > size or (unpacked != used and not is_packed)
        if (is_packed or not flags & _STREAMED) and is_long:
            msg = "an array that is longer than the file"
            raise ValueError(msg)
        place += room if not flags & _STREAMED else size
    _check_index(stream, place, places)


def _check_packing(packing: bytes, left: int) -> None:
    if packing not in _PACKINGS:
        msg = "an array that is compressed; save it without compression"
        raise ValueError(msg)
    if left < 0:
        msg = "compressed arrays that are larger than those of an exposure; save it without compression"
        raise ValueError(msg)


def _check_index(stream: IO[bytes], place: int, places: list[int]) -> None:
    if place < 0 or _at(stream, place, len(_INDEX)) != _INDEX:
        return
    text = _at(stream, place, _MOST_INDEX)
    index = [int(one) for one in re.findall(rb"\d+", text.partition(b"\n---")[2])]
    if index != places:
        msg = "its index leads to other arrays than there are"
        raise ValueError(msg)


def _first_block(stream: IO[bytes], place: int) -> int:
    """Return where the first block begins after a place; -1 for none."""
    while piece := _at(stream, place, _PIECE):
        found = piece.find(_BLOCK)
        if found >= 0:
            return place + found
        place += max(len(piece) - len(_BLOCK) + 1, 1)
    return -1


def _at(stream: IO[bytes], place: int, n: int) -> bytes:
    stream.seek(place)
    return stream.read(n)
