"""Executors: who does the work on many exposures."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from grism_align.workflows.progress import track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from grism_align.values.executor import Executor, Progress
    from grism_align.values.settings import ExecutionSettings

__all__ = ["SerialExecutor", "executor_for"]

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


def executor_for(settings: ExecutionSettings) -> AbstractContextManager[Executor]:
    """Return the executor that settings ask for, for a block in which it may be used."""
    return nullcontext(SerialExecutor())
