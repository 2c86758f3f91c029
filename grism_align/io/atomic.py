"""Files that are either the old one or the whole new one, one by one or all together."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = ["all_or_nothing", "atomic_path", "present_path", "remove_leftovers"]

# Of the names of temporary files, which tell the machine and the process that make them.
_MARK = ".grism_align-"

# Finished temporary files, by the file they will be, while all are to appear together.
_waiting: ContextVar[dict[Path, Path] | None] = ContextVar("waiting", default=None)


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """A temporary path beside `final` that takes its name when the block ends without an error.

    Within `all_or_nothing` it takes its name when that ends.

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
    handle, name = tempfile.mkstemp(prefix=_prefix(), suffix=f".{final.name}", dir=final.parent)
    os.close(handle)
    temporary, waiting = Path(name), _waiting.get()
    try:
        yield temporary
        temporary.chmod(_mode_of(final))
        _sync(temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if waiting is None:
        _rename(temporary, final)
        return
    if final in waiting:
        waiting[final].unlink(missing_ok=True)
    waiting[final] = temporary


def present_path(final: Path) -> Path:
    """Where the bytes of a file are: until `all_or_nothing` ends, what it wrote has other names.

    Parameters
    ----------
    final : Path
        The file as it is, or will be, called.
    """
    return (_waiting.get() or {}).get(final, final)


@contextmanager
def all_or_nothing(last: Collection[Path] = ()) -> Iterator[None]:
    """Have all files that the block writes with `atomic_path` appear together when it ends.

    All are written and on disk before the first takes its name: a full disk, an error or a kill until then
    changes nothing. Then they are renamed, in the order in which they were written.

    Parameters
    ----------
    last : collection of Path, optional
        Those that take their names after all others.
    """
    waiting: dict[Path, Path] = {}
    token = _waiting.set(waiting)
    try:
        yield
        for final in sorted(waiting, key=lambda path: path in last):
            waiting[final].replace(final)
    finally:
        _waiting.reset(token)
        for temporary in waiting.values():
            temporary.unlink(missing_ok=True)


def remove_leftovers(folders: Iterable[Path]) -> list[Path]:
    """Remove temporary files of runs on this machine that are no more.

    Parameters
    ----------
    folders : iterable of Path
        Where to look.

    Returns
    -------
    list of Path
        What was removed.
    """
    removed = []
    for folder in set(folders):
        for path in sorted(folder.glob(f"{_MARK}*")) if folder.is_dir() else ():
            found = re.match(re.escape(_stem()) + r"(\d+)-", path.name)
            if found and not _runs(int(found[1])):
                path.unlink(missing_ok=True)
                removed.append(path)
    return removed


def _stem() -> str:
    return f"{_MARK}{re.sub('[^0-9A-Za-z]', '', platform.node())[:20]}-"


def _prefix() -> str:
    return f"{_stem()}{os.getpid()}-"


def _runs(process: int) -> bool:
    """Whether a process of this machine is alive; where that can't be asked, it may be."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _rename(temporary: Path, final: Path) -> None:
    try:
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
