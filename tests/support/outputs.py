"""What runs wrote, for comparison: everything but the times, and what depends on these."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TIMES = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00| UTC)?"  # of a run
    rb"|[0-9a-f]{64}"  # checksums of files that have them
    rb"|DATASUM *= '\d+ *'"
)
# of an ASDF file's blocks, which may have any of these
_BLOCK_SUMS = re.compile(rb"(\xd3BLK.{34}).{16}", re.DOTALL)


def contents(folder: Path, home: Path | None = None) -> dict[str, bytes]:
    """The bytes of all files by name, without times, their sums and the name of the folder."""
    names = str(home or folder).encode()
    return {
        path.name: _TIMES.sub(b"", _BLOCK_SUMS.sub(rb"\1", path.read_bytes())).replace(names, b"HOME")
        for path in sorted(folder.iterdir())
    }
