"""Values that are put on record: each field declared once, with its unit, its shape and what it is.

The layout of the record, its schema, the tables of the documentation and the parameter sections of the
docstrings are made from these declarations.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable


_KEY = "_recorded"
_SECTION = re.compile(r"^\w+\n-+$", re.MULTILINE)
_T = TypeVar("_T")

#: Lengths of the axes of an array: numbers, or names of lengths that arrays of one value have in common.
Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Declaration:
    """One field of a value that is put on record.

    Parameters
    ----------
    name : str
        Of the field.
    hint : object
        Its type, as `typing.get_type_hints` gives it.
    help : str
        What it is, a sentence.
    unit : str
        Empty where there is none.
    shape : tuple of int or str
        Of an array; empty for anything else.
    is_table : bool
        Whether a sequence of values, or values by name, is an array a field.
    is_derived : bool
        Whether it follows from the others, so that it is written and not read.
    """

    name: str
    hint: Any
    help: str
    unit: str = ""
    shape: Shape = ()
    is_table: bool = False
    is_derived: bool = False


def recorded(
    text: str,
    *,
    unit: str = "",
    shape: Shape = (),
    table: bool = False,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | Any = MISSING,
) -> Any:
    """Declare a field of a value that is put on record.

    Parameters
    ----------
    text : str
        What it is, a sentence.
    unit : str, optional
        Empty where there is none.
    shape : tuple of int or str, optional
        Of an array.
    table : bool, optional
        Put a sequence of values, or values by name, on record as an array a field.
    default, default_factory
        As for `dataclasses.field`.
    """
    told = {"help": text, "unit": unit, "shape": shape, "is_table": table}
    return field(default=default, default_factory=default_factory, metadata={_KEY: told})


def derived(*, unit: str = "", shape: Shape = ()) -> Callable[[Callable[..., _T]], Callable[..., _T]]:
    """Declare a property that is written to the record for its readers, and worked out anew when read.

    Parameters
    ----------
    unit : str, optional
        Empty where there is none.
    shape : tuple of int or str, optional
        Of an array.

    Returns
    -------
    callable
        To be put between ``@property`` and the function, whose docstring says what it is.
    """

    def mark(function: Callable[..., _T]) -> Callable[..., _T]:
        setattr(function, _KEY, {"unit": unit, "shape": shape})
        return function

    return mark


@dataclass_transform(frozen_default=True, field_specifiers=(recorded, field))
def declared(*, eq: bool = True) -> Callable[[type[_T]], type[_T]]:
    """Make a class a frozen dataclass, and write the parameters of its docstring.

    Parameters
    ----------
    eq : bool, optional
        Whether values are compared field by field; those with arrays are not.

    Returns
    -------
    callable
        To decorate the class with.
    """

    def make(cls: type[_T]) -> type[_T]:
        made: Any = dataclass(frozen=True, eq=eq)(cls)
        text = inspect.cleandoc(cls.__doc__ or "")
        first = _SECTION.search(text)
        end = first.start() if first else len(text)
        made.__doc__ = "\n\n".join(filter(None, (text[:end].rstrip(), _parameters(made), text[end:]))) + "\n"
        return cls

    return make


def _parameters(cls: Any) -> str:
    """Return the section of a docstring with the parameters of a dataclass."""
    lines = ["Parameters", "----------"]
    for one in fields(cls):
        told = one.metadata.get(_KEY, {"help": "Not on record.", "unit": "", "shape": ()})
        shape = f"{_shape_text(told['shape'])} " if told["shape"] else ""
        unit = f", {told['unit']}" if told["unit"] else ""
        lines += [f"{one.name} : {shape}{one.type}{unit}", f"    {told['help']}"]
    return "\n".join(lines)


def _shape_text(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


@cache
def declarations_of(cls: type[Any]) -> tuple[Declaration, ...]:
    """Return what is put on record of a class: its declared fields in order, then what is derived.

    Parameters
    ----------
    cls : type
        A dataclass; fields that `recorded` did not make are left out.
    """
    hints = get_type_hints(cls)
    own = tuple(
        Declaration(one.name, hints[one.name], **one.metadata[_KEY])
        for one in fields(cls)
        if _KEY in one.metadata
    )
    return own + tuple(_derived(cls))


def _derived(cls: type[Any]) -> list[Declaration]:
    found = []
    for name, member in inspect.getmembers(cls):
        function = getattr(member, "fget", None) or getattr(member, "func", None)
        told = getattr(function, _KEY, None)
        if function is not None and told is not None:
            text = inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0]
            hint = get_type_hints(function)["return"]
            found.append(Declaration(name, hint, text, is_derived=True, **told))
    return found
