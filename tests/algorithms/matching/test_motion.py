from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.algorithms.fitting.fit import weighted_transform
from grism_align.algorithms.matching.motion import rigid_motion, robust_motion_weights
from grism_align.values.transform import LinearTransform
from tests.support.lists import PLANE


@given(st.floats(-179, 179), st.floats(-50, 50), st.floats(-50, 50))
def test_a_rigid_motion_is_recovered(roll, x, y):
    rng = np.random.default_rng(70)
    xy = rng.uniform(-60, 60, (5, 2))
    truth = LinearTransform.from_parameters(PLANE, (x, y), roll)
    matrix, shift = rigid_motion(xy, truth.apply(xy), rng.uniform(0.1, 2, 5))
    np.testing.assert_allclose(matrix, truth.matrix, atol=1e-12)
    np.testing.assert_allclose(shift, truth.shift, atol=1e-9)


def fitted(rng, understated: float):
    """A robust fit of 60 pairs of which 6 are false, and the misses of the false pairs' weights."""
    truth = LinearTransform.from_parameters(PLANE, (3.0, -2.0), 40.0)
    source, error = rng.uniform(-60, 60, (60, 2)), rng.uniform(0.005, 0.02, 60)
    target = truth.apply(source) + understated * error[:, None] * rng.normal(size=(60, 2))
    target[:6] += 0.3 * np.sign(rng.normal(size=(6, 2)))
    start = rigid_motion(source, target, np.ones(60))
    weight, total = robust_motion_weights(source, target, error, *start, 4.0)
    return truth, weighted_transform(source, target, weight, PLANE, "rshift"), weight, total / error


@pytest.mark.parametrize("understated", [1.0, 2.0])
def test_false_pairs_get_no_weight_and_the_error_is_honest(understated):
    pulls = []
    for seed in range(300):
        truth, transform, weight, _ = fitted(np.random.default_rng([71, seed]), understated)
        assert (weight[:6] == 0).all()
        pulls.append((transform.shift - truth.shift) / transform.shift_error)
    # 600 pulls tell their rms to 3 %; the scatter has to be estimated besides
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.0, abs=0.12)


def test_unexplained_scatter_is_added_to_the_errors():
    growth = [np.median(fitted(np.random.default_rng([72, seed]), 2.0)[3]) for seed in range(50)]
    assert np.median(growth) == pytest.approx(2.0, rel=0.15)
    assert (np.array(growth) >= 1).all()


def test_pairs_that_contradict_each_other_keep_their_weight():
    rng = np.random.default_rng(73)
    source, target = rng.uniform(-60, 60, (2, 5, 2))
    error = np.full(5, 1e-6)
    weight, _ = robust_motion_weights(source, target, error, np.eye(2), np.array([1e6, 0.0]), 4.0)
    assert np.isfinite(weight).all()
    assert (weight > 0).sum() >= 2
