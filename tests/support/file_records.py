"""Files as records have them."""

from __future__ import annotations

from pathlib import Path

from grism_align.io.files.checksums import sha256_of
from grism_align.values.record import FileRecord


def file_record(path: Path | str) -> FileRecord:
    """Put a file on record as it is now."""
    return FileRecord(str(path), sha256_of(Path(path)))
