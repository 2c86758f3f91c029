from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.algorithms.fitting.joint import REFERENCE, Measurements, Start, group_centers, solve_joint
from grism_align.algorithms.fitting.prior import GENERATORS, PointingPrior, SharedPrior

GEOMETRIES = ("shift", "rshift", "rscale", "general")
TERMS = {"shift": 0, "rshift": 1, "rscale": 2, "general": 4}
NEVER = 1e6  # a clip that leaves all weights at one


def network(geometry, rng, noise=0.005, outliers=0, n_sources=60, fixed=(0,)):
    """Five exposures in three groups with wrong shifts, rolls and scales.

    Returns the measurements, what they would be without noise, and the rows of the outliers.
    """
    group = np.array([0, 0, 1, 1, 2])
    n = len(group)
    stars = rng.uniform(-70, 70, (n_sources, 2))
    exposure, star = np.nonzero(rng.uniform(size=(n, n_sources)) < 0.7)
    twice = np.bincount(star, minlength=n_sources)[star] > 1
    exposure, star = exposure[twice], star[twice]
    shift = rng.normal(0, 0.2, (n, 2))
    terms = rng.normal(0, [1e-4, 5e-5, 5e-5, 5e-5], (3, 4))
    terms[:, TERMS[geometry] :] = 0
    maps = np.einsum("gk,kij->gij", terms, GENERATORS)[group]
    clean = stars[star] + shift[exposure] + np.einsum("mij,mj->mi", maps[exposure], stars[star])
    error = rng.uniform(0.5, 1.5, len(star)) * noise
    xy = clean + error[:, None] * rng.normal(size=clean.shape)
    bad = rng.choice(len(star), outliers, replace=False)
    xy[bad] += rng.choice([-1, 1], (outliers, 2)) * rng.uniform(0.1, 0.3, (outliers, 2))
    _, source = np.unique(star, return_inverse=True)
    kind = np.zeros(len(star), int)
    return Measurements(exposure, source, xy, error, kind, group, np.isin(np.arange(n), fixed)), clean, bad


def dense(measured, geometry, center, weight):
    """The same least squares with the sources as unknowns, and the frame's constraints as heavy rows."""
    m, n, g = len(measured.source), measured.n_pointings, len(center)
    n_sources = measured.source.max() + 1
    group = measured.group[measured.pointing]
    arm = measured.xy - center[group]
    size = 2 * n + TERMS[geometry] * g
    rows = np.zeros((2 * m, size + 2 * n_sources))
    i = np.arange(m)
    rows[i, measured.pointing] = rows[m + i, n + measured.pointing] = 1
    x, y = arm.T
    by_term = [(y, -x), (x, y), (x, -y), (y, x)][: TERMS[geometry]]
    for term, (of_x, of_y) in enumerate(by_term):
        column = 2 * n + term * g + group
        rows[i, column], rows[m + i, column] = of_x, of_y
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
    # errors above the noise, so that the weights are known
    measured = replace(measured, error=3 * measured.error)
    solution = solve_joint(measured, geometry, NEVER)
    assert solution.scatter == [0]
    weight = 1 / measured.error**2
    parameters, sources, covariance = dense(measured, geometry, solution.center, weight)
    n, g = measured.n_pointings, 3
    np.testing.assert_allclose(solution.shift, parameters[: 2 * n].reshape(2, n).T, atol=1e-6)
    np.testing.assert_allclose(solution.source_xy, sources, atol=1e-6)
    found = solution.terms[:, : TERMS[geometry]].T.ravel()
    np.testing.assert_allclose(found, parameters[2 * n :], atol=1e-8)
    own = [
        [e, n + e] + [2 * n + term * g + measured.group[e] for term in range(TERMS[geometry])]
        for e in range(n)
    ]
    expected = np.array([covariance[np.ix_(index, index)] for index in own])
    # the residuals tell that the errors are three times too large
    factor = np.trace(solution.covariance[4]) / np.trace(expected[4])
    assert factor == pytest.approx(1 / 9, rel=0.25)
    expected *= factor
    sigma = np.sqrt(np.diagonal(expected, axis1=1, axis2=2).max(axis=0))
    found = solution.covariance[:, : len(sigma), : len(sigma)]
    np.testing.assert_allclose(found / np.outer(sigma, sigma), expected / np.outer(sigma, sigma), atol=1e-3)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_injected_shifts_and_rolls_are_recovered(geometry):
    """Without noise all exposures fall onto one sky, to second order of the rolls: 1e-8 x 70"."""
    measured, clean, _ = network(geometry, np.random.default_rng(42))
    solution = solve_joint(replace(measured, xy=clean), geometry, NEVER)
    assert np.abs(solution.residual).max() < 5e-6
    assert np.ptp(solution.shift, axis=0).min() > 0.1


@pytest.mark.parametrize("outliers", [pytest.param(0, marks=pytest.mark.slow), 20])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_pulls_have_unit_width(geometry, outliers):
    """Also with outliers: the solution with noise against the one without it."""
    pulls, source_pulls = [], []
    for seed in range(25):
        measured, clean, bad = network(geometry, np.random.default_rng([45, seed]), outliers=outliers)
        solution = solve_joint(measured, geometry, 4.0)
        truth = solve_joint(replace(measured, xy=clean), geometry, NEVER)
        own = [parameters(solution, e, geometry) - parameters(truth, e, geometry) for e in range(1, 5)]
        variance = np.diagonal(solution.covariance[1:], axis1=1, axis2=2)[:, : 2 + TERMS[geometry]]
        free = variance > 1e-20  # exposure 1 has the roll of the fixed one
        pulls.append(np.array(own)[free] / np.sqrt(variance[free]))
        good = np.setdiff1d(np.arange(len(clean)), bad)
        # of a source seen twice, one good and one bad, neither can be told to be the bad one
        assert (solution.weight[good] > 0).mean() > (0.8 if outliers else 0.98)
        assert (solution.weight[bad] == 0).mean() >= 0.9 if outliers else True
        assert solution.scatter[0] < 0.003
        # errors of the sources leave out that of the frame
        difference = solution.source_xy - truth.source_xy
        source_pulls.append((difference - difference.mean(axis=0)) / solution.source_error[:, None])
    # 25 x 8 pulls at least, which go together within a solution
    assert np.std(np.concatenate(pulls)) == pytest.approx(1, abs=0.2)
    assert np.abs(np.concatenate(pulls)).max() < 5
    if geometry == "shift" and not outliers:
        assert np.std(source_pulls[0]) == pytest.approx(1, abs=0.25)


def parameters(solution, exposure, geometry):
    group = [0, 0, 1, 1, 2][exposure]
    return np.array([*solution.shift[exposure], *solution.terms[group, : TERMS[geometry]]])


def test_unexplained_scatter_is_found_and_counted():
    rng = np.random.default_rng(46)
    measured, clean, _ = network("rshift", rng, noise=0.002)
    noisy = replace(measured, xy=clean + 0.02 * rng.normal(size=clean.shape))
    solution = solve_joint(noisy, "rshift", 4.0)
    assert solution.scatter[0] == pytest.approx(0.02, rel=0.25)
    assert (solution.covariance[4, 0, 0] / solve_joint(measured, "rshift", 4.0).covariance[4, 0, 0]) > 30


@pytest.mark.parametrize("fixed", [(0,), (0, 1), (0, 3), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_frame_is_kept(geometry, fixed):
    measured, _, _ = network(geometry, np.random.default_rng(43), fixed=fixed)
    solution = solve_joint(measured, geometry, 4.0)
    chosen = list(fixed)
    groups = sorted({int(measured.group[e]) for e in fixed})
    np.testing.assert_allclose(solution.shift[chosen].mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(solution.terms[groups].mean(axis=0), 0, atol=1e-12)
    if fixed == (0,):
        np.testing.assert_allclose(solution.covariance[0], 0, atol=1e-14)
    assert not solution.terms[:, TERMS[geometry] :].any()
    assert np.linalg.eigvalsh(solution.covariance).min() > -1e-14


@settings(max_examples=20)
@given(st.permutations(range(5)), st.integers(0, 2**32), st.sampled_from(GEOMETRIES))
def test_order_does_not_matter(new_number, seed, geometry):
    measured, _, _ = network(geometry, np.random.default_rng(44), outliers=10, n_sources=30)
    solution = solve_joint(measured, geometry, 4.0)
    rng = np.random.default_rng(seed)
    order, sources = rng.permutation(len(measured.source)), rng.permutation(measured.source.max() + 1)
    new = np.array(new_number)
    old = np.argsort(new)
    shuffled = Measurements(
        pointing=new[measured.pointing][order],
        source=sources[measured.source][order],
        xy=measured.xy[order],
        error=measured.error[order],
        noise_class=measured.noise_class[order],
        group=measured.group[old],
        fixed=measured.fixed[old],
    )
    again = solve_joint(shuffled, geometry, 4.0)
    np.testing.assert_allclose(again.shift[new], solution.shift, atol=1e-9)
    np.testing.assert_allclose(again.terms, solution.terms, atol=1e-11)
    np.testing.assert_allclose(again.covariance[new], solution.covariance, atol=1e-11)
    np.testing.assert_allclose(again.weight, solution.weight[order], atol=1e-6)
    np.testing.assert_allclose(again.source_xy[sources], solution.source_xy, atol=1e-9)


def test_it_may_begin_where_another_ended():
    """Then one more iteration changes nothing; and what a rough one leaves open is below its tolerance."""
    measured, _, _ = network("rshift", np.random.default_rng(45), outliers=10)
    solution = solve_joint(measured, "rshift", 4.0)
    again = solve_joint(measured, "rshift", 4.0, None, Start(solution.scatter, solution.weight), np.inf)
    np.testing.assert_allclose(again.weight, solution.weight, atol=1e-3)
    error = np.sqrt(np.diagonal(solution.covariance, axis1=1, axis2=2)[1:, :2])
    assert (np.abs(again.shift - solution.shift)[1:] < 1e-2 * error).all()
    rough = solve_joint(measured, "rshift", 4.0, tolerance=0.03)
    assert (np.abs(rough.shift - solution.shift)[1:] < 0.1 * error).all()


def anchored(rng, reference_error=0.004, noise=0.005, scatter=(0.0, 0.0, 0.0), n_sources=120):
    """Five exposures in three groups, of two kinds, and a reference catalog, kind 2.

    Returns the measurements and the true shifts, in the catalog's frame; there are no rolls.
    """
    group = np.array([0, 0, 1, 1, 2])
    stars = rng.uniform(-70, 70, (n_sources, 2))
    shift = rng.normal(0, 0.2, (5, 2))
    exposure = np.repeat([*range(5), REFERENCE], len(stars))
    source = np.tile(np.arange(len(stars)), 6)
    own = exposure != REFERENCE
    kind = np.where(own, group[exposure] // 2, 2)
    error = np.where(own, rng.uniform(0.5, 1.5, len(source)) * noise, reference_error)
    total = np.hypot(error, np.array(scatter)[kind])
    xy = stars[source] - np.where(own[:, None], shift[exposure], 0.0)
    xy += total[:, None] * rng.normal(size=xy.shape)
    return Measurements(exposure, source, xy, error, kind, group, np.arange(5) == 0), shift


def dense_anchored(measured, geometry, center):
    """Least squares with the sources as unknowns and the reference's rows without corrections."""
    n, g, n_sources = measured.n_pointings, len(center), measured.source.max() + 1
    size = 2 * n + TERMS[geometry] * g
    rows = np.zeros((len(measured.source), 2, size + 2 * n_sources))
    for row, exposure, source, xy in zip(rows, measured.pointing, measured.source, measured.xy, strict=True):
        row[0, size + source] = row[1, size + n_sources + source] = -1
        if exposure == REFERENCE:
            continue
        group = measured.group[exposure]
        row[0, exposure] = row[1, n + exposure] = 1
        for term, generator in enumerate(GENERATORS[: TERMS[geometry]]):
            row[:, 2 * n + term * g + group] = generator @ (xy - center[group])
    root = 1 / measured.error[:, None]
    left = (root[:, :, None] * rows).reshape(-1, rows.shape[2])
    found, *_ = np.linalg.lstsq(left, -(root * measured.xy).ravel(), rcond=None)
    return found[:size], found[size:].reshape(2, -1).T, np.linalg.inv(left.T @ left)[:size, :size]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_with_a_reference_catalog_it_is_the_dense_least_squares(geometry):
    """The catalog's positions are the frame: the exposures that would fix it are fitted like all."""
    measured, shift = anchored(np.random.default_rng(47), n_sources=40)
    inflated = replace(measured, error=3 * measured.error)
    solution = solve_joint(inflated, geometry, NEVER)
    found, sources, covariance = dense_anchored(inflated, geometry, solution.center)
    np.testing.assert_allclose(solution.shift, found[:10].reshape(2, 5).T, atol=1e-8)
    np.testing.assert_allclose(solution.terms[:, : TERMS[geometry]].T.ravel(), found[10:], atol=1e-10)
    np.testing.assert_allclose(solution.source_xy, sources, atol=1e-8)
    ratio = solution.covariance[:, 0, 0] / np.diag(covariance)[:5]
    # the residuals tell that the errors are three times too large
    np.testing.assert_allclose(ratio, 1 / 9, rtol=0.25)
    error = np.sqrt(np.diagonal(solution.covariance, axis1=1, axis2=2)[:, :2])
    assert (error > 0).all()
    assert np.abs((solution.shift - shift) / error).max() < 4.5


@pytest.mark.parametrize("scatter", [(0.0, 0.02, 0.01), (0.02, 0.0, 0.0), (0.015, 0.015, 0.03)])
def test_each_kind_has_its_own_scatter(scatter):
    """Of 480, 120 and 120 measurements; a source's position takes part of each up."""
    found = [
        solve_joint(anchored(np.random.default_rng([48, seed]), scatter=scatter)[0], "rshift", 4.0).scatter
        for seed in range(8)
    ]
    # what is not there is found as no more than the errors themselves
    np.testing.assert_allclose(np.median(found, axis=0), scatter, rtol=0.25, atol=0.005)


@pytest.mark.parametrize("reference_error", [0.01, 0.003, 0.0001])
def test_errors_are_true_whatever_those_of_the_reference(reference_error):
    pulls = []
    for seed in range(25):
        measured, shift = anchored(np.random.default_rng([49, seed]), reference_error)
        solution = solve_joint(measured, "shift", 4.0)
        error = np.sqrt(np.diagonal(solution.covariance, axis1=1, axis2=2)[:, :2])
        pulls.append((solution.shift - shift) / error)
    # 250 pulls, those of one solution correlated by the reference's errors
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("axes", [(0.0002, 0.003), (0.003, 0.0002), (0.001, 0.02)])
def test_stars_that_one_exposure_saw_keep_their_weight_whatever_the_axes(axes):
    """Of which the reference knows one axis far better than the other."""
    rng = np.random.default_rng(51)
    measured, shift = anchored(rng, 0.0)
    rows = np.flatnonzero((measured.pointing == 0) | (measured.pointing == REFERENCE))
    own = measured.pointing[rows] != REFERENCE
    error = np.where(own[:, None], measured.error[rows][:, None], axes)
    one = Measurements(
        measured.pointing[rows],
        measured.source[rows],
        measured.xy[rows] + np.where(own[:, None], 0.0, error * rng.normal(size=error.shape)),
        np.sqrt((error**2).mean(axis=1)),
        np.where(own, 0, 1),
        np.zeros(1, dtype=np.int64),
        np.ones(1, dtype=bool),
        axis_error=error,
    )
    solution = solve_joint(one, "rshift", 4.0)
    # two that are some three errors apart may part company
    assert (solution.weight > 0).mean() > 0.95
    sigma = np.sqrt(np.diagonal(solution.covariance, axis1=1, axis2=2)[0, :2])
    assert np.abs((solution.shift[0] - shift[0]) / sigma).max() < 4.5


@pytest.mark.parametrize("reference", [False, True])
def test_a_group_of_one_source_has_its_roll_from_the_prior(reference):
    measured, _ = anchored(np.random.default_rng(50))
    one = np.flatnonzero((measured.pointing != 4) | (measured.source == 7))
    rows = one if reference else one[measured.pointing[one] != REFERENCE]
    columns = ("pointing", "source", "xy", "error", "noise_class")
    measured = replace(measured, **{name: getattr(measured, name)[rows] for name in columns})
    prior = PointingPrior(
        shift=np.zeros((5, 2)),
        terms=np.zeros((3, 4)),
        center=group_centers(measured),
        group=measured.group,
        of_shifts=SharedPrior.of(measured.group, 0.3, 0.5),
        of_terms=tuple(SharedPrior.of(np.arange(3), 1e-9, error) for error in (3e-4, 1e-4, 1e-4, 1e-4)),
    )
    solution = solve_joint(measured, "rscale", 4.0, prior)
    assert np.sqrt(solution.covariance[4, 2, 2]) == pytest.approx(3e-4, rel=0.05 if reference else 0.5)
    assert np.sqrt(solution.covariance[4, 3, 3]) == pytest.approx(1e-4, rel=0.05 if reference else 0.5)
    if reference:
        np.testing.assert_allclose(solution.terms[2], 0, atol=1e-10)
    # those of the others come from their sources: a noise over 70" and the root of 200
    assert (np.sqrt(solution.covariance[2:4, 2, 2]) < 4e-5).all()
    assert np.isfinite(solution.covariance).all()
    # its shift comes from its source, and the prior adds little
    assert np.sqrt(solution.covariance[4, 0, 0]) < 0.02


def test_a_source_whose_measurements_are_all_clipped_keeps_a_sane_position():
    measured, clean, _ = network("shift", np.random.default_rng(48))
    moved = measured.source == 3
    wrong = (
        clean[moved]
        + np.array([[0.4, 0.0], [-0.4, 0.3], [0.0, -0.4], [0.3, 0.3], [-0.3, -0.4]])[: moved.sum()]
    )
    xy = measured.xy.copy()
    xy[moved] = wrong
    solution = solve_joint(replace(measured, xy=xy), "shift", 4.0)
    assert not solution.weight[moved].any()
    assert np.abs(solution.residual[moved]).max() < 1
