"""A first look at rolls tells what a solution of its own tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grism_align.algorithms.fitting.first_look import rolls_at_weights
from grism_align.algorithms.fitting.joint import Measurements, solve_joint

CLIP = 4.0


def dithers(rng, rolls, outliers=10, n_sources=120):
    """One acquisition, whose exposures are rolled by so much (rad)."""
    n = len(rolls)
    stars = rng.uniform(-60, 60, (n_sources, 2))
    exposure, star = np.nonzero(rng.uniform(size=(n, n_sources)) < 0.9)
    turn = np.asarray(rolls)[exposure, None] * np.array([1.0, -1.0])
    xy = stars[star] - turn * stars[star][:, ::-1] + rng.normal(0, 0.02, (n, 2))[exposure]
    error = rng.uniform(0.003, 0.01, len(star))
    xy += error[:, None] * rng.normal(size=xy.shape)
    xy[rng.choice(len(star), outliers, replace=False)] += 0.2
    none = np.zeros(len(star), dtype=int)
    fixed = np.arange(n) == 0
    return Measurements(
        exposure, star, xy, error, none, np.zeros(n, int), fixed, acquisition=np.zeros(n, int)
    )


def each(measured):
    return replace(measured, group=np.arange(measured.n_pointings))


def test_it_is_what_a_solution_with_rolls_tells():
    for seed in range(5):
        rng = np.random.default_rng([401, seed])
        measured = dithers(rng, rng.normal(0, 5e-5, 6))
        known = solve_joint(measured, "rshift", CLIP)
        rolls, covariance = rolls_at_weights(each(measured), known.weight, known.scatter, CLIP)
        full = solve_joint(each(measured), "rshift", CLIP)
        expected = full.term_covariance[1:, 0, 1:, 0]
        error = np.sqrt(np.diag(expected))
        assert (np.abs(rolls - full.terms[1:, 0]) < 0.3 * error).all()
        np.testing.assert_allclose(np.sqrt(np.diag(covariance)), error, rtol=0.15)


def test_it_says_nothing_where_weights_do_not_tell():
    measured = each(dithers(np.random.default_rng(402), np.zeros(4)))
    weight, scatter = np.ones(len(measured.source)), np.zeros(1)
    assert rolls_at_weights(measured, weight, scatter, CLIP) is not None
    lost = np.where((measured.pointing == 2) & (measured.source % 3 > 0), 0.0, weight)
    assert rolls_at_weights(measured, lost, scatter, CLIP) is None


def test_it_says_nothing_where_sources_do_not_tell():
    """One source leaves a roll open."""
    measured = each(dithers(np.random.default_rng(403), np.zeros(3)))
    first = measured.source[measured.pointing == 2][0]
    kept = (measured.pointing != 2) | (measured.source == first)
    few = replace(
        measured,
        **{
            name: getattr(measured, name)[kept]
            for name in ("pointing", "source", "xy", "error", "noise_class")
        },
    )
    assert rolls_at_weights(few, np.ones(kept.sum()), np.zeros(1), CLIP) is None
