"""Workers of dask: of a scheduler that runs somewhere, or of a client that there is."""

from __future__ import annotations

from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grism_align.values.errors import ExecutorError
from grism_align.values.executor import Workers
from grism_align.workflows.engines import software_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grism_align.values.settings import ExecutionSettings

_NAME = "dask"


@contextmanager
def open_dask(settings: ExecutionSettings) -> Iterator[Workers]:
    """Yield the workers of a scheduler of dask, which give lost work to others by themselves.

    Parameters
    ----------
    settings : ExecutionSettings
        With the address of the scheduler; else the client that this process has is taken, or the scheduler
        that dask's own configuration names.

    Raises
    ------
    ExecutorError
        If there is no scheduler, or dask is not installed.
    """
    try:
        from distributed import KilledWorker
        from distributed.cfexecutor import ClientExecutor
    except ImportError as error:
        raise software_for(_NAME, error) from error

    class Pool(ClientExecutor):  # type: ignore[misc]
        """Dask's own, with the arguments of those of `concurrent.futures`."""

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=wait and not cancel_futures)

    with _client(settings.dask_address) as client:
        # the same work twice is done twice: files are written by it
        pool = Pool(client, pure=False)
        yield Workers(pool, lambda: len(client.nthreads()), (KilledWorker, CancelledError))


@contextmanager
def _client(address: str | None) -> Iterator[Any]:
    """Yield a client; one that was there before stays open."""
    import dask
    from distributed import Client, default_client

    if address is None:
        try:
            yield default_client()
        except ValueError:
            address = dask.config.get("scheduler-address", None)
        else:
            return
    if address is None:
        raise ExecutorError(_NAME, "there is no scheduler", "Give dask_address=tcp://HOST:PORT")
    where = {"address": address} if "://" in address else {"scheduler_file": str(Path(address).expanduser())}
    if "scheduler_file" in where and not Path(where["scheduler_file"]).is_file():
        raise ExecutorError(_NAME, f"no scheduler has written {address}", "Start it, or correct dask_address")
    try:
        client = Client(**where, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        problem = f"no scheduler answers at {address} ({error})"
        raise ExecutorError(_NAME, problem, "Start it, or correct dask_address") from error
    with client:
        yield client
