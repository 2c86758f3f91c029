"""Files that are either the old one or the whole new one, one by one or all together."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self

from grism_align.io.files.hidden import MARK, HiddenFolder, hidden_folder, is_hidden
from grism_align.values.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import TracebackType


# Files named in a message.
_SHOWN = 5
_ELSEWHERE = "Nothing is written outside: correct the name that leads there"


class PartlyReplacedError(OSError):
    """A file could not take its name after others of the same `Staging` had taken theirs.

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


@contextmanager
def output_errors(folder: Path) -> Iterator[None]:
    """Raise an `OutputError` that says what became of the files where the block can't write one.

    Parameters
    ----------
    folder : Path
        Named where the error of the system names no file.
    """
    try:
        yield
    except OSError as error:
        _name_final(error)
        remedy = f"Free space or give another output_dir; {_what_changed(error)}"
        raise OutputError(error.filename or _seen(folder), f"can't be written ({error})", remedy) from error


def _what_changed(error: OSError) -> str:
    if not isinstance(error, PartlyReplacedError) or not error.replaced:
        return "no file was changed"
    names = [path.name for path in error.replaced]
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{rest} took their names before that, the others are as they were"


class Staging:
    """New files that take their names together, or not at all.

    They are written to hidden folders beside those that they belong in, by this process, its threads or other
    processes, and are on disk before the first takes its name: a full disk, an error or a kill until then
    changes nothing. What hinders a renaming is found before the first, so far as it can be.

    Parameters
    ----------
    folder : Path
        The folder that relative names are of; it is made if need be.
    first, last : collection of Path, optional
        Files that take their names before, and after, all others. These do in the order in which they were
        asked for. Their folders are the only ones besides `folder` that anything is written to.

    Raises
    ------
    PartlyReplacedError
        At the end of the block, if a file can't take its name when others have theirs.

    Examples
    --------
    >>> with Staging(folder) as out:
    ...     out.path("notes.txt").write_text("appears with all others")
    """

    def __init__(self, folder: Path, *, first: Collection[Path] = (), last: Collection[Path] = ()) -> None:
        self.folder = folder
        self._rank = {**dict.fromkeys(first, -1), **dict.fromkeys(last, 1)}
        self._homes = {folder.resolve(), *(path.parent.resolve() for path in self._rank)}
        self._hidden: dict[Path, HiddenFolder] = {}
        self._staged: dict[Path, Path] = {}
        self._on_disk: set[Path] = set()
        self._lock = Lock()

    def path(self, name: Path | str) -> Path:
        """Return where to write what is to become a file.

        Parameters
        ----------
        name : path-like
            The file to make or to replace, absolute or of `folder`. Nothing appears where nothing is written.

        Returns
        -------
        Path
            Of the same name, so that libraries recognise the format.

        Raises
        ------
        OutputError
            If it is in another folder: a name that came out of a file may lead anywhere.
        """
        final = self.folder / name
        if final.parent.resolve() not in self._homes:
            raise OutputError(final, f"it is not in the folder of the products, {self.folder}", _ELSEWHERE)
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))
        with self._lock:
            if final not in self._staged:
                self._staged[final] = self._hidden_beside(final) / final.name
            return self._staged[final]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where files are going to change."""
        return tuple(self._hidden)

    def sync(self) -> None:
        """Have on disk what was written so far; at the end of the block only the rest is left to do."""
        try:
            for final, path in self._staged.items():
                if path not in self._on_disk and path.exists():
                    path.chmod(_mode_of(final))
                    _sync(path)
                    self._on_disk.add(path)
        except OSError as error:
            _name_final(error)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._commit()
            elif isinstance(error, OSError):
                _name_final(error)
        finally:
            # the first last: its lock is that of all
            for hidden in reversed(self._hidden.values()):
                hidden.remove()

    def _hidden_beside(self, final: Path) -> Path:
        """Return the folder for files of one folder, which is on the same file system."""
        if final.parent not in self._hidden:
            final.parent.mkdir(parents=True, exist_ok=True)
            first = next(iter(self._hidden.values()), None)
            with _named_as(final):
                self._hidden[final.parent] = HiddenFolder(final.parent, first)
        return self._hidden[final.parent].path

    def _commit(self) -> None:
        self.sync()
        written = {final: path for final, path in self._staged.items() if path in self._on_disk}
        finals = sorted(written, key=lambda final: self._rank.get(final, 0))
        for number, final in enumerate(finals):
            try:
                written[final].replace(final)
            except OSError as error:
                raise PartlyReplacedError(error, final, finals[:number]) from error


@contextmanager
def atomic_path(final: Path, mode: int | None = None) -> Iterator[Path]:
    """Yield a temporary path that takes a file's name when the block ends without an error.

    Parameters
    ----------
    final : Path
        The file to make or to replace. Its folder is made if need be.
    mode : int, optional
        Who may read it; by default, as with the file that is replaced, or as the user has new files.

    Yields
    ------
    Path
        Where to write: an empty file of the same name, so that libraries recognise the format, in a hidden
        folder.
    """
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))
    if not is_hidden(final.parent):
        # a hidden one that is gone was removed, with all that was meant for it, by the run that it was of
        final.parent.mkdir(parents=True, exist_ok=True)
    with _named_as(final), hidden_folder(final.parent) as folder:
        temporary = folder / final.name
        temporary.touch()
        yield temporary
        temporary.chmod(_mode_of(final) if mode is None else mode)
        _sync(temporary)
        temporary.replace(final)


@contextmanager
def _named_as(final: Path) -> Iterator[None]:
    """Have errors tell of the file that is to be made, not of its temporary, which is no more."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and MARK in str(error.filename):
            _rename_in(error, final)
        raise


def _rename_in(error: OSError, final: Path) -> None:
    error.filename = str(final)
    del error.filename2


def _name_final(error: OSError) -> None:
    """Have an error tell of the file that was to be made, not of one in a hidden folder."""
    if error.filename is not None and MARK in str(error.filename):
        _rename_in(error, _seen(Path(str(error.filename))))


def _seen(path: Path) -> Path:
    """Return a path without the hidden folders in it."""
    return Path(*(part for part in path.parts if not part.startswith(MARK)))


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
