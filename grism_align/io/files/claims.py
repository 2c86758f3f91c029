"""Files that a run is going to write, told to others from before it looks at them until it has written them.

A claim is a hidden folder, whose lock says that its run is alive, with the names of the files. Who finds one
of his own names among them waits a little, and gives up with who has it. Runs of different files in one
folder do not mind each other.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

from grism_align.io.files.hidden import HiddenFolder, owners
from grism_align.io.files.locks import HeldError, exclusive
from grism_align.values.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from grism_align.io.files.hidden import Owner


#: How long a run waits for another, s.
PATIENCE = 10.0

_PAUSE = 0.2
_NAMES = "names.json"
# Of the names of a claim, bytes: some hundred thousand exposures.
_LONGEST = 10_000_000

# What this run has claimed already; each thread is another run, and so is a process that is forked meanwhile.
_claimed: ContextVar[frozenset[tuple[int, Path]]] = ContextVar("claimed", default=frozenset())

logger = logging.getLogger(__name__)


class _TakenError(Exception):
    """Files that another run has claimed."""

    def __init__(self, path: Path, owner: Owner) -> None:
        super().__init__(path, owner)
        self.path, self.owner = path, owner


@contextmanager
def claimed(paths: Iterable[Path]) -> Iterator[None]:
    """Keep other runs from writing files during the block; files that this run has claimed already are free.

    Parameters
    ----------
    paths : iterable of Path
        The files. Their folders are made if need be, and removed again if nothing came into them.

    Raises
    ------
    OutputError
        If another run has claimed one of them, and keeps it for longer than `PATIENCE`; it says which run.
    """
    wanted = {(os.getpid(), path.parent.resolve() / path.name) for path in paths} - _claimed.get()
    names: dict[Path, set[str]] = defaultdict(set)
    for _, path in wanted:
        names[path.parent].add(path.name)
    with ExitStack() as held:
        for folder in sorted(names):
            held.enter_context(_there(folder))
        for hidden in _claims(names):
            held.callback(hidden.remove)
        token = _claimed.set(_claimed.get() | wanted)
        try:
            yield
        finally:
            _claimed.reset(token)


@contextmanager
def names_change(folders: Iterable[Path]) -> Iterator[None]:
    """Keep other runs from changing the names of folders, and from claiming any, for a moment.

    Parameters
    ----------
    folders : iterable of Path
        The folders; those that are not there are left out.

    Raises
    ------
    OutputError
        If another run keeps one for longer than `PATIENCE`.
    """
    with ExitStack() as held:
        for folder in sorted({folder.resolve() for folder in folders if folder.is_dir()}):
            try:
                held.enter_context(exclusive(folder, PATIENCE))
            except HeldError as error:
                problem = f"another run has been changing names there for {PATIENCE:.0f} s"
                raise OutputError(folder, problem, "Wait until it has ended; nothing was written") from error
        yield


@contextmanager
def _there(folder: Path) -> Iterator[None]:
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = "it is a file, not a folder" if folder.exists() else error.strerror
        problem = f"what belongs there can't be written ({what})"
        raise OutputError(folder, problem, "Give another output_dir") from error
    try:
        yield
    finally:
        if is_new:
            with suppress(OSError):
                folder.rmdir()


def _claims(names: Mapping[Path, Collection[str]]) -> list[HiddenFolder]:
    """Claim files by folder, all or none, as soon as nobody else has one."""
    end, told = time.monotonic() + PATIENCE, False
    while True:
        try:
            return _claim_all(names)
        except _TakenError as taken:
            if time.monotonic() >= end:
                problem = f"another run is about to write it: {taken.owner}"
                remedy = "Wait until that has ended, or give another output_dir; nothing was written"
                raise OutputError(taken.path, problem, remedy) from None
            if not told:
                logger.warning("Waiting for %s, which is about to write %s", taken.owner, taken.path)
            told = True
        time.sleep(_PAUSE)


def _claim_all(names: Mapping[Path, Collection[str]]) -> list[HiddenFolder]:
    with ExitStack() as unless_all:
        made: list[HiddenFolder] = []
        for folder in sorted(names):
            try:
                with names_change([folder]):
                    _refuse_taken(folder, names[folder])
                    made.append(HiddenFolder(folder, made[0] if made else None))
                    unless_all.callback(made[-1].remove)
                    _tell(made[-1], names[folder])
            except OSError as error:
                remedy = "Free space, change its mode, or give another output_dir; nothing was written"
                raise OutputError(folder, f"can't be written to ({error.strerror})", remedy) from error
        unless_all.pop_all()
        return made


def _tell(hidden: HiddenFolder, names: Collection[str]) -> None:
    (hidden.path / _NAMES).write_text(json.dumps(sorted(names)), encoding="utf-8")
    # for other users of the folder
    hidden.path.chmod(hidden.path.parent.stat().st_mode & 0o777 | 0o700)


def _refuse_taken(folder: Path, names: Collection[str]) -> None:
    for hidden, owner in owners(folder):
        for name in _told(hidden / _NAMES).intersection(names):
            raise _TakenError(folder / name, owner)


def _told(path: Path) -> set[str]:
    with suppress(OSError, ValueError, RecursionError), path.open("rb") as stream:
        found = json.loads(stream.read(_LONGEST))
        return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()
    return set()
