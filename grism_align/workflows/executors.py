"""Executors: who does the work on many exposures."""

from __future__ import annotations

import logging
import os
from collections import deque
from concurrent.futures import BrokenExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from grism_align.values.errors import WorkerError
from grism_align.workflows.progress import track
from grism_align.workflows.tasks import Task, run_task
from grism_align.workflows.workers import WorkerPool, usable_cores

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Iterator, Mapping

    from grism_align.values.executor import Executor, Progress
    from grism_align.values.settings import ExecutionSettings
    from grism_align.workflows.tasks import Outcome


Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class SerialExecutor:
    """Does the work here, one item after the other.

    Parameters
    ----------
    progress : callable
        Shows how far the work is.
    """

    progress: Progress = track

    def map(
        self, function: Callable[[Item], Result], items: Mapping[str, Item], label: str
    ) -> Iterator[Result]:
        """Apply a function to all items, as `grism_align.values.executor.Executor` says."""
        for name in self.progress(items.keys(), label):
            yield function(items[name])


@dataclass(frozen=True)
class FuturesExecutor:
    """Has the work done by an executor of `concurrent.futures`, or one that is like these.

    Parameters
    ----------
    pool : concurrent.futures.Executor
        Who does the work. Its processes see the files under the same names.
    ahead : int
        Items that are worked on, or done and not yet asked for, at most.
    progress : callable
        Shows how far the work is.
    """

    pool: concurrent.futures.Executor
    ahead: int
    progress: Progress = track

    def map(
        self, function: Callable[[Item], Result], items: Mapping[str, Item], label: str
    ) -> Iterator[Result]:
        """Apply a function to all items, as `grism_align.values.executor.Executor` says.

        Raises
        ------
        WorkerError
            If a process dies. What the function raises is raised, with a note of the item.
        """
        level = logging.getLogger("grism_align").getEffectiveLevel()
        futures = (
            self.pool.submit(run_task, Task(function, item, f"{label} {name}", level, os.getpid()))
            for name, item in items.items()
        )
        pending: deque[concurrent.futures.Future[Outcome[Result]]] = deque(islice(futures, self.ahead))
        try:
            for name in self.progress(items.keys(), label):
                with _naming(f"{label} {name}"):
                    outcome = pending.popleft().result()
                    pending.extend(islice(futures, 1))
                yield outcome.given_back()
        except KeyboardInterrupt:
            self.pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            # nothing goes on behind the back of who asked
            wait([future for future in pending if not future.cancel()])


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Name what was done where the process that did it is gone."""
    try:
        yield
    except BrokenExecutor as error:
        raise WorkerError(what, str(error)) from error


@contextmanager
def executor_for(settings: ExecutionSettings) -> Iterator[Executor]:
    """Yield the executor that settings ask for; with one process no other is started.

    Parameters
    ----------
    settings : ExecutionSettings
        How many processes.
    """
    n = process_count(settings.nproc)
    if n == 1:
        yield SerialExecutor()
        return
    with WorkerPool(n) as pool:
        yield FuturesExecutor(pool, 2 * n)


def process_count(nproc: int | None) -> int:
    """Return how many processes work.

    Parameters
    ----------
    nproc : int or None
        As in `ExecutionSettings`.
    """
    return 1 if nproc is None else nproc or usable_cores()
