"""Bytes of files: of regular files only, and no more of them than a file of the kind has.

A few kilobytes can unpack to gigabytes, and a name can lead to a pipe, on which one waits for ever. What
reads a whole file into memory does it here.
"""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

GZIP = b"\x1f\x8b"
MB = 1 << 20

#: Associations and lists: some ten thousand exposures. Configurations, parameters.
MOST_TEXT = 8 * MB
#: Catalogs as text, on disk or from a service, and rows of any catalog.
MOST_CATALOG, MOST_ROWS = 128 * MB, 3_000_000
#: Records, whose arrays grow with exposures and sources.
MOST_RECORD = 512 * MB
#: An exposure, unpacked; the largest have 300 MB.
MOST_EXPOSURE = 640 * MB


def read_whole(path: Path, most: int, error: type[InputError] = InputError) -> bytes:
    """Return the bytes of a file, unpacked where it is packed with gzip.

    Parameters
    ----------
    path : Path
        The file.
    most : int
        Bytes that there may be.
    error : type, optional
        Kind of error.

    Raises
    ------
    InputError
        If it is no regular file, can't be read, or has more.
    """
    found = read_start(path, most, error)
    if found is None:
        problem = f"more than {most // MB} MB, which no file of its kind has"
        raise error(path, problem, "Give the right file, or a part of it")
    return found


def read_start(path: Path, most: int, error: type[InputError] = InputError) -> bytes | None:
    """Return the bytes of a file as `read_whole` does; None where there are more."""
    if not path.is_file():
        raise error(path, "no such file", "Check the path")
    try:
        with path.open("rb") as stream:
            is_packed = stream.read(len(GZIP)) == GZIP
            stream.seek(0)
            if is_packed:
                with gzip.GzipFile(fileobj=stream) as unpacked:
                    content = unpacked.read(most + 1)
            else:
                content = stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as reason:
        raise error(path, f"it can't be read ({reason})", "Check the file and its mode") from reason
    return content if len(content) <= most else None
