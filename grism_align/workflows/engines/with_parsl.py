"""Workers of parsl, which a configuration of the user's starts."""

from __future__ import annotations

import runpy
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grism_align.values.errors import ExecutorError
from grism_align.values.executor import Workers
from grism_align.workflows.engines import software_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grism_align.values.settings import ExecutionSettings

_NAME = "parsl"
_ATTEMPTS = 4
# Threads of parsl's own.
_INTERNAL = "_parsl_internal"


class _Pool(Executor):
    """Submits to a kernel of parsl, which can't take work back."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._apps: dict[Any, Any] = {}

    def submit(self, function: Callable[..., Any], /, *args: Any, **keywords: Any) -> Future[Any]:
        from parsl.app.python import PythonApp

        if function not in self._apps:
            self._apps[function] = PythonApp(function, data_flow_kernel=self._kernel)
        made: Future[Any] = Future()
        # one of parsl refuses, with an error, to be asked whether it can be taken back
        made.set_running_or_notify_cancel()
        self._apps[function](*args, **keywords).add_done_callback(lambda done: _pass_on(done, made))
        return made

    def count(self) -> int:
        """Return how many workers the executors say they have; more may come as there is work."""
        executors = self._kernel.executors.items()
        return sum(_workers_of(one) for label, one in executors if label != _INTERNAL)


def _pass_on(done: Future[Any], made: Future[Any]) -> None:
    error = done.exception()
    if error is None:
        made.set_result(done.result())
    else:
        made.set_exception(error)


@contextmanager
def open_parsl(settings: ExecutionSettings) -> Iterator[Workers]:
    """Yield the workers of parsl.

    Parameters
    ----------
    settings : ExecutionSettings
        With a Python file that defines ``config``, a `parsl.Config`; else the configuration that this process
        has loaded is taken.

    Raises
    ------
    ExecutorError
        If there is no configuration, or parsl is not installed.
    """
    try:
        from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost
    except ImportError as error:
        raise software_for(_NAME, error) from error
    with _kernel(settings.executor_config) as kernel:
        pool = _Pool(kernel)
        yield Workers(pool, pool.count, (ManagerLost, WorkerLost), _ATTEMPTS)


@contextmanager
def _kernel(path: str | None) -> Iterator[Any]:
    """Yield parsl's kernel; one that was loaded before stays."""
    import parsl
    from parsl.errors import NoDataFlowKernelError

    if path is None:
        try:
            kernel = parsl.dfk()
        except NoDataFlowKernelError as error:
            remedy = "Give executor_config=FILE.py, which defines config"
            raise ExecutorError(_NAME, "no configuration is loaded", remedy) from error
        yield kernel
        return
    config = _config_in(Path(path).expanduser())
    kernel = parsl.load(config)
    try:
        yield kernel
    finally:
        kernel.cleanup()
        parsl.clear()


def _config_in(path: Path) -> Any:
    try:
        return runpy.run_path(str(path))["config"]
    except KeyError as error:
        problem = f"{path} defines no config"
        raise ExecutorError(_NAME, problem, "Have it define one: config = parsl.Config(...)") from error
    except Exception as error:
        problem = f"{path} can't be run ({type(error).__name__}: {error})"
        raise ExecutorError(_NAME, problem, "Correct executor_config") from error


def _workers_of(executor: Any) -> int:
    connected = getattr(executor, "connected_workers", getattr(executor, "max_threads", 0))
    return int(connected)
