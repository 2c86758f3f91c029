"""Write a FITS file anew with other headers, every other byte as it was.

Data blocks are copied byte for byte, so pixels cannot change and a whole exposure never is in memory. Images
of the exposure that are compressed in tiles are written plain, one at a time: compressed anew they would
lose, and few programs read them. Both files' SHA-256 are made on the way: neither is read again.
"""

from __future__ import annotations

import gzip
import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from astropy.io import fits

from grism_align.io.files.staging import atomic_path
from grism_align.values.errors import InputError
from grism_align.values.mission import Digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


_BLOCK = 1 << 20
_RECORD = 2880
# Arrays of an exposure and of its distortion.
_IMAGES = ("SCI", "ERR", "DQ", "SAMP", "TIME", "D2IMARR", "WCSDVARR")
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Edits:
    """What becomes of the extensions of a file.

    Parameters
    ----------
    headers : mapping of int to Header
        New headers, by extension number, of those that keep their data.
    replaced : mapping of int to bytes
        Whole extensions, header and data, for those that change altogether; empty for those that go.
    appended : tuple of bytes
        Whole extensions that come last.
    """

    headers: Mapping[int, fits.Header]
    replaced: Mapping[int, bytes] = field(default_factory=dict)
    appended: tuple[bytes, ...] = ()


def rewrite(
    path: Path, hdus: fits.HDUList, edits: Edits, destination: Path, check: Callable[[Path], None]
) -> Digests:
    """Write a file with edits, atomically.

    Parameters
    ----------
    path : Path
        The file to read.
    hdus : HDUList
        The same file, open, for where its extensions lie.
    edits : Edits
        What changes.
    destination : Path
        The file to make. It may be the source itself.
    check : callable
        Takes the new file before it has its name, and raises where it is not to have it.

    Raises
    ------
    InputError
        If the file ends before its headers say.
    """
    with atomic_path(destination) as temporary:
        with path.open("rb") as stream, temporary.open("wb") as made:
            read, written = _Hashed(stream), _Hashed(made)
            with _unpacked(read, stream) as source, _packed(written, destination.name) as target:
                _copy(_Copier(path, source, target), hdus, edits)
            while read.read(_BLOCK):
                pass
        check(temporary)
    return Digests(read.digest, written.digest)


def _copy(copier: _Copier, hdus: fits.HDUList, edits: Edits) -> None:
    for index, hdu in enumerate(hdus):
        _copy_hdu(copier, hdu, edits.headers.get(index), edits.replaced.get(index))
    for extension in edits.appended:
        copier.target.write(extension)


class _Hashed:
    """A stream whose bytes are summed as they pass."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._sum = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self._sum.update(block)
        return block

    def write(self, block: bytes) -> int:
        self._sum.update(block)
        return self._stream.write(block)

    def flush(self) -> None:
        self._stream.flush()

    @property
    def digest(self) -> str:
        return self._sum.hexdigest()


@contextmanager
def _unpacked(read: _Hashed, stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """Open a file as its bytes say, compressed or not: browsers decompress some and keep their names."""
    compressed = stream.read(2) == _GZIP
    stream.seek(0)
    plain = cast("IO[bytes]", read)
    yield cast("IO[bytes]", gzip.GzipFile(fileobj=plain, mode="rb")) if compressed else plain


@contextmanager
def _packed(written: _Hashed, name: str) -> Iterator[IO[bytes]]:
    """Open a new file, compressed where its name says so; equal content gives equal bytes."""
    plain = cast("IO[bytes]", written)
    if not name.endswith(".gz"):
        yield plain
        return
    with gzip.GzipFile(name, "wb", fileobj=plain, mtime=0) as packed:
        yield cast("IO[bytes]", packed)


@dataclass
class _Copier:
    """Takes bytes from one stream to another, forwards only."""

    path: Path
    source: IO[bytes]
    target: IO[bytes]

    def move(self, length: int, *, keep: bool) -> None:
        while length > 0:
            block = self.source.read(min(_BLOCK, length))
            if not block:
                raise InputError(self.path, f"it ended {length} bytes early", "Fetch the file again")
            if keep:
                self.target.write(block)
            length -= len(block)


def _copy_hdu(copier: _Copier, hdu: Any, header: fits.Header | None, replaced: bytes | None) -> None:
    info = hdu.fileinfo()
    if isinstance(hdu, fits.CompImageHDU) and hdu.name in _IMAGES:
        header, replaced = None, _plain(hdu, header or hdu.header)
    if header is not None:
        copier.target.write(header.tostring().encode("ascii"))
    elif replaced is not None:
        copier.target.write(replaced)
    copier.move(info["datLoc"] - info["hdrLoc"], keep=header is None and replaced is None)
    copier.move(info["datSpan"], keep=replaced is None)


def _plain(hdu: fits.CompImageHDU, header: fits.Header) -> bytes:
    """Return a compressed image as a plain extension."""
    data = np.asarray(hdu.data)
    content = data.astype(data.dtype.newbyteorder(">")).tobytes()
    del hdu.data  # not to hold all images of the file
    return bytes(header.tostring().encode("ascii")) + content + bytes(-len(content) % _RECORD)
