"""Images on disk of which only parts are in memory."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from grism_align.io.mosaics.files import opened_image, tiled_image
from grism_align.values.mosaic import Tile

SHAPE = (150, 40)


def test_tiles_are_read_as_they_were_written(tmp_path):
    """As wide as the image or not, of more rows than are written at a time, in whatever order in memory."""
    whole = np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE)
    path = tmp_path / "image.fits"
    with tiled_image(path, fits.Header(), SHAPE, ">f4") as image:
        for tile in (Tile(0, 100, 0, 40), Tile(100, 150, 0, 17), Tile(100, 150, 17, 40)):
            image.write(tile, np.asfortranarray(whole[tile.slices]))
    np.testing.assert_array_equal(fits.getdata(path), whole)
    for tile in (Tile(3, 149, 0, 40), Tile(3, 149, 5, 6)):
        np.testing.assert_array_equal(opened_image(path).read(tile), whole[tile.slices])


def test_values_of_another_shape_are_refused(tmp_path):
    with tiled_image(tmp_path / "image.fits", fits.Header(), SHAPE, ">f4") as image:
        for values in (np.zeros((10, 40)), np.zeros((20, 39))):
            with pytest.raises(ValueError, match="values for a tile"):
                image.write(Tile(0, 20, 0, 40), values)
