from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.algorithms.matching.match import match_lists, mutual_nearest, mutual_nearest_in_each
from grism_align.values.errors import (
    AlignmentError,
    AmbiguousMatchError,
    LooseMatchError,
    TooFewMatchesError,
    UnreliableMatchError,
)
from grism_align.values.failure import TooFewMatches, TooFewPossible
from grism_align.values.settings import MatchSettings
from grism_align.values.transform import LinearTransform
from tests.support.lists import NOISE, PLANE, field, plane_list, random_list, seen

SETTINGS = MatchSettings()
CORNERS = np.array([[-60.0, -60.0], [60.0, -60.0], [60.0, 60.0], [-60.0, 60.0]])


@pytest.mark.parametrize(
    ("shift", "roll"),
    [
        ((0.0, 0.0), 0.0),
        ((0.1, -0.2), 0.01),
        ((5.0, 3.0), -0.15),
        ((-29.5, 0.3), 0.0),
        ((21.0, -29.0), 0.48),
        ((-12.345, 29.9), -0.5),
    ],
)
def test_offsets_and_rolls_are_found(shift, roll):
    rng = np.random.default_rng(21)
    stars = field(rng)
    first, first_star = seen(stars, LinearTransform.from_parameters(PLANE, shift, roll), rng, spurious=30)
    second, second_star = seen(stars, LinearTransform.identity(PLANE), rng, spurious=30)
    match = match_lists(first, second, PLANE, SETTINGS)
    truth = LinearTransform.from_parameters(PLANE, shift, roll).inverted()
    # two noises, 90 stars; a corner is as far off as the roll is uncertain
    limit = 4 * NOISE * np.sqrt(2 / 90) * 3
    np.testing.assert_allclose(match.transform.apply(CORNERS), truth.apply(CORNERS), atol=limit)
    i, j = match.pairs.T
    assert len(np.unique(i)) == len(np.unique(j)) == len(i)
    assert (first_star[i] == second_star[j]).all()
    possible = len(np.intersect1d(first_star, second_star)) - 1
    assert len(i) > 0.98 * possible
    assert match.probability < 1e-12


@pytest.mark.parametrize(
    ("shift", "roll"), [((60.0, 0.0), 0.05), ((-42.0, 42.0), 0.0), ((30.0, -51.0), -137.0)]
)
def test_large_offsets_and_a_third_of_overlap(shift, roll):
    """The 100 brightest of each list, 30 % of them common."""
    rng = np.random.default_rng(40)
    xy, mag = field(rng, 170, side=170.0)
    stars = xy * [1.2, 0.7], mag
    error = LinearTransform.from_parameters(PLANE, shift, roll)
    first, first_star = seen(stars, error, rng, center=(-42.0, 0.0), found=1.0)
    second, second_star = seen(stars, LinearTransform.identity(PLANE), rng, center=(42.0, 0.0), found=1.0)
    common = np.intersect1d(first_star, second_star)
    assert len(common) < 0.35 * min(len(first), len(second))
    match = match_lists(first, second, PLANE, MatchSettings(brightest=100))
    truth = error.inverted()
    at = error.apply(xy[common])
    np.testing.assert_allclose(match.transform.apply(at), truth.apply(at), atol=4 * NOISE)
    assert (first_star[match.pairs[:, 0]] == second_star[match.pairs[:, 1]]).all()
    assert match.probability < 1e-12


@pytest.mark.parametrize("roll", [-178.0, -90.0, 3.0, 45.0, 180.0])
def test_any_roll_is_found_where_it_is_searched(roll):
    rng = np.random.default_rng(30)
    stars = field(rng)
    first, _ = seen(stars, LinearTransform.from_parameters(PLANE, (4.0, -6.0), roll), rng, spurious=20)
    second, _ = seen(stars, LinearTransform.identity(PLANE), rng, spurious=20)
    truth = LinearTransform.from_parameters(PLANE, (4.0, -6.0), roll).inverted()
    match = match_lists(first, second, PLANE, MatchSettings(max_roll=180.0))
    np.testing.assert_allclose(match.transform.apply(CORNERS), truth.apply(CORNERS), atol=0.01)
    with pytest.raises(AlignmentError):
        match_lists(first, second, PLANE, MatchSettings(max_roll=1.0))


def test_it_matches_both_ways():
    rng = np.random.default_rng(22)
    stars = field(rng)
    first, _ = seen(stars, LinearTransform.from_parameters(PLANE, (7.0, -8.0), 0.2), rng)
    second, _ = seen(stars, LinearTransform.identity(PLANE), rng)
    there, back = match_lists(first, second, PLANE, SETTINGS), match_lists(second, first, PLANE, SETTINGS)
    np.testing.assert_allclose(back.transform.apply(there.transform.apply(CORNERS)), CORNERS, atol=1e-4)
    assert {tuple(p) for p in there.pairs} == {tuple(p[::-1]) for p in back.pairs}


@pytest.mark.parametrize("n", [8, 12, 20])
def test_few_common_stars_suffice(n):
    rng = np.random.default_rng(23)
    stars = field(rng, n)
    error = LinearTransform.from_parameters(PLANE, (3.0, 4.0), 0.05)
    first, _ = seen(stars, error, rng, found=1.0, spurious=n)
    second, _ = seen(stars, LinearTransform.identity(PLANE), rng, found=1.0, spurious=n)
    match = match_lists(first, second, PLANE, SETTINGS)
    assert len(match.pairs) == n
    assert match.probability < 1e-4


@pytest.mark.parametrize(("n", "trials"), [(6, 40), (20, 20), (60, 10), (200, 4)])
def test_random_lists_are_refused(n, trials):
    """With a limit of 1e-4, some tens of pairs of lists without a common star give no match."""
    for seed in range(trials):
        rng = np.random.default_rng([24, n, seed])
        with pytest.raises(AlignmentError):
            match_lists(random_list(rng, n), random_list(rng, 2 * n), PLANE, SETTINGS)


def test_a_doubtful_match_carries_its_numbers():
    rng = np.random.default_rng(25)
    xy, mag = field(rng, 30)
    crowd, other = random_list(rng, 200, 30.0), random_list(rng, 200, 30.0)
    with pytest.raises(UnreliableMatchError) as caught:
        match_lists(crowd, other, PLANE, SETTINGS)
    assert caught.value.remark.n >= SETTINGS.min_matches
    assert caught.value.remark.probability > SETTINGS.max_false_match
    accepted = match_lists(crowd, other, PLANE, MatchSettings(max_false_match=1.0))
    assert len(accepted.pairs) == caught.value.remark.n
    # 5 true pairs of 6 asked for
    with pytest.raises(TooFewMatchesError) as few:
        match_lists(plane_list(xy[:15], mag[:15]), plane_list(xy[10:25], mag[10:25]), PLANE, SETTINGS)
    assert few.value.remark == TooFewMatches(5, 6)


def test_unrelated_lists_with_hardly_a_pair():
    xy = np.array([[0.0, 0.0], [10.0, 0.0], [31.0, 0.0], [3.0, 47.0], [-17.0, 9.0], [-40.0, -50.0]])
    turned = xy @ np.array([[0.0, -1.0], [1.0, 0.0]]) * 0.83
    mag = np.arange(6)
    with pytest.raises(TooFewMatchesError):
        match_lists(plane_list(xy, mag), plane_list(turned, mag), PLANE, MatchSettings(max_roll=0.0))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_tiny_lists_are_refused(n):
    rng = np.random.default_rng(26)
    tiny, full = random_list(rng, n), random_list(rng, 50)
    for first, second in ((tiny, full), (full, tiny), (tiny, tiny)):
        with pytest.raises(TooFewMatchesError) as caught:
            match_lists(first, second, PLANE, SETTINGS)
        assert caught.value.remark == TooFewPossible(min(n, len(second)), 6)


def test_fields_apart_are_refused():
    rng = np.random.default_rng(27)
    first, second = random_list(rng, 50), random_list(rng, 50)
    away = second.moved(LinearTransform.from_parameters(PLANE, (400.0, 0.0)))
    with pytest.raises(TooFewMatchesError) as caught:
        match_lists(first, away, PLANE, SETTINGS)
    assert caught.value.remark == TooFewPossible(0, 6)


def test_an_offset_beyond_the_search_radius_is_not_found():
    rng = np.random.default_rng(28)
    stars = field(rng)
    first, _ = seen(stars, LinearTransform.from_parameters(PLANE, (8.0, 0.0)), rng)
    second, _ = seen(stars, LinearTransform.identity(PLANE), rng)
    with pytest.raises(AlignmentError):
        match_lists(first, second, PLANE, MatchSettings(search_radius=5.0))
    assert match_lists(first, second, PLANE, MatchSettings(search_radius=9.0)).probability < 1e-9


def test_only_the_brightest_are_matched():
    rng = np.random.default_rng(29)
    stars = field(rng, 300)
    first, _ = seen(stars, LinearTransform.identity(PLANE), rng)
    second, _ = seen(stars, LinearTransform.identity(PLANE), rng)
    match = match_lists(first, second, PLANE, MatchSettings(brightest=50))
    assert len(match.pairs) <= 50
    assert set(match.pairs[:, 0]) <= set(np.argsort(first.mag)[:50])


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf])
def test_brightest_puts_unknown_magnitudes_last(unknown):
    rows = plane_list(np.zeros((4, 2)), [unknown, 20.0, 19.0, 18.0]).brightest(3, np.array([0, 1, 2]))
    np.testing.assert_array_equal(rows, [2, 1, 0])


def test_unknown_positions_and_magnitudes_do_no_harm():
    rng = np.random.default_rng(41)
    stars = field(rng, 60)
    first, _ = seen(stars, LinearTransform.from_parameters(PLANE, (7.0, -8.0), 0.02), rng)
    second, _ = seen(stars, LinearTransform.identity(PLANE), rng)
    first.mag[:10] = np.resize([np.nan, np.inf, -np.inf], 10)
    first.xy[10:15] = np.nan
    second.mag[:] = np.nan
    match = match_lists(first, second, PLANE, SETTINGS)
    assert match.probability < 1e-12
    assert np.isfinite(first.xy[match.pairs[:, 0]]).all()


def test_filters_in_which_different_sources_are_bright():
    """The 20 brightest of the one filter are not the brightest of the other: all near sources decide."""
    rng = np.random.default_rng(42)
    stars = field(rng, 1500)
    first, _ = seen(stars, LinearTransform.from_parameters(PLANE, (0.8, -0.3), 0.01), rng)
    second, _ = seen((stars[0], rng.permutation(stars[1])), LinearTransform.identity(PLANE), rng)
    match = match_lists(first, second, PLANE, MatchSettings(brightest=20))
    truth = LinearTransform.from_parameters(PLANE, (0.8, -0.3), 0.01).inverted()
    np.testing.assert_allclose(match.transform.apply(CORNERS), truth.apply(CORNERS), atol=NOISE)
    assert len(match.pairs) > 1000


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_regular_patterns_are_ambiguous(missing):
    """A grid matches itself at every period; the overlap, not the truth, decides which matches best."""
    rng = np.random.default_rng(43)
    x, y = np.meshgrid(np.arange(10) * 12.0, np.arange(10) * 12.0)
    grid = np.column_stack([x.ravel(), y.ravel()])
    lists = []
    for keep in (grid[:, 0] >= 12 * missing, grid[:, 0] <= 12 * (9 - missing)):
        xy = grid[keep] + NOISE * rng.normal(size=(keep.sum(), 2))
        lists.append(plane_list(xy, rng.uniform(18, 25, len(xy))))
    with pytest.raises(AmbiguousMatchError) as caught:
        match_lists(*lists, PLANE, SETTINGS)
    assert caught.value.remark.offset > 11
    assert caught.value.remark.other > 0.5 * caught.value.remark.n


def test_unrelated_grids_are_refused_whichever_list_has_its_sources_twice():
    """A rival's evidence must not hang on which list is shorter in the common field."""
    x, y = np.meshgrid(np.arange(17) * 8.0, np.arange(17) * 8.0)
    grid = np.column_stack([x.ravel(), y.ravel()])
    for seed in range(4):
        rng = np.random.default_rng([46, seed])
        lists = []
        for n, twice, noise in ((249, False, 0.04), (114, True, 0.02)):
            xy = grid[rng.permutation(len(grid))[:n]] + rng.uniform(0, 8, 2)
            if twice:
                xy = np.concatenate([xy, xy + rng.normal(0, 0.05, xy.shape)])
            xy = xy + noise * rng.normal(size=xy.shape)
            lists.append(plane_list(xy, rng.uniform(18, 25, len(xy)), noise))
        for first, second in (lists, lists[::-1]):
            with pytest.raises(AlignmentError):
                match_lists(first, second, PLANE, SETTINGS)


@pytest.mark.parametrize("scatter", [0.02, 0.3])
def test_unrelated_lines_are_refused(scatter):
    """Sources on a thin line match in one coordinate wherever they are."""
    for seed in range(6):
        rng = np.random.default_rng([44, seed])
        lists = []
        for _ in range(2):
            xy = np.column_stack([rng.uniform(-60, 60, 100), scatter * rng.normal(size=100)])
            lists.append(plane_list(xy, np.arange(100.0)))
        with pytest.raises(AlignmentError):
            match_lists(*lists, PLANE, SETTINGS)


def test_a_match_that_leaves_the_corners_uncertain_is_refused():
    """Twelve common sources in a corner of 4 arcsec tell the roll to some milliradians."""
    rng = np.random.default_rng(45)
    shared = rng.uniform(50, 54, (12, 2))
    lists = []
    for _ in range(2):
        alone = rng.uniform(-60, 60, (4, 2))
        xy = np.concatenate([shared, alone]) + 0.02 * rng.normal(size=(16, 2))
        lists.append(plane_list(xy, np.arange(16.0), noise=0.02))
    with pytest.raises(LooseMatchError) as caught:
        match_lists(*lists, PLANE, SETTINGS)
    assert caught.value.remark.n >= 6
    assert caught.value.remark.error > 0.25 * SETTINGS.tolerance


@given(st.integers(0, 2**32), st.floats(0.1, 20))
def test_many_lists_have_the_pairs_of_each(seed, radius):
    rng = np.random.default_rng(seed)
    lists = [rng.uniform(-10, 10, (n, 2)) for n in rng.integers(0, 9, 5)]
    others = rng.uniform(-10, 10, (rng.integers(0, 12), 2))
    for xy in (*lists, others):
        xy[rng.uniform(size=len(xy)) < 0.1] = np.nan
    for own, partner in zip(lists, mutual_nearest_in_each(lists, others, radius), strict=True):
        expected = np.full(len(own), -1)
        i, j = mutual_nearest(own, others, radius).T
        expected[i] = j
        np.testing.assert_array_equal(partner, expected)


points = st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), max_size=12, unique=True)


@settings(max_examples=60)
@given(points, points, st.floats(0.1, 20))
def test_mutual_nearest(first, second, radius):
    a, b = (np.reshape(p, (-1, 2)).astype(float) for p in (first, second))
    found = mutual_nearest(a, b, radius)
    distance = np.hypot(*np.moveaxis(a[:, None] - b[None], -1, 0))
    for i, j in found:
        assert distance[i, j] <= radius
        assert distance[i, j] == distance[i].min() == distance[:, j].min()
    best = (
        []
        if not distance.size
        else np.argwhere(
            (distance == distance.min(axis=1, keepdims=True))
            & (distance == distance.min(axis=0, keepdims=True))
            & (distance < radius)
        )
    )
    assert len(found) <= len(best)
    values = distance[tuple(np.transpose(best))] if len(best) else np.zeros(0)
    if len(np.unique(distance)) == distance.size:  # no ties
        assert len(found) == len(values)


@pytest.mark.parametrize("clumps", [1, 12])
def test_clustered_lists_without_a_common_source_are_refused(clumps):
    """Where sources crowd they find partners by chance, and count for what they are."""
    accepted = 0
    for seed in range(5):
        rng = np.random.default_rng([seed, clumps])
        lists = []
        for _ in range(2):
            centers = rng.uniform(-5, 5, (clumps, 2)) if clumps == 1 else rng.uniform(-60, 60, (clumps, 2))
            knots = centers[rng.integers(0, clumps, 60)] + rng.normal(0, 1.0, (60, 2))
            lists.append(
                plane_list(np.concatenate([rng.uniform(-65, 65, (140, 2)), knots]), np.arange(200.0))
            )
        try:
            match_lists(*lists, PLANE, MatchSettings())
            accepted += 1
        except AlignmentError:
            pass
    assert accepted == 0
