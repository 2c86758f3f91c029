"""Files that are either the old one or the whole new one."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["atomic_path"]


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """A temporary path beside `final` that takes its name when the block ends without an error.

    Parameters
    ----------
    final : Path
        The file to make or to replace. Its folder is made if need be.

    Yields
    ------
    Path
        Where to write, with the same suffixes, so that libraries recognise the format.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=f".{final.name}", dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(_mode_of(final))
        _sync(temporary)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def _mode_of(final: Path) -> int:
    """Mode of the file that is replaced, or what a new file gets."""
    if final.exists():
        return final.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync(path: Path) -> None:
    """Have the bytes on disk before the name points to them."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
