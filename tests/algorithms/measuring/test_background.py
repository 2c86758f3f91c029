"""The sky under sources: its level, its scatter, its variation."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.stats import SigmaClip
from photutils.background import Background2D

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


@pytest.mark.parametrize("level", [3.0, 1e4])
def test_modes_of_boxes_are_those_of_photutils(level):
    """Also of boxes at the edges, of those with hardly a usable pixel, and of those with sources."""
    rng = np.random.default_rng(5)
    image = rng.normal(level, 0.5, (260, 235))
    for x, y in rng.uniform(10, 220, (40, 2)):
        image += _gaussian(x, y, 300, 2, image.shape)
    image = image.astype(np.float32)
    good = rng.random(image.shape) > 0.05
    good[100:160, 40:130] = False
    image[~good] = np.nan
    clip = SigmaClip(sigma=3.0, maxiters=5)
    theirs = Background2D(
        np.where(good, image, 0), 25, mask=~good, filter_size=3, sigma_clip=clip, exclude_percentile=95
    )
    centers = local_background(image, good, 25)[12::25, 12::25]
    mesh = theirs.background_mesh[: len(centers), : len(centers.T)]
    assert centers == pytest.approx(mesh, abs=10 * float(np.spacing(np.float32(level))))


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
