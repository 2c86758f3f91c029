"""Files that somebody made to do harm, or that were damaged on the way: made from good ones, with a seed."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Rng = np.random.Generator

#: What no file may have its way with: names, numbers and texts that lead somewhere.
NAMES = (
    *("../victim/x", "/etc/x", "..", ".", "", "a/b", "-rf", "a\nb", "~/x", "$SECRET", "x" * 300, "x" * 5000),
    *("../" * 40 + "victim/x", "C:\\x", "con", "a\x00b", "%s%s%n", "{0}", "<script>", "../../victim/x.fits"),
)
NUMBERS = (0, -1, 1e308, -1e308, 1e-308, float("nan"), float("inf"), 10**20, -(2**63), 2**31, 0.5, 1e10)


def bytes_of(rng: Rng, content: bytes) -> bytes:
    """Damage bytes: flipped, cut off, doubled, shifted, replaced by others or by nothing."""
    size = max(len(content), 1)
    at = int(rng.integers(size))
    length = int(rng.integers(1, 1 + min(size, 4000)))
    start, rest = content[:at], content[at + length :]
    choices: tuple[Callable[[], bytes], ...] = (
        lambda: _flipped(rng, content),
        lambda: start,
        lambda: start + content[at : at + length] * int(rng.integers(2, 5)) + content[at:],
        lambda: start + rest,
        lambda: start + rng.bytes(length) + rest,
        lambda: start + bytes(length) + rest,
        lambda: _number_in_text(rng, content),
        lambda: gzip.compress(content)[: None if rng.random() < 0.5 else at],
    )
    return choices[int(rng.integers(len(choices)))]()


def _flipped(rng: Rng, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 40)) if content else 0):
        changed[int(rng.integers(len(content)))] = int(rng.integers(256))
    return bytes(changed)


def _number_in_text(rng: Rng, content: bytes) -> bytes:
    """Replace a number that stands as text within the first bytes."""
    found = list(re.finditer(rb"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?", content[:60_000]))
    if not found:
        return content
    one = found[int(rng.integers(len(found)))]
    new = str(NUMBERS[int(rng.integers(len(NUMBERS)))]).encode()
    return content[: one.start()] + new + content[one.end() :]


def fits_file(rng: Rng, content: bytes) -> bytes:
    """Damage an exposure: a card of any header, or bytes."""
    if rng.random() < 0.3:
        return bytes_of(rng, content)
    if rng.random() < 0.1:
        return gzip_of_zeros(rng, content)
    with fits.open(io.BytesIO(content)) as hdus:
        spans = [(hdu.fileinfo()["hdrLoc"], hdu.fileinfo()["datLoc"]) for hdu in hdus]
    low, high = spans[int(rng.integers(len(spans)))]
    cards = [at for at in range(low, high, 80) if content[at : at + 3] not in (b"END", b"   ")]
    at = cards[int(rng.integers(len(cards)))]
    return content[:at] + _card(rng, content[at : at + 80]) + content[at + 80 :]


def _card(rng: Rng, card: bytes) -> bytes:
    key = card[:8]
    value: Any = NAMES[int(rng.integers(len(NAMES)))] if rng.random() < 0.4 else None
    if value is None:
        value = NUMBERS[int(rng.integers(len(NUMBERS)))]
    quoted = "'" + str(value).replace("'", "''") + "'" if isinstance(value, str) else str(value)
    choices = (
        key + b"= " + quoted.encode("latin-1", "replace"),
        key + b"  " + card[10:],
        rng.bytes(8) + card[8:],
        key + b"= " + card[10:20] + rng.bytes(20),
        b"END",
        b"CONTINUE  'x&'",
        b"HIERARCH " + key + b" = " + quoted.encode("latin-1", "replace"),
    )
    return choices[int(rng.integers(len(choices)))][:80].ljust(80)


def gzip_of_zeros(rng: Rng, start: bytes, megabytes: int = 3000) -> bytes:
    """Return a few MB that unpack to some GB and begin as a good file does."""
    member = _packed(bytes(1 << 24)) if rng.random() < 0.7 else _packed(b"a,b\n" * (1 << 22))
    return gzip.compress(start) + member * (megabytes // 16)


@cache
def _packed(block: bytes) -> bytes:
    return gzip.compress(block)


def record(rng: Rng, tree: dict[str, Any]) -> bytes:
    """Change entries of a record's tree; half of the times of all exposures in the same way."""
    import asdf

    for _ in range(int(rng.integers(1, 4))):
        _change(rng, tree["grism_align"], depth=0)
    buffer = io.BytesIO()
    try:
        asdf.AsdfFile(tree).write_to(buffer)
    except (ValueError, TypeError, asdf.ValidationError):
        # nobody can write that
        return record(rng, tree)
    return buffer.getvalue()


def _change(rng: Rng, node: Any, depth: int) -> None:
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return
    key = keys[int(rng.integers(len(keys)))]
    inner = node[key]
    if isinstance(inner, dict | list) and len(inner) and rng.random() < 0.9:
        _change(rng, inner, depth + 1)
        return
    if isinstance(node, dict) and rng.random() < 0.15:
        node[NAMES[int(rng.integers(len(NAMES)))].replace("\x00", "")] = node.pop(key)
    elif isinstance(inner, np.ndarray) and inner.size and rng.random() < 0.8:
        node[key] = _array(rng, inner)
    elif rng.random() < 0.1:
        del node[key]
    else:
        node[key] = _value(rng, inner)


def _array(rng: Rng, array: np.ndarray) -> np.ndarray:
    if rng.random() < 0.3:
        return array[: int(rng.integers(len(array) + 1))]
    changed = array.copy()
    if changed.dtype.kind == "f":
        changed.flat[int(rng.integers(changed.size))] = float(NUMBERS[int(rng.integers(len(NUMBERS)))])
    elif changed.dtype.kind in "iu":
        changed.flat[int(rng.integers(changed.size))] = int(rng.integers(-(2**31), 2**31))
    else:
        changed.flat[int(rng.integers(changed.size))] = NAMES[int(rng.integers(8))].replace("\x00", "")
    return changed


def _value(rng: Rng, inner: Any) -> Any:
    if isinstance(inner, str) and rng.random() < 0.7:
        return NAMES[int(rng.integers(len(NAMES)))].replace("\x00", "")
    return (*NUMBERS, None, "x", [], {}, True, [1, 2, 3])[int(rng.integers(len(NUMBERS) + 6))]


def association(rng: Rng, content: bytes) -> bytes:
    """Change an association in JSON."""
    if rng.random() < 0.3:
        return bytes_of(rng, content)
    tree = json.loads(content)
    for _ in range(int(rng.integers(1, 4))):
        _change(rng, tree, depth=0)
    return json.dumps(tree).encode()


def listing(rng: Rng, names: list[str]) -> bytes:
    """Return a list of files, with what leads elsewhere among them."""
    odd = [*NAMES, "/**", "/*/*/*", "**/x", "../*", "[", "*" * 200]
    odd += ["/proc/self/environ", "/dev/zero", "/dev/stdin"]
    lines = [*names, *(odd[int(rng.integers(len(odd)))] for _ in range(int(rng.integers(1, 4))))]
    if rng.random() < 0.1:
        return gzip_of_zeros(rng, b"\n".join(os.fsencode(line) for line in lines))
    if rng.random() < 0.1:
        return b"\n".join(os.fsencode(line) for line in lines) + b"\nx_flt.fits" * 300_000
    return b"\n".join(line.encode("utf-8", "replace") for line in lines)


def text_table(rng: Rng, content: bytes) -> bytes:
    """Change a table as text."""
    kind = rng.integers(6)
    if kind < 3:
        return bytes_of(rng, content)
    if kind == 3:
        return gzip_of_zeros(rng, content)
    lines = content.split(b"\n")
    at = int(rng.integers(len(lines)))
    odd: list[Any] = [*NUMBERS, *NAMES[:8]]
    word = str(odd[int(rng.integers(len(odd)))])
    cells = re.split(rb"([ ,]+)", lines[at])
    cells[int(rng.integers(len(cells)))] = word.replace("\x00", "").encode("utf-8", "replace")
    lines[at] = b"".join(cells) if kind == 4 else lines[at] * int(rng.integers(2, 3000))
    return b"\n".join(lines)


def yaml_bomb(prefix: str = "") -> str:
    """Return nine lines of YAML that stand for a billion nodes."""
    lines = ["bomb:", "- &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return "\n".join(prefix + line for line in lines) + "\n"


def asdf_file(rng: Rng, content: bytes, victim: Path) -> bytes:
    """Change an ASDF file as bytes: sources elsewhere, references, aliases, tags, blocks."""
    elsewhere = (f"file://{victim}/x.asdf", "http://127.0.0.1:9/x.asdf", "../victim/x.asdf", "/proc/self/mem")
    away = elsewhere[int(rng.integers(len(elsewhere)))]
    at = content.find(b"grism_align:")
    tags = ("!core/ndarray-1.0.0", "!!python/object/apply:os.system", "!core/externalarray-1.0.0", "!<a:b>")
    tag = tags[int(rng.integers(len(tags)))]
    choices: tuple[Callable[[], bytes], ...] = (
        lambda: bytes_of(rng, content),
        lambda: _number_in_text(rng, content),
        lambda: re.sub(rb"source: \d+", f"source: {away}".encode(), content, count=int(rng.integers(1, 5))),
        lambda: re.sub(rb"source: \d+", b'"so\\\\x75rce": ' + away.encode(), content, count=1),
        lambda: content[:at] + f"evil: {{$ref: '{away}#/a'}}\n".encode() + content[at:],
        lambda: content[:at] + yaml_bomb().encode() + content[at:],
        lambda: content[:at] + b"deep: " + b"[" * 3000 + b"]" * 3000 + b"\n" + content[at:],
        lambda: content[:at] + f"evil: {tag} ['true']\n".encode() + content[at:],
        lambda: content[:at] + b"evil: &e [*e]\n" + content[at:],
        lambda: re.sub(rb"shape: \[\d+\]", b"shape: [1000000000]\n  strides: [0]", content, count=1),
        lambda: re.sub(rb"shape: \[\d+\]", b"shape: [1000000000]", content, count=1),
        lambda: _block(rng, content),
        lambda: content[:at] + f"x: !core/ndarray-1.0.0 {{source: '{away}'}}\n".encode() + content[at:],
    )
    return choices[int(rng.integers(len(choices)))]()


def asdf_in_fits(rng: Rng, content: bytes, victim: Path) -> bytes:
    """Change the metadata of an exposure of JWST, which lie as ASDF in an extension of the FITS file."""
    with fits.open(io.BytesIO(content)) as hdus:
        table = hdus["ASDF"]
        tree = table.data.tobytes()
        at = tree.find(b"\nmeta:") + 1
        changed = asdf_file(rng, tree.replace(b"\nmeta:", b"\ngrism_align:", 1), victim)
        changed = changed.replace(b"\ngrism_align:", b"\nmeta:", 1)
        if rng.random() < 0.3 and at:
            changed = _of_wcs(rng, tree)
        # changed where it was, its index would give it away
        changed = changed.partition(b"#ASDF BLOCK INDEX")[0]
        column = fits.Column("ASDF_METADATA", f"{len(changed)}B", array=np.frombuffer(changed, "u1")[None])
        hdus["ASDF"] = fits.BinTableHDU.from_columns([column], name="ASDF")
        buffer = io.BytesIO()
        hdus.writeto(buffer)
    return buffer.getvalue()


def _of_wcs(rng: Rng, tree: bytes) -> bytes:
    """Change a word or a number in the part with the WCS."""
    start = max(tree.find(b"wcs:"), 0)
    found = list(re.finditer(rb"[-+]?\d+\.\d*(e[-+]?\d+)?|(?<=: )[a-z_]+", tree[start:]))
    if not found:
        return tree
    one = found[int(rng.integers(len(found)))]
    odd = [
        *(str(number) for number in NUMBERS),
        ".nan",
        ".inf",
        "[]",
        "{}",
        "null",
        "x",
        "'" + "y" * 300 + "'",
    ]
    word = odd[int(rng.integers(len(odd)))].encode()
    return tree[: start + one.start()] + word + tree[start + one.end() :]


def _block(rng: Rng, content: bytes) -> bytes:
    """Change numbers of a block's header: sizes, or how it is packed."""
    places = [found.start() for found in re.finditer(re.escape(b"\xd3BLK"), content)]
    at = places[int(rng.integers(len(places)))] + 6
    if rng.random() < 0.4:
        return content[: at + 4] + (b"zlib", b"bzp2", b"lz4\0")[int(rng.integers(3))] + content[at + 8 :]
    field = at + 8 + 8 * int(rng.integers(3))
    return content[:field] + struct.pack(">Q", int(rng.integers(2**62))) + content[field + 8 :]


def votable(rng: Rng, content: bytes, victim: Path) -> bytes:
    """Change a VOTable: streams, entities, sizes, bytes."""
    away = (f"file:{victim}/rows.bin", "http://127.0.0.1:9/rows", "FILE:///etc/passwd")[int(rng.integers(3))]
    form = ("BINARY", "BINARY2", "FITS", "PARQUET")[int(rng.integers(4))]
    laugh = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    stream = f"<{form}><STREAM encoding='base64' href='{away}'/></{form}>".encode()
    choices: tuple[Callable[[], bytes], ...] = (
        lambda: bytes_of(rng, content),
        lambda: _number_in_text(rng, content),
        lambda: re.sub(rb"<TABLEDATA>.*</TABLEDATA>", lambda _: stream, content, flags=re.DOTALL),
        lambda: content.replace(b"<VOTABLE", f'<!DOCTYPE v [<!ENTITY a0 "x">{laugh}]><VOTABLE'.encode()),
        lambda: content.replace(b"<VOTABLE", f'<!DOCTYPE v [<!ENTITY x SYSTEM "{away}">]><VOTABLE'.encode()),
        lambda: content.replace(b"<TABLE", b'<TABLE nrows="%d"' % 10 ** int(rng.integers(3, 20)), 1),
        lambda: content.replace(b'datatype="', b'arraysize="%d" datatype="' % 10 ** int(rng.integers(2, 12))),
        lambda: content.decode().encode("utf-16"),
        lambda: content.replace(b"<DATA>", b"<GROUP>" * 30_000 + b"<DATA>", 1),
        lambda: gzip_of_zeros(rng, content),
    )
    return choices[int(rng.integers(len(choices)))]()


@dataclass(frozen=True)
class Parquet:
    """Writes parquet files that are smaller than what they hold."""

    rows: int = 50_000_000

    def written(self, rng: Rng, content: bytes, path: Path) -> None:
        """Damage one, or write one whose columns are one value a hundred million times."""
        import pyarrow as pa
        from pyarrow import parquet

        if rng.random() < 0.8:
            path.write_bytes(bytes_of(rng, content))
            return
        words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, "i4")), pa.array(["x" * 1_000_000]))
        parquet.write_table(pa.table({"ra": np.zeros(20_000), "dec": np.zeros(20_000), "id": words}), path)
