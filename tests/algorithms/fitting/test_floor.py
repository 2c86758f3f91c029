from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.fitting.floor import estimate_floor

LEAST = 1e-3


def sources(floor, rng, inflation=1.0, n=400):
    """Residuals of sources of all brightnesses, and the errors that they are said to have."""
    error = np.geomspace(0.002, 0.2, n)
    return rng.normal(size=(n, 2)) * np.hypot(inflation * error, floor)[:, None], error


@pytest.mark.parametrize("floor", [0.005, 0.02, 0.1])
def test_a_floor_is_recovered(floor):
    found = [estimate_floor(*sources(floor, np.random.default_rng(seed)), LEAST) for seed in range(20)]
    # a median of some 100 effective residuals gives a width to 12 %; of 20 sets to 3 %
    assert np.mean(found) == pytest.approx(floor, rel=0.1)
    np.testing.assert_allclose(found, floor, rtol=0.6)


def test_faint_sources_with_underestimated_errors_do_not_raise_it():
    found = [estimate_floor(*sources(0.005, np.random.default_rng(s), 1.15), LEAST) for s in range(20)]
    assert np.mean(found) < 0.0075


def test_no_floor_where_the_errors_say_all():
    found = [estimate_floor(*sources(0.0, np.random.default_rng(seed)), LEAST) for seed in range(20)]
    assert np.mean(found) < 0.002
    assert min(found) == LEAST


def test_it_scales_with_the_unit():
    residual, error = sources(0.02, np.random.default_rng(1))
    one, thousand = estimate_floor(residual, error, LEAST), estimate_floor(1e3 * residual, 1e3 * error, 1.0)
    assert thousand == pytest.approx(1e3 * one, rel=1e-3)


def test_outliers_count_by_number_only():
    residual, error = sources(0.02, np.random.default_rng(2))
    clean = estimate_floor(residual, error, LEAST)
    residual[::40] += 5.0
    assert estimate_floor(residual, error, LEAST) == pytest.approx(clean, rel=0.25)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_to_tell(n):
    assert estimate_floor(np.ones((n, 2)), np.full(n, 0.1), LEAST) == LEAST


def test_zero_least():
    assert estimate_floor(np.zeros((5, 2)), np.full(5, 0.1), 0.0) == 0.0
    assert estimate_floor(np.array([[1.0, -1.0]] * 5), np.full(5, 1e-6), 0.0) == pytest.approx(
        1.4826, rel=1e-3
    )
