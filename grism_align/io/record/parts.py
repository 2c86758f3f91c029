"""How values with declared fields are put on record: as entries by name, as tables, or as columns of many."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from grism_align.io.record.agreement import agree
from grism_align.io.record.checks import check_plane, check_transform
from grism_align.io.record.columns import NAME, Column, Later, Rows, as_texts, check_rows, texts
from grism_align.io.record.kinds import WRONG, Kind, Schema, column_of, decoded, kind_of_type, object_of
from grism_align.io.record.layout import LayoutError
from grism_align.values.declaration import Declaration, declarations_of
from grism_align.values.transform import LinearTransform, TangentPlane

# Of values known by name, so many are read and checked with the file; more, each when it is asked for.
MOST_AT_ONCE = 200
# Rows of a table, likewise.
_MOST_ROWS = 10_000


@dataclass(frozen=True)
class _Part(Kind):
    """A value with declared fields, an entry each."""

    type: type
    fields: tuple[tuple[Declaration, Kind], ...]
    is_part: ClassVar[bool] = True

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
            told, follows = decoded(kind, entry[one.name], one.name), getattr(value, one.name)
            if not agree(told, follows):
                msg = "it contradicts what it follows from"
                raise LayoutError(msg).inside(one.name)

    def values(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the fields by name; arrays have the lengths that they should share."""
        found = {
            one.name: decoded(kind, entry[one.name], one.name)
            for one, kind in self.fields
            if not one.is_derived
        }
        lengths: dict[int | str, int] = {}
        for one, _ in self.fields:
            shape = np.shape(found[one.name]) if one.shape and found.get(one.name) is not None else ()
            for name, length in zip(one.shape, shape, strict=False):
                if lengths.setdefault(name, length) != length:
                    msg = f"{one.name}: {length} along an axis that has {lengths[name]} elsewhere"
                    raise LayoutError(msg)
        return found

    def schema(self) -> Schema:
        return {
            "type": "object",
            "required": [one.name for one, _ in self.fields],
            "properties": {one.name: _described(one, kind.schema()) for one, kind in self.fields},
        }

    def gather(self, values: Sequence[Any]) -> Column:
        return {
            one.name: kind.gather([None if value is None else getattr(value, one.name) for value in values])
            for one, kind in self.fields
        }

    def row(self, column: Column, place: int) -> Any:
        return {one.name: kind.row(column[one.name], place) for one, kind in self.fields}

    def column_schema(self) -> Schema:
        return object_of({one.name: _described(one, kind.column_schema()) for one, kind in self.fields})


class _Plane(_Part):
    """A tangent plane, which is one of the sky."""

    def decode(self, entry: Any) -> Any:
        value = super().decode(entry)
        check_plane(value)
        return value


class _Transform(_Part):
    """A transform, which is one that corrections have."""

    def decode(self, entry: Any) -> Any:
        value = self.type(**self.values(entry))
        check_transform(value)
        return value


@dataclass(frozen=True)
class _Table(Kind):
    """Values with declared fields, an array a field."""

    part: _Part

    def encode(self, value: Any) -> Any:
        return self.part.gather(value)

    def decode(self, entry: Any) -> Any:
        columns = [as_texts(np.asarray(entry[one.name])) for one, _ in self.part.fields]
        if len({len(column) for column in columns}) > 1:
            msg = "columns of several lengths"
            raise LayoutError(msg)

        def made() -> tuple[Any, ...]:
            rows = zip(*(column.tolist() for column in columns), strict=True)
            return tuple(self.part.type(*row) for row in rows)

        n = len(columns[0])
        return made() if n <= _MOST_ROWS else Later(made, n)

    def schema(self) -> Schema:
        columns = {
            one.name: _described(one, column_of({"datatype": np.dtype(one.hint).name}))
            for one, _ in self.part.fields
        }
        return object_of(columns)


@dataclass(frozen=True)
class _Columns(Kind):
    """Values by name, as columns; of many, each is read when it is asked for."""

    part: _Part

    def encode(self, value: Any) -> Any:
        return {NAME: texts(value), **self.part.gather(list(value.values()))}

    def decode(self, entry: Any) -> Any:
        names = as_texts(entry[NAME]).tolist()
        check_rows(entry, len(names))
        if len(set(names)) < len(names):
            msg = "names that are there twice"
            raise LayoutError(msg, [NAME])
        rows: Rows[Any] = Rows(names, lambda place: self._made(entry, place))
        return rows if len(rows) > MOST_AT_ONCE else dict(rows)

    def _made(self, columns: Mapping[str, Column], place: int) -> Any:
        try:
            return self.part.decode(self.part.row(columns, place))
        except LayoutError:
            raise
        except WRONG as error:
            raise LayoutError(str(error)) from error

    def schema(self) -> Schema:
        name = {NAME: {"description": "Of each.", **column_of({})}}
        return object_of({**name, **self.part.column_schema()["properties"]})


def _described(one: Declaration, schema: Schema) -> Schema:
    unit = f" Unit: {one.unit}." if one.unit else ""
    return {"description": f"{one.help}{unit}", **schema}


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
        *_, inner = (each for each in typing.get_args(one.hint) if each is not ...)
        made = _Columns if typing.get_origin(one.hint) is Mapping else _Table
        return made(part_of(inner))
    return kind_of_type(one.hint, part_of, one.shape)


_SPECIAL: dict[type, type[_Part]] = {LinearTransform: _Transform, TangentPlane: _Plane}
