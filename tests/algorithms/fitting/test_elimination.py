"""Elimination front by front is the dense solution, whatever the order, and its work grows with the field."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from grism_align.algorithms.fitting import normal
from grism_align.algorithms.fitting.assembly import Entries, outer_products
from grism_align.algorithms.fitting.corrections import pointing_prior
from grism_align.algorithms.fitting.dissection import dissected
from grism_align.algorithms.fitting.elimination import Elimination
from grism_align.algorithms.fitting.joint import Measurements, solve_joint
from grism_align.algorithms.fitting.places import MountedDetectors, PlacePrior
from grism_align.values.settings import PointingSettings
from grism_align.values.transform import LinearTransform, TangentPlane

PLANE = TangentPlane(150.0, 2.2)


def scattered(rng, n_bodies, n_unknowns, *, n_last=0):
    """Bodies in a square of which neighbours are tied, and to what body each unknown belongs."""
    place = rng.uniform(0, np.sqrt(n_bodies), (n_bodies, 2))
    near = np.hypot(*(place[:, None] - place).T) < 1.2
    owner = np.concatenate([rng.integers(0, n_bodies, n_unknowns), np.full(n_last, -1)])
    return sparse.csr_matrix(near.astype(float)), place, owner


def definite(rng, tied, owner):
    """A positive definite matrix with elements between tied unknowns alone."""
    allowed = np.where((owner[:, None] < 0) | (owner < 0), True, tied.toarray()[owner[:, None], owner] > 0)
    values = rng.normal(size=allowed.shape)
    values = np.where(allowed, values + values.T, 0.0)
    return values + np.diag(np.abs(values).sum(axis=1) + 1.0)


def cells(rng, tied, owner, n):
    """Columns (P, n), each with elements for a body and what is tied to it."""
    out = np.zeros((len(owner), n))
    for column, body in zip(out.T, rng.integers(0, tied.shape[0], n), strict=True):
        # bodies that are all tied to each other
        clique = [body]
        for other in tied[[body]].indices:
            if all(tied[other, one] for one in clique):
                clique.append(other)
        at = np.isin(owner, clique)
        column[at] = rng.normal(size=at.sum())
    return out


@given(
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.integers(1, 120),
    st.integers(0, 3),
    st.sampled_from([1, 8, 500]),
)
def test_it_is_the_dense_solution(seed, n_bodies, n_unknowns, n_last, small):
    rng = np.random.default_rng(seed)
    tied, place, owner = scattered(rng, n_bodies, n_unknowns, n_last=n_last)
    matrix, size = definite(rng, tied, owner), len(owner)
    dissection = dissected(tied, place, owner, small=small)
    assert sorted(dissection.order) == list(range(size))
    i, j = np.nonzero(matrix)
    entries = Entries(np.array([i, j]), dissection)
    elimination = Elimination(dissection, entries.of(matrix[i, j], np.ones(size)))
    right = rng.normal(size=(size, 3))
    inverse = np.linalg.inv(matrix)
    np.testing.assert_allclose(elimination.solve(right), inverse @ right, rtol=1e-7, atol=1e-9)
    columns = cells(rng, tied, owner, 10)
    change = elimination.perturbed(outer_products(sparse.csr_matrix(columns), dissection))
    turned = inverse @ columns
    assert change.trace == pytest.approx((columns * turned).sum(), rel=1e-7)
    for number, found, changed in elimination.inverse(change):
        front = dissection.fronts[number]
        own = dissection.order[front.start : front.stop]
        np.testing.assert_allclose(found, inverse[np.ix_(own, own)], rtol=1e-7, atol=1e-9)
        expected = turned[own] @ turned[own].T
        np.testing.assert_allclose(changed, expected, rtol=1e-6, atol=1e-8)


def grid(side):
    """A square of bodies of four unknowns, each tied to the eight around it."""
    x, y = np.divmod(np.arange(side**2), side)
    near = (np.abs(x[:, None] - x) < 2) & (np.abs(y[:, None] - y) < 2)
    place = np.column_stack([x, y]).astype(float)
    return dissected(sparse.csr_matrix(near.astype(float)), place, np.repeat(np.arange(side**2), 4), small=32)


def test_the_factor_fills_in_as_n_log_n():
    fill = np.array([grid(side).fill for side in (8, 16, 32)])
    n = 4 * np.array([8, 16, 32]) ** 2
    share = fill / (n * np.log2(n))
    # an exponent of 1.5 doubles it each time
    assert (share[1:] / share[:-1] < 1.5).all()


def test_a_field_on_one_place_is_one_front():
    tied = sparse.csr_matrix(np.ones((50, 50)))
    dissection = dissected(tied, np.random.default_rng(1).normal(size=(50, 2)), np.repeat(np.arange(50), 20))
    assert len(dissection.fronts) == 1


def strip(rng, n_visits=14, distortion=0.0):
    """Visits of two exposures along a strip, of which neighbours overlap."""
    e = 2 * n_visits
    visit = np.arange(e) // 2
    stars = rng.uniform([-80, -60], [80 * n_visits, 60], (40 * n_visits, 2))
    away = np.abs(stars[None] - np.column_stack([80.0 * visit, np.zeros(e)])[:, None]).max(axis=2)
    pointing, star = np.nonzero((away < 60) & (rng.uniform(size=away.shape) < 0.9))
    twice = np.bincount(star)[star] > 1
    pointing, star = pointing[twice], star[twice]
    error = 0.004 * np.ones(len(star))
    xy = (
        stars[star] + rng.normal(0, 0.02, (e, 2))[pointing] + error[:, None] * rng.normal(size=(len(star), 2))
    )
    patch = np.floor(stars / 25.0).astype(int) % 8
    xy += distortion * rng.normal(size=(n_visits, 8, 8, 2))[visit[pointing], *patch[star].T]
    # above the noise, so that nothing is iterated
    error = np.full(len(star), 0.015)
    source = np.unique(star, return_inverse=True)[1].ravel()
    kind = np.zeros(len(star), dtype=np.int64)
    return Measurements(pointing, source, xy, error, kind, visit, np.isin(np.arange(e), [4, 9]))


def on_two_detectors(measured, rng, distortion):
    """The same by detectors that both see all of an exposure, each quarter of them off by an error."""
    m = len(measured.source)
    number, axes = rng.integers(0, 2, m), np.broadcast_to(np.eye(2), (m, 2, 2))
    arm = measured.xy - np.column_stack([80.0 * (measured.pointing // 2), np.zeros(m)])
    mounted = MountedDetectors(number, axes, arm, PlacePrior(np.zeros((2, 2)), 0.005))
    wrong = (mounted.of_quarters() @ rng.normal(0, distortion, 16)).reshape(2, -1).T
    return replace(measured, xy=measured.xy + wrong, mounted=mounted)


@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize(("geometry", "distortion"), [("shift", 0.0), ("rshift", 0.006), ("general", 0.006)])
def test_a_dissected_field_is_solved_as_a_whole_one(monkeypatch, geometry, distortion, with_prior):
    """Corrections, their covariances and the errors that cells share."""
    measured = strip(np.random.default_rng(7), distortion=distortion)
    prior = None
    if with_prior:
        still = [LinearTransform.identity(PLANE)] * measured.n_pointings
        prior = pointing_prior(PointingSettings(), measured, still)
    one, other = dissected_and_whole(monkeypatch, measured, geometry, prior)
    assert (one.systematic > 0) is (distortion > 0)
    assert_same(one, other)
    g = len(one.terms)
    whole = one.term_covariance[np.arange(g), :, np.arange(g), :]
    unit = unit_of(other)[2:]
    size = np.outer(unit, unit)
    np.testing.assert_allclose(one.covariance[::2, 2:, 2:] / size, whole / size, atol=1e-5)


@pytest.mark.parametrize("distortion", [0.0, 0.01])
def test_so_is_one_whose_detectors_may_be_off(monkeypatch, distortion):
    rng = np.random.default_rng(8)
    measured = on_two_detectors(strip(rng), rng, distortion)
    one, other = dissected_and_whole(monkeypatch, measured, "rshift", None)
    assert (one.systematic > 0) is (distortion > 0)
    assert_same(one, other)
    for name in ("following", "shared"):
        mine, theirs = getattr(one.border, name), getattr(other.border, name)
        np.testing.assert_allclose(mine, theirs, atol=1e-5 * np.abs(theirs).max())
    np.testing.assert_allclose(one.border.step, other.border.step, atol=1e-8)


def dissected_and_whole(monkeypatch, measured, geometry, prior):
    """Solve by many fronts, and by one or two."""
    found, fronts = [], []
    for small in (10, 10**6):

        def dissect(*args, small=small):
            made = dissected(*args, small=small)
            fronts.append(len(made.fronts))
            return made

        monkeypatch.setattr(normal, "dissected", dissect)
        found.append(solve_joint(measured, geometry, 1e6, prior))
        # lazily, by the dissection that was made above
        assert found[-1].covariance.shape == (28, 6, 6)
    assert fronts[0] > 5
    assert fronts[1] <= 2
    return found


def unit_of(solution):
    """Return the largest errors (6,) of shifts and terms."""
    return np.sqrt(np.maximum(np.diagonal(solution.covariance, axis1=1, axis2=2), 1e-30)).max(axis=0)


def assert_same(one, other):
    assert one.systematic == pytest.approx(other.systematic, rel=1e-5)
    np.testing.assert_allclose(one.shift, other.shift, atol=1e-8)
    np.testing.assert_allclose(one.terms, other.terms, atol=1e-9)
    size = np.outer(unit := unit_of(other), unit)
    np.testing.assert_allclose(one.covariance / size, other.covariance / size, atol=1e-5)
