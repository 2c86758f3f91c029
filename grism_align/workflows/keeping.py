"""Measurements that are taken over from an earlier run where the pixels and all else are the same."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from grism_align.io.measurements.codec import NotKeptError, decode, encode
from grism_align.io.measurements.fingerprint import NotToldApartError, fingerprint
from grism_align.values.words import FOR_FILE
from grism_align.workflows.noting import heard, say_again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from grism_align.io.measurements.store import MeasurementStore
    from grism_align.values.errors import WorkerError
    from grism_align.values.executor import Executor


Item = TypeVar("Item")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measurement(Generic[Item, Result]):
    """A function that measures, and what a `KeepingExecutor` has to know to keep what it returns.

    Parameters
    ----------
    name : str
        What is measured, and by which way of keeping it.
    function : callable
        Defined at the top level of a module. Its result follows from the item alone.
    classes : tuple of type
        Dataclasses that a result is made of. Another result, such as an error, isn't kept.
    about : callable, optional
        Takes the item and returns what of it the result follows from; without it, all of the item.
    """

    name: str
    function: Callable[[Item], Result]
    classes: tuple[type, ...]
    about: Callable[[Item], object] | None = None

    def __call__(self, item: Item) -> Result:
        """Measure."""
        return self.function(item)


@dataclass(frozen=True)
class _Outcome(Generic[Result]):
    """A result, whether it was kept before, and why it isn't kept now."""

    value: Result
    was_kept: bool = False
    problem: str = ""


class KeepingExecutor:
    """Has work done by another executor; what is a `Measurement` is taken over if it was done before.

    Each is kept as soon as it is done, in the process that has done it, so that a run that is killed loses
    only what it was at.

    Parameters
    ----------
    executor : Executor
        Does the work.
    store : MeasurementStore or None
        Where measurements are kept; without one all are made.
    """

    def __init__(self, executor: Executor, store: MeasurementStore | None = None) -> None:
        self.executor, self.store = executor, store
        #: Measurements that were taken over.
        self.n_kept = 0

    def map(
        self,
        function: Callable[[Item], Result],
        items: Mapping[str, Item],
        label: str,
        instead: Callable[[WorkerError], Result] | None = None,
    ) -> Iterator[Result]:
        """Apply a function to all items, as `grism_align.values.executor.Executor` says."""
        if self.store is None or not isinstance(function, Measurement):
            yield from self.executor.map(function, items, label, instead)
            return
        problems: Counter[str] = Counter()
        lost = None if instead is None else lambda error: _Outcome(instead(error))
        for outcome in self.executor.map(_Kept(function, self.store), items, label, lost):
            self.n_kept += outcome.was_kept
            problems.update([outcome.problem] if outcome.problem else [])
            yield outcome.value
        for problem, n in problems.items():
            logger.warning("%s: %d measurements are not kept (%s)", label, n, problem)


@dataclass(frozen=True)
class _Kept(Generic[Item, Result]):
    """Takes a measurement over, or makes it and keeps it."""

    measurement: Measurement[Item, Result]
    store: MeasurementStore

    def __call__(self, item: Item) -> _Outcome[Result]:
        about = self.measurement.about
        try:
            key = fingerprint(self.measurement.name, item if about is None else about(item))
        except NotToldApartError:
            # of open models, and of missions whose values nobody here knows
            return _Outcome(self.measurement(item))
        found = self._found(key)
        if found is not None:
            value, words = found
            say_again(words)
            return _Outcome(value, was_kept=True)
        return self._made(key, item)

    def _found(self, key: str) -> Any:
        content = self.store.read(key)
        if content is None:
            return None
        try:
            value, words = decode(content, self.measurement.classes)
        except Exception as error:  # noqa: BLE001 - whatever a file of anybody's does to its readers
            self.store.discard(key, f"it can't be read ({type(error).__name__}: {error})")
            return None
        logger.debug("%s: taken over, %s", self.measurement.name, key, extra=FOR_FILE)
        return value, words

    def _made(self, key: str, item: Item) -> _Outcome[Result]:
        with heard() as words:
            value = self.measurement(item)
        if words is None:
            return _Outcome(value)
        try:
            self.store.keep(key, encode((value, words), self.measurement.classes))
        except NotKeptError:
            return _Outcome(value)
        except OSError as error:
            return _Outcome(value, problem=error.strerror or str(error))
        return _Outcome(value)
