"""Files that are either the old one or the whole new one, one by one or all together."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import tempfile
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = [
    "PartlyReplacedError",
    "all_or_nothing",
    "atomic_path",
    "present_path",
    "remove_leftovers",
    "temporary_folder",
    "what_changed",
]

# Of the names of temporary files, which tell the machine and the process that make them.
_MARK = ".grism_align-"

# Files named in a message.
_SHOWN = 5

# Finished temporary files, by the file they will be, while all are to appear together.
_waiting: ContextVar[dict[Path, Path] | None] = ContextVar("waiting", default=None)


class PartlyReplacedError(OSError):
    """A file could not take its name after others of the same `all_or_nothing` had taken theirs.

    Parameters
    ----------
    error : OSError
        What went wrong.
    final : Path
        The file that it went wrong with.
    replaced : list of Path
        Those that are new.
    """

    def __init__(self, error: OSError, final: Path, replaced: list[Path]) -> None:
        super().__init__(error.errno, error.strerror, str(final))
        self.replaced = tuple(replaced)


def what_changed(error: OSError) -> str:
    """What became of the files where writing them failed, for a message.

    Parameters
    ----------
    error : OSError
        As `all_or_nothing` raised it.
    """
    if not isinstance(error, PartlyReplacedError) or not error.replaced:
        return "no file was changed"
    names = [path.name for path in error.replaced]
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{rest} took their names before that, the others are as they were"


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
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))
    final.parent.mkdir(parents=True, exist_ok=True)
    with _named_as(final):
        handle, name = tempfile.mkstemp(prefix=_prefix(), suffix=f".{final.name}", dir=final.parent)
    os.close(handle)
    temporary, waiting = Path(name), _waiting.get()
    try:
        with _named_as(final):
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
    changes nothing. Then they are renamed, in the order in which they were written. What hinders a renaming
    is found before the first, so far as it can be.

    Parameters
    ----------
    last : collection of Path, optional
        Those that take their names after all others.

    Raises
    ------
    PartlyReplacedError
        If a file can't take its name when others have theirs.
    """
    waiting: dict[Path, Path] = {}
    token = _waiting.set(waiting)
    try:
        yield
        _rename_all(waiting, sorted(waiting, key=lambda path: path in last))
    finally:
        _waiting.reset(token)
        for temporary in waiting.values():
            temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder for the time of the block, named so that `remove_leftovers` knows it.

    Parameters
    ----------
    parent : Path
        Where.
    """
    with tempfile.TemporaryDirectory(prefix=_prefix(), dir=parent) as name:
        yield Path(name).resolve()


def remove_leftovers(folders: Iterable[Path]) -> list[Path]:
    """Remove temporary files and folders of runs on this machine that are no more.

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
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
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


def _rename_all(waiting: dict[Path, Path], finals: list[Path]) -> None:
    for number, final in enumerate(finals):
        try:
            waiting[final].replace(final)
        except OSError as error:
            raise PartlyReplacedError(error, final, finals[:number]) from error


@contextmanager
def _named_as(final: Path) -> Iterator[None]:
    """Have errors tell of the file that is to be made, not of its temporary, which is no more."""
    try:
        yield
    except OSError as error:
        if Path(str(error.filename)).name.startswith(_MARK):
            error.filename, error.filename2 = str(final), None
        raise


def _rename(temporary: Path, final: Path) -> None:
    try:
        with _named_as(final):
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
