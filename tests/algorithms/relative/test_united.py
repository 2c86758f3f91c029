"""Lists of sources that grow are what they would be if each was compared with all."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grism_align.algorithms.matching.match import mutual_nearest
from grism_align.algorithms.relative.cluster import neighbours
from grism_align.algorithms.relative.members import PointingSources
from grism_align.algorithms.relative.united import SeenSources, Tiles, UnitedSources, united
from grism_align.values.settings import MatchSettings
from tests.support.lists import plane_list


def observed(rng, n, step):
    """Exposures along a strip, of sources that most of them see."""
    stars = rng.uniform([-60, -60], [60 + step * n, 60], (30 + 10 * n, 2))
    lists = []
    for number in range(n):
        away = np.abs(stars - [step * number, 0.0]).max(axis=1)
        seen = (away < 60) & (rng.uniform(size=len(stars)) < 0.8)
        xy = stars[seen] + rng.normal(0, 0.05, (seen.sum(), 2))
        lists.append(plane_list(xy, rng.uniform(18, 24, len(xy)), rng.uniform(0.005, 0.02, len(xy))))
    return lists


@given(st.integers(0, 2**32), st.integers(1, 6), st.floats(0, 90), st.floats(0.05, 2.0))
def test_they_are_united_as_if_each_was_compared_with_all(seed, n, step, radius):
    lists = [own for own in observed(np.random.default_rng(seed), n, step) if len(own)]
    if not lists:
        return
    whole = united(lists, radius)
    xy, error = lists[0].xy, lists[0].error
    count = np.ones(len(xy), dtype=int)
    for own in lists[1:]:
        i, j = mutual_nearest(xy, own.xy, radius).T
        mine, theirs = error[i] ** -2.0, own.error[j] ** -2.0
        xy, error, count = xy.copy(), error.copy(), count.copy()
        xy[i] += (theirs / (mine + theirs))[:, None] * (own.xy[j] - xy[i])
        error[i] = (mine + theirs) ** -0.5
        count[i] += 1
        alone = np.setdiff1d(np.arange(len(own)), j)
        xy, error = np.concatenate([xy, own.xy[alone]]), np.concatenate([error, own.error[alone]])
        count = np.concatenate([count, np.ones(len(alone), int)])
    np.testing.assert_allclose(whole.positions.xy, xy)
    np.testing.assert_allclose(whole.positions.error, error)
    np.testing.assert_array_equal(whole.count, count)


def test_it_counts_what_was_seen_twice():
    lists = observed(np.random.default_rng(3), 4, 30.0)
    growing = UnitedSources(SeenSources.by_one(lists[0]))
    for own in lists[1:]:
        growing.join(SeenSources.by_one(own), growing.same(own, 0.3))
    assert growing.n_twice == (growing.seen().count > 1).sum()
    assert len(growing) == len(growing.seen().count)


@given(st.integers(0, 2**32), st.floats(0.1, 30.0))
def test_tiles_have_all_that_is_near(seed, side):
    rng = np.random.default_rng(seed)
    xy = rng.normal(0, 30, (100, 2))
    tiles = Tiles(side)
    tiles.put(np.arange(100), rng.normal(0, 30, (100, 2)))
    tiles.put(np.arange(100), xy)
    low = rng.normal(0, 30, 2)
    high = low + rng.uniform(0, 60, 2)
    inside = np.flatnonzero(((xy >= low) & (xy <= high)).all(axis=1))
    near = tiles.near(low, high)
    assert np.isin(inside, near).all()
    assert (np.diff(near) > 0).all()
    # and nothing beyond the tiles that are touched
    assert (np.abs(xy[near] - 0.5 * (low + high)) <= 0.5 * (high - low) + side).all()


def test_what_is_nowhere_is_in_no_tile():
    tiles = Tiles.for_list(np.array([[0.0, 0.0], [np.nan, 1.0], [8.0, 8.0]]))
    tiles.put(np.arange(3), np.array([[0.0, 0.0], [np.nan, 1.0], [8.0, 8.0]]))
    assert tiles.near(np.array([-1e9, -1e9]), np.array([1e9, 1e9])).tolist() == [0, 2]


def test_pairs_grow_with_the_field():
    """Not with its square: of a strip twice as long there are twice as many, and in its order."""
    rng = np.random.default_rng(5)
    numbers = []
    for n in (20, 40, 80):
        pointings = [
            PointingSources((f"e{k}",), (own,), ("ir",), f"v{k // 2}", k, 0.13, k == 0, f"v{k // 2}")
            for k, own in enumerate(observed(rng, n, 60.0))
        ]
        pairs = neighbours(pointings, MatchSettings())
        numbers.append(len(pairs))
        together = [pointings[i].visit == pointings[j].visit for i, j in pairs]
        assert together == sorted(together, reverse=True)
    assert numbers[1] < 2.3 * numbers[0]
    assert numbers[2] < 2.2 * numbers[1]
