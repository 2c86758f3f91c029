"""What most pairs of neighbouring sources agree on."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.matching.pile import REACH, pile_of


def chance(rng, n):
    """Pairs of sources that have nothing to do with each other, within the reach."""
    angle, radius = rng.uniform(0, 2 * np.pi, n), REACH * np.sqrt(rng.uniform(0, 1, n))
    return radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.02, -0.01), (-0.3, 0.2)])
@pytest.mark.parametrize("n_chance", [0, 300])
def test_it_is_found_among_pairs_by_chance(offset, n_chance):
    rng = np.random.default_rng(811)
    true = np.array(offset) + rng.normal(0, 0.002, (40, 2))
    pile = pile_of(np.concatenate([true, chance(rng, n_chance)]))
    assert pile is not None
    np.testing.assert_allclose(pile.offset, offset, atol=4.5 * pile.error)
    # 40 pairs tell their scatter to a tenth
    assert pile.error == pytest.approx(0.002 / np.sqrt(40), rel=0.4)
    assert pile.share == pytest.approx(40 / (40 + n_chance), rel=0.05)


@pytest.mark.parametrize("n", [0, 5, 50, 500])
def test_chance_makes_none(n):
    rng = np.random.default_rng(812)
    assert all(pile_of(chance(rng, n)) is None for _ in range(20))


def test_pairs_at_one_place_have_no_error():
    pile = pile_of(np.zeros((20, 2)))
    assert pile is not None
    assert (pile.offset, pile.error) == ((0.0, 0.0), 0.0)
