"""Identity of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from grism_align.values.record import FileRecord


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits.

    Parameters
    ----------
    path : path-like
        The file; it is read in pieces, so its size doesn't matter.

    Raises
    ------
    OSError
        If the file can't be read.
    """
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_record(path: Path | str) -> FileRecord:
    """Put a file on record as it is now.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    OSError
        If the file can't be read.
    """
    return FileRecord(str(path), sha256_of(path))
