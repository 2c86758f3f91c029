"""How work on many things is done: one after the other here, or several at a time elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Goes through the names of what is worked on and shows how far the work, which it is told, is.
Progress = Callable[[Collection[str], str], Iterable[str]]


class Executor(Protocol):
    """Does one kind of work on many things."""

    def map(
        self, function: Callable[[Item], Result], items: Mapping[str, Item], label: str
    ) -> Iterator[Result]:
        """Apply a function to all items.

        Parameters
        ----------
        function : callable
            Defined at the top level of a module, as its name may be sent to another process.
        items : mapping of str to object
            What it takes, by the name that progress and errors call it; small, as it may be sent as well.
        label : str
            What is done, such as ``Writing``.

        Yields
        ------
        object
            What the function returns, in the order of the items. Few are held at a time.
        """
        ...
