"""How values of each type are put on record: as which entries, read back how, and described how.

A single value is an entry of its own. Of many values of one type, such as exposures, each field is a column.
"""

from __future__ import annotations

import json
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from enum import Enum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from grism_align.io.files.builtin import to_builtin
from grism_align.io.record.columns import (
    FIRST,
    ITEMS,
    KNOWN,
    Column,
    as_texts,
    compact,
    item,
    part,
    ragged,
    texts,
)
from grism_align.io.record.layout import LayoutError
from grism_align.values.errors import PlaneMismatchError
from grism_align.values.failure import FailureCode, Remark, remark_entry, remark_from

if typing.TYPE_CHECKING:
    from grism_align.values.declaration import Shape

_ARRAY = "tag:stsci.edu:asdf/core/ndarray-1.*"
_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}
_DATATYPES = {bool: "bool8", int: "int64", float: "float64"}
_VALUE = "value"
# What stands in the column of numbers where there is no value.
_BLANK = {bool: False, int: 0, float: float("nan")}

#: What comes of entries that are not what they should be.
WRONG = (LookupError, TypeError, ValueError, ArithmeticError, RecursionError, PlaneMismatchError)

Schema = dict[str, Any]


class Kind(ABC):
    """A type of values.

    The methods of columns are those of kinds that exposures have.
    """

    #: Whether it has fields, which are entries and columns by name.
    is_part: ClassVar[bool] = False

    @abstractmethod
    def encode(self, value: Any) -> Any:
        """Return the entry of a value."""

    @abstractmethod
    def decode(self, entry: Any) -> Any:
        """Return the value of an entry."""

    @abstractmethod
    def schema(self) -> Schema:
        """Describe entries, in the words of JSON schema and of ASDF."""

    def gather(self, values: Sequence[Any]) -> Column:
        """Return the column, or columns, of many values, some of which may be None."""
        raise TypeError(type(self))

    def row(self, column: Column, place: int) -> Any:
        """Return the entry of one of them."""
        raise TypeError(type(self))

    def column_schema(self) -> Schema:
        """Describe the column, or columns."""
        raise TypeError(type(self))


@dataclass(frozen=True)
class _Scalar(Kind):
    """A number, a truth value or a text."""

    type: type

    def encode(self, value: Any) -> Any:
        return self.type(value)

    def decode(self, entry: Any) -> Any:
        return self.type(entry)

    def schema(self) -> Schema:
        return {"type": _SCALARS[self.type]}

    def gather(self, values: Sequence[Any]) -> Column:
        if self.type is str:
            return texts(values)
        return np.array([_BLANK[self.type] if one is None else one for one in values], dtype=self.type)

    def row(self, column: Column, place: int) -> Any:
        return item(column, place)

    def column_schema(self) -> Schema:
        return column_of({} if self.type is str else {"datatype": _DATATYPES[self.type]})


@dataclass(frozen=True)
class _Choice(Kind):
    """A member of an enumeration, by its value."""

    type: type[Enum]

    def encode(self, value: Any) -> Any:
        return value.value

    def decode(self, entry: Any) -> Any:
        return self.type(entry)

    def schema(self) -> Schema:
        return {"type": "string", "enum": [one.value for one in self.type]}

    def gather(self, values: Sequence[Any]) -> Column:
        return texts(one and one.value for one in values)

    def row(self, column: Column, place: int) -> Any:
        return item(column, place)

    def column_schema(self) -> Schema:
        return column_of({})


class _Anything(Kind):
    """Parameters and their values, in Python's own types."""

    def encode(self, value: Any) -> Any:
        return to_builtin(value)

    def decode(self, entry: Any) -> Any:
        return entry

    def schema(self) -> Schema:
        return {}


@dataclass(frozen=True)
class _Optional(Kind):
    """A value, or null."""

    inner: Kind

    def encode(self, value: Any) -> Any:
        return None if value is None else self.inner.encode(value)

    def decode(self, entry: Any) -> Any:
        return None if entry is None else self.inner.decode(entry)

    def schema(self) -> Schema:
        # what is said of keys and lengths concerns no null, so that errors name the very entry
        inner = self.inner.schema()
        return {**inner, "type": [inner["type"], "null"]}

    def gather(self, values: Sequence[Any]) -> Column:
        found = self.inner.gather(values)
        known = np.array([one is not None for one in values], dtype=bool)
        return {KNOWN: known, **(found if self.inner.is_part else {_VALUE: found})}

    def row(self, column: Column, place: int) -> Any:
        if not column[KNOWN][place]:
            return None
        return self.inner.row(column if self.inner.is_part else column[_VALUE], place)

    def column_schema(self) -> Schema:
        known = {KNOWN: {"description": "Whether there is one.", **column_of({"datatype": "bool8"})}}
        if not self.inner.is_part:
            return object_of({**known, _VALUE: self.inner.column_schema()})
        return object_of({**known, **self.inner.column_schema()["properties"]})


@dataclass(frozen=True)
class _List(Kind):
    """Values of one kind; some number of them where that is known."""

    inner: Kind
    length: int | None = None

    def encode(self, value: Any) -> Any:
        return [self.inner.encode(one) for one in value]

    def decode(self, entry: Any) -> Any:
        return tuple(decoded(self.inner, one, str(place)) for place, one in enumerate(entry))

    def schema(self) -> Schema:
        length = {} if self.length is None else {"minItems": self.length, "maxItems": self.length}
        return {"type": "array", "items": self.inner.schema(), **length}

    @property
    def _of_numbers(self) -> bool:
        """Whether all have as many numbers, so that these make an array."""
        return self.length is not None and isinstance(self.inner, _Scalar) and self.inner.type is not str

    def gather(self, values: Sequence[Any]) -> Column:
        if self._of_numbers and isinstance(self.inner, _Scalar) and self.length is not None:
            blank = (_BLANK[self.inner.type],) * self.length
            found = [blank if one is None else one for one in values]
            return np.array(found, dtype=self.inner.type).reshape(-1, self.length)
        parts = [one or () for one in values]
        return ragged(parts, self.inner.gather([one for each in parts for one in each]))

    def row(self, column: Column, place: int) -> Any:
        if self._of_numbers:
            return column[place].tolist()
        its = part(column, place)
        return [self.inner.row(column[ITEMS], one) for one in range(its.start, its.stop)]

    def column_schema(self) -> Schema:
        if self._of_numbers and isinstance(self.inner, _Scalar):
            return column_of({"datatype": _DATATYPES[self.inner.type]}, (self.length,))
        return _ragged(self.inner.column_schema())


@dataclass(frozen=True)
class _Named(Kind):
    """Values of one kind by their names."""

    inner: Kind

    def encode(self, value: Any) -> Any:
        return {str(name): self.inner.encode(one) for name, one in value.items()}

    def decode(self, entry: Any) -> Any:
        return {name: decoded(self.inner, one, name) for name, one in entry.items()}

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": self.inner.schema()}


@dataclass(frozen=True)
class _Matrix(Kind):
    """An array of known shape, as nested lists."""

    shape: tuple[int, ...]

    def encode(self, value: Any) -> Any:
        return np.asarray(value, dtype=float).reshape(self.shape).tolist()

    def decode(self, entry: Any) -> Any:
        return np.array(entry, dtype=float)

    def schema(self) -> Schema:
        found: Schema = {"type": "number"}
        for length in reversed(self.shape):
            found = {"type": "array", "minItems": length, "maxItems": length, "items": found}
        return found

    def gather(self, values: Sequence[Any]) -> Column:
        blank = np.full(self.shape, np.nan)
        found = [blank if one is None else one for one in values]
        return np.array(found, dtype=float).reshape(-1, *self.shape)

    def row(self, column: Column, place: int) -> Any:
        return column[place]

    def column_schema(self) -> Schema:
        return column_of({"datatype": "float64"}, self.shape)


@dataclass(frozen=True)
class _Array(Kind):
    """An array some of whose lengths are open."""

    shape: Shape
    type: Any

    def encode(self, value: Any) -> Any:
        # a copy: of a view, ASDF would store all that it looks into
        return self._typed(value).copy()

    def decode(self, entry: Any) -> Any:
        return np.asarray(entry, dtype=None if self.type in (np.generic, np.str_) else self.type)

    def schema(self) -> Schema:
        return column_of(self._datatype, self.shape[1:])

    def gather(self, values: Sequence[Any]) -> Column:
        parts = [None if one is None else self._typed(one) for one in values]
        there = [one for one in parts if one is not None]
        none = np.zeros((0, *map(int, self.shape[1:])), self.type if self._datatype else None)
        # those without rows tell the type where no other does
        known = [one for one in there if len(one)] or there or [none]
        return ragged([() if one is None else one for one in parts], compact(np.concatenate(known)))

    def row(self, column: Column, place: int) -> Any:
        return as_texts(np.asarray(column[ITEMS][part(column, place)]))

    def column_schema(self) -> Schema:
        return _ragged(column_of(self._datatype, self.shape[1:]))

    def _typed(self, value: Any) -> NDArray[Any]:
        array = np.asarray(value)
        if self.type is np.str_ or array.dtype.kind not in "iufbU":
            return array.astype(str)
        return array if self.type is np.generic else array.astype(self.type, copy=False)

    @property
    def _datatype(self) -> Schema:
        return {} if self.type in (np.generic, np.str_) else {"datatype": np.dtype(self.type).name}


class _Remarks(Kind):
    """A remark, with its code, its text and its numbers."""

    def encode(self, value: Any) -> Any:
        return remark_entry(value)

    def decode(self, entry: Any) -> Any:
        try:
            return remark_from(entry)
        except KeyError as error:
            msg = f"{entry.get('code')} without {error.args[0]}"
            raise LayoutError(msg) from error

    def schema(self) -> Schema:
        codes = [code.name for code in FailureCode]
        told = {"code": {"enum": codes}, "text": {"type": "string", "description": "It in words."}}
        return {"type": "object", "required": ["code", "text"], "properties": told}

    def gather(self, values: Sequence[Any]) -> Column:
        entries = [{} if one is None else remark_entry(one) for one in values]
        code, text = (texts([one.pop(name, "") for one in entries]) for name in ("code", "text"))
        return {"code": code, "text": text, "numbers": texts(map(json.dumps, entries))}

    def row(self, column: Column, place: int) -> Any:
        code, text = (item(column[name], place) for name in ("code", "text"))
        return {**json.loads(item(column["numbers"], place)), "code": code, "text": text}

    def column_schema(self) -> Schema:
        told = {"code": "Its code.", "text": "It in words.", "numbers": "Its numbers by name, as JSON."}
        return object_of({name: {"description": text, **column_of({})} for name, text in told.items()})


# From numpy 2.5 on an alias of its own, on Python 3.12 and later; before, the class of arrays.
_NDARRAY = typing.get_origin(NDArray[Any])


def kind_of_type(hint: Any, part_of: Callable[[type], Kind], shape: Shape = ()) -> Kind:
    """Return the kind of values of a type.

    Parameters
    ----------
    hint : object
        The type, as `typing.get_type_hints` gives it.
    part_of : callable
        Gives the kind of a class with declared fields.
    shape : tuple of int or str, optional
        Of an array.

    Raises
    ------
    TypeError
        If values of the type can't be put on record.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        [inner] = [one for one in arguments if one is not type(None)]
        return _Optional(kind_of_type(inner, part_of, shape))
    if origin in (np.ndarray, _NDARRAY):
        numbers = tuple(one for one in shape if isinstance(one, int))
        if len(numbers) == len(shape):
            return _Matrix(numbers)
        # of an array shape and dtype are told, of the alias the numbers' type alone
        return _Array(shape, typing.get_args(arguments[1])[0] if origin is np.ndarray else arguments[0])
    if origin is tuple:
        return _List(kind_of_type(arguments[0], part_of), None if arguments[-1] is ... else len(arguments))
    if origin is Mapping:
        return _Named(kind_of_type(arguments[1], part_of))
    return _plain_kind(hint, part_of)


def _plain_kind(hint: type[Any], part_of: Callable[[type], Kind]) -> Kind:
    if hint is Any:
        return _Anything()
    if hint in _SCALARS:
        return _Scalar(hint)
    if issubclass(hint, Enum):
        return _Choice(hint)
    if issubclass(hint, Remark):
        return _Remarks()
    if is_dataclass(hint):
        return part_of(hint)
    msg = f"values of type {hint} can't be put on record"
    raise TypeError(msg)


def column_of(told: Schema, shape: Sequence[int | str | None] = ()) -> Schema:
    """Describe a column.

    Parameters
    ----------
    told : dict
        What is said of its array, such as the datatype.
    shape : sequence of int, str or None, optional
        Of each of its values; lengths that are no numbers are open.
    """
    found: Schema = {"tag": _ARRAY, "ndim": 1 + len(shape), **told}
    if any(isinstance(one, int) for one in shape):
        lengths = [{}, *({"enum": [one]} if isinstance(one, int) else {} for one in shape)]
        found["properties"] = {"shape": {"type": "array", "items": lengths}}
    return found


def _ragged(items: Schema) -> Schema:
    first = "Where the items of each begin, and where those of the last end."
    return object_of({FIRST: {"description": first, **column_of({"datatype": "int64"})}, ITEMS: items})


def object_of(properties: Schema) -> Schema:
    """Describe entries by name, all of which must be there."""
    return {"type": "object", "required": list(properties), "properties": properties}


def decoded(kind: Kind, entry: Any, name: str) -> Any:
    """Return the value of an entry; what is wrong with it is said with its name."""
    try:
        return kind.decode(entry)
    except LayoutError as error:
        raise error.inside(name) from None
    except WRONG as error:
        raise LayoutError(str(error), [name]) from error
