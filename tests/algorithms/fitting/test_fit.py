from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.algorithms.fitting.fit import LinearFit, biweight_variance, fit_linear, robust_weights
from grism_align.values.transform import LinearTransform, TangentPlane

PLANE = TangentPlane(53.1, -27.8)
GEOMETRIES = ("shift", "rshift", "rscale", "general")
# Matrices that each geometry can hold; the shift is free in all.
TRUTH = {
    "shift": np.eye(2),
    "rshift": LinearTransform.from_parameters(PLANE, roll=0.3).matrix,
    "rscale": LinearTransform.from_parameters(PLANE, roll=-0.2, scale=1.0007).matrix,
    "general": np.array([[1.001, 0.002], [-0.0005, 0.9992]]),
}


def pairs(geometry, rng, n=120, outliers=0, noise=None, shift=(1.3, -2.1)):
    """Source, target, error and truth; the field is off the plane's origin."""
    truth = LinearTransform(TRUTH[geometry], shift, PLANE)
    source = rng.uniform(-60, 60, (n, 2)) + np.array([30, -20])
    error = rng.uniform(0.005, 0.02, n)
    spread = error if noise is None else np.hypot(error, noise)
    target = truth.apply(source) + spread[:, None] * rng.normal(size=(n, 2))
    target[:outliers] += rng.uniform(0.15, 3, (outliers, 1)) * rng.choice([-1, 1], (outliers, 2))
    return source, target, error, truth


def parameters(transform):
    return np.concatenate([transform.shift, transform.matrix.ravel()])


@pytest.mark.parametrize("outliers", [0, 24])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_truth_is_recovered(geometry, outliers):
    rng = np.random.default_rng(11)
    source, target, error, truth = pairs(geometry, rng, outliers=outliers)
    fit = fit_linear(source, target, error, PLANE, geometry, 4.0)
    difference = parameters(fit.transform) - parameters(truth)
    sigma = np.sqrt(np.diag(fit.transform.covariance))
    free = sigma > 0
    assert (np.abs(difference[free]) < 4 * sigma[free]).all()
    np.testing.assert_allclose(difference[~free], 0, atol=1e-6)  # cosines of a roll
    # where the sources are, the field's centre above all, the map is known to the noise over sqrt(N)
    at = fit.transform.apply([30.0, -20.0]) - truth.apply([30.0, -20.0])
    assert np.abs(at).max() < 4 * 0.0125 / np.sqrt(120 - outliers)
    assert (fit.weight[:outliers] == 0).all()
    assert (fit.weight[outliers:] > 0).mean() > 0.98
    assert fit.rms == pytest.approx(np.sqrt(np.mean(error**2)), rel=0.3)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_pulls_have_unit_width(geometry):
    rng = np.random.default_rng(12)
    pulls = []
    for _ in range(100):
        source, target, error, truth = pairs(geometry, rng, n=40, outliers=3)
        fit = fit_linear(source, target, error, PLANE, geometry, 4.0)
        sigma = np.sqrt(np.diag(fit.transform.covariance))
        pulls.append((parameters(fit.transform) - parameters(truth))[sigma > 0] / sigma[sigma > 0])
    width = np.std(pulls, axis=0)
    # 100 fits: known to 7 %; the biweight costs and claims a few per cent more
    np.testing.assert_allclose(width, 1, atol=0.25)
    assert (np.abs(np.mean(pulls, axis=0)) < 4 * width / 10).all()


def test_covariance_of_shift_and_matrix_go_together():
    """Far from the origin the shift is uncertain, where the sources are the map is not."""
    rng = np.random.default_rng(13)
    source, target, error, _ = pairs("rscale", rng)
    far = np.array([4000.0, -3000.0])
    fit = fit_linear(source + far, target + far, error, PLANE, "rscale", 4.0)
    assert fit.transform.shift_error.min() > 0.02
    at = np.concatenate([np.eye(2), np.kron(np.eye(2), far + np.array([30, -20]))], axis=1)
    there = np.sqrt(np.diag(at @ fit.transform.covariance @ at.T))
    assert there.max() < 0.002


@settings(max_examples=25)
@given(st.sampled_from(GEOMETRIES), st.permutations(range(30)), st.floats(-1e3, 1e3))
def test_order_and_place_do_not_matter(geometry, order, east):
    source, target, error, _ = pairs(geometry, np.random.default_rng(14), n=30, outliers=3)
    fit = fit_linear(source, target, error, PLANE, geometry, 4.0)
    shuffled = fit_linear(source[order], target[order], error[order], PLANE, geometry, 4.0)
    np.testing.assert_allclose(parameters(shuffled.transform), parameters(fit.transform), atol=1e-8)
    np.testing.assert_allclose(shuffled.weight, fit.weight[order], atol=1e-6)
    away = np.array([east, 0.0])
    moved = fit_linear(source + away, target + away, error, PLANE, geometry, 4.0)
    np.testing.assert_allclose(moved.transform.matrix, fit.transform.matrix, atol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1])
def test_unexplained_scatter_is_found(noise):
    rng = np.random.default_rng(15)
    source, target, error, truth = pairs("rshift", rng, n=400, outliers=20, noise=noise)
    fit = fit_linear(source, target, error, PLANE, "rshift", 4.0)
    assert fit.scatter == pytest.approx(noise, abs=max(0.12 * noise, 0.004))
    difference = parameters(fit.transform) - parameters(truth)
    assert (np.abs(difference) <= 4 * np.sqrt(np.diag(fit.transform.covariance)) + 1e-6).all()


@given(st.floats(1.5, 20), st.lists(st.floats(-1e3, 1e3), min_size=1))
def test_robust_weights(clip, pull):
    weight = robust_weights(np.array(pull), clip)
    assert ((weight >= 0) & (weight <= 1)).all()
    far = np.abs(pull) >= clip * np.sqrt(2)
    assert (weight[far] == 0).all()
    order = np.argsort(np.abs(pull))
    assert (np.diff(weight[order]) <= 0).all()
    assert robust_weights(np.zeros(1), clip)[0] == 1


@pytest.mark.parametrize("geometry", GEOMETRIES[1:])
def test_too_few_sources(geometry):
    with pytest.raises(ValueError, match=f"2 sources don't determine geometry {geometry}"):
        fit_linear(np.eye(2), np.eye(2), np.ones(2), PLANE, geometry, 4.0)


def test_one_source_is_enough_for_a_shift():
    fit = fit_linear(np.zeros((1, 2)), np.array([[1.0, 2.0]]), np.array([0.1]), PLANE, "shift", 4.0)
    np.testing.assert_allclose(fit.transform.shift, [1, 2])
    np.testing.assert_allclose(fit.transform.shift_error, 0.1 * np.sqrt(biweight_variance(4.0)))
    assert fit.rms == 0


def test_roll_alone_is_a_rotation_to_all_orders():
    truth = LinearTransform.from_parameters(PLANE, (0.5, 0.0), 2.0)
    source = np.random.default_rng(17).uniform(-60, 60, (20, 2))
    fit = fit_linear(source, truth.apply(source), np.full(20, 1.0), PLANE, "rshift", 4.0)
    assert fit.transform.scale == pytest.approx(1, abs=1e-14)
    assert fit.transform.roll == pytest.approx(2, abs=1e-10)
    np.testing.assert_allclose(fit.residual, 0, atol=1e-10)


def test_without_weight_there_is_no_rms():
    transform = LinearTransform.identity(PLANE)
    assert np.isnan(LinearFit(transform, np.ones((3, 2)), np.zeros(3), 0.0, "shift").rms)
    assert LinearFit(transform, np.ones((3, 2)), np.ones(3), 0.0, "shift").rms == 1


def test_nothing_agrees():
    """Two clumps that no shift joins: the fit says so by its scatter or its weights, and never fails."""
    source = np.zeros((2, 2))
    target = np.array([[0.0, 0.0], [100.0, 0.0]])
    fit = fit_linear(source, target, np.full(2, 0.01), PLANE, "shift", 1.5)
    assert fit.rms > 10


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_tweakwcs_agrees(geometry):
    """No clipping, no outliers, equal errors: both are plain least squares."""
    linearfit = pytest.importorskip("tweakwcs.linearfit")
    source, target, error, _ = pairs(geometry, np.random.default_rng(91))
    error[:] = 0.02
    ours = fit_linear(source, target, error, PLANE, geometry, 1e3)
    theirs = linearfit.iter_linear_fit(target, source, wuv=error**-2.0, fitgeom=geometry, nclip=0)
    at = theirs["center"]
    np.testing.assert_allclose(theirs["matrix"], ours.transform.matrix, atol=1e-9)
    np.testing.assert_allclose(theirs["shift"] + at, ours.transform.apply(at), atol=1e-7)
    np.testing.assert_allclose(theirs["resids"], -ours.residual, atol=1e-7)
