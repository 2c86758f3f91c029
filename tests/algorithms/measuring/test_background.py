"""The sky under sources: its level, its scatter, its variation."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.measuring.background import clipped_level, local_background, thinned


def _gaussian(x, y, flux, sigma, shape):
    rows, columns = np.indices(shape)
    return flux / (2 * np.pi * sigma**2) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def test_levels_are_found_under_sources():
    rng = np.random.default_rng(3)
    image = 5 + rng.normal(0, 0.5, (200, 200))
    for x, y in rng.uniform(10, 190, (40, 2)):
        image += _gaussian(x, y, 200, 2, image.shape)
    level, scatter = clipped_level(image)
    assert level == pytest.approx(5, abs=0.05)
    assert scatter == pytest.approx(0.5, rel=0.1)
    assert np.isnan(clipped_level(np.zeros(0))).all()


def test_a_gradient_is_followed():
    rng = np.random.default_rng(3)
    ramp = np.linspace(0, 3, 200)[None, :] + rng.normal(0, 0.5, (200, 200))
    left = ramp - local_background(ramp, np.ones(ramp.shape, bool), 25)
    assert np.abs(left[:, 20:-20].mean(axis=0)).max() < 0.25


def test_where_no_box_tells_it():
    """The level of the few pixels that there are; nothing of none."""
    image = 7 + np.random.default_rng(4).normal(0, 0.1, (128, 128))
    few = np.zeros(image.shape, bool)
    few[::6, ::6] = True
    assert local_background(image, few, 64) == pytest.approx(7, abs=0.05)
    assert not local_background(image, np.zeros(image.shape, bool), 64).any()


@pytest.mark.parametrize("side", [10, 1000, 5000])
def test_a_level_takes_a_million_pixels_at_most(side):
    image = np.broadcast_to(0.0, (side, side))
    # each side is divided by whole numbers
    assert min(side**2, 300_000) <= image[thinned(image.size)].size <= 4 * 900_000


@pytest.mark.parametrize("level", [3.0, 1e4])
def test_boxes_without_usable_pixels_have_the_background_around_them(level):
    rng = np.random.default_rng(6)
    image = rng.normal(level, 0.5, (256, 256))
    good = np.ones(image.shape, bool)
    good[64:128, 64:192] = False
    image[~good] = np.nan
    assert local_background(image, good, 32) == pytest.approx(level, abs=0.1)
