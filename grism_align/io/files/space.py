"""Room on a disk, taken before it is needed: a disk that fills up is found before the work is done."""

from __future__ import annotations

import errno
import os
from typing import IO

# File systems that can't reserve.
_UNKNOWN = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
_BLOCK = bytes(1 << 20)


def reserve(stream: IO[bytes], size: int) -> None:
    """Have a file grow by zeros that lie on the disk.

    Parameters
    ----------
    stream : binary file
        Open for writing, at its end, where it stays.
    size : int
        Bytes.

    Raises
    ------
    OSError
        If there is not room enough, naming the file.
    """
    start = stream.tell()
    try:
        if not _allocated(stream, start, size):
            for done in range(0, size, len(_BLOCK)):
                stream.write(_BLOCK[: size - done])
            stream.flush()
            stream.seek(start)
    except OSError as error:
        if isinstance(stream.name, str | os.PathLike):
            error.filename = os.fspath(stream.name)
        raise


def _allocated(stream: IO[bytes], start: int, size: int) -> bool:
    """Have the file system reserve room; whether it can."""
    if not hasattr(os, "posix_fallocate"):
        return False
    stream.flush()
    try:
        if size:
            os.posix_fallocate(stream.fileno(), start, size)
    except OSError as error:
        if error.errno in _UNKNOWN:
            return False
        raise
    return True
