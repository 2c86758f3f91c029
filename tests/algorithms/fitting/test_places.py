"""Places of detectors as unknowns of a joint solution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.fitting.corrections import followed_places
from grism_align.algorithms.fitting.joint import solve_joint
from grism_align.algorithms.fitting.places import MountedDetectors, PlaceEquations, PlacePrior
from grism_align.algorithms.fitting.systematics import cell_columns
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
    return replace(
        measured, xy=measured.xy - moved, mounted=MountedDetectors(number, axes, measured.xy, prior)
    )


def test_as_a_solution_of_all_unknowns_at_once():
    """Positions of sources, corrections and places, next to unknown beforehand, in one dense system."""
    rng = np.random.default_rng(821)
    measured = mounted(network("rshift", rng, noise=0.003)[0], rng, error=10.0)
    solution = solve_joint(measured, "rshift", NEVER)
    assert solution.systematic == 0.0
    border = solution.border
    # what the scatter of the residuals makes of the errors
    total = np.bincount(measured.source, measured.error**-2.0)
    factor = np.median(solution.source_error**2 * total)
    weight = measured.error**-2.0 / factor
    n_moves = 2 * measured.n_pointings + len(solution.center)
    system = _DenseSystem(measured, solution.center, weight)
    place, covariance = system.solved()
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
    """What places take up of them is not missing in their size; what they do to places and corrections."""
    rng = np.random.default_rng(824)
    measured = mounted(network("rshift", rng, noise=0.002, n_sources=200)[0], rng, error=10.0)
    cells = cell_columns(measured).toarray()
    xy = measured.xy + (cells @ rng.normal(0, 0.004, cells.shape[1])).reshape(2, -1).T
    measured = replace(measured, xy=xy, error=np.full(len(xy), 0.002))
    solution = solve_joint(measured, "rshift", NEVER)
    count = np.bincount(measured.source)
    weight = np.full(len(xy), np.median(1.0 / (count * solution.source_error**2)))
    border, moves = solution.border, 2 * measured.n_pointings + len(solution.center)
    prior = measured.mounted.prior
    system = _DenseSystem(measured, solution.center, weight)
    rows, _, first = system.rows()
    inverse = np.linalg.pinv(rows.T @ rows, rcond=1e-17, hermitian=True)
    m, root = len(xy), np.sqrt(weight[0])
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
    # of the quarters of detectors, the same ones in all pointings
    shared = np.sqrt(variance) * weight[0] * inverse @ own.T @ cells[:, : 8 * N]
    on_places = border.equations.solved(prior)[1] @ border.equations.shared
    scale = np.abs(shared[:first]).max()
    np.testing.assert_allclose(on_places, shared[moves:first], atol=5e-3 * scale)
    found = border.shared + border.following @ on_places
    np.testing.assert_allclose(found, shared[:moves], atol=5e-3 * scale)


class _DenseSystem:
    """All unknowns at once: corrections, places, sources."""

    def __init__(self, measured, center, weight):
        self.measured, self.center, self.weight = measured, center, weight

    def solved(self):
        """Return corrections and places, and their covariance."""
        left, right, first = self.rows()
        found, *_ = np.linalg.lstsq(left, right, rcond=1e-15)
        covariance = np.linalg.pinv(left.T @ left, rcond=1e-17, hermitian=True)
        return found[:first], covariance[:first, :first]

    def rows(self):
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
        left = np.concatenate([root[:, None] * rows, 1e4 * root.max() * frame])
        right = np.concatenate([-root * measured.xy.T.ravel(), np.zeros(len(frame))])
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
    half = PlaceEquations(4e6 * np.eye(2 * N), 4e6 * OFF.ravel(), rng.normal(0, 1e3, (2 * N, 8 * N)))
    both = PlaceEquations.joined([half, half], N)
    np.testing.assert_array_equal(both.normal, 2 * half.normal)
    np.testing.assert_array_equal(both.shared, 2 * half.shared)
    offset, _ = both.solved(prior)
    np.testing.assert_allclose(offset, OFF, atol=4.0 / np.sqrt(8e6))
    nothing, known = PlaceEquations.joined([], N).solved(prior)
    assert not nothing.any()
    np.testing.assert_allclose(known, 0.005**2 * np.eye(2 * N), atol=1e-18)


@pytest.mark.parametrize("size", [0.2, 1.0, 5.0])
def test_all_detectors_tell_how_well_places_are_known(size):
    """The mean and the scatter of what is as likely, added up over a grid of places and of widths."""
    rng = np.random.default_rng(825)
    off, sigma = 1e-3 * size * rng.normal(size=(6, 2)), 4e-4
    seen = off + sigma * rng.normal(size=off.shape)
    equations = PlaceEquations(np.eye(12) / sigma**2, seen.ravel() / sigma**2, np.zeros((12, 48)))
    prior = PlacePrior(np.zeros_like(off), 0.005)
    offset, covariance = equations.solved(prior)
    step = np.linspace(-6 * sigma, 6 * sigma, 121)
    x, y = np.meshgrid(step, step)
    # of each width and detector: the sum, the mean along V2, and the mean square
    told = np.array([[_moments(each, x, y, sigma, prior, w) for each in seen] for w in WIDTHS])
    share = np.exp((log := np.log(told[:, :, 0]).sum(axis=1)) - log.max())
    share /= share.sum()
    mean, square = (np.tensordot(share, told[:, :, k] / told[:, :, 0], axes=1) for k in (1, 2))
    np.testing.assert_allclose(offset[:, 0], mean, atol=0.15 * sigma)
    error = np.sqrt(np.diag(covariance)[::2])
    # by how much places of one size are narrower than Student's distribution of that size
    np.testing.assert_allclose(error, np.sqrt(square - mean**2), rtol=0.2)
    # better than each one alone where places are good
    assert error.max() < 0.8 * sigma if size == 0.2 else error.min() > 0.75 * sigma


# As in the prior: halved eight times, the mean variance one, which is two squares of the width.
WIDTHS = 2.0 ** -np.arange(9) / np.sqrt(2.0 * np.mean(4.0 ** -np.arange(9)))


def _moments(seen, x, y, sigma, prior, width):
    """Add up over the places near one that was seen, with Student's distribution of 6 degrees of freedom."""
    v2, v3 = seen[0] + x, seen[1] + y
    wide = width * prior.error
    likely = np.exp(-0.5 * (x**2 + y**2) / sigma**2) * (1 + (v2**2 + v3**2) / (8 * wide**2)) ** -4.0 / wide**2
    return [(likely * v2**power).sum() for power in range(3)]


def test_one_may_be_wrong_where_all_others_are_right():
    """It neither makes the others uncertain nor is it drawn to its place."""
    rng = np.random.default_rng(826)
    off, sigma = np.zeros((18, 2)), 4e-4
    off[4] = 0.02, 0.0
    seen = off + sigma * rng.normal(size=off.shape)
    equations = PlaceEquations(np.eye(36) / sigma**2, seen.ravel() / sigma**2, np.zeros((36, 144)))
    offset, covariance = equations.solved(PlacePrior(np.zeros_like(off), 0.005))
    error = np.sqrt(np.diag(covariance)).reshape(-1, 2)
    np.testing.assert_allclose(offset[4], seen[4], atol=0.2 * sigma)
    assert error[4].min() == pytest.approx(sigma, rel=0.05)
    assert np.delete(error, 4, axis=0).max() < 0.8 * sigma
    assert np.std(np.delete(offset, 4, axis=0)) < 0.6 * sigma


@pytest.mark.parametrize("n_detectors", [4, 18])
@pytest.mark.parametrize("freedom", [6.0, np.inf])
def test_what_is_claimed_of_one_that_nothing_tells(n_detectors, freedom):
    """All others tell how far off it may be."""
    rng = np.random.default_rng(827)
    prior, sigma = PlacePrior(np.zeros((n_detectors, 2)), 0.005), 4e-4
    information = np.full(2 * n_detectors, sigma**-2.0)
    information[:2] = 0.0
    nothing = np.zeros((2 * n_detectors, 8 * n_detectors))
    pulls, told = [], []
    for _ in range(150):
        size = np.sqrt(freedom / rng.chisquare(freedom, (n_detectors, 1))) if np.isfinite(freedom) else 1.0
        off = 0.004 * size * rng.normal(size=(n_detectors, 2))
        seen = (off + sigma * rng.normal(size=off.shape)).ravel()
        offset, covariance = PlaceEquations(np.diag(information), information * seen, nothing).solved(prior)
        pull = (offset - off) / np.sqrt(np.diag(covariance)).reshape(-1, 2)
        pulls.append(pull[0])
        told.append(pull[1:])
    # 300 pulls; a normal population has not what lies far out, and has narrower pulls
    assert 0.7 < np.sqrt(np.mean(np.square(pulls))) < 1.25
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(1.0, abs=0.1)
