from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.algorithms.joint import Measurements, solve_joint

GEOMETRIES = ("shift", "rshift", "rscale")
TERMS = {"shift": 0, "rshift": 1, "rscale": 2}
NEVER = 1e6  # a clip that leaves all weights at one


def network(geometry, rng, noise=0.005, outliers=0, n_sources=60, fixed=(0,)):
    """Five exposures in three groups, and the shifts, rolls and scales that bring them onto the sources."""
    group = np.array([0, 0, 1, 1, 2])
    n = len(group)
    stars = rng.uniform(-70, 70, (n_sources, 2))
    exposure, source = (a.ravel() for a in np.meshgrid(np.arange(n), np.arange(n_sources), indexing="ij"))
    seen = rng.uniform(size=len(source)) < 0.7
    exposure, source = exposure[seen], source[seen]
    twice = np.bincount(source, minlength=n_sources)[source] > 1
    exposure, source = exposure[twice], source[twice]
    _, source = np.unique(source, return_inverse=True)
    true_xy = stars[np.unique(np.repeat(np.arange(n_sources), n)[: n_sources * n])][source]
    shift = rng.normal(0, 0.2, (n, 2))
    roll = rng.normal(0, 2e-4, 3) * (TERMS[geometry] > 0)
    scale = rng.normal(0, 5e-5, 3) * (TERMS[geometry] > 1)
    r, s = roll[group][exposure], scale[group][exposure]
    x, y = true_xy.T
    # what the corrections undo, to first order; what is left is 1e-8 of 70"
    moved = true_xy - shift[exposure] - np.column_stack([s * x + r * y, s * y - r * x])
    error = rng.uniform(0.5, 1.5, len(source)) * noise
    xy = moved + error[:, None] * rng.normal(size=moved.shape)
    bad = rng.choice(len(source), outliers, replace=False)
    xy[bad] += rng.choice([-1, 1], (outliers, 2)) * rng.uniform(0.1, 0.3, (outliers, 2))
    is_fixed = np.isin(np.arange(n), fixed)
    return Measurements(exposure, source, xy, error, group, is_fixed), true_xy, bad


def corrected(measured, solution):
    group = measured.group[measured.exposure]
    arm = measured.xy - solution.center[group]
    r, s = solution.roll[group], solution.scale[group]
    turn = np.column_stack([s * arm[:, 0] + r * arm[:, 1], s * arm[:, 1] - r * arm[:, 0]])
    return measured.xy + solution.shift[measured.exposure] + turn


def dense(measured, geometry, center, weight):
    """The same least squares with the sources as unknowns, and the frame's constraints as heavy rows."""
    m, n, g = len(measured.source), measured.n_exposures, len(center)
    n_sources = measured.source.max() + 1
    group = measured.group[measured.exposure]
    arm = measured.xy - center[group]
    size = 2 * n + TERMS[geometry] * g
    rows = np.zeros((2 * m, size + 2 * n_sources))
    i = np.arange(m)
    rows[i, measured.exposure] = rows[m + i, n + measured.exposure] = 1
    if TERMS[geometry] > 0:
        rows[i, 2 * n + group], rows[m + i, 2 * n + group] = arm[:, 1], -arm[:, 0]
    if TERMS[geometry] > 1:
        rows[i, 2 * n + g + group], rows[m + i, 2 * n + g + group] = arm[:, 0], arm[:, 1]
    rows[i, size + measured.source] = rows[m + i, size + n_sources + measured.source] = -1
    root = np.sqrt(np.concatenate([weight, weight]))
    frame = np.zeros((2 + TERMS[geometry], rows.shape[1]))
    frame[0, :n], frame[1, n : 2 * n] = measured.fixed, measured.fixed
    fixed_groups = np.isin(np.arange(g), measured.group[measured.fixed])
    for term in range(TERMS[geometry]):
        frame[2 + term, 2 * n + term * g : 2 * n + (term + 1) * g] = 100 * fixed_groups
    heavy = 1e4 * root.max() * frame
    left = np.concatenate([root[:, None] * rows, heavy])
    right = np.concatenate([-root * measured.xy.T.ravel(), np.zeros(len(frame))])
    found, *_ = np.linalg.lstsq(left, right, rcond=1e-15)
    covariance = np.linalg.pinv(left.T @ left, rcond=1e-17, hermitian=True)
    return found[:size], found[size:].reshape(2, -1).T, covariance[:size, :size]


@pytest.mark.parametrize("fixed", [(0,), (1, 2), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_it_is_the_dense_least_squares(geometry, fixed):
    measured, _, _ = network(geometry, np.random.default_rng(41), fixed=fixed)
    solution = solve_joint(measured, geometry, NEVER, 0.0)
    weight = 1 / (measured.error**2 + solution.scatter**2)
    parameters, sources, covariance = dense(measured, geometry, solution.center, weight)
    n, g = measured.n_exposures, 3
    np.testing.assert_allclose(solution.shift, parameters[: 2 * n].reshape(2, n).T, atol=1e-6)
    np.testing.assert_allclose(solution.source_xy, sources, atol=1e-6)
    if TERMS[geometry] > 0:
        np.testing.assert_allclose(solution.roll, parameters[2 * n : 2 * n + g], atol=1e-8)
    if TERMS[geometry] > 1:
        np.testing.assert_allclose(solution.scale, parameters[2 * n + g :], atol=1e-8)
    for e in range(n):
        own = [e, n + e] + [2 * n + term * g + measured.group[e] for term in range(TERMS[geometry])]
        expected = covariance[np.ix_(own, own)]
        found = solution.covariance[e][: len(own), : len(own)]
        scale = np.sqrt(np.outer(*[np.maximum(np.diag(expected), 1e-16)] * 2))
        np.testing.assert_allclose(found / scale, expected / scale, atol=2e-3)


@pytest.mark.parametrize("outliers", [0, 20])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_injected_shifts_and_rolls_are_recovered(geometry, outliers):
    """All exposures fall onto one sky, up to the frame, which one fixed exposure sets."""
    rng = np.random.default_rng(42)
    measured, true_xy, bad = network(geometry, rng, outliers=outliers)
    solution = solve_joint(measured, geometry, 4.0, 0.0)
    truth = solve_joint(
        replace(measured, xy=corrected_truth(measured, true_xy)), geometry, NEVER, 0.0
    )
    assert np.abs(truth.shift).max() < 1e-9  # the truth needs no correction
    good = np.setdiff1d(np.arange(len(true_xy)), bad)
    # the frame is that of exposure 0: take out what it has
    mine = (measured.exposure == 0) & np.isin(np.arange(len(true_xy)), good)
    frame = affine(true_xy[mine], measured.xy[mine], geometry)
    difference = (corrected(measured, solution) - frame(true_xy))[good]
    pull = difference / measured.error[good][:, None]
    assert pull.std() == pytest.approx(1, abs=0.12)
    for e in range(5):
        own = pull[measured.exposure[good] == e]
        assert np.abs(own.mean(axis=0)).max() < 5 * np.sqrt(2 / len(own))
    if outliers:
        assert np.median(solution.weight[bad]) == 0
        assert (solution.weight[good] > 0).mean() > 0.97
    assert solution.scatter < 0.003


def corrected_truth(measured, true_xy):
    return true_xy + 0 * measured.xy


def affine(source, target, geometry):
    """Least-squares map of the geometry, the plain way."""
    center = source.mean(axis=0)
    x, y = (source - center).T
    shift = (target - source).mean(axis=0)
    dx, dy = (target - source - shift).T
    size = (x**2 + y**2).sum()
    roll = (y * dx - x * dy).sum() / size if TERMS[geometry] > 0 else 0.0
    scale = (x * dx + y * dy).sum() / size if TERMS[geometry] > 1 else 0.0
    matrix = np.array([[scale, roll], [-roll, scale]])
    return lambda xy: xy + shift + (xy - center) @ matrix.T


@pytest.mark.parametrize("fixed", [(0,), (0, 1), (0, 3), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_frame_is_kept(geometry, fixed):
    measured, _, _ = network(geometry, np.random.default_rng(43), fixed=fixed)
    solution = solve_joint(measured, geometry, 4.0, 0.001)
    chosen = list(fixed)
    groups = sorted({int(measured.group[e]) for e in fixed})
    np.testing.assert_allclose(solution.shift[chosen].mean(axis=0), 0, atol=1e-10)
    assert solution.roll[groups].mean() == pytest.approx(0, abs=1e-12)
    assert solution.scale[groups].mean() == pytest.approx(0, abs=1e-12)
    if fixed == (0,):
        np.testing.assert_allclose(solution.covariance[0], 0, atol=1e-14)
    if geometry == "shift":
        assert not solution.roll.any()
    if geometry != "rscale":
        assert not solution.scale.any()
    assert np.linalg.eigvalsh(solution.covariance).min() > -1e-14


@settings(max_examples=20)
@given(st.permutations(range(5)), st.randoms(use_true_random=False), st.sampled_from(GEOMETRIES))
def test_order_does_not_matter(new_number, random, geometry):
    measured, _, _ = network(geometry, np.random.default_rng(44), outliers=10, n_sources=30)
    solution = solve_joint(measured, geometry, 4.0, 0.001)
    order = np.array(random.sample(range(len(measured.source)), len(measured.source)))
    sources = np.array(random.sample(range(measured.source.max() + 1), measured.source.max() + 1))
    new = np.array(new_number)
    old = np.argsort(new)
    shuffled = Measurements(
        exposure=new[measured.exposure][order],
        source=sources[measured.source][order],
        xy=measured.xy[order],
        error=measured.error[order],
        group=measured.group[old],
        fixed=measured.fixed[old],
    )
    again = solve_joint(shuffled, geometry, 4.0, 0.001)
    np.testing.assert_allclose(again.shift[new], solution.shift, atol=1e-9)
    np.testing.assert_allclose(again.roll, solution.roll, atol=1e-11)
    np.testing.assert_allclose(again.covariance[new], solution.covariance, atol=1e-11)
    np.testing.assert_allclose(again.weight, solution.weight[order], atol=1e-6)
    np.testing.assert_allclose(again.source_xy[sources], solution.source_xy, atol=1e-9)


def test_covariances_tell_the_scatter_of_the_solutions():
    pulls = []
    for seed in range(60):
        rng = np.random.default_rng([45, seed])
        measured, true_xy, _ = network("rshift", rng, n_sources=30)
        solution = solve_joint(measured, "rshift", 4.0, 0.0)
        # exposure 2 against exposure 0, at the centre of its own sources; both rolls are wrong by little
        frame = solve_joint(replace(measured, xy=perfect(measured, true_xy)), "rshift", NEVER, 0.0)
        difference = solution.shift[2:] - frame.shift[2:]
        sigma = np.sqrt(np.diagonal(solution.covariance[2:], axis1=1, axis2=2)[:, :2])
        pulls.append(difference / sigma)
    # 60 x 6 correlated pulls
    assert np.std(pulls) == pytest.approx(1, abs=0.2)


def perfect(measured, true_xy):
    """What would have been measured without noise: each exposure's own map of the true positions."""
    out = np.empty_like(true_xy)
    for e in range(measured.n_exposures):
        mine = measured.exposure == e
        out[mine] = np.nan
    # the noise of a measurement is not kept apart, so find the maps from the same random numbers
    return NOISELESS(measured, true_xy, out)
