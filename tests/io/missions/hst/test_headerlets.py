"""Headerlets and WCSCORR, as stwcs takes them; subarrays, binned and single chips."""

from __future__ import annotations

import gc
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grism_align.io.missions import file_source, read_exposure, write_exposure
from grism_align.io.missions.hst.headerlets import distortion_names
from grism_align.io.missions.hst.headers import solution_name
from grism_align.values.errors import InputError
from grism_align.values.failure import NoSources
from grism_align.values.mission import HeaderletWanted, WcsLabel
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.undo import undo_files
from tests.support.detector_parts import binned, one_chip, subarray
from tests.support.fields import apart, edited, grid, raw_hdus, wcs_apart

# what stwcs says of headers, and files that it leaves open
pytestmark = [
    pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def closed_files():
    """No file that stwcs left open is found by another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def align(path, folder, headerlet=None, shift=(0.8, -1.3), roll=0.02):
    """An exposure with a correction, and its transform."""
    exposure = read_exposure(path)
    transform = LinearTransform.from_parameters(exposure.plane, shift, roll, 1.0002)
    fit = ExposureFit(FitStatus.ALIGNED, transform, "gaia", n_used=50)
    label = WcsLabel("gaia", solution_name("gaia", exposure.taken_names), 50, (5.25, 4.5), "rscale")
    target = folder / path.name
    write_exposure(exposure, fit, target, label, *([headerlet] if headerlet else []))
    return target


def stwcs_module(name):
    return pytest.importorskip(f"stwcs.wcsutil.{name}")


def as_the_archive_has_it(path, folder):
    """A copy with the name of its distortion model, which updatewcs writes."""
    folder.mkdir(exist_ok=True)
    names = distortion_names(fits.getheader(path))
    return edited(path, folder / path.name, *((0, name, names[name]) for name in ("DISTNAME", "SIPNAME")))


def sky(path):
    """Sky positions all over the chips, as astropy has them from the file alone."""
    with fits.open(path) as hdus:
        science = [hdu.header for hdu in hdus if hdu.name == "SCI"]
        return [WCS(h, hdus).all_pix2world(grid((h["NAXIS2"], h["NAXIS1"]), 17), 0) for h in science]


def largest(first, second):
    return max(apart(one, other) for one, other in zip(sky(first), sky(second), strict=True))


# --- headerlets ---


@pytest.fixture
def made(truth, tmp_path):
    """A fresh copy of an exposure, the exposure as written, and its headerlet."""
    fresh = as_the_archive_has_it(truth.paths[0], tmp_path / "fresh")
    file = tmp_path / "out" / "some_hlet.fits"
    return fresh, align(fresh, tmp_path / "out", HeaderletWanted(file)), file


def test_stwcs_applies_a_headerlet(made):
    fresh, written, file = made
    assert largest(fresh, written) > 1000
    stwcs_module("headerlet").apply_headerlet_as_primary(str(fresh), str(file), attach=True, archive=True)
    assert largest(fresh, written) < 0.01
    for keyword in ("WCSNAME", "HDRNAME"):
        assert fits.getval(fresh, keyword, "SCI") == fits.getval(written, keyword, "SCI")


def test_stwcs_attaches_and_restores_a_headerlet(made):
    fresh, written, file = made
    headerlet, name = stwcs_module("headerlet"), fits.getval(file, "HDRNAME")
    headerlet.attach_headerlet(str(fresh), str(file))
    assert headerlet.get_headerlet_kw_names(str(fresh)) == [name]
    assert largest(fresh, written) > 1000
    headerlet.restore_from_headerlet(str(fresh), hdrname=name, archive=True, force=True)
    assert largest(fresh, written) < 0.01


def test_stwcs_applies_a_headerlet_as_alternate(made):
    fresh, written, file = made
    stwcs_module("headerlet").apply_headerlet_as_alternate(str(fresh), str(file), attach=False)
    with fits.open(fresh) as hdus:
        science = [hdu.header for hdu in hdus if hdu.name == "SCI"]
        alternates = [WCS(h, hdus, key="A") for h in science]
        assert science[0]["WCSNAMEA"] == fits.getval(written, "WCSNAME", "SCI")
        for header, wcs, expected in zip(science, alternates, sky(written), strict=True):
            found = wcs.all_pix2world(grid((header["NAXIS2"], header["NAXIS1"]), 17), 0)
            assert apart(found, expected) < 0.01


def test_stwcs_restores_an_attached_headerlet(truth, tmp_path):
    headerlet = stwcs_module("headerlet")
    fresh = as_the_archive_has_it(truth.paths[0], tmp_path / "fresh")
    first = align(fresh, tmp_path / "1", HeaderletWanted(attach=True))
    second = align(first, tmp_path / "2", HeaderletWanted(attach=True), shift=(-2.0, 1.0))
    names = headerlet.get_headerlet_kw_names(str(second))
    assert names == [fits.getval(path, "HDRNAME", "SCI") for path in (first, second)]
    assert len(set(names)) == 2
    with fits.open(second) as hdus:
        assert [hdu.ver for hdu in hdus if hdu.name == "HDRLET"] == [1, 2]
    assert largest(first, second) > 1000
    headerlet.restore_from_headerlet(str(second), hdrname=names[0], archive=True, force=True)
    assert largest(first, second) < 0.01
    # undo sees that the WCS is no longer the one that was written
    with pytest.raises(InputError, match="changed by another tool"):
        undo_files([second], tmp_path / "undone")


def test_attaching_counts_extensions_and_leaves_the_others(truth, tmp_path):
    path = truth.paths[0]
    with fits.open(path) as hdus:
        count = len(hdus) - 1
    source = edited(path, tmp_path / path.name, (0, "NEXTEND", count))
    plain = align(source, tmp_path / "plain")
    target = align(source, tmp_path / "out", HeaderletWanted(attach=True))
    assert fits.getheader(target)["NEXTEND"] == count + 1
    assert [(n, d) for n, _, d in raw_hdus(target)[:-1]] == [(n, d) for n, _, d in raw_hdus(plain)]
    assert wcs_apart(target, plain) == 0
    with fits.open(target) as hdus:
        hdus.verify("exception")
        assert hdus[-1].name == "HDRLET"


def test_a_headerlet_of_a_correction_that_the_file_has(direct_path, tmp_path):
    once = align(direct_path, tmp_path / "once")
    exposure = read_exposure(direct_path)
    transform = LinearTransform.from_parameters(exposure.plane, (0.8, -1.3), 0.02, 1.0002)
    again = replace(exposure, source=file_source(once), applied=transform)
    fit, label = ExposureFit(FitStatus.ALIGNED, transform), WcsLabel("gaia", "x", 1, (1.0, 1.0), "")
    file = tmp_path / "x_hlet.fits"
    for number in range(2):
        wanted = HeaderletWanted(file, attach=True)
        target = tmp_path / str(number) / once.name
        write_exposure(again, fit, target, label, wanted)
        assert fits.getval(file, "HDRNAME") == fits.getval(once, "HDRNAME", "SCI")
        with fits.open(target) as hdus:
            assert [hdu.name for hdu in hdus].count("HDRLET") == 1
        again = replace(again, source=file_source(target))
    failed = ExposureFit.failed(NoSources(6.0))
    write_exposure(
        exposure, failed, tmp_path / "failed" / once.name, label, HeaderletWanted(tmp_path / "no.fits")
    )
    assert not (tmp_path / "no.fits").exists()


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({}, "UNKNOWN-NOMODEL-NOMODEL"),
        ({"IDCTAB": "iref$abc_idc.fits"}, "root_abc-NOMODEL-NOMODEL"),
        ({"IDCTAB": "/a/b/abc_idc.fits", "SIPNAME": "mine_abc"}, "mine_abc-NOMODEL-NOMODEL"),
        (
            {"IDCTAB": "jref$abc_idc.fits", "NPOLFILE": "jref$n_npl.fits", "D2IMFILE": "N/A"},
            "root_abc-n-NOMODEL",
        ),
        ({"IDCTAB": "jref$abc_idc.fits", "NPOLFILE": "n_npl.fits", "D2IMFILE": "d_d2i.fits"}, "root_abc-n-d"),
        ({"IDCTAB": "jref$abc_idc.fits", "DISTNAME": "as it says"}, "as it says"),
    ],
)
def test_names_of_distortions(cards, expected):
    assert distortion_names(fits.Header({"ROOTNAME": "root", **cards}))["DISTNAME"] == expected


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shift=st.tuples(*[st.floats(-30, 30)] * 2), roll=st.floats(-0.5, 0.5))
def test_a_headerlet_has_the_written_wcs(two_chip_path, tmp_path, shift, roll):
    """As it stands, lookup tables included."""
    file = tmp_path / "x_hlet.fits"
    written = align(two_chip_path, tmp_path / "out", HeaderletWanted(file), shift, roll)
    with fits.open(file) as hdus:
        for chip in read_exposure(written).chips:
            xy = grid(chip.shape)
            found = WCS(hdus["SIPWCS", chip.number].header, hdus).all_pix2world(xy, 0)
            assert apart(found, chip.wcs.to_sky(xy)) < 1e-4


# --- WCSCORR ---


@pytest.fixture
def with_table(truth, tmp_path):
    """An exposure that has a WCSCORR table, as stwcs makes it."""
    path = as_the_archive_has_it(truth.paths[0], tmp_path / "in")
    with fits.open(path, mode="update") as hdus:
        stwcs_module("wcscorr").init_wcscorr(hdus)
    return path


def rows_of(path):
    with fits.open(path) as hdus:
        table = hdus["WCSCORR"].data
        return [row for row in table.tolist() if row[0]], len(table), hdus["WCSCORR"].header["TROWS"]


def test_rows_of_wcscorr(with_table, tmp_path):
    target = align(with_table, tmp_path / "out")
    before, after = rows_of(with_table), rows_of(target)
    chips = len(read_exposure(target).chips)
    assert after[0][: len(before[0])] == before[0]
    assert len(after[0]) == len(before[0]) + chips == after[2]
    with fits.open(target) as hdus:
        table = hdus["WCSCORR"].data
        for extver, row in enumerate(table[len(before[0]) :][:chips], 1):
            header = hdus["SCI", extver].header
            assert (row["WCS_ID"], row["EXTVER"], row["HDRNAME"]) == (
                header["WCSNAME"],
                extver,
                header["HDRNAME"],
            )
            for name in ("CRVAL1", "CRVAL2", "CD1_1", "CD2_2", "ORIENTAT"):
                assert row[name] == header[name]
            assert (row["NMatch"], row["Catalog"]) == (50, "gaia")
            np.testing.assert_allclose([row["RMS_RA"], row["RMS_Dec"]], np.array([5.25, 4.5]) / 3.6e6)
    # everything else as without the table
    for name, header, data in raw_hdus(target):
        old = {n: d for n, _, d in raw_hdus(with_table)}
        assert name == "WCSCORR,1" or data == old[name], header[:10]


def test_stwcs_reads_and_extends_the_table(with_table, tmp_path):
    wcscorr, path = stwcs_module("wcscorr"), with_table
    for number in range(4):
        path = align(path, tmp_path / str(number), shift=(0.1 * number, 0.3))
    chips, (rows, length, used) = len(read_exposure(path).chips), rows_of(path)
    assert length > used == len(rows)
    with fits.open(path) as hdus:
        table, name = hdus["WCSCORR"].data, hdus["SCI", 1].header["WCSNAME"]
        assert wcscorr.find_wcscorr_row(table, {"wcs_id": name, "extver": 1}).sum() == 1
    with fits.open(path, mode="update") as hdus:
        for extver in range(1, chips + 1):
            hdus["SCI", extver].header["WCSNAME"] = "NEW"
        wcscorr.update_wcscorr(hdus)
    after = rows_of(path)[0]
    assert after[: len(rows)] == rows
    assert [row[0] for row in after].count("NEW") == chips


def test_a_table_of_another_kind_is_left_alone(direct_path, tmp_path):
    with fits.open(direct_path) as hdus:
        hdus.append(fits.BinTableHDU.from_columns([fits.Column("X", "D", array=[1.0])], name="WCSCORR"))
        hdus.writeto(tmp_path / direct_path.name)
    target = align(tmp_path / direct_path.name, tmp_path / "out")
    assert raw_hdus(target)[-1] == raw_hdus(tmp_path / direct_path.name)[-1]


# --- parts of detectors ---


CUTS = [
    ("wfc3_ir", subarray),
    ("acs_wfc", subarray),
    ("wfc3_uvis", subarray),
    ("wfc3_uvis", binned),
    ("acs_wfc", one_chip),
]


@pytest.mark.parametrize(("name", "cut"), CUTS, ids=[f"{name}-{cut.__name__}" for name, cut in CUTS])
def test_parts_of_detectors(truths, tmp_path, name, cut):
    """Read, written, with a headerlet, and undone: the WCS stays that of astropy and stwcs."""
    hstwcs = stwcs_module("hstwcs").HSTWCS
    path = cut(truths[name].paths[0], tmp_path / truths[name].paths[0].name)
    exposure = read_exposure(path)
    file = tmp_path / "x_hlet.fits"
    target = align(path, tmp_path / "out", HeaderletWanted(file))
    transform = LinearTransform.from_parameters(exposure.plane, (0.8, -1.3), 0.02, 1.0002)
    with fits.open(path) as before, fits.open(target) as after:
        for chip in exposure.chips:
            key, xy = ("SCI", chip.number), grid(chip.shape)
            start = WCS(before[key].header, before).all_pix2world(xy, 0)
            assert apart(chip.wcs.to_sky(xy), start) == 0
            found = hstwcs(after, ext=key).all_pix2world(xy, 0)
            assert apart(found, transform.apply_to_sky(start)) < 0.01
    fresh = shutil.copy(path, tmp_path / "fresh_flt.fits")
    stwcs_module("headerlet").apply_headerlet_as_primary(str(fresh), str(file), archive=True)
    assert largest(fresh, target) < 0.01
    [undone] = undo_files([target], tmp_path / "undone")
    assert wcs_apart(undone.target, path) == 0


def test_parts_show_the_same_sky(truths, tmp_path):
    """The cuts themselves are right: their pixels are where they were on the whole chip."""
    for name, cut in CUTS[:4]:
        path = truths[name].paths[0]
        part = read_exposure(cut(path, tmp_path / f"{name}{cut.__name__}_flt.fits"))
        whole = read_exposure(path)
        xy = grid(part.chips[0].shape)
        on_chip = 2 * xy + 0.5 if cut is binned else xy + np.array([17, 30])
        for small, large in zip(part.chips, whole.chips, strict=True):
            assert apart(small.wcs.to_sky(xy), large.wcs.to_sky(on_chip)) < 0.01
