"""One piece of work as it is sent to another process, and what comes back of it."""

from __future__ import annotations

import logging
import os
import pickle
import platform
import traceback
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Generic, TypeVar
from uuid import uuid4

from grism_align.values.errors import ChangedError, InputError, VersionsError
from grism_align.workflows.versions import differences, versions_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any


Item = TypeVar("Item")
Result = TypeVar("Result")

# Warnings of other processes that were passed on, so that each is shown once, as Python does by default.
_passed_on: dict[str | tuple[str, type[Warning], int], int] = {}

# Threads of a worker share the filters of warnings, the levels of loggers, and libraries that know of none.
_one_at_a_time = Lock()

# Numbers of processes are those of one machine, or of one container.
_THIS = uuid4().hex


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
    home : str
        The process that the work is for, as `process_name` gives it.
    host : str
        Its machine.
    """

    function: Callable[[Item], Result]
    item: Item
    what: str
    level: int
    home: str
    host: str


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


def process_name() -> str:
    """Return what tells this process from all others, on any machine."""
    return f"{_THIS}-{os.getpid()}"


@cache
def host_name() -> str:
    """Return the name of this machine."""
    return platform.node() or "this machine"


def run_sent(versions: Mapping[str, str], content: bytes) -> Outcome[Any]:
    """Do a task that was sent from a process with the same software.

    Parameters
    ----------
    versions : mapping of str to str
        The software there. Where it is another here, nothing is done: results would not be those of one
        version, and the task may not be readable.
    content : bytes
        The task, pickled.
    """
    others = differences(versions, versions_here())
    if others:
        return Outcome(None, VersionsError(host_name(), others))
    return run_task(pickle.loads(content))


def run_task(task: Task[Item, Result]) -> Outcome[Result]:
    """Do a task; what it logs and warns of is kept, unless that is seen anyway.

    Parameters
    ----------
    task : Task
        The work.
    """
    if process_name() == task.home:
        return _done(task)
    records: SimpleQueue[logging.LogRecord] = SimpleQueue()
    with (
        _one_at_a_time,
        _logging_to(records, task.level),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        outcome = _done(task)
    logged = tuple(records.get() for _ in range(records.qsize()))
    warned = tuple((str(one.message), one.category, one.filename, one.lineno) for one in caught)
    return Outcome(outcome.value, outcome.error and sendable(outcome.error), logged, warned)


def _done(task: Task[Item, Result]) -> Outcome[Result]:
    try:
        return Outcome(task.function(task.item))
    except Exception as raised:  # noqa: BLE001  it is raised again where the outcome is given back
        error = _unseen(raised, task.host) or raised
        where = "" if task.host == host_name() else f" on {host_name()}"
        error.add_note(f"{task.what}, in process {os.getpid()}{where}:\n{traceback.format_exc()}")
        return Outcome(None, error)


def _unseen(error: Exception, host: str) -> InputError | None:
    """Return what an error comes to where another machine does not see the file; None where it is no such."""
    if host == host_name() or not isinstance(error, ChangedError | InputError | FileNotFoundError):
        return None
    path = error.filename if isinstance(error, FileNotFoundError) else error.path
    if path is None or Path(path).exists():
        return None
    problem = f"{host_name()}, which works for {host}, does not see it"
    return InputError(path, problem, "Workers on other machines must see all files under the same names")


def sendable(error: Exception) -> Exception:
    """Return an error, or what it says where it can't be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  classes of others fail in ways of their own
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


@contextmanager
def _logging_to(records: SimpleQueue[logging.LogRecord], level: int) -> Iterator[None]:
    root, handler, thread = logging.getLogger(), QueueHandler(records), get_ident()
    handler.setLevel(level)
    # and not what an engine says of itself meanwhile
    handler.addFilter(lambda record: record.thread == thread or record.name.startswith("grism_align"))
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
