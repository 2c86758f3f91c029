"""One piece of work as it is sent to another process, and what comes back of it."""

from __future__ import annotations

import logging
import os
import pickle
import traceback
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


Item = TypeVar("Item")
Result = TypeVar("Result")

# Warnings of other processes that were passed on, so that each is shown once, as Python does by default.
_passed_on: dict[str | tuple[str, type[Warning], int], int] = {}


@dataclass(frozen=True)
class Task(Generic[Item, Result]):
    """One piece of work.

    Parameters
    ----------
    function : callable
        Takes the item.
    item : object
        What is worked on.
    what : str
        What is done with what, for errors.
    level : int
        Records of the log from this level on are brought back.
    home : int
        The process that the work is for.
    """

    function: Callable[[Item], Result]
    item: Item
    what: str
    level: int
    home: int


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What came of a task.

    Parameters
    ----------
    value : object
        What the function returned; None where it failed.
    error : Exception or None
        What it raised.
    records : tuple of LogRecord
        What was logged on the way.
    warned : tuple of (text, category, file, line)
        What was warned of.
    """

    value: Result | None
    error: Exception | None = None
    records: tuple[logging.LogRecord, ...] = ()
    warned: tuple[tuple[str, type[Warning], str, int], ...] = ()

    def given_back(self) -> Result:
        """Log, warn, and return or raise here what was logged, warned of, and returned or raised there."""
        for record in self.records:
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
        for one in self.warned:
            warnings.warn_explicit(*one, registry=_passed_on)
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def run_task(task: Task[Item, Result]) -> Outcome[Result]:
    """Do a task; what it logs and warns of is kept, unless that is seen anyway.

    Parameters
    ----------
    task : Task
        The work.
    """
    if os.getpid() == task.home:
        return _done(task)
    records: SimpleQueue[logging.LogRecord] = SimpleQueue()
    with _logging_to(records, task.level), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome = _done(task)
    logged = tuple(records.get() for _ in range(records.qsize()))
    warned = tuple((str(one.message), one.category, one.filename, one.lineno) for one in caught)
    return Outcome(outcome.value, outcome.error and sendable(outcome.error), logged, warned)


def _done(task: Task[Item, Result]) -> Outcome[Result]:
    try:
        return Outcome(task.function(task.item))
    except Exception as error:  # noqa: BLE001  it is raised again where the outcome is given back
        error.add_note(f"{task.what}, in process {os.getpid()}:\n{traceback.format_exc()}")
        return Outcome(None, error)


def sendable(error: Exception) -> Exception:
    """Return an error, or what it says where it can't be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  classes of others fail in ways of their own
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


@contextmanager
def _logging_to(records: SimpleQueue[logging.LogRecord], level: int) -> Iterator[None]:
    root, handler = logging.getLogger(), QueueHandler(records)
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
