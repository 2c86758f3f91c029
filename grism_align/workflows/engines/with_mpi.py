"""Workers that are processes of MPI, beside this one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from grism_align.values.errors import ExecutorError
from grism_align.values.executor import Workers
from grism_align.workflows.engines import software_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grism_align.values.settings import ExecutionSettings

_NAME = "mpi"


@contextmanager
def open_mpi(settings: ExecutionSettings) -> Iterator[Workers]:
    """Yield the processes that ``python -m mpi4py.futures`` was started with; one that dies ends them all.

    Parameters
    ----------
    settings : ExecutionSettings
        With `nproc`, so many are started where there are none yet, and MPI can do so.

    Raises
    ------
    ExecutorError
        If there are no others, or mpi4py or MPI is not installed.
    """
    try:
        from mpi4py.futures import MPIPoolExecutor
    except (ImportError, RuntimeError) as error:
        raise software_for(_NAME, ImportError(str(error))) from error
    with MPIPoolExecutor(settings.nproc) as pool:
        n = pool.num_workers
        if not n:
            remedy = "Start it as in mpiexec -n 9 python -m mpi4py.futures ..., or give nproc"
            raise ExecutorError(_NAME, "there is no process beside this one", remedy)
        yield Workers(pool, lambda: n)
