"""Values that are put on record, of any content, made from their declarations."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from grism_align.values.declaration import declarations_of
from grism_align.values.failure import NotAligned, NotTied, Remark, TooFewMatches
from grism_align.values.transform import LinearTransform, TangentPlane

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=6)
_NUMBERS = st.floats(allow_nan=True, width=32)
_INTEGERS = st.integers(-(2**31), 2**31 - 1)
_FEW = TooFewMatches(4, 10)
_REMARKS = st.sampled_from([_FEW, NotAligned(), NotTied("GAIA", (_FEW,))])
_ANYTHING = st.recursive(
    st.none() | st.booleans() | _INTEGERS | TEXTS | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
_ELEMENTS = {
    np.float64: st.floats(-1e9, 1e9) | st.just(np.nan),
    np.float32: st.floats(allow_nan=True, width=32),
    np.int64: _INTEGERS,
    np.uint8: st.integers(0, 255),
    np.str_: TEXTS,
    np.generic: TEXTS,
}
# as those of one field: of one plane, so that they follow each other, and invertible
_PLANES = st.builds(TangentPlane, st.floats(34.0, 34.05), st.floats(-5.05, -5.0))
_TRANSFORMS = st.builds(
    lambda shift, roll, scale, error: LinearTransform(
        LinearTransform.from_parameters(TangentPlane(34.02, -5.0), roll=roll, scale=scale).matrix,
        shift,
        TangentPlane(34.02, -5.0),
        error * np.eye(6),
    ),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    st.floats(-0.5, 0.5),
    st.floats(0.99, 1.01),
    st.floats(0, 1e-6),
)
_SPECIAL = {TangentPlane: _PLANES, LinearTransform: _TRANSFORMS, Any: _ANYTHING}
_SCALARS = {bool: st.booleans(), int: _INTEGERS, float: _NUMBERS, str: TEXTS}


@st.composite
def values_of(draw: st.DrawFn, cls: type) -> Any:
    """Values of a class with declared fields; arrays that share an axis share its length."""
    if cls in _SPECIAL:
        return draw(_SPECIAL[cls])
    lengths: dict[str, int] = {}
    found = {}
    for one in declarations_of(cls):
        if one.is_derived:
            continue
        for name in one.shape:
            if isinstance(name, str) and name not in lengths:
                lengths[name] = draw(st.integers(0, 3))
        shape = tuple(lengths.get(name, name) for name in one.shape)
        found[one.name] = draw(_of(one.hint, shape))
    return cls(**found)


def _of(hint: Any, shape: tuple[int, ...] = ()) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(one for one in arguments if one is not type(None))
        return st.none() | _of(inner, shape)
    if origin is np.ndarray:
        return _arrays(typing.get_args(arguments[1])[0], shape)
    if origin is tuple:
        if arguments[-1] is ...:
            return st.lists(_of(arguments[0]), max_size=2).map(tuple)
        return st.tuples(*map(_of, arguments))
    if origin is Mapping:
        return st.dictionaries(TEXTS, _of(arguments[1]), max_size=2)
    return _plain(hint)


def _plain(hint: Any) -> st.SearchStrategy[Any]:
    if hint in _SPECIAL or hint in _SCALARS:
        return _SPECIAL.get(hint, _SCALARS.get(hint))
    if issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    if issubclass(hint, Remark):
        return _REMARKS
    assert is_dataclass(hint)
    return values_of(hint)


def _arrays(dtype: type, shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    if dtype in (np.str_, np.generic):
        count = int(np.prod(shape))
        texts = st.lists(TEXTS, min_size=count, max_size=count)
        return texts.map(lambda found: np.array(found, dtype=str).reshape(shape))
    # those of a mosaic's frame are known
    is_known = len(shape) == 2 and dtype is not np.uint8
    elements = st.floats(-1e9, 1e9, width=32) if is_known else _ELEMENTS[dtype]
    return arrays.arrays(dtype, shape, elements=elements)


def assert_same(one: Any, other: Any, place: str = "") -> None:
    """Two values say the same; what neither knows is the same as well."""
    assert type(one) is type(other), place
    if isinstance(one, np.ndarray):
        assert one.dtype.kind == other.dtype.kind, place
        np.testing.assert_array_equal(one, other, place)
    elif is_dataclass(one) and not isinstance(one, Remark):
        for field in declarations_of(type(one)):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{place}.{field.name}")
    elif isinstance(one, Mapping):
        assert set(one) == set(other), place
        for name in one:
            assert_same(one[name], other[name], f"{place}.{name}")
    elif isinstance(one, tuple):
        assert len(one) == len(other), place
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{place}.{number}")
    else:
        assert one == other or (one != one and other != other), place  # noqa: PLR0124  # NaN
