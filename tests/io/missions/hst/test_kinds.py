"""Files of the archive that are no exposures to align."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from grism_align.io.missions import read_exposure, read_instrument
from grism_align.values.errors import InputError
from tests.support.fields import edited


def reads_of(path, target):
    """All reads of an exposure, each as an extension of its own."""
    with fits.open(path) as hdus:
        made = fits.HDUList([hdus[0].copy()])
        for number in range(1, 5):
            for hdu in hdus[1:6]:
                copy = hdu.copy()
                copy.ver = number
                made.append(copy)
        made.writeto(target)
    return target


def without_image(target, **cards):
    header = fits.Header({"TELESCOP": "HST", "INSTRUME": "WFC3", "ROOTNAME": "idem01a1q", **cards})
    fits.HDUList([fits.PrimaryHDU(header=header), fits.ImageHDU(name="UDL")]).writeto(target)
    return target


@pytest.mark.parametrize("name", ["x_flt.fits", "idem01a1q_ima.fits"])
@pytest.mark.parametrize("read", [read_exposure, read_instrument])
def test_reads_are_no_chips(direct_path, tmp_path, name, read):
    with pytest.raises(InputError, match="IMA") as caught:
        read(reads_of(direct_path, tmp_path / name))
    assert "idem01a1q_flt.fits" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("idem01a1q_raw.fits", "raw"),
        ("idem01a1q_blv_tmp.fits", "raw"),
        ("idem01a1q_ima.fits.gz", "IMA"),
        ("idem01010_drz.fits", "drizzled mosaic"),
        ("hst_19999_01_wfc3_ir_f140w_drc.fits", "drizzled mosaic"),
        ("idem01a1q_spt.fits", "engineering"),
        ("idem01a1j_jit.fits", "engineering"),
        ("idem01a1q_hlet.fits", "headerlet"),
        ("idem01010_asn.fits", "association"),
        ("u2440101t_c0m.fits", "WFPC2"),
    ],
)
def test_names_tell(tmp_path, name, says):
    with pytest.raises(InputError, match=says) as caught:
        read_exposure(without_image(tmp_path / name))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("card", "says"),
    [
        (("NDRIZIM", 4), "drizzled mosaic"),
        (("D001DATA", "idem01a1q_flt.fits[sci,1]"), "drizzled mosaic"),
        (("IMAGETYP", "DARK"), "calibration exposure"),
        (("TARGNAME", "TUNGSTEN"), "calibration exposure"),
        (("FILTER", "Blank"), "dark exposure"),
        (("DESTIM", "idem01a1q"), "headerlet"),
    ],
)
def test_headers_tell_whatever_the_name(direct_path, tmp_path, card, says):
    path = edited(direct_path, tmp_path / "x_flt.fits", (0, *card))
    with pytest.raises(InputError, match=says) as caught:
        read_exposure(path)
    assert caught.value.remedy


RAW = (0, "DQICORR", "PERFORM")


@pytest.mark.parametrize("sign", [("SCI", "BUNIT", "COUNTS"), ("SCI", "CTYPE1", "RA---TAN")])
def test_raw_exposures(direct_path, tmp_path, sign):
    with pytest.raises(InputError, match="raw"):
        read_exposure(edited(direct_path, tmp_path / "x_flt.fits", RAW, sign))


def test_a_simulated_exposure_may_have_the_header_of_a_raw_one(direct_path, tmp_path):
    assert read_exposure(edited(direct_path, tmp_path / "x_flt.fits", RAW)).is_direct


@pytest.mark.parametrize(
    ("instrument", "detector"),
    [("ACS", "SBC"), ("ACS", "HRC"), ("STIS", "CCD"), ("NICMOS", None), ("WFPC2", None), ("COS", "NUV")],
)
def test_instruments_that_are_not_read(direct_path, tmp_path, instrument, detector):
    cards = [(0, "INSTRUME", instrument), (0, "DETECTOR", detector)]
    path = edited(direct_path, tmp_path / "x_flt.fits", *cards)
    name = "/".join(filter(None, (instrument, detector)))
    with pytest.raises(InputError, match=f"instrument {name} is not one of"):
        read_exposure(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("idem01a1q_flt.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "JPEG"),
        ("idem01010.tar.gz", b"PK\x03\x04rest", "zip"),
        ("r0000101_cal.asdf", b"#ASDF 1.0.0\n", "ASDF"),
    ],
)
def test_no_fits_at_all(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_exposure(path)


@pytest.mark.parametrize(("suffix", "says"), [("i2d", "a mosaic"), ("uncal", "a raw exposure")])
def test_other_missions(tmp_path, suffix, says):
    path = tmp_path / f"x_{suffix}.fits"
    fits.HDUList([fits.PrimaryHDU(header=fits.Header({"TELESCOP": "EUCLID"}))]).writeto(path)
    with pytest.raises(InputError, match=f"EUCLID, {says}"):
        read_exposure(path)


def test_no_telescope(tmp_path):
    path = tmp_path / "x_flt.fits"
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(path)
    with pytest.raises(InputError, match="names no TELESCOP"):
        read_exposure(path)
