"""Engines: who does the work elsewhere. Ours, and those that installed packages bring along."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, cast

from grism_align.values.errors import ExecutorError, SettingsError
from grism_align.values.words import did_you_mean

if TYPE_CHECKING:
    from grism_align.values.executor import Engine


#: Group of the entry points of engines, each of which leads to a `grism_align.values.executor.Engine`.
GROUP = "grism_align.executors"
#: The engine that is there without being asked for.
PROCESSES = "processes"

_HERE = "grism_align.workflows.engines"
# known also where the package is not installed
_OURS = (
    EntryPoint(PROCESSES, "grism_align.workflows.workers:open_processes", GROUP),
    EntryPoint("dask", f"{_HERE}.with_dask:open_dask", GROUP),
    EntryPoint("parsl", f"{_HERE}.with_parsl:open_parsl", GROUP),
    EntryPoint("mpi", f"{_HERE}.with_mpi:open_mpi", GROUP),
)


@cache
def _known() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in (*_OURS, *entry_points(group=GROUP))}


def engine_named(name: str) -> Engine:
    """Return the engine of a name.

    Parameters
    ----------
    name : str
        As the parameter `executor` has it.

    Raises
    ------
    SettingsError
        If there is none.
    ExecutorError
        If it can't be imported.
    """
    known = _known()
    if name not in known:
        parameter = "executor"
        meant = did_you_mean(name, known) or f"; there are {', '.join(known)}"
        raise SettingsError(parameter, name, f"no such executor{meant}")
    try:
        return cast("Engine", known[name].load())
    except (ImportError, AttributeError) as error:
        problem = f"it can't be loaded from {known[name].value} ({error})"
        raise ExecutorError(name, problem, "Install the package that brings it again") from error


def software_for(name: str, error: ImportError) -> ExecutorError:
    """Return the error of an engine of ours whose software is not installed.

    Parameters
    ----------
    name : str
        The engine, and the extra of this package that has what it needs.
    error : ImportError
        What could not be imported.
    """
    return ExecutorError(name, f"not installed ({error})", f"pip install 'grism_align[{name}]'")
