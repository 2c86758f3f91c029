"""Exposures whose images are compressed in tiles, as fpack and astropy do it."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from grism_align.io.files.checksums import sha256_of
from grism_align.io.missions import read_exposure, read_pixels, root_name, undo_exposure, write_exposure
from grism_align.values.mission import HeaderletWanted, WcsLabel
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.fields import wcs_apart

IMAGES = ("SCI", "ERR", "DQ", "D2IMARR", "WCSDVARR")
LABEL = WcsLabel("NONE", "FIT_REL_NONE", 12, (1.0, 1.0), "rshift")


def packed(path, target):
    """A copy with all images compressed without loss."""
    with fits.open(path) as hdus:
        made = [
            fits.CompImageHDU(hdu.data, hdu.header, compression_type="GZIP_2", quantize_level=0.0)
            if hdu.name in IMAGES
            else hdu.copy()
            for hdu in hdus
        ]
        fits.HDUList(made).writeto(target)
    return target


@pytest.fixture
def both(two_chip_path, tmp_path):
    name = two_chip_path.name.removesuffix(".fits")
    return two_chip_path, packed(two_chip_path, tmp_path / f"{name}.fits.fz")


def test_the_same_exposure_is_read(both):
    plain, fpacked = both
    assert root_name(fpacked) == root_name(plain)
    assert wcs_apart(plain, fpacked) < 1e-6
    before, after = (dict(read_pixels(read_exposure(path))) for path in both)
    for one, other in zip(before.values(), after.values(), strict=True):
        for name in ("sci", "err", "dq"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_it_is_written_plain(both, tmp_path):
    plain, _ = both
    made = [tmp_path / f"{number}_flc.fits" for number in range(2)]
    for path, target in zip(both, made, strict=True):
        exposure = read_exposure(path)
        moved = LinearTransform(np.eye(2), np.array([0.3, -0.2]), exposure.plane)
        fit = ExposureFit(FitStatus.ALIGNED, moved)
        digests = write_exposure(exposure, fit, target, LABEL, HeaderletWanted(attach=True))
        assert digests.input == sha256_of(path)
        assert digests.output == sha256_of(target)
    assert wcs_apart(*made) < 1e-3
    before, after = made
    with fits.open(before) as first, fits.open(after, disable_image_compression=True) as second:
        assert [hdu.name for hdu in first] == [hdu.name for hdu in second]
        for one, other in zip(first, second, strict=True):
            if one.name in IMAGES:
                assert isinstance(other, fits.ImageHDU)
                np.testing.assert_array_equal(one.data, other.data)
    undo_exposure(made[1], made[1])
    assert wcs_apart(made[1], plain) < 1e-3


def test_scaled_integers(direct_path, tmp_path):
    source, fpacked = tmp_path / "a_flt.fits", tmp_path / "b_flt.fits"
    with fits.open(direct_path) as hdus:
        flags = hdus["DQ"].data.astype("u2")
        flags[3, 5] = 40000
        hdus["DQ"].data = flags
        hdus.writeto(source)
    exposure = read_exposure(packed(source, fpacked))
    write_exposure(exposure, ExposureFit.failed(), tmp_path / "c_flt.fits", LABEL)
    [(_, pixels)] = read_pixels(exposure)
    np.testing.assert_array_equal(pixels.dq, flags)
    np.testing.assert_array_equal(fits.getdata(tmp_path / "c_flt.fits", "DQ"), flags)
