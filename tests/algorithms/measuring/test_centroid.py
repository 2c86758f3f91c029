from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.measuring.centroid import cut_stamps, windowed_moments
from tests.support.images import gaussian_sources, lattice, noisy

WINDOW = 1.2


def measured(image, error, xy, good=None):
    good = np.ones(image.shape, dtype=bool) if good is None else good
    return windowed_moments(cut_stamps(image, error, good, np.rint(xy).astype(int), 6), WINDOW)


@pytest.mark.parametrize("sigma", [0.8, 1.2, 2.0])
def test_noiseless_gaussians(sigma):
    xy, shape = lattice(6, 24, np.random.default_rng(1))
    image = gaussian_sources(xy, np.full(len(xy), 1e4), sigma, shape)
    moments = measured(image, np.ones(shape), xy)
    assert moments.converged.all()
    # the last step is below 2e-4, and a Gaussian this wide is sampled well
    np.testing.assert_allclose(moments.xy, xy, atol=1e-3)
    np.testing.assert_allclose(moments.coverage, 1)
    # a pixel widens the source by 1/12; window and source multiply
    windowed = 1 / (1 / WINDOW**2 + 1 / (sigma**2 + 1 / 12))
    np.testing.assert_allclose(moments.second[:, :2], windowed, rtol=0.01)
    np.testing.assert_allclose(moments.second[:, 2], 0, atol=0.01)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.2, 1.8, 2.4])
def test_pulls_have_unit_width(sigma):
    """The errors hold for sources narrower and wider than the window."""
    rng = np.random.default_rng(2)
    xy, shape = lattice(20, 24, rng)
    moments = measured(*noisy(gaussian_sources(xy, np.full(len(xy), 3000.0), sigma, shape), 25.0, rng), xy)
    assert moments.converged.all()
    pull = ((moments.xy - xy) / moments.xy_error).ravel()
    # 800 pulls: their width is known to 1 / sqrt(1600) = 2.5 %, their mean to 3.5 %
    assert pull.std() == pytest.approx(1, abs=0.1)
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull))
    assert abs(pull).max() < 5


def with_a_bad_pixel(xy, shape, side):
    image = gaussian_sources(xy, np.full(len(xy), 1e4), 1.0, shape)
    good = np.ones(shape, dtype=bool)
    x, y = (np.rint(xy).astype(int) + side).T
    good[y, x] = False
    image[y, x] = 1e7
    moments = measured(image, np.ones(shape), xy, good)
    assert (moments.coverage < 1).all()
    return moments.xy - xy


@pytest.mark.parametrize("side", [(1, 0), (0, -1), (1, 1), (-2, 1)])
@pytest.mark.parametrize("phase", [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5)])
def test_a_bad_pixel_with_an_exact_mirror_does_not_pull_at_all(side, phase):
    xy = np.array([[20.0, 20.0]]) + phase
    np.testing.assert_allclose(with_a_bad_pixel(xy, (41, 41), side), 0, atol=1e-3)


@pytest.mark.parametrize("side", [(2, 0), (-2, 0), (0, 2), (0, -2), (3, 0)])
def test_a_bad_pixel_outside_the_core_does_not_pull(side):
    """Its mirror is a whole pixel, so a source errs with its phase; left out alone, it moves all by 0.04."""
    xy, shape = lattice(8, 24, np.random.default_rng(3))
    shift = with_a_bad_pixel(xy, shape, side)
    assert np.abs(shift.mean(axis=0)).max() < 0.01
    assert np.abs(shift).max() < 0.12


def test_stamps_at_the_border_know_what_is_outside():
    image = np.arange(30.0).reshape(5, 6)
    good = np.ones((5, 6), dtype=bool)
    good[0, 1] = False
    stamps = cut_stamps(image, np.full((5, 6), 2.0), good, np.array([[0, 0], [3, 2]]), 2)
    assert stamps.data.shape == (2, 5, 5)
    np.testing.assert_array_equal(stamps.corner, [[-2, -2], [1, 0]])
    assert not stamps.good[0, :2].any()
    assert not stamps.good[0, :, :2].any()
    np.testing.assert_array_equal(stamps.data[0, 2, 2:], [0, 0, 2])  # the bad pixel holds nothing
    np.testing.assert_array_equal(stamps.variance[1], np.where(stamps.good[1], 4, 0))
    np.testing.assert_array_equal(stamps.data[1, 2], image[2, 1:6])


def test_nothing_there_is_no_position():
    moments = measured(np.zeros((40, 40)), np.ones((40, 40)), np.array([[20.0, 20.0]]))
    assert not moments.converged.any()


def test_a_neighbour_draws_the_position_away():
    image = gaussian_sources(np.array([[20.0, 20.0], [23.0, 20.0]]), np.array([10.0, 1e4]), 1.2, (40, 40))
    assert not measured(image, np.ones((40, 40)), np.array([[20.0, 20.0]])).converged.any()


def test_no_sources():
    moments = measured(np.zeros((40, 40)), np.ones((40, 40)), np.zeros((0, 2)))
    assert moments.xy.shape == (0, 2)
