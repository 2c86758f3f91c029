"""Headers as they should not be: each is refused in words, or read right."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from grism_align.io.missions import file_source, read_exposure, write_exposure
from grism_align.simulation.damage import damages
from grism_align.values.errors import InputError, OutputError
from grism_align.values.mission import HeaderletWanted, WcsLabel
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.fields import apart, edited, grid

LABEL = WcsLabel("NONE", "FIT_REL_NONE", 20, (5.0, 6.0), "rshift")
SHIFT = (0.8, -1.3)


def _sample(path, count, seed=12):
    all_of_them = list(damages(path))
    chosen = np.random.default_rng(seed).permutation(len(all_of_them))[:count]
    return [all_of_them[n] for n in chosen]


def _total(exposure):
    return LinearTransform.from_parameters(exposure.plane, SHIFT)


def _write(exposure, target):
    write_exposure(exposure, ExposureFit(FitStatus.ALIGNED, _total(exposure), "gaia"), target, LABEL)


@pytest.mark.parametrize(("camera", "count"), [("wfc3_ir", 40), ("acs_wfc", 12)])
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_header_is_refused_in_words_or_read_and_written(truths, tmp_path, camera, count):
    source = truths[camera].paths[0]
    content = source.read_bytes()
    path = tmp_path / source.name
    refused = {}
    sample = _sample(source, count)
    for damage in sample:
        path.write_bytes(damage.applied(content))
        try:
            _write(read_exposure(path), tmp_path / f"out_{source.name}")
        except InputError as error:
            refused[damage] = error
    assert 0 < len(refused) < len(sample)
    for damage, error in refused.items():
        assert error.path == str(path), damage
        assert error.remedy, damage


def _twice(path, keyword, value):
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].header.append((keyword, value), end=True, bottom=True)


RIVALS = [
    ("CRVAL1", 0.01),
    ("CRPIX2", 3.0),
    ("CD1_1", 1e-6),
    ("PC1_1", 0.7),
    ("LONPOLE", 170.0),
    ("PV1_1", 5.0),
    ("A_ORDER", 2),
]


@pytest.mark.parametrize(("keyword", "value"), RIVALS, ids=[keyword for keyword, _ in RIVALS])
def test_a_wcs_stated_twice_in_two_ways_is_refused(direct_path, tmp_path, keyword, value):
    path = edited(direct_path, tmp_path / "x_flt.fits")
    before = fits.getval(path, keyword, "SCI") if keyword.startswith(("CR", "CD")) else 0
    _twice(path, keyword, before + value)
    with pytest.raises(InputError, match=keyword) as caught:
        read_exposure(path)
    assert caught.value.path == str(path)
    assert caught.value.remedy


CDS = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")


@pytest.mark.parametrize(
    "keywords", [("CRVAL1",), CDS, ("WCSNAME",), ("ORIENTAT",)], ids=lambda names: names[0]
)
def test_what_is_stated_twice_alike_is_written_once(direct_path, tmp_path, keywords):
    path = edited(direct_path, tmp_path / "x_flt.fits")
    for keyword in keywords:
        _twice(path, keyword, fits.getval(path, keyword, "SCI"))
    header = _written_like(direct_path, path, tmp_path)
    assert [header.count(keyword) for keyword in keywords] == [1] * len(keywords)


@pytest.mark.parametrize("keyword", ["CUNIT1", "CUNIT2"])
def test_what_makes_another_wcs_is_named(direct_path, tmp_path, keyword):
    path = edited(direct_path, tmp_path / direct_path.name, ("SCI", keyword, "arcsec"))
    with pytest.raises(InputError, match=keyword):
        read_exposure(path)


@pytest.mark.parametrize("rival", ["PC", "CROTA2", "CDELT1"])
def test_what_states_the_same_otherwise_is_taken_out(direct_path, tmp_path, rival):
    """PC without CDELT equals CD; readers of CD ignore the others."""
    path = edited(direct_path, tmp_path / "x_flt.fits")
    cards = (
        {f"PC{name[2:]}": fits.getval(path, name, "SCI") for name in CDS} if rival == "PC" else {rival: 30.0}
    )
    for keyword, value in cards.items():
        _twice(path, keyword, value)
    header = _written_like(direct_path, path, tmp_path)
    assert not set(cards) & set(header)


def _written_like(original, path, folder):
    """The science header of a file as written, whose WCS is that of the original with the correction."""
    target = folder / "out_flt.fits"
    _write(read_exposure(path), target)
    exposure = read_exposure(original)
    chip = exposure.corrected(_total(exposure)).chips[0]
    xy = grid(chip.shape)
    with fits.open(target) as hdus:
        read = WCS(hdus["SCI"].header, hdus).all_pix2world(xy, 0)
        assert apart(read, chip.wcs.to_sky(xy)) < 0.02
        return hdus["SCI"].header.copy()


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    "change", [("PV1_1", 5.0), ("LONPOLE", 90.0), ("A_2_0", 1e-3), ("CTYPE1", "RA---ZPN")]
)
def test_a_wcs_that_is_read_back_otherwise_leaves_nothing_behind(direct_path, tmp_path, in_place, change):
    """Here the file has changed since it was read, and by what a correction does not replace."""
    path = edited(direct_path, tmp_path / "x_flt.fits")
    exposure = read_exposure(path)
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].header[change[0]] = change[1]
    # as if nobody had noticed
    exposure = replace(exposure, source=file_source(path))
    changed = path.read_bytes()
    with pytest.raises(OutputError) as caught:
        _write(exposure, path if in_place else tmp_path / "out_flt.fits")
    assert caught.value.path == str(path)
    assert "SCI,1" in caught.value.problem
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == changed


def test_the_headerlet_is_read_back_too(direct_path, tmp_path):
    path = edited(direct_path, tmp_path / "x_flt.fits")
    exposure = read_exposure(path)
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].header["LONPOLE"] = 90.0
    exposure = replace(exposure, source=file_source(path))
    wanted = HeaderletWanted(tmp_path / "x_hlet.fits")
    fit = ExposureFit(FitStatus.ALIGNED, _total(exposure), "gaia")
    with pytest.raises(OutputError, match="SIPWCS,1"):
        write_exposure(exposure, fit, tmp_path / "out_flt.fits", LABEL, wanted)
    assert list(tmp_path.iterdir()) == [path]


CONTRADICTIONS = [
    (("SCI", "CD1_1", -3.3e-5), "CD matrix"),
    (("SCI", "CD1_2", -2.64863084469353e-05), "CD matrix"),
    (("SCI", "CD1_1", 0.0), "CD matrix"),
    (("SCI", "CRPIX1", 1e7), "CRPIX1"),
    (("SCI", "CRVAL2", 95.0), "CRVAL2"),
    (("SCI", "A_ORDER", 2), "A_ORDER is 2"),
    (("SCI", "B_ORDER", 40), "B_ORDER"),
    (("SCI", "A_ORDER", "four"), "A_ORDER"),
    (("SCI", "B_0_2", 3.0), "distortion"),
    (("SCI", "LONPOLE", 0.0), "LONPOLE"),
    (("SCI", "EXTVER", "one"), "EXTVER"),
    (("SCI", "EXTVER", 2), "ERR,1, and no SCI,1"),
    (("DQ", "EXTNAME", "ERR"), "ERR,1 twice"),
    ((0, "EXPSTART", 60000.0), "after EXPEND"),
    ((0, "EXPSTART", 1e30), "EXPSTART"),
    ((0, "EXPTIME", -1.0), "EXPTIME"),
    ((0, "FILTER", 140), "FILTER"),
    ((0, "ROOTNAME", "../x"), "ROOTNAME"),
    ((0, "ROOTNAME", 5), "ROOTNAME"),
    ((0, "ROOTNAME", "inf"), "ROOTNAME"),
]


@pytest.mark.parametrize(("change", "says"), CONTRADICTIONS, ids=lambda value: str(value[1:]))
def test_headers_that_contradict_themselves(direct_path, tmp_path, change, says):
    path = edited(direct_path, tmp_path / "x_flt.fits", change)
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        read_exposure(path)
    assert caught.value.path == str(path)
    assert caught.value.remedy


STRUCTURE = [
    ("NAXIS", 9**60),
    ("NAXIS", -1),
    ("NAXIS1", -5),
    ("NAXIS1", "'many'"),
    ("BITPIX", 7),
    ("PCOUNT", "INDEF"),
]


@pytest.mark.parametrize(("keyword", "value"), STRUCTURE, ids=str)
def test_structural_keywords_out_of_range(direct_path, tmp_path, keyword, value):
    content = direct_path.read_bytes()
    at = content.index(f"{keyword:8}=".encode(), content.index(b"XTENSION"))
    path = tmp_path / "x_flt.fits"
    path.write_bytes(content[:at] + f"{keyword:8}= {value}".ljust(80).encode() + content[at + 80 :])
    with pytest.raises(InputError, match=f"{keyword} in the header of extension 1") as caught:
        read_exposure(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("keyword", ["CPDIS1", "D2IMDIS2"])
def test_distortion_tables_that_a_header_does_not_refer_to(two_chip_path, tmp_path, keyword):
    path = edited(two_chip_path, tmp_path / two_chip_path.name, (("SCI", 2), keyword, None))
    with pytest.raises(InputError, match=f"SCI,2 has no {keyword}"):
        read_exposure(path)


@pytest.mark.parametrize("value", ["broken", -1.0, 1e30, None])
@pytest.mark.parametrize("keyword", ["CD1_1O", "CRVAL2O", "WCSNAMEO"])
def test_broken_alternates_are_none(direct_path, tmp_path, keyword, value):
    path = edited(direct_path, tmp_path / "x_flt.fits", ("SCI", keyword, value))
    exposure = read_exposure(path)
    assert exposure.wcs_solution == read_exposure(direct_path).wcs_solution
    assert exposure.original is not None
    assert np.isfinite(exposure.original.wcs.to_sky([[5.0, 5.0]])).all()


def test_a_root_name_that_is_not_the_file_s(direct_path, tmp_path):
    path = edited(direct_path, tmp_path / "visit1_flt.fits")
    assert read_exposure(path).key == read_exposure(direct_path).key
