"""Processes that do work for this one."""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

from grism_align.values.executor import Workers
from grism_align.workflows.tasks import sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from grism_align.values.settings import ExecutionSettings


_START = "import sys; sys.path[:] = {path!r}; from grism_align.workflows.workers import serve; serve()"

# As many processes as cores each have one thread; libraries look at these when they are imported.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_LENGTH = struct.Struct("!Q")


class WorkerPool(ThreadPoolExecutor):
    """An executor of `concurrent.futures` whose threads each hand their work to a process.

    Each process is a fresh interpreter, and not one of `multiprocessing`: a user's script is not imported
    once more, so it needs no guard; neither threads nor locks nor open files of this process are inherited;
    numerical libraries have one thread from the start; and a process ends at once when this one does, be it
    by kill -9, since its standard input ends.

    Parameters
    ----------
    n : int
        Processes. They start at once, and import what they need meanwhile.
    """

    def __init__(self, n: int) -> None:
        super().__init__(n, thread_name_prefix="grism_align")
        self._workers = [_Worker() for _ in range(n)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def submit(self, function: Callable[..., Any], /, *args: Any, **keywords: Any) -> Future[Any]:
        """Have a process call a function of a module.

        Parameters
        ----------
        function : callable
            What is called.
        *args, **keywords
            What it takes.

        Returns
        -------
        Future
            `BrokenExecutor` is its error if the process dies.
        """
        return super().submit(self._call, (function, args, keywords))

    def _call(self, call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]) -> Any:
        worker = self._idle.get()
        try:
            return worker.call(call)
        finally:
            self._idle.put(worker)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes at once, whatever they do.

        Parameters
        ----------
        wait : bool, optional
            Return when they are gone.
        cancel_futures : bool, optional
            They are in any case.
        """
        super().shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.wait()
        super().shutdown(wait=wait)


class _Worker:
    """One process, from the side of the one that started it."""

    def __init__(self) -> None:
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
        command = [sys.executable, "-c", _START.format(path=sys.path)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )

    def call(self, call: Any) -> Any:
        question = pickle.dumps(call)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, question)
            answer = _received(self._process.stdout)
        except (OSError, EOFError) as error:
            raise BrokenExecutor(_how_it_ended(self._process.wait())) from error
        value, raised = pickle.loads(answer)
        if raised is not None:
            raise raised
        return value

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> None:
        self._process.communicate()


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"it ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"it was ended by {name}" + (", as when memory runs out" if name == "SIGKILL" else "")


def _send(stream: IO[bytes], content: bytes) -> None:
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def _received(stream: IO[bytes]) -> bytes:
    [length] = _LENGTH.unpack(_read(stream, _LENGTH.size))
    return _read(stream, length)


def _read(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return content


@contextmanager
def open_processes(settings: ExecutionSettings) -> Iterator[Workers]:
    """Yield processes of this machine: the engine that is there without being asked for.

    Parameters
    ----------
    settings : ExecutionSettings
        How many processes.
    """
    n = settings.nproc or usable_cores()
    with WorkerPool(n) as pool:
        yield Workers(pool, lambda: n)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(cores, _share_of_cores() or cores), 1)


def _share_of_cores() -> int | None:
    """Return how many cores a container may keep busy; None where that is not limited."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return int(quota) // int(period) if quota.isdigit() else None


def serve() -> None:
    """Do what comes in on the standard input, and answer on the standard output, until the former ends."""
    # a Ctrl-C reaches all processes of a terminal; the one that started this ends it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    # what others print must not get between the answers
    os.dup2(2, 1)
    questions: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_listen, args=(sys.stdin.buffer, questions), daemon=True).start()
    _warm_up()
    while True:
        _send(answers, _answer(questions.get()))


def _answer(question: bytes) -> bytes:
    """Hold what a function returned, or what it raised."""
    try:
        function, args, keywords = pickle.loads(question)
        return pickle.dumps((function(*args, **keywords), None))
    except Exception as error:  # noqa: BLE001  it is raised on the other side
        return pickle.dumps((None, sendable(error)))


def _listen(stream: IO[bytes], questions: SimpleQueue[bytes]) -> None:
    """Take questions in while one is worked on, so that the end of the other side is seen then too."""
    try:
        while True:
            questions.put(_received(stream))
    except EOFError:
        os._exit(0)


def _warm_up() -> None:
    """Import what most work needs, while the first is still being prepared."""
    import grism_align.workflows.measure
    import grism_align.workflows.results.exposures  # noqa: F401
