"""The pixels of exposures, with errors."""

import shutil

import numpy as np
from astropy.io import fits

from grism_align.io.missions import read_exposure
from grism_align.workflows.pixels import read_pixels


def test_each_chip_without_errors_is_warned_of_and_gets_some(two_chip_path, tmp_path, caplog):
    path = shutil.copy(two_chip_path, tmp_path)
    with fits.open(path, mode="update") as hdus:
        hdus["ERR", 2].data[:] = 0
    [(first, known), (second, made)] = read_pixels(read_exposure(path))
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"{read_exposure(path).key}, chip 2"
    ]
    assert (first.number, second.number) == (1, 2)
    assert (made.err > 0).all()
    np.testing.assert_array_equal(known.err, fits.getdata(path, ("ERR", 1)))
