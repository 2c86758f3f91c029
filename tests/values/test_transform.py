from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.values.errors import PlaneMismatchError
from grism_align.values.transform import LinearTransform, TangentPlane

PLANE = TangentPlane(53.1, -27.8)
POINTS = np.array([[0.0, 0.0], [90.0, 0.0], [-40.0, 75.0], [10.0, -80.0], [60.0, 60.0]])

small = st.floats(-0.01, 0.01)
shifts = st.tuples(st.floats(-30, 30), st.floats(-30, 30))
transforms = st.builds(
    lambda terms, shift: LinearTransform(np.eye(2) + np.reshape(terms, (2, 2)), shift, PLANE),
    st.tuples(small, small, small, small),
    shifts,
)


def parameters(transform):
    return np.concatenate([transform.shift, transform.matrix.ravel()])


def rebuilt(values, plane=PLANE, covariance=None):
    extra = {} if covariance is None else {"covariance": covariance}
    return LinearTransform(np.reshape(values[2:], (2, 2)), values[:2], plane, **extra)


def covariance(seed, size=1.0):
    """A covariance with arcsec and dimensionless parts as those of a fit, times `size` squared."""
    root = np.random.default_rng(seed).normal(size=(6, 6)) * np.array([1e-2, 1e-2, *[1e-4] * 4])[:, None]
    return size**2 * root @ root.T


def jacobian(function, at):
    """Central differences of a map of parameters, steps well above rounding."""
    steps = np.array([1e-2, 1e-2, *[1e-4] * 4])
    columns = [
        (function(at + h * unit) - function(at - h * unit)) / (2 * h)
        for h, unit in zip(steps, np.eye(6), strict=True)
    ]
    return np.column_stack(columns)


@given(transforms)
def test_inverse_undoes(transform):
    for both in (transform.then(transform.inverted()), transform.inverted().then(transform)):
        np.testing.assert_allclose(both.apply(POINTS), POINTS, atol=1e-10)


@given(transforms, transforms, transforms)
def test_composition(first, second, third):
    np.testing.assert_allclose(
        first.then(second).apply(POINTS), second.apply(first.apply(POINTS)), atol=1e-10
    )
    left, right = first.then(second).then(third), first.then(second.then(third))
    np.testing.assert_allclose(parameters(left), parameters(right), atol=1e-10)


@given(shifts, st.floats(-5, 5), st.floats(0.9, 1.1), shifts)
def test_parameters_are_read_back(shift, roll, scale, center):
    transform = LinearTransform.from_parameters(PLANE, shift, roll, scale, center)
    assert transform.roll == pytest.approx(roll, abs=1e-10)
    assert transform.scale == pytest.approx(scale)
    assert transform.skew == pytest.approx(0, abs=1e-10)
    np.testing.assert_allclose(transform.apply(center), np.add(center, shift), atol=1e-10)


def test_roll_is_a_growth_of_position_angles():
    north, east = LinearTransform.from_parameters(PLANE, roll=1.0).apply([[0.0, 100.0], [100.0, 0.0]])
    assert np.degrees(np.arctan2(*north)) == pytest.approx(1)
    assert np.degrees(np.arctan2(*east)) == pytest.approx(91)


def test_skew_of_a_shear():
    assert LinearTransform([[1, 0.01], [0, 1]], [0, 0], PLANE).skew == pytest.approx(
        np.degrees(np.arctan(0.01))
    )


def test_identity():
    identity = LinearTransform.identity(PLANE)
    np.testing.assert_array_equal(identity.apply(POINTS), POINTS)
    assert identity.at(TangentPlane(PLANE.ra + 1e-12, PLANE.dec)) is identity
    np.testing.assert_array_equal(identity.shift_error, 0)


def test_planes_must_agree():
    other = LinearTransform.identity(TangentPlane(53.2, -27.8))
    with pytest.raises(PlaneMismatchError):
        LinearTransform.identity(PLANE).then(other)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((np.eye(3), [0, 0]), r"matrix has shape \(3, 3\), not \(2, 2\)"),
        ((np.eye(2), [0, 0, 0]), "shift has shape"),
        ((np.eye(2), [0, 0], np.zeros((4, 4))), "covariance has shape"),
        ((np.zeros((2, 2)), [0, 0]), "no invertible map"),
        ((np.eye(2), [np.nan, 0]), "no invertible map"),
        ((np.full((2, 2), np.inf), [0, 0]), "no invertible map"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in det")
def test_wrong_arrays(arrays, message):
    matrix, shift, *rest = arrays
    with pytest.raises(ValueError, match=message):
        LinearTransform(matrix, shift, PLANE, *rest)


def test_arrays_are_copied_and_frozen():
    shift = np.zeros(2)
    transform = LinearTransform(np.eye(2), shift, PLANE)
    shift[0] = 5
    assert transform.shift[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        transform.matrix[0, 0] = 2


@pytest.mark.parametrize("dec", [0.0, -65.0, -85.0, 89.99])
@pytest.mark.parametrize("roll", [0.0, 0.5])
@pytest.mark.parametrize("apart", [(80.0, -100.0), (-480.0, 360.0)])
def test_another_place_agrees_on_the_sky(dec, roll, apart):
    """To shift x distance^2, 0.01 mas at 3' for 15", as documented; and what a roll moves is a shift, too."""
    home, away = TangentPlane(359.99, dec), TangentPlane(*TangentPlane(359.99, dec).to_sky(apart))
    transform = LinearTransform.from_parameters(home, (9.0, -12.0), roll, 1.0002)
    there = transform.at(away)
    assert there.plane == away
    ring = np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, 6, 12)])
    for radius, limit in ((0.0, 1e-9), (60.0, 0.004e-3), (180.0, 0.02e-3)):
        sky = away.to_sky(radius * ring)
        difference = away.to_plane(there.apply_to_sky(sky)) - away.to_plane(transform.apply_to_sky(sky))
        assert np.hypot(*difference.T).max() < limit


@given(transforms)
def test_there_and_back_between_planes(transform):
    away = TangentPlane(53.12, -27.83)
    back = transform.at(away).at(PLANE)
    np.testing.assert_allclose(back.apply(POINTS), transform.apply(POINTS), atol=2e-4)


def test_covariance_of_a_composition():
    first = LinearTransform([[1.01, 0.02], [-0.03, 0.99]], [10, -20], PLANE, covariance(1))
    second = LinearTransform([[0.98, -0.01], [0.015, 1.02]], [-5, 7], PLANE, covariance(2))
    by_first = jacobian(lambda p: parameters(rebuilt(p).then(second)), parameters(first))
    by_second = jacobian(lambda p: parameters(first.then(rebuilt(p))), parameters(second))
    expected = by_first @ first.covariance @ by_first.T + by_second @ second.covariance @ by_second.T
    np.testing.assert_allclose(first.then(second).covariance, expected, rtol=1e-6, atol=1e-13)


def test_covariance_of_an_inverse():
    transform = LinearTransform([[1.01, 0.02], [-0.03, 0.99]], [10, -20], PLANE, covariance(3))
    by = jacobian(lambda p: parameters(rebuilt(p).inverted()), parameters(transform))
    np.testing.assert_allclose(
        transform.inverted().covariance, by @ transform.covariance @ by.T, rtol=1e-5, atol=1e-13
    )
    # and twice is once
    np.testing.assert_allclose(
        transform.inverted().inverted().covariance, transform.covariance, rtol=1e-9, atol=1e-15
    )


@pytest.mark.parametrize("dec", [-27.8, -85.0])
def test_covariance_in_another_plane(dec):
    home = TangentPlane(53.1, dec)
    away = TangentPlane(*home.to_sky([120.0, -150.0]))
    transform = LinearTransform.from_parameters(home, (3.0, -4.0), 0.1)
    transform = LinearTransform(transform.matrix, transform.shift, home, covariance(4))
    by = jacobian(lambda p: parameters(rebuilt(p, home).at(away)), parameters(transform))
    expected = by @ transform.covariance @ by.T
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    # the analytic form leaves out terms of shift x distance, 1e-3 here
    np.testing.assert_array_less(np.abs(transform.at(away).covariance - expected) / size, 3e-3)


def test_covariances_against_monte_carlo():
    rng = np.random.default_rng(5)
    first, second = (
        LinearTransform.from_parameters(PLANE, (1.0, -2.0), 0.1, center=(50, 20)),
        LinearTransform.from_parameters(PLANE, (-3.0, 1.0), -0.2, 1.001),
    )
    covariances = covariance(6, 0.1), covariance(7, 0.1)
    away = TangentPlane(*PLANE.to_sky([60.0, 90.0]))
    n = 1500
    drawn = [
        rng.multivariate_normal(parameters(t), c, n)
        for t, c in zip((first, second), covariances, strict=True)
    ]
    sample = np.array(
        [parameters(rebuilt(a).then(rebuilt(b)).inverted().at(away)) for a, b in zip(*drawn, strict=True)]
    )
    a, b = (rebuilt(parameters(t), covariance=c) for t, c in zip((first, second), covariances, strict=True))
    predicted = np.diag(a.then(b).inverted().at(away).covariance)
    # a variance of n draws has a relative error of sqrt(2 / n) = 0.037
    np.testing.assert_allclose(sample.var(axis=0) / predicted, 1, atol=4 * np.sqrt(2 / n))
    np.testing.assert_allclose(a.then(b).shift_error, np.sqrt(np.diag(a.then(b).covariance)[:2]), rtol=1e-12)
