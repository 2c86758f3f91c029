"""Sources that move between exposures years apart: what they do to the corrections, and what is learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.fitting.joint import Measurements, solve_joint
from grism_align.algorithms.fitting.sources import SourceMotions, SourceUnknowns, first_motions

NOISE = 0.0005
YEARS = 8.0
N_EACH = 4


def field(rng, motion, moving=0.4, years=YEARS, n_sources=80, noise=NOISE):
    """Two epochs of four pointings, an acquisition each; some sources move, arcsec/yr.

    Returns the measurements and the true shifts (8, 2).
    """
    epoch = np.repeat([2015.0, 2015.0 + years], N_EACH)
    sources = rng.uniform(-60, 60, (n_sources, 2))
    speed = motion * rng.normal(size=(n_sources, 2)) * (rng.uniform(size=(n_sources, 1)) < moving)
    # dithers: not the same sources in all
    pointing, source = np.nonzero(rng.uniform(size=(2 * N_EACH, n_sources)) < 0.8)
    shift = rng.normal(0, 0.02, (2 * N_EACH, 2))
    xy = sources[source] + speed[source] * (epoch[pointing] - 2015.0)[:, None] - shift[pointing]
    twice = np.bincount(source, minlength=n_sources)[source] > 1
    pointing, xy, source = pointing[twice], xy[twice], np.unique(source[twice], return_inverse=True)[1]
    return Measurements(
        pointing,
        source,
        xy + rng.normal(0, noise, xy.shape),
        np.full(len(source), noise),
        np.repeat([0, 1], N_EACH)[pointing],
        np.repeat([0, 1], N_EACH),
        np.arange(2 * N_EACH) == 0,
        epoch=epoch,
    ), shift


def within(shift):
    """Shifts against the mean of those of the same epoch."""
    by_epoch = shift.reshape(2, N_EACH, 2)
    return by_epoch - by_epoch.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("geometry", ["rshift", "general"])
@pytest.mark.parametrize("motion", [0.0, 0.001, 0.005])
def test_pointings_of_an_epoch_are_as_good_as_alone(geometry, motion):
    """Whatever moves: 0.5 mas by 64 sources a pointing are 0.06 mas."""
    errors = []
    for seed in range(6):
        measured, shift = field(np.random.default_rng([71, seed]), motion)
        errors.append(within(solve_joint(measured, geometry, 4.0).shift) - within(shift))
    assert np.sqrt(np.mean(np.square(errors))) < 1.25 * NOISE / np.sqrt(64)


@pytest.mark.parametrize(("moving", "least"), [(1.0, 0.7), (0.4, 0.3)])
def test_between_epochs_the_claimed_error_is_true(moving, least):
    """Where many sources stand still, these tie the epochs, and it is more than needed."""
    pulls = []
    for seed in range(20):
        measured, shift = field(np.random.default_rng([72, seed]), 0.003, moving)
        found = solve_joint(measured, "rshift", 4.0)
        off = found.shift[N_EACH:] - found.shift[0] - (shift[N_EACH:] - shift[0])
        variance = np.diagonal(found.covariance, axis1=1, axis2=2)[N_EACH:, :2]
        pulls.append((off / np.sqrt(variance)).mean(axis=0))
    # 40 pulls: more than three errors of their rms
    assert least < np.sqrt(np.mean(np.square(pulls))) < 1.4


def test_motions_are_found():
    measured, _ = field(np.random.default_rng(73), 0.005, moving=1.0)
    found = solve_joint(measured, "rshift", 4.0).motions
    # of Student's t with two degrees of freedom, about a Gaussian's
    assert 0.003 < found.width < 0.006


def test_sources_at_rest_tell_as_much_as_if_nothing_moved():
    measured, _ = field(np.random.default_rng(74), 0.0)
    fixed = solve_joint(replace(measured, epoch=None), "rshift", 4.0)
    free = solve_joint(measured, "rshift", 4.0)
    assert np.abs(free.shift - fixed.shift).max() < 0.3 * np.sqrt(fixed.covariance[-1, 0, 0])
    ratio = free.covariance[N_EACH:, 0, 0] / fixed.covariance[N_EACH:, 0, 0]
    assert ratio.max() < 1.5


@pytest.mark.parametrize("years", [0.06, 0.15, 0.9])
@pytest.mark.parametrize("motion", [pytest.param(0.0, marks=pytest.mark.slow), 0.005])
def test_within_a_year_the_claimed_error_is_true(motion, years):
    """For a few bright stars, which are known to 0.1 mas and move, among faint galaxies, weeks are much."""
    pulls = []
    for seed in range(20):
        rng = np.random.default_rng([76, seed])
        measured, shift = field(rng, motion, 1.0, years, noise=0.0)
        still, _ = field(np.random.default_rng([76, seed]), 0.0, 1.0, years, noise=0.0)
        is_star = measured.source < 12
        error = np.where(is_star, 1e-4, 2e-3)
        xy = np.where(is_star[:, None], measured.xy, still.xy) + error[:, None] * rng.normal(
            size=still.xy.shape
        )
        found = solve_joint(replace(measured, xy=xy, error=error), "rshift", 4.0)
        off = found.shift[N_EACH:] - found.shift[0] - (shift[N_EACH:] - shift[0])
        variance = np.diagonal(found.covariance, axis1=1, axis2=2)[N_EACH:, :2]
        pulls.append((off / np.sqrt(variance)).mean(axis=0))
    assert np.sqrt(np.mean(np.square(pulls))) < 1.6


def test_within_days_nothing_moves():
    measured, _ = field(np.random.default_rng(75), 0.0, years=0.04)
    assert first_motions(measured) is None
    with_epoch, without = (
        solve_joint(one, "rshift", 4.0) for one in (measured, replace(measured, epoch=None))
    )
    np.testing.assert_array_equal(with_epoch.shift, without.shift)


def test_unknowns_are_those_of_dense_least_squares():
    """Positions and motions with what is expected of them, source by source."""
    rng = np.random.default_rng(76)
    measured, _ = field(rng, 0.004, n_sources=6)
    n, m = int(measured.source.max()) + 1, len(measured.source)
    motions = SourceMotions(measured.epoch[measured.pointing], 0.004, rng.uniform(0.5, 2.0, n))
    weight = rng.uniform(0.5, 2.0, (m, 2)) / NOISE**2
    unknowns = SourceUnknowns(measured, weight, motions)
    fitted, shares = unknowns.fitted(measured.xy), unknowns.shares()
    for source in range(n):
        rows = np.flatnonzero(measured.source == source)
        columns = np.column_stack([np.ones(len(rows)), motions.epoch[rows] - 2015.0])
        for axis in (0, 1):
            heavy = columns.T * weight[rows, axis]
            covariance = np.linalg.inv(heavy @ columns + np.diag([0.0, motions.precision[source]]))
            found = columns @ covariance @ heavy @ measured.xy[rows, axis]
            np.testing.assert_allclose(fitted.at[rows, axis], found, rtol=0, atol=1e-9)
            taken = weight[rows, axis] * np.einsum("ij,jk,ik->i", columns, covariance, columns)
            np.testing.assert_allclose(shares[rows, axis], taken, rtol=1e-6)
