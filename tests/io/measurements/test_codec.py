"""Measurements as bytes: the same after reading, whatever they are, and nothing else is read."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from grism_align.io.measurements.codec import NotKeptError, decode, encode
from grism_align.values.catalog import SourceCatalog

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_ARRAYS = arrays.arrays(
    st.sampled_from(["<f8", "<f4", "<i8", "?", "<u2", "<U5"]),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=10,
)


@dataclass(frozen=True, eq=False)
class Measured:
    """What a test measures."""

    height: np.ndarray
    note: str


@given(_VALUES)
def test_what_was_kept_is_read(value):
    found = decode(encode(value))
    assert found == value
    assert repr(found) == repr(value)


@given(_ARRAYS)
def test_arrays_are_the_same_to_the_last_bit(array):
    found = decode(encode((array, array.T)))
    for one, other in zip(found, (array, array.T), strict=True):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        assert one.flags.c_contiguous == other.flags.c_contiguous
        assert one.flags.writeable


def test_numbers_of_numpy_and_dataclasses_come_back_as_they_were():
    one, number, nothing = decode(
        encode((Measured(np.arange(3.0), "x"), np.float32(0.1), np.nan), (Measured,)), (Measured,)
    )
    assert isinstance(one, Measured)
    assert one.height.tolist() == [0, 1, 2]
    assert one.note == "x"
    assert type(number) is np.float32
    assert number == np.float32(0.1)
    assert np.isnan(nothing)


def test_a_catalog():
    meta = {"settings": {"threshold": 6.0, "centroid": "psf"}, "counts": {"peaks": 3}, "remarks": []}
    columns = {name: np.arange(2) / 3 for name in SourceCatalog.empty().table.colnames}
    catalog = SourceCatalog.from_columns(columns, meta)
    found = decode(encode(catalog, (SourceCatalog,)), (SourceCatalog,)).table
    assert found.meta == meta
    assert found.colnames == catalog.table.colnames
    for name in found.colnames:
        assert found[name].unit == catalog.table[name].unit
        assert found[name].dtype == catalog.table[name].dtype
        assert found[name].tobytes() == catalog.table[name].tobytes()


@pytest.mark.parametrize(
    "value",
    [
        ValueError("x"),
        Measured(np.zeros(1), ""),
        np.array([object()]),
        np.ma.masked_array([1.0], [True]),
        Table(np.ma.masked_array([[1.0]], [[True]]), masked=True),
        {1, 2},
    ],
)
def test_anything_else_is_not_kept(value):
    with pytest.raises(NotKeptError):
        encode([value])


def _content(tree, body=b""):
    return json.dumps(tree).encode() + b"\n" + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        _content({"array": ["<f8", [2], "C"]}, bytes(8)),
        _content({"array": ["<f8", [1 << 40], "C"]}, bytes(8)),
        _content({"array": ["<f8", [-1], "C"]}, bytes(8)),
        _content({"array": ["O", [1], "C"]}, bytes(8)),
        _content({"array": ["<f8", [1], "C"]}, bytes(9)),
        _content({"class": ["Measured", [1]]}),
        _content({"class": ["Path", ["/"]]}),
        _content({"eval": ["1"]}),
        _content({"list": [], "tuple": []}),
        _content([1]) + b"x",
        b"[" * 100_000 + b"\n",
    ],
)
def test_what_is_damaged_is_refused(content):
    with pytest.raises((ValueError, KeyError, TypeError, RecursionError)):
        decode(content, (Measured,))
