from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.matching.chance import (
    Opening,
    PairedLists,
    Targets,
    chance_of,
    false_match_probability,
    log_evidence,
)
from grism_align.algorithms.matching.match import mutual_nearest
from grism_align.values.settings import MatchSettings

SETTINGS = MatchSettings()


def aligned(rng, common, others=0, noise=0.01, side=120.0):
    """Two lists that lie on each other, and the rows of the first that have a partner."""
    shared = rng.uniform(0, side, (common, 2))
    a, b = (
        np.concatenate([shared + noise * rng.normal(size=shared.shape), rng.uniform(0, side, (others, 2))])
        for _ in range(2)
    )
    return (a, b), mutual_nearest(a, b, 0.1)[:, 0]


def probability(lists, paired, settings=SETTINGS, *, with_roll=True):
    return false_match_probability(
        PairedLists(lists[0], Targets(lists[1]), paired, len(paired), 0.1), settings, with_roll=with_roll
    )


def test_the_likelihood_ratio_of_lists_without_common_sources_has_mean_one_at_most():
    """For one transform, nothing open: what Markov's inequality rests on."""
    rng = np.random.default_rng(80)
    ratios = []
    for _ in range(2000):
        a, b = rng.uniform(0, 20, (30, 2)), rng.uniform(0, 20, (40, 2))
        paired = mutual_nearest(a, b, 0.3)[:, 0]
        # an opening as small as the fit is precise leaves the likelihood ratio alone
        ratios.append(
            np.exp(log_evidence(PairedLists(a, Targets(b), paired, len(paired), 0.3), Opening(1e-9, 0.0)))
        )
    assert np.mean(ratios) < 1.0 + 3 * np.std(ratios) / np.sqrt(len(ratios))
    assert np.mean(np.array(ratios) > 100) < 0.01


def test_more_common_sources_are_less_likely_chance():
    rng = np.random.default_rng(81)
    found = [probability(*aligned(rng, n, 20)) for n in (4, 8, 16, 32)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 1e-4
    assert found[1] < 1e-12


def test_what_was_open_counts():
    lists, paired = aligned(np.random.default_rng(82), 7, 30)
    wide = MatchSettings(search_radius=120.0)
    narrow = MatchSettings(search_radius=12.0)
    assert probability(lists, paired, wide) == pytest.approx(100 * probability(lists, paired, narrow))
    turned = probability(lists, paired, MatchSettings(max_roll=180.0))
    assert turned == pytest.approx(18 * probability(lists, paired, MatchSettings(max_roll=10.0)))
    assert probability(lists, paired, with_roll=False) < turned


def test_either_list_may_be_the_longer_one():
    (a, b), _ = aligned(np.random.default_rng(83), 12, 0)
    many = np.concatenate([b, np.random.default_rng(84).uniform(0, 120, (2000, 2))])
    there = probability((a, many), mutual_nearest(a, many, 0.1)[:, 0])
    back = probability((many, a), mutual_nearest(many, a, 0.1)[:, 0])
    assert np.log(back) == pytest.approx(np.log(there), abs=1e-6)
    assert there < 1e-12


def test_crowded_pairs_count_less():
    rng = np.random.default_rng(85)
    (a, b), paired = aligned(rng, 10)
    # every partner has a companion, as in a list that has its sources twice
    twice = np.concatenate([b, b + rng.normal(0, 0.05, b.shape)])
    assert probability((a, twice), paired) > 1e6 * probability((a, b), paired)


def test_a_rival_has_the_larger_evidence_of_the_two_lists():
    (a, b), paired = aligned(np.random.default_rng(87), 12, 8)
    twice = np.concatenate([b, b + np.random.default_rng(88).normal(0, 0.05, b.shape)])
    back = mutual_nearest(twice, a, 0.1)[:, 0]

    def evidence(lists, rows, *, either):
        return log_evidence(
            PairedLists(lists[0], Targets(lists[1]), rows, len(rows), 0.1),
            Opening(120.0, 180.0),
            either=either,
        )

    # the shorter list asks, among sources that all have a companion
    assert evidence((a, twice), paired, either=True) > evidence((a, twice), paired, either=False) + 20
    there, here = evidence((a, twice), paired, either=True), evidence((twice, a), back, either=True)
    assert there == pytest.approx(here, rel=0.05)


def test_nothing_matched_is_chance():
    lists, paired = aligned(np.random.default_rng(86), 5)
    assert probability(lists, paired[:0]) == 1
    assert probability((lists[0], lists[1][:0]), paired) == 1
    assert (
        false_match_probability(
            PairedLists(lists[0], Targets(lists[1]), paired, 0, 0.1), SETTINGS, with_roll=False
        )
        == 1
    )


def test_probabilities_never_vanish():
    assert chance_of(1e5) > 0
    assert chance_of(-5.0) == 1
    assert chance_of(np.log(100)) == pytest.approx(0.01)
