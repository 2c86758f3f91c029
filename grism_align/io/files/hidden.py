"""Hidden folders for files that are not finished: locked by the run that they are of, and removed with it.

A run that is killed leaves its folders. Their locks end with it, wherever it ran, so that the next to write
there knows them for leftovers: neither the number of a process nor the name of a machine tells that.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.locks import HeldError, NoLocksError, is_named, lock, open_to_lock, unlock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


#: How names of hidden folders begin.
MARK = ".grism_align-"

# Made by `tempfile`, and no name that a user would give.
_NAME = re.compile(re.escape(MARK) + "[a-z0-9_]{8}")
# In each such folder, the file that is locked: it tells by whom.
_OWNER = ".owner"
# Programs whose first argument says what they do, and is no secret.
_PROGRAMS = ("grism-align", "strun")
_LONGEST = 10_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owner:
    """Who works in a folder.

    Parameters
    ----------
    command : str
        The program, and which of its commands.
    process : int
        Number of the process, on its machine.
    host : str
        Name of the machine.
    since : str
        When it began (ISO 8601, UTC).
    """

    command: str
    process: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"{self.command} (process {self.process} on {self.host}, since {self.since})"

    @classmethod
    def here(cls) -> Owner:
        """Return this process as an owner."""
        program = Path(sys.argv[0] or "python").name
        words = [program, *(sys.argv[1:2] if program in _PROGRAMS else [])]
        now = datetime.now(UTC).isoformat(" ", timespec="seconds")
        return cls(" ".join(words), os.getpid(), platform.node() or "this machine", now)


class HiddenFolder:
    """A folder for unfinished files beside what they are to be, until it is removed.

    Parameters
    ----------
    parent : Path
        Where. Leftovers in it are removed, unless it is hidden itself and goes with all that is in it: then
        others may work in it, on machines whose locks are not seen here.
    kin : HiddenFolder, optional
        Another of the same run; one lock then does for both, where links can be made.
    """

    def __init__(self, parent: Path, kin: HiddenFolder | None = None) -> None:
        if not is_hidden(parent):
            remove_leftovers([parent])
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=MARK, dir=parent))
            try:
                self._handle = None if _is_linked(kin, self.path) else _owned(self.path)
            except (FileExistsError, FileNotFoundError, HeldError):
                # another run took it for a leftover in the instant before it was locked
                continue
            except OSError:
                shutil.rmtree(self.path, ignore_errors=True)
                raise
            return

    def remove(self) -> None:
        """Remove it with all that is in it."""
        # what is locked last: NFS keeps the name of an open file, and so the folder that it is in
        for path in _entries(self.path):
            if path.name != _OWNER:
                _remove(path)
        if self._handle is not None:
            unlock(self._handle)
            self._handle = None
        shutil.rmtree(self.path, ignore_errors=True)


def _owned(folder: Path) -> int | None:
    """Lock a new folder; None where nothing can be locked."""
    path = folder / _OWNER
    handle = open_to_lock(path)
    try:
        lock(handle)
        _require_name(handle, path)
        os.write(handle, json.dumps(asdict(Owner.here())).encode())
    except NoLocksError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return handle


def _require_name(handle: int, path: Path) -> None:
    if not is_named(handle, path):
        raise HeldError


def _is_linked(kin: HiddenFolder | None, folder: Path) -> bool:
    """Give a folder the lock of another, so that many take one open file; whether that was possible."""
    if kin is None:
        return False
    try:
        os.link(kin.path / _OWNER, folder / _OWNER)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        # on another file system, or one without links
        return False
    return True


@contextmanager
def hidden_folder(parent: Path) -> Iterator[Path]:
    """Yield a hidden folder for the time of the block.

    Parameters
    ----------
    parent : Path
        Where.
    """
    folder = HiddenFolder(parent)
    try:
        yield folder.path
    finally:
        folder.remove()


def is_hidden(folder: Path) -> bool:
    """Tell whether a folder is a hidden one, or in one."""
    return any(_NAME.fullmatch(part) for part in folder.parts)


def owners(parent: Path) -> Iterator[tuple[Path, Owner]]:
    """Yield the hidden folders in a folder that runs work in, and who does, as far as that can be told.

    Parameters
    ----------
    parent : Path
        The folder.
    """
    for folder in _hidden_in(parent):
        with suppress(OSError, NoLocksError):
            handle = open_to_lock(folder / _OWNER)
            try:
                lock(handle, shared=True)
            except HeldError:
                yield folder, _read(handle)
            finally:
                os.close(handle)


def _read(handle: int) -> Owner:
    """Return what an owner wrote, which anybody may have written."""
    with suppress(ValueError, TypeError, LookupError, RecursionError):
        found = json.loads(os.pread(handle, _LONGEST, 0))
        words = [
            re.sub(r"[^\x20-\x7e]", "?", str(found[name]))[:200] for name in ("command", "host", "since")
        ]
        return Owner(words[0], int(found["process"]), *words[1:])
    return Owner("another run", 0, "another machine", "a while ago")


def remove_leftovers(folders: Iterable[Path]) -> list[Path]:
    """Remove the hidden folders of runs that are no more.

    Parameters
    ----------
    folders : iterable of Path
        Where to look.

    Returns
    -------
    list of Path
        What was removed. What is of another user stays, and what can't be removed.
    """
    removed = []
    for path in (path for folder in set(folders) for path in _hidden_in(folder, own=True)):
        with suppress(OSError, NoLocksError, HeldError):
            handle = open_to_lock(path / _OWNER)
            try:
                # while it is removed nobody can make it his own
                lock(handle, shared=True)
                shutil.rmtree(path)
            finally:
                os.close(handle)
            removed.append(path)
            logger.info("Removed %s, which a run that was killed left", path)
    return removed


def _hidden_in(parent: Path, *, own: bool = False) -> list[Path]:
    """Return the hidden folders in a folder, or those of this user."""
    found = (path for path in _entries(parent) if _NAME.fullmatch(path.name) and _is_folder(path))
    return sorted(path for path in found if not own or _is_own(path))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_folder(path: Path) -> bool:
    """Whether it is a folder, and no link to one."""
    with suppress(OSError):
        return stat.S_ISDIR(path.lstat().st_mode)
    return False


def _is_own(path: Path) -> bool:
    with suppress(OSError):
        return not hasattr(os, "geteuid") or path.lstat().st_uid == os.geteuid()
    return False


def _remove(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
