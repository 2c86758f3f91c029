"""Locks of files (flock), which end with who holds them, however that ends.

They hold between machines where the file system passes them on: NFS does, unless it is mounted with
``nolock`` or ``local_lock``. On one that knows no locks, and on Windows, nothing is locked; a warning says
so, once a folder.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: The file that is locked for the moment in which the names of a folder change.
NAME = ".grism_align.lock"

# What file systems without locks say.
_UNKNOWN = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF}
# Between two tries, s.
_PAUSE = 0.1

_told: set[str] = set()

logger = logging.getLogger(__name__)


class HeldError(Exception):
    """A lock that another process, or another run of this one, holds."""


class NoLocksError(Exception):
    """A file system that knows no locks."""


def lock(handle: int, *, shared: bool = False) -> None:
    """Lock an open file, without waiting.

    Parameters
    ----------
    handle : int
        Its descriptor; the lock ends when it is closed, by the end of the process at the latest.
    shared : bool, optional
        Whether others may have the same kind of lock, which a file that is only read can have anywhere.

    Raises
    ------
    HeldError
        If another has it.
    NoLocksError
        If there are no locks.
    """
    if fcntl is None:
        raise NoLocksError
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HeldError from error
    except OSError as error:
        if error.errno in _UNKNOWN:
            raise NoLocksError from error
        raise


def open_to_lock(path: Path, mode: int = 0o666) -> int:
    """Open a file that is there to be locked, and make it if need be; a link is not followed.

    Parameters
    ----------
    path : Path
        The file.
    mode : int, optional
        Who may open it.

    Returns
    -------
    int
        Its descriptor.
    """
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | flags, mode)
    except PermissionError:
        if not path.exists():
            raise
        # of another user, whose lock it is as well
        handle = os.open(path, os.O_RDONLY | flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileExistsError(errno.EEXIST, "No regular file, where one is to be locked", str(path))
    return handle


def is_named(handle: int, path: Path) -> bool:
    """Tell whether an open file still is the one of a name, which whoever had it locked may have removed."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), path.stat(follow_symlinks=False))
    return False


def unlock(handle: int) -> None:
    """End a lock and close the file, for processes that were forked meanwhile too."""
    with suppress(OSError):
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


@contextmanager
def exclusive(folder: Path, patience: float) -> Iterator[None]:
    """Keep other runs from changing the names of a folder during the block.

    Parameters
    ----------
    folder : Path
        The folder.
    patience : float, s
        How long to wait.

    Raises
    ------
    HeldError
        If another run has it for longer.
    """
    path, handle = folder / NAME, None
    try:
        handle = _locked(path, time.monotonic() + patience)
    except NoLocksError:
        if str(folder) not in _told:
            _told.add(str(folder))
            logger.warning("%s: its file system has no locks; start no two runs there at once", folder)
    try:
        yield
    finally:
        if handle is not None:
            # while it is still locked, so that no other's is removed
            with suppress(OSError):
                path.unlink()
            unlock(handle)


def _locked(path: Path, end: float) -> int:
    while True:
        if path.is_symlink():
            # nobody's lock
            path.unlink(missing_ok=True)
        handle = open_to_lock(path, path.parent.stat().st_mode & 0o666)
        try:
            lock(handle)
            if is_named(handle, path):
                return handle
        except HeldError:
            if time.monotonic() >= end:
                os.close(handle)
                raise
            time.sleep(_PAUSE)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
