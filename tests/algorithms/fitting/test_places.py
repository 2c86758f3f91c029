"""Places of detectors as unknowns of a joint solution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.fitting.corrections import followed_places
from grism_align.algorithms.fitting.joint import solve_joint
from grism_align.algorithms.fitting.places import MountedDetectors, PlaceEquations, PlacePrior
from grism_align.algorithms.fitting.systematics import cell_columns, cells_of
from tests.algorithms.fitting.test_joint import NEVER, network

N = 3
OFF = np.array([[0.004, -0.002], [-0.003, 0.003], [-0.001, -0.001]])


def mounted(measured, rng, error=0.005, off=OFF):
    """Give each pointing a roll and each measurement a detector, and move it by the place of that."""
    angle = rng.uniform(0, 6, measured.n_pointings)[measured.pointing]
    axes = np.moveaxis(np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]), -1, 0)
    number = rng.integers(-1, N, len(angle))
    moved = np.where((number >= 0)[:, None], np.einsum("mij,mj->mi", axes, off[number]), 0.0)
    prior = PlacePrior(np.zeros((N, 2)), error)
    return replace(measured, xy=measured.xy - moved, mounted=MountedDetectors(number, axes, measured.xy, prior))


def test_as_a_solution_of_all_unknowns_at_once():
    """Positions of sources, corrections and places in one dense system, with the prior of places."""
    rng = np.random.default_rng(821)
    measured = mounted(network("rshift", rng, noise=0.003)[0], rng)
    solution = solve_joint(measured, "rshift", NEVER)
    assert solution.systematic == 0.0
    border = solution.border
    # what the scatter of the residuals makes of the errors
    total = np.bincount(measured.source, measured.error**-2.0)
    factor = np.median(solution.source_error**2 * total)
    weight = measured.error**-2.0 / factor
    n_moves = 2 * measured.n_pointings + len(solution.center)
    system = _DenseSystem(measured, solution.center, weight)
    place, covariance = system.solved(measured.mounted.prior.precision(border.step.reshape(-1, 2)))
    offset, own = border.equations.solved(measured.mounted.prior)
    np.testing.assert_allclose(offset.ravel(), place[n_moves:], rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(border.step, place[n_moves:], rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(own, covariance[n_moves:, n_moves:], atol=2e-3 * own.max())
    np.testing.assert_allclose(
        solution.shift.T.ravel(), place[: 2 * measured.n_pointings], rtol=1e-3, atol=1e-7
    )
    # the errors of corrections with those of places
    for number, followed in enumerate(followed_places(measured, solution)):
        center = solution.center[measured.group[number]]
        at_center = np.zeros((2, 6))
        at_center[:, :2] = np.eye(2)
        at_center[0, 2:4] = at_center[1, 4:6] = center
        by_place = at_center @ followed.by_offset
        found = solution.covariance[number, :2, :2] + by_place @ own @ by_place.T
        at = [number, measured.n_pointings + number]
        np.testing.assert_allclose(found, covariance[np.ix_(at, at)], atol=2e-3 * own.max())


def test_errors_that_cells_share_as_in_a_dense_system():
    """What places take up of them is not missing in their size, and what they do to places is known."""
    rng = np.random.default_rng(824)
    measured = mounted(network("rshift", rng, noise=0.002, n_sources=200)[0], rng)
    wrong = rng.normal(0, 0.004, (cells_of(measured).max() + 1, 2))
    xy = measured.xy + wrong[cells_of(measured)]
    measured = replace(measured, xy=xy, error=np.full(len(xy), 0.002))
    solution = solve_joint(measured, "rshift", NEVER)
    count = np.bincount(measured.source)
    weight = np.full(len(xy), np.median(1.0 / (count * solution.source_error**2)))
    border, moves = solution.border, 2 * measured.n_pointings + len(solution.center)
    prior = measured.mounted.prior
    system = _DenseSystem(measured, solution.center, weight)
    rows, _, first = system.rows(prior.precision(border.equations.solved(prior)[0]))
    inverse = np.linalg.pinv(rows.T @ rows, rcond=1e-17, hermitian=True)
    cells, m = cell_columns(measured).toarray(), len(xy)
    root = np.sqrt(weight[0])
    own = rows[: 2 * m] / root
    # without the corrections and places: the sources take up their part alone
    sources = own[:, first:]
    left = cells - sources @ np.linalg.lstsq(sources, cells, rcond=None)[0]
    within = weight[0] * cells.T @ left
    all_of_it = weight[0] * (cells.T @ cells) - root**4 * cells.T @ own @ inverse @ own.T @ cells
    sums = weight[0] * cells.T @ solution.residual.T.ravel()
    expected = np.trace(all_of_it)
    squares = (within**2).sum() * expected / np.trace(within)
    variance = (sums @ sums - expected) / squares
    assert solution.systematic == pytest.approx(np.sqrt(variance), rel=1e-3)
    assert solution.systematic == pytest.approx(0.004, rel=0.3)
    shared = inverse @ own.T @ cells * weight[0]
    expected = (inverse + variance * shared @ shared.T)[moves:first, moves:first]
    found = border.equations.solved(prior)[1]
    np.testing.assert_allclose(found, expected, atol=5e-3 * found.max())


class _DenseSystem:
    """All unknowns at once: corrections, places, sources."""

    def __init__(self, measured, center, weight):
        self.measured, self.center, self.weight = measured, center, weight

    def solved(self, precision):
        """Return corrections and places, and their covariance."""
        left, right, first = self.rows(precision)
        found, *_ = np.linalg.lstsq(left, right, rcond=1e-15)
        covariance = np.linalg.pinv(left.T @ left, rcond=1e-17, hermitian=True)
        return found[:first], covariance[:first, :first]

    def rows(self, precision):
        """Return weighted rows and right sides of all equations, and the number of unknowns but sources."""
        measured, own = self.measured, self.measured.mounted.matrix().toarray()
        root = np.sqrt(np.tile(self.weight, 2))
        n_moves = 2 * measured.n_pointings + len(self.center)
        m, n = len(measured.source), measured.n_pointings
        n_sources = measured.source.max() + 1
        rows = np.zeros((2 * m, n_moves + own.shape[1] + 2 * n_sources))
        i, group = np.arange(m), measured.group[measured.pointing]
        x, y = (measured.xy - self.center[group]).T
        rows[i, measured.pointing] = rows[m + i, n + measured.pointing] = 1
        rows[i, 2 * n + group], rows[m + i, 2 * n + group] = y, -x
        rows[:, n_moves : n_moves + own.shape[1]] = own
        first = n_moves + own.shape[1]
        rows[i, first + measured.source] = rows[m + i, first + n_sources + measured.source] = -1
        frame = np.zeros((3, rows.shape[1]))
        frame[0, :n], frame[1, n : 2 * n] = measured.fixed, measured.fixed
        frame[2, 2 * n + np.unique(measured.group[measured.fixed])] = 100
        prior = np.zeros((own.shape[1], rows.shape[1]))
        prior[:, n_moves:first] = np.diag(np.sqrt(precision.repeat(2)))
        left = np.concatenate([root[:, None] * rows, 1e4 * root.max() * frame, prior])
        right = np.concatenate([-root * measured.xy.T.ravel(), np.zeros(len(frame) + len(prior))])
        return left, right, first


@pytest.mark.parametrize("years", [0.0, 3.0])
def test_places_are_found_though_sources_move(years):
    """Of what detectors saw in different years, motions are no places."""
    pulls = []
    for seed in range(12):
        rng = np.random.default_rng([822, seed])
        measured, *_ = network("rshift", rng, noise=0.001, n_sources=80)
        when = np.linspace(2027.0, 2027.0 + years, measured.n_pointings)
        motion = rng.normal(0, 0.004, (measured.source.max() + 1, 2))
        xy = measured.xy + motion[measured.source] * (when[measured.pointing, None] - 2027.0)
        measured = mounted(replace(measured, xy=xy, epoch=when), rng, error=0.02)
        offset, covariance = solve_joint(measured, "rshift", NEVER).border.equations.solved(
            measured.mounted.prior
        )
        # one detector that is known ties the others
        apart = offset - OFF
        pulls.append(apart.ravel() / np.sqrt(np.diag(covariance)))
    # 72 pulls
    assert 0.75 < np.sqrt(np.mean(np.square(pulls))) < 1.25


def test_parts_tell_together():
    rng = np.random.default_rng(823)
    prior = PlacePrior(np.zeros((N, 2)), 0.005)
    half = PlaceEquations(4e6 * np.eye(2 * N), 4e6 * OFF.ravel(), np.zeros((2 * N, 2 * N)))
    both = PlaceEquations.joined([half, half], N)
    offset, covariance = both.solved(prior)
    precision = prior.precision(offset).repeat(2)
    np.testing.assert_allclose(offset.ravel(), 8e6 * OFF.ravel() / (8e6 + precision), rtol=1e-6)
    np.testing.assert_allclose(np.diag(covariance), 1.0 / (8e6 + precision), rtol=1e-6)
    nothing, known = PlaceEquations.joined([], N).solved(prior)
    assert not nothing.any()
    np.testing.assert_allclose(known, 0.005**2 * np.eye(2 * N))
    # errors that neighbours share come on top
    shared = rng.normal(0, 1e3, (2 * N, 2))
    more = replace(both, shared=shared @ shared.T).solved(prior)[1]
    np.testing.assert_allclose(more - covariance, covariance @ shared @ shared.T @ covariance, rtol=1e-9)
