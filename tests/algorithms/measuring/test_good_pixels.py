"""Which pixels count: flags of any type, values and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.algorithms.measuring.good_pixels import good_pixels, has_bits

TYPES = ["i2", ">i2", "u2", "i4", "u4"]


@pytest.mark.parametrize("dtype", TYPES)
@given(flags=st.integers(0, 2**15 - 1), bits=st.integers(0, 2**15 - 1))
def test_bits_are_those_of_integers(dtype, flags, bits):
    dq = np.array([[flags]], dtype)
    assert has_bits(dq, bits).item() is bool(flags & bits)
    assert has_bits(dq, ~bits).item() is bool(flags & ~bits)


@pytest.mark.parametrize("dtype", TYPES)
def test_the_highest_bit_is_a_bit_like_others(dtype):
    highest = 8 * np.dtype(dtype).itemsize - 1
    dq = np.array([1 << highest]).astype(f"u{np.dtype(dtype).itemsize}").astype(dtype)
    assert has_bits(dq, 1 << highest).all()
    assert has_bits(dq, ~0).all()
    assert not has_bits(dq, ~(1 << highest)).any()


def test_values_and_errors_must_be_numbers():
    sci = np.array([[1.0, np.nan, 1.0, 1.0, 1.0, 1.0]])
    err = np.array([[1.0, 1.0, np.inf, 0.0, 1.0, 1.0]])
    dq = np.array([[0, 0, 0, 0, 4, 2]])
    assert good_pixels(sci, err, dq, 2).tolist() == [[True, False, False, False, False, True]]
