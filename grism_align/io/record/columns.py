"""Many values of one kind as columns: one array for all of them, and no node of a tree for each.

Ten thousand exposures with a node for each number would be millions of nodes, which YAML takes minutes and
gigabytes to write and to read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from grism_align.io.record.layout import LayoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray


#: Where each value's own part of ``items`` begins and the last one's ends.
FIRST = "first"
#: The parts of all values behind each other.
ITEMS = "items"
#: Whether there is a value.
KNOWN = "known"
#: By which values are known.
NAME = "name"

Column = Any
_T = TypeVar("_T")


def texts(values: Iterable[str | None]) -> NDArray[Any]:
    """Return texts as an array: with a byte a letter where ASCII has them all, else with four.

    Parameters
    ----------
    values : iterable of str or None
        None is an empty one.
    """
    return compact(np.array([value or "" for value in values], dtype=np.str_))


def compact(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array of texts as `texts` does, and any other as it is."""
    if values.dtype.kind != "U":
        return values
    try:
        return values.astype(np.bytes_)
    except UnicodeEncodeError:
        return values


def as_texts(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array in which texts are str."""
    return values.astype(np.str_) if values.dtype.kind == "S" else values


def item(column: NDArray[Any], place: int) -> Any:
    """Return one value of a column as Python has it."""
    found = column[place]
    if isinstance(found, bytes):
        return found.decode("ascii")
    return found.item() if isinstance(found, np.generic) and not isinstance(found, str) else str(found)


def ragged(parts: Sequence[Sequence[Any] | NDArray[Any]], items: Column) -> dict[str, Column]:
    """Return the column of values that have several items each, or none.

    Parameters
    ----------
    parts : sequence
        The items of each value.
    items : column
        Those of all of them behind each other.
    """
    return {FIRST: np.cumsum([0, *map(len, parts)], dtype=np.int64), ITEMS: items}


def part(column: Mapping[str, Column], place: int) -> slice:
    """Return where the items of one value are."""
    first = column[FIRST]
    return slice(int(first[place]), int(first[place + 1]))


def check_rows(column: Column, n: int) -> None:
    """Refuse columns that are not of so many values.

    Parameters
    ----------
    column : array or mapping
        A column, or several by name.
    n : int
        How many there should be.

    Raises
    ------
    LayoutError
        Naming the column.
    """
    if not isinstance(column, Mapping):
        if len(column) != n:
            msg = f"{len(column)} values, and {n} elsewhere"
            raise LayoutError(msg)
        return
    for name, inner in column.items():
        try:
            if name == FIRST:
                _check_first(np.asarray(inner), n)
            else:
                check_rows(inner, int(column[FIRST][-1]) if name == ITEMS else n)
        except LayoutError as error:
            raise error.inside(name) from None


def _check_first(first: NDArray[Any], n: int) -> None:
    if len(first) != n + 1 or first[0] != 0 or (np.diff(first) < 0).any():
        msg = f"it does not part items among {n} values"
        raise LayoutError(msg)


class Rows(Mapping[str, _T]):
    """Values by name, each made of its columns when it is asked for.

    Parameters
    ----------
    names : sequence of str
        In order.
    make : callable
        Takes the row of a value.
    """

    def __init__(self, names: Sequence[str], make: Callable[[int], _T]) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._make = make
        self._made: dict[str, _T] = {}

    def __getitem__(self, name: str) -> _T:
        if name not in self._made:
            place = self._places[name]
            try:
                self._made[name] = self._make(place)
            except LayoutError as error:
                raise error.inside(name) from None
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __reduce__(self) -> tuple[type, tuple[dict[str, _T]]]:
        return dict, (dict(self),)

    def guarded(self, guard: Callable[[Mapping[str, _T], str], _T]) -> Rows[_T]:
        """Return the same values, each as a function gives it that is handed these and a name."""
        names = list(self)
        return Rows(names, lambda place: guard(self, names[place]))


class Later(Sequence[_T]):
    """Values that are made when the first of them is asked for.

    Parameters
    ----------
    make : callable
        Makes them.
    n : int
        How many there are.
    """

    def __init__(self, make: Callable[[], tuple[_T, ...]], n: int) -> None:
        self._make, self._n = make, n

    @cached_property
    def _made(self) -> tuple[_T, ...]:
        return self._make()

    def __getitem__(self, place: Any) -> Any:
        return self._made[place]

    def __iter__(self) -> Iterator[_T]:
        return iter(self._made)

    def __len__(self) -> int:
        return self._n

    def __reduce__(self) -> tuple[type, tuple[tuple[_T, ...]]]:
        return tuple, (self._made,)
