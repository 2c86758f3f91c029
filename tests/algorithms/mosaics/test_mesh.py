"""Tiles of a chip follow its distortion."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.mosaics.mesh import TOLERANCE, mesh, tile_maps

SIDE = 0.13  # arcsec a pixel


def distorted(bend):
    """A map to a plane whose second-order terms are some pixels at the far corner of a 1000 pixel chip."""

    def to_plane(xy):
        x, y = xy.T / 1000
        return SIDE * (1000 * np.column_stack([x, y]) + bend * np.column_stack([x * y, y**2 - 0.5 * x**2]))

    return to_plane


def by_tiles(nodes, xy, size):
    """Where the tiles put pixels."""
    n = len(nodes) - 1
    middle, along, up = tile_maps(nodes)
    part = (xy + 0.5) / np.array(size) * n
    column, row = np.minimum(part.astype(int), n - 1).T
    x, y = (part - np.column_stack([column, row]) - 0.5).T
    return middle[row, column] + x[:, None] * along[row, column] + y[:, None] * up[row, column]


@pytest.mark.parametrize(("bend", "n"), [(0.0, 1), (0.2, 1), (6.0, 4), (60.0, 16)])
def test_as_few_tiles_as_follow_the_distortion(bend, n):
    size = 1000, 600
    nodes = mesh(distorted(bend), size)
    assert nodes.shape == (n + 1, n + 1, 2)
    rng = np.random.default_rng(1)
    xy = rng.uniform([-0.5, -0.5], np.array(size) - 0.5, (500, 2))
    apart = np.hypot(*(by_tiles(nodes, xy, size) - distorted(bend)(xy)).T) / SIDE
    assert apart.max() <= TOLERANCE


def test_corners_are_those_of_the_chip():
    nodes = mesh(distorted(0.0), (100, 50))
    assert nodes[0, 0] == pytest.approx([-0.5 * SIDE, -0.5 * SIDE])
    assert nodes[-1, -1] == pytest.approx([99.5 * SIDE, 49.5 * SIDE])


def test_what_is_nowhere_stays_so():
    nodes = mesh(lambda xy: np.full((len(xy), 2), np.nan), (100, 50))
    assert np.isnan(nodes).all()
