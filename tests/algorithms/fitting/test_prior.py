"""What the pointing adds to the joint solution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.linalg import block_diag

from grism_align.algorithms.fitting.joint import REFERENCE, Measurements, group_centers, solve_joint
from grism_align.algorithms.fitting.prior import (
    GENERATORS,
    N_TERMS,
    PointingPrior,
    SharedPrior,
    prior_reweighted,
)

DITHER, OFFSET, NOISE = 0.02, 0.5, 0.005
TERM_ERRORS = np.array([3e-4, 1e-4, 1e-4, 1e-4])
OWN_TERM_ERRORS = 0.1 * TERM_ERRORS


def prior(group, rng=None, center=None, acquisition=None, **changes):
    """All corrections so far are zero unless there is a generator to draw them from.

    `acquisition` is that of each group; by default each has its own.
    """
    group = np.asarray(group)
    e, g = len(group), group.max() + 1
    acquisition = np.arange(g) if acquisition is None else np.asarray(acquisition)
    rng = rng or np.random.default_rng(0)
    made = PointingPrior(
        shift=np.zeros((e, 2)),
        terms=np.zeros((g, N_TERMS)),
        center=rng.uniform(-100, 100, (g, 2)) if center is None else center,
        group=group,
        of_shifts=SharedPrior.of(acquisition[group], DITHER, OFFSET),
        of_terms=tuple(
            SharedPrior.of(acquisition, *each) for each in zip(OWN_TERM_ERRORS, TERM_ERRORS, strict=True)
        ),
    )
    return replace(made, **changes)


def dense_block(one):
    """Covariance of values of which those of an acquisition share a part; weights divide variances."""
    same = one.acquisition[:, None] == one.acquisition[None, :]
    shared = (one.shared**2 / one.shared_weight)[one.acquisition]
    return np.diag(one.own**2 / one.own_weight) + same * shared[:, None]


def dense_covariance(own, n_terms):
    """Of the shifts x, the shifts y and each term of all groups."""
    shifts = dense_block(own.of_shifts)
    return block_diag(shifts, shifts, *map(dense_block, own.of_terms[:n_terms]))


def dense_precision(own, n_terms):
    """Of all parameters."""
    i, j, elements = own.precision_entries(n_terms)
    size = 2 * len(own.group) + n_terms * len(own.center)
    return sparse.coo_matrix((elements, (i, j)), (size, size)).toarray()


def prior_normal(own, n_terms, *, is_unanchored):
    """The prior's normal matrix and right side; blind to common moves where nobody knows these."""
    matrix = dense_precision(own, n_terms)
    if is_unanchored:
        moves = own.common_moves(n_terms)
        weighed = own.weighed(moves, n_terms)
        matrix = matrix - weighed @ np.linalg.pinv(moves.T @ weighed, hermitian=True) @ weighed.T
    return matrix, -matrix @ own.so_far(n_terms)


def with_weights(one, rng):
    """The same prior with any robust weights."""
    own, shared = (rng.uniform(0.01, 1, len(each)) for each in (one.own_weight, one.shared_weight))
    return replace(one, own_weight=own, shared_weight=shared)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(0, 2**32), st.sampled_from([0, 1, 2, 4])
)
def test_the_precision_is_the_inverse_of_the_covariance(labels, seed, n_terms):
    """Of own^2 I + shared^2 11' in each acquisition, with any robust weights."""
    rng = np.random.default_rng(seed)
    _, group = np.unique(labels, return_inverse=True)
    _, acquisition = np.unique(rng.integers(0, 2, group.max() + 1), return_inverse=True)
    own = prior(group.ravel(), acquisition=acquisition.ravel())
    own = replace(
        own,
        of_shifts=with_weights(own.of_shifts, rng),
        of_terms=tuple(with_weights(one, rng) for one in own.of_terms),
    )
    product = dense_precision(own, n_terms) @ dense_covariance(own, n_terms)
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-8)
    np.testing.assert_allclose(own.weighed(np.eye(len(product)), n_terms), dense_precision(own, n_terms))


@pytest.mark.parametrize("n_terms", [0, 1, 2, 4])
def test_where_exposures_fix_the_frame_it_is_blind_to_common_moves(n_terms):
    rng = np.random.default_rng(31)
    own = prior([0, 0, 1, 1, 1, 2], rng)
    matrix, _ = prior_normal(own, n_terms, is_unanchored=True)
    moves = own.common_moves(n_terms)
    assert moves.shape == (12 + 3 * n_terms, 2 + n_terms)
    full = dense_precision(own, n_terms)
    # against what each move would cost otherwise
    cost = np.diag(moves.T @ full @ moves)
    assert np.abs(moves.T @ matrix @ moves / np.sqrt(np.outer(cost, cost))).max() < 1e-6
    # it is the precision once a common move, of which nothing is known, is taken out
    far = 1e3 * moves / np.sqrt(cost)
    wide = dense_covariance(own, n_terms) + far @ far.T
    scale = np.sqrt(np.diag(full))
    np.testing.assert_allclose(
        matrix / np.outer(scale, scale), np.linalg.inv(wide) / np.outer(scale, scale), atol=1e-5
    )
    # anything else costs something
    assert np.linalg.matrix_rank(matrix / np.outer(scale, scale), tol=1e-7) == len(matrix) - 2 - n_terms
    np.testing.assert_allclose(prior_normal(own, n_terms, is_unanchored=False)[0], full)


def test_it_pulls_towards_the_a_priori_pointing():
    """Alone, it takes back the corrections made so far, and nothing where they are a common move."""
    rng = np.random.default_rng(32)
    own = prior([0, 0, 1], rng, shift=rng.normal(0, 0.1, (3, 2)), terms=rng.normal(0, 1e-4, (2, N_TERMS)))
    matrix, right = prior_normal(own, 4, is_unanchored=False)
    np.testing.assert_allclose(np.linalg.solve(matrix, right), -own.so_far(4), atol=1e-10)
    moved = own.common_moves(4) @ np.array([0.7, -0.3, 1e-4, 1e-4, 0, 0])
    common = replace(own, shift=moved[:6].reshape(2, 3).T, terms=moved[6:].reshape(4, 2).T)
    for n_terms in (2, 4):
        matrix, right = prior_normal(common, n_terms, is_unanchored=True)
        assert np.abs(right / np.sqrt(np.diag(dense_precision(own, n_terms)))).max() < 1e-6


def test_a_common_move_adds_what_its_term_says():
    """A term of everything moves each exposure's centre as the term's generator does."""
    own = prior([0, 1, 1], center=np.array([[0.0, 0.0], [30.0, 60.0]]))
    moves = own.common_moves(4)
    arm = (own.center - own.center.mean(axis=0))[own.group]
    for term, generator in enumerate(GENERATORS):
        np.testing.assert_allclose(moves[:6, 2 + term].reshape(2, 3).T, arm @ generator.T)


def test_weights_fall_with_the_correction():
    own = prior([0, 0, 0, 0, 1])
    shift = np.zeros((5, 2))
    shift[0] = 100 * DITHER
    new = prior_reweighted(
        own, np.concatenate([shift.T.ravel(), [0, 30 * TERM_ERRORS[0]]]), 1, is_unanchored=False
    )
    # Cauchy's: 1 / (1 + (pull / 3)^2), here with a quarter of the pull taken by the mean
    assert new.of_shifts.own_weight[0] == pytest.approx(1 / (1 + 75**2 / 9), rel=0.05)
    # a hundredth of the variance is the group's own
    assert new.of_terms[0].shared_weight[1] == pytest.approx(1 / 101, rel=0.03)
    assert new.of_terms[0].shared_weight[0] == new.of_shifts.shared_weight[1] == 1
    assert new.of_shifts.own_weight[4] == 1
    assert (own.of_shifts.own_weight == 1).all()
    # those that moved with no one else keep theirs, once the one that is off counts little
    for _ in range(10):
        new = prior_reweighted(
            new, np.concatenate([shift.T.ravel(), [0, 30 * TERM_ERRORS[0]]]), 1, is_unanchored=False
        )
    assert (new.of_shifts.own_weight[1:] > 0.99).all()
    assert new.of_shifts.own_weight[0] < 2e-3


def measured(rng, shift, n_sources=60, *, reference=False, noise=NOISE):
    """Exposures of two groups that see all sources, with pointing wrong by `shift`."""
    group = np.repeat([0, 1], [len(shift) - len(shift) // 2, len(shift) // 2])
    xy = rng.uniform(-60, 60, (n_sources, 2))
    e = len(shift)
    exposure = np.repeat(np.arange(e), n_sources)
    source = np.tile(np.arange(n_sources), e)
    seen = xy[source] - shift[exposure] + noise * rng.normal(size=(len(source), 2))
    error = np.full(len(source), noise)
    if reference:
        exposure = np.concatenate([exposure, np.full(n_sources, REFERENCE)])
        source = np.concatenate([source, np.arange(n_sources)])
        seen = np.concatenate([seen, xy + noise * rng.normal(size=xy.shape)])
        error = np.concatenate([error, np.full(n_sources, noise)])
    kind = (exposure == REFERENCE).astype(int)
    return Measurements(exposure, source, seen, error, kind, group, np.arange(e) == 0)


def roughly_corrected(rng, wrong, n_sources, *, reference):
    """Measurements that have their correction, but for noise, and the prior; exposure 5 is off alone."""
    shift = rng.normal(0, DITHER, (8, 2))
    shift[5] += wrong
    noisy = measured(rng, shift, n_sources=n_sources, reference=reference)
    truth = shift if reference else shift - shift[0]
    before = np.where((noisy.pointing == REFERENCE)[:, None], 0.0, truth[noisy.pointing])
    corrected = replace(noisy, xy=noisy.xy + before)
    return corrected, prior(noisy.group, center=group_centers(corrected), shift=truth)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("clip", [4.0, 1e6])
def test_an_exposure_far_off_hardly_feels_it(reference, clip):
    """100 dithers off: the bias is below 5 % of the data's error, though the sources are few."""
    corrected, own = roughly_corrected(
        np.random.default_rng(33), 100 * DITHER, n_sources=12, reference=reference
    )
    with_prior = solve_joint(corrected, "shift", clip, own)
    # nothing is known of this one
    weight = np.where(np.arange(8) == 5, 1e-9, 1.0)
    blind = replace(own, of_shifts=replace(own.of_shifts, own_weight=weight))
    without = solve_joint(corrected, "shift", clip, blind)
    error = np.sqrt(without.covariance[5, 0, 0])
    assert np.abs(with_prior.shift[5] - without.shift[5]).max() < 0.05 * error
    assert with_prior.covariance[5, 0, 0] == pytest.approx(without.covariance[5, 0, 0], rel=0.05)


@pytest.mark.parametrize("reference", [False, True])
def test_the_rough_correction_of_an_exposure_farther_off_is_believed(reference):
    """The positions have it already, and six sources that agree with it: the prior does not take it back."""
    corrected, own = roughly_corrected(np.random.default_rng(33), 60.0, n_sources=6, reference=reference)
    solution = solve_joint(corrected, "rshift", 4.0, own)
    assert np.abs(solution.shift[5]).max() < 5 * NOISE
    assert (solution.weight[corrected.pointing == 5] > 0).all()


@pytest.mark.parametrize("geometry", ["shift", "rshift", "rscale", "general"])
@pytest.mark.parametrize("reference", [False, True])
def test_a_wide_prior_is_none(reference, geometry):
    rng = np.random.default_rng(34)
    noisy = measured(rng, rng.normal(0, 0.3, (6, 2)), reference=reference)
    usual = prior(noisy.group, center=group_centers(noisy))
    wide = replace(
        usual,
        of_shifts=replace(usual.of_shifts, own=1e4, shared=1e4),
        of_terms=tuple(replace(one, own=1e2, shared=1e2) for one in usual.of_terms),
    )
    # errors above the noise and no clipping, so that nothing is iterated
    noisy = replace(noisy, error=3 * noisy.error)
    first, second = solve_joint(noisy, geometry, 1e6), solve_joint(noisy, geometry, 1e6, wide)
    np.testing.assert_allclose(second.shift, first.shift, atol=1e-8)
    np.testing.assert_allclose(second.terms, first.terms, atol=1e-9)
    np.testing.assert_allclose(second.covariance, first.covariance, rtol=1e-3, atol=1e-14)


@pytest.mark.parametrize("reference", [False, True])
def test_with_a_true_prior_pulls_have_unit_width(reference):
    """Three sources of twice the dither's error: the shifts rest on the prior as much as on the data."""
    pulls = []
    for seed in range(30):
        rng = np.random.default_rng([35, seed])
        group = np.repeat([0, 1, 2], 4)
        shift = rng.normal(0, OFFSET, (3, 2))[group] + rng.normal(0, DITHER, (12, 2))
        noisy = replace(measured(rng, shift, n_sources=3, reference=reference, noise=2 * DITHER), group=group)
        own = prior(group, center=group_centers(noisy))
        solution = solve_joint(noisy, "shift", 4.0, own)
        truth = shift if reference else shift - shift[0]
        first = 0 if reference else 1
        error = np.sqrt(np.diagonal(solution.covariance, axis1=1, axis2=2)[first:, :2])
        pulls.append((solution.shift - truth)[first:] / error)
        assert (error < 2 * DITHER).all()
    # 30 fields of correlated pulls: a tenth of the width
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1, abs=0.2)
