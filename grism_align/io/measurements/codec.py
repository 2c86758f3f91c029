"""Values as bytes and back, to the last bit: numbers, text, arrays, tables, and dataclasses that are named.

A line of JSON says what there is, and the arrays follow. Nothing that is read can name code.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray


_PLAIN = (bool, int, float, str, type(None))
_KINDS = "biufU"


class NotKeptError(TypeError):
    """A value that has no form as bytes."""


def encode(value: object, classes: tuple[type, ...] = ()) -> bytes:
    """Return a value as bytes.

    Parameters
    ----------
    value : object
        Numbers, text, arrays, tables and containers of them.
    classes : tuple of type, optional
        Dataclasses that there may be besides.

    Raises
    ------
    NotKeptError
        If there is anything else in it.
    """
    arrays: list[bytes] = []
    tree = _tree_of(value, classes, arrays)
    return b"".join([json.dumps(tree).encode(), b"\n", *arrays])


def decode(content: bytes, classes: tuple[type, ...] = ()) -> Any:
    """Return the value that `encode` made bytes of.

    Parameters
    ----------
    content : bytes
        All of them.
    classes : tuple of type, optional
        As for `encode`.

    Raises
    ------
    Exception
        Of whatever kind, if they are not what `encode` makes.
    """
    head, _, body = content.partition(b"\n")
    reader = _Reader(body, {cls.__name__: cls for cls in classes})
    found = reader.value(json.loads(head))
    reader.end()
    return found


def _tree_of(value: Any, classes: tuple[type, ...], arrays: list[bytes]) -> Any:
    def inner(part: Any) -> Any:
        return _tree_of(part, classes, arrays)

    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray | np.generic):
        return _array_tree(value, arrays)
    if type(value) in (list, tuple):
        return {type(value).__name__: [inner(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[inner(key), inner(part)] for key, part in value.items()]}
    if type(value) in classes and is_dataclass(value):
        parts = [inner(getattr(value, each.name)) for each in fields(value)]
        return {"class": [type(value).__name__, parts]}
    if type(value) is Table and not value.has_masked_columns:
        columns = [[name, _unit_of(value, name), inner(np.asarray(value[name]))] for name in value.colnames]
        return {"table": [columns, inner(dict(value.meta))]}
    raise NotKeptError(type(value).__name__)


def _array_tree(value: NDArray[Any] | np.generic, arrays: list[bytes]) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in _KINDS or np.ma.isMaskedArray(value):
        raise NotKeptError(str(array.dtype))
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    arrays.append(array.tobytes(order))  # type: ignore[arg-type]
    kind = "array" if isinstance(value, np.ndarray) else "scalar"
    return {kind: [array.dtype.str, array.shape, order]}


def _unit_of(table: Table, name: str) -> str | None:
    unit = table[name].unit
    return None if unit is None else str(unit)


class _Reader:
    """Puts values together of a tree and the bytes of its arrays, which are used up in order."""

    def __init__(self, body: bytes, classes: Mapping[str, type]) -> None:
        self._body, self._place, self._classes = body, 0, classes
        self._readers: dict[str, Callable[[Any], Any]] = {
            "array": self._array,
            "scalar": lambda parts: self._array(parts)[()],
            "list": lambda parts: [self.value(part) for part in parts],
            "tuple": lambda parts: tuple(self.value(part) for part in parts),
            "dict": lambda parts: {self.value(key): self.value(part) for key, part in parts},
            "class": self._class,
            "table": self._table,
        }

    def value(self, tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        [(kind, parts)] = tree.items()
        return self._readers[kind](parts)

    def end(self) -> None:
        if self._place != len(self._body):
            msg = f"{len(self._body) - self._place} bytes too many"
            raise ValueError(msg)

    def _array(self, parts: Any) -> NDArray[Any]:
        dtype, shape, order = np.dtype(parts[0]), tuple(parts[1]), parts[2]
        if dtype.kind not in _KINDS or any(n < 0 for n in shape):
            msg = f"an array of {dtype}, {shape}"
            raise ValueError(msg)
        end = self._place + dtype.itemsize * prod(shape)
        # one that is longer than what there is fails here, and takes no memory before
        found = np.frombuffer(self._body[self._place : end], dtype).reshape(shape, order=order)
        self._place = end
        return found.copy(order)

    def _class(self, parts: Any) -> Any:
        name, values = parts
        return self._classes[name](*(self.value(part) for part in values))

    def _table(self, parts: Any) -> Table:
        columns, meta = parts
        table = Table()
        for name, unit, tree in columns:
            table[name] = self.value(tree)
            table[name].unit = unit
        table.meta.update(self.value(meta))
        return table
