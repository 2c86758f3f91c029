"""Executors: who does the work on many exposures."""

from __future__ import annotations

import logging
import pickle
from collections import deque
from concurrent.futures import BrokenExecutor, CancelledError, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from grism_align.values.errors import WorkerError
from grism_align.workflows.engines import PROCESSES, engine_named
from grism_align.workflows.progress import track
from grism_align.workflows.tasks import Task, host_name, process_name, run_sent
from grism_align.workflows.versions import versions_here
from grism_align.workflows.workload import process_count

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Iterator, Mapping

    from grism_align.values.executor import Executor, Progress
    from grism_align.values.settings import ExecutionSettings
    from grism_align.workflows.tasks import Outcome
    from grism_align.workflows.workload import Workload


Item = TypeVar("Item")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


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
        self,
        function: Callable[[Item], Result],
        items: Mapping[str, Item],
        label: str,
        instead: Callable[[WorkerError], Result] | None = None,
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
    ahead : int or callable
        Items that are worked on, or done and not yet asked for, at most; or what returns how many.
    progress : callable
        Shows how far the work is.
    lost : tuple of type
        Exceptions of a future, besides `BrokenExecutor`, that mean that the worker is gone.
    attempts : int
        Times that an item is given to a worker.
    """

    pool: concurrent.futures.Executor
    ahead: int | Callable[[], int]
    progress: Progress = track
    lost: tuple[type[BaseException], ...] = ()
    attempts: int = 1

    def map(
        self,
        function: Callable[[Item], Result],
        items: Mapping[str, Item],
        label: str,
        instead: Callable[[WorkerError], Result] | None = None,
    ) -> Iterator[Result]:
        """Apply a function to all items, as `grism_align.values.executor.Executor` says.

        Raises
        ------
        WorkerError
            If a process dies, as often as there are attempts. What the function raises is raised, with a note
            of the item.
        """
        level = logging.getLogger("grism_align").getEffectiveLevel()
        home, host = process_name(), host_name()
        tasks = (
            self._sent(Task(function, item, f"{label} {name}", level, home, host))
            for name, item in items.items()
        )
        pending: deque[_Sent[Result]] = deque(islice(tasks, self._most()))
        try:
            for _ in self.progress(items.keys(), label):
                try:
                    outcome = self._outcome(pending.popleft())
                except WorkerError as error:
                    if instead is None:
                        raise
                    yield instead(error)
                else:
                    # that the next is begun before what came of this one is looked at
                    pending.extend(islice(tasks, max(self._most() - len(pending), 0)))
                    yield outcome.given_back()
                pending.extend(islice(tasks, max(self._most() - len(pending), 0)))
        except KeyboardInterrupt:
            self.pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            # nothing goes on behind the back of who asked
            wait([one.future for one in pending if one.future is not None and not one.future.cancel()])

    @property
    def _gone(self) -> tuple[type[BaseException], ...]:
        return (BrokenExecutor, CancelledError, *self.lost)

    def _most(self) -> int:
        return self.ahead if isinstance(self.ahead, int) else self.ahead()

    def _sent(self, task: Task[Any, Result]) -> _Sent[Result]:
        sent = _Sent[Result](task.what, pickle.dumps(task))
        self._send(sent)
        return sent

    def _send(self, sent: _Sent[Result]) -> None:
        try:
            sent.future = self.pool.submit(run_sent, versions_here(), sent.content)
        except BrokenExecutor as error:
            sent.refusal = error

    def _outcome(self, sent: _Sent[Result]) -> Outcome[Result]:
        """Return what came of a task, which is sent again where its worker was lost."""
        for attempt in range(1, self.attempts + 1):
            try:
                return sent.result()
            except self._gone as error:
                how = str(error) or type(error).__name__
                if attempt == self.attempts:
                    raise WorkerError(sent.what, how) from error
                logger.warning("%s: its worker was lost (%s); it is done again", sent.what, how)
                self._send(sent)
        raise AssertionError


@dataclass(eq=False)
class _Sent(Generic[Result]):
    """A task that was sent.

    Parameters
    ----------
    what : str
        What is done with what.
    content : bytes
        The task.
    future : concurrent.futures.Future or None
        What comes of it.
    refusal : BrokenExecutor or None
        Why it could not be sent.
    """

    what: str
    content: bytes
    future: concurrent.futures.Future[Outcome[Result]] | None = None
    refusal: BrokenExecutor | None = None

    def result(self) -> Outcome[Result]:
        if self.refusal is not None:
            raise self.refusal
        assert self.future is not None
        return self.future.result()


def check_executor(settings: ExecutionSettings) -> None:
    """Raise what `executor_for` would of the name of an executor, before any work.

    Parameters
    ----------
    settings : ExecutionSettings
        Who works.

    Raises
    ------
    SettingsError
        If there is no such executor.
    ExecutorError
        If it can't be imported.
    """
    engine_named(settings.executor or PROCESSES)


@contextmanager
def executor_for(settings: ExecutionSettings, workload: Workload | None = None) -> Iterator[Executor]:
    """Yield the executor that settings ask for; with one process no other is started.

    Parameters
    ----------
    settings : ExecutionSettings
        Who works, and how many.
    workload : Workload, optional
        What there is to do; without it, and where settings don't say how many, one process does it.

    Raises
    ------
    SettingsError
        If there is no such executor.
    ExecutorError
        If it can't be used.
    """
    name = settings.executor or PROCESSES
    engine = engine_named(name)
    if name == PROCESSES:
        settings = replace(settings, nproc=process_count(settings.nproc, workload))
        if settings.nproc == 1:
            yield SerialExecutor()
            return
    with engine(settings) as workers:
        if name != PROCESSES:
            logger.info("The work is done by %s, with %d workers", name, workers.count())
        yield FuturesExecutor(
            workers.pool,
            lambda: 2 * max(workers.count(), settings.nproc or 1),
            lost=workers.lost,
            attempts=workers.attempts,
        )
