from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from grism_align.algorithms.matching.vote import poisson_surprise, vote_by_offsets, vote_by_pairs
from grism_align.values.transform import LinearTransform
from tests.support.lists import PLANE, field


@pytest.mark.parametrize("shift", [(3.0, -2.0), (-59.9, 59.9), (0.0, 0.0)])
def test_offsets_vote_for_the_shift(shift):
    xy, _ = field(np.random.default_rng(31), 60)
    best, *others = vote_by_offsets(xy, xy + np.array(shift), 60.0, 0.3)
    assert best.shift == pytest.approx(shift)
    assert (best.roll, best.votes >= 60) == (0.0, True)
    assert best.center == pytest.approx(xy.mean(axis=0))
    for other in others:
        assert np.abs(np.subtract(other.shift, shift)).max() > 0.6


def test_offsets_out_of_reach_get_no_vote():
    xy, _ = field(np.random.default_rng(33), 5, side=10.0)
    assert vote_by_offsets(xy, xy + 100.0, 10.0, 0.3) == []


def test_long_lists_vote_with_their_brightest():
    xy, _ = field(np.random.default_rng(34), 3000)
    best, *_ = vote_by_offsets(xy, xy + np.array([7.0, -4.0]), 20.0, 0.3)
    assert best.shift == pytest.approx((7, -4))
    # the brightest 1000 of each: a million differences
    assert best.votes == pytest.approx(1000, abs=80)


@settings(max_examples=20)
@given(st.floats(-180, 180), st.floats(-50, 50), st.floats(-50, 50))
def test_pairs_vote_for_any_roll(roll, x, y):
    xy, _ = field(np.random.default_rng(32), 40)
    truth = LinearTransform.from_parameters(PLANE, (x, y), roll, center=xy.mean(axis=0))
    best = vote_by_pairs(xy, truth.apply(xy)[::-1], 60.0, 0.05, 180.0)[0]
    assert best.shift == pytest.approx((x, y), abs=1e-6)
    assert (best.roll - roll + 180) % 360 == pytest.approx(180, abs=1e-6)


def test_pairs_vote_within_the_limits():
    xy, _ = field(np.random.default_rng(35), 40)
    moved = LinearTransform.from_parameters(PLANE, (3.0, -2.0), 20.0, center=xy.mean(axis=0)).apply(xy)
    assert vote_by_pairs(xy, moved, 10.0, 0.3, 180.0)[0].roll == pytest.approx(20)
    for reach, roll in ((1.0, 180.0), (10.0, 10.0)):
        for candidate in vote_by_pairs(xy, moved, reach, 0.05, roll):
            assert candidate.votes < 10  # 780 true votes are not among them
    assert vote_by_pairs(xy[:1], moved, 10.0, 0.3, 180.0) == []  # no pair, no vote


def test_surprise_is_the_logarithm_of_a_poisson_probability():
    count, mean = np.array([3, 10, 40]), np.array([0.1, 2.0, 9.0])
    # the bound of Chernoff: above the tail, and by less than a few
    tail = -poisson.logsf(count - 1, mean)
    surprise = poisson_surprise(count, mean)
    assert (surprise <= tail).all()
    np.testing.assert_allclose(surprise, tail, atol=3.0)
    assert poisson_surprise(np.array([1]), np.array([5.0])) == 0
