"""Other processes, which tell when they are where a test wants them and wait there."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_FORK = multiprocessing.get_context("fork")


class Other:
    """A process within a block of its own, until it is told to leave it or is killed."""

    def __init__(self, block: AbstractContextManager[object]) -> None:
        self._ours, theirs = _FORK.Pipe()
        self._process = _FORK.Process(target=_stay, args=(block, self._ours, theirs))
        self._process.start()
        theirs.close()
        assert self._ours.recv() == "there"

    def leave(self) -> None:
        """Have it leave its block, and end."""
        self._ours.send("leave")
        self._process.join()
        assert self._process.exitcode == 0

    def kill(self) -> None:
        """End it with no chance to clean up."""
        self._process.kill()
        self._process.join()


def _stay(block: AbstractContextManager[object], unused: object, barrier: object) -> None:
    unused.close()
    with block:
        barrier.send("there")
        barrier.recv()


@contextmanager
def other(block: AbstractContextManager[object]) -> Iterator[Other]:
    """Have another process be in a block meanwhile."""
    found = Other(block)
    try:
        yield found
    finally:
        found.kill()


def elsewhere(work: Callable[[], object]) -> object:
    """Return what a function returns, or the exception that it raises, in another process."""
    ours, theirs = _FORK.Pipe()
    process = _FORK.Process(target=_answer, args=(work, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        # what it held is free only when it has ended, and not as soon as it is cut off
        process.join()


def _answer(work: Callable[[], object], barrier: object) -> None:
    try:
        found = work()
    except Exception as error:  # noqa: BLE001  # it is looked at on the other side
        found = error
    barrier.send(found)
    barrier.close()
    os._exit(0)
