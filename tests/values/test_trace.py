"""Laws of models of traces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grism_align.values.detector import DetectorWindow
from grism_align.values.trace import TraceModel

PLACES = np.array([[3.0, 800.0], [512.0, 77.0], [1000.0, 1013.0]])


def coefficients(n_powers):
    """Coefficients of offsets, of polynomials of the place with as many terms as come."""
    shape = st.tuples(st.just(n_powers), st.integers(1, 7))
    small = st.floats(-1e-3, 1e-3)
    return shape.flatmap(lambda size: hnp.arrays(float, size, elements=small))


@given(coefficients(2), coefficients(3))
def test_columns_as_rows_exchange_the_offsets(dx, dy):
    model = TraceModel(dx, dy, (-40.0, 90.0))
    turned = model.transposed()
    for place in PLACES:
        # each offset for itself: points come in the order of the first
        expected = [np.sort(each[0]) for each in model.offsets(place)]
        found = [np.sort(each[0]) for each in turned.offsets(place[::-1])]
        assert found[1] == pytest.approx(expected[0], abs=1e-6)
        assert found[0] == pytest.approx(expected[1], abs=1e-6)


def test_what_was_missing_is_added_across_the_dispersion():
    model = TraceModel.straight(15, 196, 1.0)
    (dx, dy), (same, raised) = (
        one.offsets(PLACES) for one in (model, replace(model, curve=np.array([0.5, 0.01])))
    )
    assert same == pytest.approx(dx)
    assert raised - dy == pytest.approx(0.5 + 0.01 * dx)


def test_light_is_ahead_by_what_the_place_adds_to_its_offset():
    dx = np.array([[0.0, 2e-3, -1e-3], [1.0, 1e-5, 0.0]])
    model = TraceModel(dx, np.zeros((1, 1)), (-40.0, 90.0), tells_light=True)
    along, _ = model.offsets(PLACES)
    t = np.linspace(-40.0, 90.0, along.shape[1])
    assert model.ahead(PLACES) == pytest.approx(along - t)
    assert not replace(model, tells_light=False).ahead(PLACES).any()
    binned = DetectorWindow(ltm=(0.5, 0.5), ltv=(0.25, 0.25))
    assert binned.ahead(model, binned.from_chip(PLACES)) == pytest.approx(0.5 * (along - t))


def test_traces_that_change_less_stay_where_they_do_not_change():
    heights = np.array([[3.0, 1e-4, -2e-3, 0.0, 4e-7, 2e-7], [0.01, 2e-6, 4e-6, 0.0, 0.0, 0.0]])
    model = TraceModel(np.array([[0.0], [1.0]]), heights, (10.0, 200.0), curve=[0.5, 0.01])
    place, elsewhere = np.array([500.0, 300.0]), np.array([[100.0, 900.0]])
    assert model.changing_less(1.0, place) is model
    half, none = (model.changing_less(share, place) for share in (0.5, 0.0))
    np.testing.assert_allclose(half.offsets(place), model.offsets(place), atol=1e-12)
    np.testing.assert_allclose(none.offsets(elsewhere), model.offsets(place), atol=1e-12)
    mean = 0.5 * (model.offsets(place)[1] + model.offsets(elsewhere)[1])
    np.testing.assert_allclose(half.offsets(elsewhere)[1], mean, atol=1e-12)


def test_a_window_is_turned_with_its_pixels():
    window = DetectorWindow(ltm=(0.5, 0.25), ltv=(-3.0, 7.0))
    turned = window.transposed()
    assert turned.to_chip(PLACES[:, ::-1]) == pytest.approx(window.to_chip(PLACES)[:, ::-1])
    assert turned.transposed() == window
