"""Errors that neighbouring measurements share."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.fitting.joint import Measurements, solve_joint

NOISE, HALF = 0.003, 70.0


def network(rng, distortion=0.0, n_sources=120, n_visits=3):
    """Visits of two exposures each; each has a distortion of its own."""
    stars = rng.uniform(-HALF, HALF, (n_sources, 2))
    e = 2 * n_visits
    pointing, source = np.repeat(np.arange(e), n_sources), np.tile(np.arange(n_sources), e)
    group = np.arange(e) // 2
    errors = np.array([_patches(stars, rng) for _ in range(n_visits)])
    xy = stars[source] + distortion * errors[group[pointing], source] + rng.normal(0, NOISE, (len(source), 2))
    kind = np.zeros(len(source), dtype=int)
    error = np.full(len(source), NOISE)
    return Measurements(pointing, source, xy, error, kind, group, np.arange(e) == 0)


def _patches(stars, rng):
    """Errors (N, 2) of unit variance that are common to a patch; the patches are none that the fit knows."""
    number = np.floor(stars / (0.45 * HALF) + rng.uniform(0, 1, 2)).astype(int)
    return rng.normal(size=(20, 20, 2))[number[:, 0], number[:, 1]]


@pytest.mark.parametrize("distortion", [0.0, 0.001, 0.004])
def test_claimed_errors_cover_a_distortion(distortion):
    """The true shifts and rolls are zero."""
    pulls, within, found = [], [], []
    for seed in range(40):
        solution = solve_joint(network(np.random.default_rng([91, seed]), distortion), "rshift", 4.0)
        error = np.sqrt(np.diagonal(solution.covariance, axis1=1, axis2=2))
        visits = np.column_stack([solution.shift[2::2], solution.terms[1:, 0]])
        pulls.append(visits / error[2::2, :3])
        within.append(solution.shift[1] / error[1, :2])
        found.append(solution.systematic)
    # Patches that the cells cut through look smaller than they are. Errors without them: pulls of 3.
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1, abs=0.3)
    # dithers share the distortion, so their difference is no worse; what it adds to the scatter makes it safe
    assert 0.5 < np.sqrt(np.mean(np.square(within))) < 1.3
    typical = np.sqrt(np.mean(np.square(found)))
    assert 0.5 * distortion <= typical <= distortion + 0.1 * NOISE
