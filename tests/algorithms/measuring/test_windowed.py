"""What a window makes of moments: laws, and the moments of Gaussians summed up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.algorithms.measuring.windowed import WIDEST, response, unwindowed


@given(st.floats(0.01, 9.9), st.floats(-0.1, 0.1))
def test_of_a_gaussian_they_are_exact(variance, shift):
    """In a window of unit variance, by sums over a fine grid."""
    x = np.arange(-40, 40, 0.02)
    weighted = np.exp(-0.5 * (x - shift) ** 2 / variance) * np.exp(-0.5 * x**2)
    first = (weighted * x).sum() / weighted.sum()
    second = (weighted * x**2).sum() / weighted.sum() - first**2
    assert unwindowed(second) == pytest.approx(variance, rel=1e-6)
    assert first == pytest.approx(response(second) * shift, abs=1e-9)


@given(st.floats(-10, 10))
def test_they_stay_within_bounds(variance):
    assert response(variance) + 1e-12 >= 1 - WIDEST
    assert response(variance) <= 1
    assert 0 <= unwindowed(variance) <= WIDEST / (1 - WIDEST)
    assert response(variance, 0.5) >= 0.5
