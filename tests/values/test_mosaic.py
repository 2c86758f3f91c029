"""Parts of a mosaic's pixels."""

import numpy as np
import pytest

from grism_align.values.mosaic import MosaicGrid, Tile
from grism_align.values.transform import TangentPlane


@pytest.mark.parametrize(
    "shape", [(200, 300), (400, 400), (410, 401), (401, 800), (1, 1203), (4993, 900), (6200, 3072)]
)
def test_even_tiles_cover_a_grid_once_and_are_alike(shape):
    """What is left over takes as long as its margins, and the other parts as much memory as may be."""
    largest = 400
    grid = MosaicGrid(TangentPlane(53.0, -27.0), np.zeros(2), 0.06 * np.eye(2), shape)
    tiles = grid.even_tiles(largest)
    times = np.zeros(shape, dtype=int)
    for tile in tiles:
        times[tile.slices] += 1
    assert (times == 1).all()
    assert len(tiles) == np.prod([-(-size // largest) for size in shape])
    for sides in zip(*(times[tile.slices].shape for tile in tiles), strict=True):
        assert max(sides) <= largest
        assert max(sides) - min(sides) <= 1


def test_a_tile_holds_what_lies_on_its_pixels():
    tile = Tile(10, 20, 5, 8)
    assert tile.holds(
        np.array([[4.6, 9.6], [7.4, 19.4], [4.4, 12], [7.6, 12], [6, 9.4], [6, 19.6]])
    ).tolist() == [
        *(True, True),
        *(False, False, False, False),
    ]
    assert tile.relative_to(Tile(8, 30, 1, 9)) == Tile(2, 12, 4, 7)
