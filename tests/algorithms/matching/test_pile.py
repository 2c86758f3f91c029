"""What most pairs of neighbouring sources agree on."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.matching.pile import REACH, pile_of


def chance(rng, n):
    """Pairs of sources that have nothing to do with each other, within the reach."""
    angle, radius = rng.uniform(0, 2 * np.pi, n), REACH * np.sqrt(rng.uniform(0, 1, n))
    return radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.02, -0.01), (-0.9, 0.7)])
@pytest.mark.parametrize(("n", "n_chance"), [(2, 0), (3, 0), (3, 3), (40, 0), (40, 1000)])
def test_it_is_found_among_pairs_by_chance(offset, n, n_chance):
    rng = np.random.default_rng(811)
    true = np.array(offset) + rng.normal(0, 0.002, (n, 2))
    found = pile_of(np.concatenate([true, chance(rng, n_chance)]), 2)
    assert found is not None
    # each axis of the median of a block of 30 mas
    np.testing.assert_allclose(found.place, offset, atol=0.01)
    assert found.share == pytest.approx(n / (n + n_chance), rel=0.2)


@pytest.mark.parametrize("n", [0, 1, 2, 5, 50, 1000])
def test_chance_makes_none(n):
    rng = np.random.default_rng(812)
    assert all(pile_of(chance(rng, n), 2) is None for _ in range(50))


def test_chance_that_is_denser_in_the_middle_makes_none():
    """As nearest neighbours of crowded fields are."""
    rng = np.random.default_rng(813)
    assert all(pile_of(rng.normal(0, 0.1, (200, 2)), 2) is None for _ in range(50))


def test_fewer_than_must_agree_do_not():
    assert pile_of(np.full((7, 2), 0.3), 8) is None
    assert pile_of(np.full((8, 2), 0.3), 8) is not None


def test_what_is_nowhere_agrees_with_nothing():
    found = pile_of(np.concatenate([np.full((8, 2), 0.3), np.full((9, 2), np.nan)]), 8)
    assert found.agrees.tolist() == [True] * 8 + [False] * 9
    np.testing.assert_allclose(found.place, 0.3)
