"""How work on many things is done: one after the other here, or several at a time elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import concurrent.futures

    from grism_align.values.errors import WorkerError
    from grism_align.values.settings import ExecutionSettings

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Goes through the names of what is worked on and shows how far the work, which it is told, is.
Progress = Callable[[Collection[str], str], Iterable[str]]


class Executor(Protocol):
    """Does one kind of work on many things."""

    def map(
        self,
        function: Callable[[Item], Result],
        items: Mapping[str, Item],
        label: str,
        instead: Callable[[WorkerError], Result] | None = None,
    ) -> Iterator[Result]:
        """Apply a function to all items.

        Parameters
        ----------
        function : callable
            Defined at the top level of a module, as its name may be sent to another process.
        items : mapping of str to object
            What it takes, by the name that progress and errors call it; small, as it may be sent as well.
            It may be given an item again, where a worker was lost.
        label : str
            What is done, such as ``Writing``.
        instead : callable, optional
            Makes what is yielded for an item whose worker died, of the error, which is raised otherwise.

        Yields
        ------
        object
            What the function returns, in the order of the items. Few are held at a time.
        """
        ...


@dataclass(frozen=True, eq=False)
class Workers:
    """What an engine offers: who does the work, in the manner of `concurrent.futures`.

    Parameters
    ----------
    pool : concurrent.futures.Executor
        Who does it, where this package is installed and files have the same names. Of its methods ``submit``
        and ``shutdown`` are called.
    count : callable
        Returns how many of them there are at the moment; it may change.
    lost : tuple of type, optional
        Exceptions of a future, besides `concurrent.futures.BrokenExecutor`, that mean that the worker is
        gone, and not that the work failed.
    attempts : int, optional
        Times that work is given to a worker, before a lost one ends the run. One for an engine that gives it
        to another by itself.
    """

    pool: concurrent.futures.Executor
    count: Callable[[], int]
    lost: tuple[type[BaseException], ...] = ()
    attempts: int = 1


#: What an entry point of the group ``grism_align.executors`` leads to.
Engine = Callable[["ExecutionSettings"], AbstractContextManager[Workers]]
