"""How values of each type are put on record: as which entries, read back how, and described how."""

from __future__ import annotations

import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from grism_align.io.files.builtin import to_builtin
from grism_align.io.record.agreement import agree
from grism_align.io.record.checks import check_plane, check_transform
from grism_align.io.record.layout import LayoutError
from grism_align.values.declaration import Declaration, Shape, declarations_of
from grism_align.values.errors import PlaneMismatchError
from grism_align.values.failure import FailureCode, Remark, remark_entry, remark_from
from grism_align.values.transform import LinearTransform, TangentPlane

_ARRAY = "tag:stsci.edu:asdf/core/ndarray-1.*"
_MODEL = "tag:stsci.edu:asdf/transform/compose-1.*"
_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}

Schema = dict[str, Any]


class Kind(ABC):
    """A type of values."""

    @abstractmethod
    def encode(self, value: Any) -> Any:
        """Return the entry of a value."""

    @abstractmethod
    def decode(self, entry: Any) -> Any:
        """Return the value of an entry."""

    @abstractmethod
    def schema(self) -> Schema:
        """Describe entries, in the words of JSON schema and of ASDF."""


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


@dataclass(frozen=True)
class _List(Kind):
    """Values of one kind; some number of them where that is known."""

    inner: Kind
    length: int | None = None

    def encode(self, value: Any) -> Any:
        return [self.inner.encode(one) for one in value]

    def decode(self, entry: Any) -> Any:
        return tuple(_decoded(self.inner, one, str(place)) for place, one in enumerate(entry))

    def schema(self) -> Schema:
        length = {} if self.length is None else {"minItems": self.length, "maxItems": self.length}
        return {"type": "array", "items": self.inner.schema(), **length}


@dataclass(frozen=True)
class _Named(Kind):
    """Values of one kind by their names."""

    inner: Kind

    def encode(self, value: Any) -> Any:
        return {str(name): self.inner.encode(one) for name, one in value.items()}

    def decode(self, entry: Any) -> Any:
        return {name: _decoded(self.inner, one, name) for name, one in entry.items()}

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


@dataclass(frozen=True)
class _Array(Kind):
    """An array some of whose lengths are open."""

    shape: Shape
    type: Any

    def encode(self, value: Any) -> Any:
        array = np.asarray(value)
        if self.type is np.str_ or array.dtype.kind not in "iufbU":
            array = array.astype(str)
        elif self.type is not np.generic:
            array = array.astype(self.type)
        # a copy: of a view, ASDF would store all that it looks into
        return array.copy()

    def decode(self, entry: Any) -> Any:
        return np.array(entry, dtype=None if self.type in (np.generic, np.str_) else self.type)

    def schema(self) -> Schema:
        lengths = [{"enum": [one]} if isinstance(one, int) else {} for one in self.shape]
        found: Schema = {"tag": _ARRAY, "ndim": len(self.shape)}
        if self.type not in (np.generic, np.str_):
            found["datatype"] = np.dtype(self.type).name
        if any(lengths):
            found["properties"] = {"shape": {"type": "array", "items": lengths}}
        return found


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


@dataclass(frozen=True)
class _Part(Kind):
    """A value with declared fields, an entry each."""

    type: type
    fields: tuple[tuple[Declaration, Kind], ...]

    def encode(self, value: Any) -> Any:
        return {one.name: kind.encode(getattr(value, one.name)) for one, kind in self.fields}

    def decode(self, entry: Any) -> Any:
        value = self.type(**self.values(entry))
        self._compare(entry, value)
        return value

    def _compare(self, entry: Mapping[str, Any], value: Any) -> None:
        """Refuse entries that contradict those that they follow from, which others may go by."""
        for one, kind in self.fields:
            if not one.is_derived:
                continue
            told, follows = _decoded(kind, entry[one.name], one.name), getattr(value, one.name)
            if not agree(told, follows):
                msg = "it contradicts what it follows from"
                raise LayoutError(msg).inside(one.name)

    def values(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the fields by name; arrays have the lengths that they should share."""
        found = {
            one.name: _decoded(kind, entry[one.name], one.name)
            for one, kind in self.fields
            if not one.is_derived
        }
        lengths: dict[int | str, int] = {}
        for one, _ in self.fields:
            for name, length in zip(one.shape, np.shape(found.get(one.name, ())), strict=False):
                if not one.is_derived and lengths.setdefault(name, length) != length:
                    msg = f"{one.name}: {length} along an axis that has {lengths[name]} elsewhere"
                    raise LayoutError(msg)
        return found

    def schema(self) -> Schema:
        return {
            "type": "object",
            "required": [one.name for one, _ in self.fields],
            "properties": {one.name: _described(one, kind) for one, kind in self.fields},
        }


class _Plane(_Part):
    """A tangent plane, which is one of the sky."""

    def decode(self, entry: Any) -> Any:
        value = super().decode(entry)
        check_plane(value)
        return value


class _Transform(_Part):
    """A transform, also as a model of astropy."""

    def encode(self, value: Any) -> Any:
        return {**super().encode(value), "model": _sky_model(value)}

    def decode(self, entry: Any) -> Any:
        value = self.type(**self.values(entry))
        check_transform(value)
        if not agree(np.asarray(entry["model"].parameters), _model_parameters(value)):
            msg = "it contradicts matrix, shift and plane"
            raise LayoutError(msg, ["model"])
        return value

    def schema(self) -> Schema:
        whole = super().schema()
        text = "RA and Dec in deg before the correction to RA and Dec in deg after it."
        model = {"description": text, "tag": _MODEL}
        return {**whole, "properties": {**whole["properties"], "model": model}}


@dataclass(frozen=True)
class _Table(Kind):
    """Values with declared fields, an array a field."""

    part: _Part

    def encode(self, value: Any) -> Any:
        columns = {}
        for one, kind in self.part.fields:
            given = [kind.encode(getattr(row, one.name)) for row in value]
            columns[one.name] = np.array(given, dtype=one.hint)
        return columns

    def decode(self, entry: Any) -> Any:
        columns = [np.asarray(entry[one.name]).tolist() for one, _ in self.part.fields]
        if len({len(column) for column in columns}) > 1:
            msg = "columns of several lengths"
            raise LayoutError(msg)
        return tuple(self.part.type(*row) for row in zip(*columns, strict=True))

    def schema(self) -> Schema:
        columns = {
            one.name: _described(one, _Array(("n",), np.dtype(one.hint).type)) for one, _ in self.part.fields
        }
        return {"type": "object", "required": list(columns), "properties": columns}


def _decoded(kind: Kind, entry: Any, name: str) -> Any:
    try:
        return kind.decode(entry)
    except LayoutError as error:
        raise error.inside(name) from None
    except (LookupError, TypeError, ValueError, ArithmeticError, PlaneMismatchError) as error:
        raise LayoutError(str(error)).inside(name) from error


def _described(one: Declaration, kind: Kind) -> Schema:
    unit = f" Unit: {one.unit}." if one.unit else ""
    return {"description": f"{one.help}{unit}", **kind.schema()}


@cache
def part_of(cls: type) -> _Part:
    """Return the kind of a class with declared fields.

    Parameters
    ----------
    cls : type
        The class.
    """
    made = _SPECIAL.get(cls, _Part)
    return made(cls, tuple((one, kind_of(one)) for one in declarations_of(cls)))


# From numpy 2.5 on an alias of its own, on Python 3.12 and later; before, the class of arrays.
_NDARRAY = typing.get_origin(NDArray[Any])


def kind_of(one: Declaration) -> Kind:
    """Return the kind of a field.

    Parameters
    ----------
    one : Declaration
        The field.

    Raises
    ------
    TypeError
        If values of its type can't be put on record.
    """
    if one.is_table:
        return _Table(part_of(typing.get_args(one.hint)[0]))
    return _kind(one.hint, one.shape)


def _kind(hint: Any, shape: Shape = ()) -> Kind:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        [inner] = [one for one in arguments if one is not type(None)]
        return _Optional(_kind(inner, shape))
    if origin in (np.ndarray, _NDARRAY):
        numbers = tuple(one for one in shape if isinstance(one, int))
        if len(numbers) == len(shape):
            return _Matrix(numbers)
        # of an array shape and dtype are told, of the alias the numbers' type alone
        return _Array(shape, typing.get_args(arguments[1])[0] if origin is np.ndarray else arguments[0])
    if origin is tuple:
        return _List(_kind(arguments[0]), None if arguments[-1] is ... else len(arguments))
    if origin is Mapping:
        return _Named(_kind(arguments[1]))
    return _plain_kind(hint)


def _plain_kind(hint: type[Any]) -> Kind:
    if hint is Any:
        return _Anything()
    if hint in _SCALARS:
        return _Scalar(hint)
    if issubclass(hint, Enum):
        return _Choice(hint)
    if issubclass(hint, Remark):
        return _Remarks()
    if is_dataclass(hint):
        return part_of(cast("Any", hint))
    msg = f"values of type {hint} can't be put on record"
    raise TypeError(msg)


_SPECIAL: dict[type, type[_Part]] = {LinearTransform: _Transform, TangentPlane: _Plane}


def _sky_model(transform: LinearTransform) -> Any:
    """Return the transform as an astropy model from (RA, Dec) to (RA, Dec), deg."""
    from astropy.modeling import models

    plane = (float(transform.plane.ra), float(transform.plane.dec))
    # with the native pole at 180 deg, x and y of the TAN projection are xi and eta, in deg
    return (
        models.RotateCelestial2Native(*plane, 180.0)
        | models.Sky2Pix_TAN()
        | models.AffineTransformation2D(matrix=transform.matrix.copy(), translation=transform.shift / 3600.0)
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(*plane, 180.0)
    )


def _model_parameters(transform: LinearTransform) -> NDArray[np.float64]:
    """Return the parameters of that model, in the order in which it has them."""
    pole = (transform.plane.ra, transform.plane.dec, 180.0)
    return np.array([*pole, *transform.matrix.ravel(), *(transform.shift / 3600.0), *pole])
