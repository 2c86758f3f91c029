from __future__ import annotations

import gzip
import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from grism_align.io.missions import file_source, read_exposure, read_instrument, read_pixels
from grism_align.io.missions.hst import HST
from grism_align.io.missions.hst.keywords import ab_zero_point, guide_star_of
from grism_align.io.missions.hst.wheels import filter_of
from grism_align.simulation.instruments import ELEMENTS
from grism_align.values.errors import ChangedError, InputError
from grism_align.values.exposure import ExposureKind
from grism_align.values.source import FileSource
from tests.support.cards import cards_of
from tests.support.fields import SMALL, apart, edited, grid, wcs_apart


def test_an_exposure_is_what_its_headers_say(truth):
    for true in truth.exposures.values():
        exposure = read_exposure(true.path)
        header = fits.getheader(true.path)
        element = ELEMENTS[exposure.instrument][true.element]
        assert exposure.key == true.key
        assert exposure.source == FileSource(str(true.path))
        assert exposure.kind is true.kind
        assert exposure.is_direct == (exposure.kind is ExposureKind.DIRECT)
        assert exposure.filter == true.element
        assert exposure.visit == true.key[:6]
        assert exposure.guide_star == header["T_SGSTAR"]
        assert exposure.group == f"{exposure.visit}:{exposure.guide_star}"
        assert exposure.target == "DEMO-FIELD"
        assert exposure.dither_offset == (header["POSTARG1"], header["POSTARG2"])
        assert exposure.mid == pytest.approx(true.mid, abs=1e-9)
        assert (exposure.end - exposure.start) * 86400 == pytest.approx(exposure.exposure_time, abs=1e-4)
        # the constant of the two ways to write a zero point differs in the third decimal
        assert exposure.ab_zero_point == pytest.approx(element.zero_point, abs=2e-3)
        assert exposure.is_rate == (exposure.instrument == "wfc3_ir")
        assert exposure.applied is None
        assert exposure.governors == ()


def test_instrument_chips_and_their_sizes(truths):
    for name, truth in truths.items():
        for path in truth.paths:
            exposure = read_exposure(path)
            assert read_instrument(path) == exposure.instrument == name
            assert [chip.number for chip in exposure.chips] == ([1] if name == "wfc3_ir" else [1, 2])
            shape = tuple(np.broadcast_to(SMALL[name], 2))
            assert {chip.shape for chip in exposure.chips} == {shape}


def test_the_wcs_is_off_by_the_simulated_error_alone(truth):
    """Distortion tables included: without NPOL and D2IM a CCD would be off by several mas."""
    for true in truth.exposures.values():
        exposure = read_exposure(true.path)
        correction = true.correction(exposure.plane)
        for chip in exposure.chips:
            xy = grid(chip.shape)
            sky = true.chips[chip.number].to_sky(xy)
            assert apart(chip.wcs.to_sky(xy), sky) > 100
            assert apart(chip.wcs.corrected(correction).to_sky(xy), sky) < 0.02
            np.testing.assert_allclose(chip.wcs.to_pixel(chip.wcs.to_sky(xy)), xy, atol=1e-4)


def test_lookup_tables_matter(two_chip_path, tmp_path):
    bare = tmp_path / two_chip_path.name
    with fits.open(two_chip_path) as hdus:
        for hdu in [hdu for hdu in hdus if hdu.name in ("WCSDVARR", "D2IMARR")]:
            hdus.remove(hdu)
        for extver in (1, 2):
            header = hdus["SCI", extver].header
            for keyword in [k for k in header if k.startswith(("CPDIS", "DP1", "DP2", "D2IM", "CPERR"))]:
                header.remove(keyword, ignore_missing=True, remove_all=True)
        hdus.writeto(bare)
    assert wcs_apart(two_chip_path, bare) > 1


def test_pixels(truth):
    exposure = read_exposure(truth.paths[0])
    with fits.open(exposure.source) as hdus:
        found = list(read_pixels(exposure))
        assert [chip for chip, _ in found] == list(exposure.chips)
        for chip, pixels in found:
            for name in ("SCI", "ERR", "DQ"):
                array = getattr(pixels, name.lower())
                np.testing.assert_array_equal(array, hdus[name, chip.number].data)
                assert array.dtype.isnative
                assert array.shape == chip.shape


@pytest.mark.parametrize("name", ["SCI", "ERR", "DQ"])
def test_constant_extensions(direct_path, tmp_path, name):
    path, value = tmp_path / direct_path.name, {"SCI": 0.25, "ERR": 0.5, "DQ": 4}[name]
    with fits.open(direct_path) as hdus:
        header = hdus[name].header.copy()
        for card in ("NAXIS1", "NAXIS2"):
            header.remove(card)
        header.update({"NPIX1": 96, "NPIX2": 96, "PIXVALUE": value})
        hdus[name] = fits.ImageHDU(header=header)
        hdus.writeto(path)
    exposure, original = read_exposure(path), read_exposure(direct_path)
    assert exposure.chips[0].shape == (96, 96)
    assert wcs_apart(path, direct_path) == 0
    [(_, pixels)] = read_pixels(exposure)
    [(_, before)] = read_pixels(original)
    for other in ("SCI", "ERR", "DQ"):
        array, kept = getattr(pixels, other.lower()), getattr(before, other.lower())
        np.testing.assert_array_equal(array, np.full((96, 96), value) if other == name else kept)


def test_scaled_integers_are_unscaled(direct_path, tmp_path):
    path = tmp_path / direct_path.name
    with fits.open(direct_path) as hdus:
        dq = hdus["DQ"].data.astype("u2")
        dq[3, 5] = 40000
        hdus["DQ"].data = dq
        hdus.writeto(path)
    [(_, pixels)] = read_pixels(read_exposure(path))
    assert pixels.dq[3, 5] == 40000


@pytest.mark.parametrize("suffix", [".fits.gz", ".fits"])
def test_compressed_whatever_the_name_says(direct_path, tmp_path, suffix):
    path = tmp_path / direct_path.name.replace(".fits", suffix)
    path.write_bytes(gzip.compress(direct_path.read_bytes()))
    exposure = read_exposure(path)
    bare = {"chips": (), "original": None}
    assert replace(exposure, source=file_source(direct_path), **bare) == replace(
        read_exposure(direct_path), **bare
    )
    assert wcs_apart(path, direct_path) == 0
    [(_, pixels)] = read_pixels(exposure)
    np.testing.assert_array_equal(pixels.sci, fits.getdata(direct_path, "SCI"))


@pytest.mark.parametrize(
    "unit",
    [
        *("ELECTRONS/S", "electrons/s", "ELECTRON / S", "'ELECTRONS/S'", " Electrons/sec ", "e-/s", "e/s"),
        *("E-/S", "electrons per second", "electron s-1", "electrons s^-1", "electrons*s**-1", "(e-)/s"),
    ],
)
def test_rates_of_electrons(direct_path, tmp_path, caplog, unit):
    exposure = read_exposure(edited(direct_path, tmp_path / "a_flt.fits", ("SCI", "BUNIT", unit)))
    assert (exposure.is_rate, exposure.rate_unit) == (True, "ELECTRONS/S")
    assert not caplog.text


@pytest.mark.parametrize(
    ("unit", "rates"),
    [
        *(
            (unit, True)
            for unit in ("COUNTS/S", "counts/sec", "cps", "DN/s", "dn / S", "adu/s", "Counts s-1")
        ),
        *((unit, False) for unit in ("COUNTS", "count", "DN", "ADU")),
    ],
)
def test_counts_are_no_electrons(direct_path, tmp_path, caplog, unit, rates):
    exposure = read_exposure(edited(direct_path, tmp_path / "a_flt.fits", ("SCI", "BUNIT", unit)))
    assert (exposure.is_rate, exposure.rate_unit) == (rates, "COUNTS/S")
    assert "a_flt.fits: pixels in COUNTS" in caplog.text


@pytest.mark.parametrize("unit", ["ELECTRONS", "electrons", "e-", "Electron "])
def test_counts_of_electrons(direct_path, tmp_path, unit):
    exposure = read_exposure(edited(direct_path, tmp_path / "a_flt.fits", ("SCI", "BUNIT", unit)))
    assert (exposure.is_rate, exposure.rate_unit) == (False, "ELECTRONS/S")


@pytest.mark.parametrize("unit", [None, "", "UNKNOWN", "whatever/s"])
def test_without_a_unit_pixels_are_what_the_instrument_gives(truths, tmp_path, caplog, unit):
    for name, truth in truths.items():
        path = tmp_path / f"{name}_flt.fits"
        shutil.copyfile(truth.paths[0], path)
        with fits.open(path, mode="update") as hdus:
            for hdu in hdus:
                hdu.header.remove("BUNIT", ignore_missing=True)
                if unit is not None and hdu.name == "SCI":
                    hdu.header["BUNIT"] = unit
        caplog.clear()
        exposure = read_exposure(path)
        assert (exposure.is_rate, exposure.rate_unit) == (name == "wfc3_ir", "ELECTRONS/S")
        assert path.name in caplog.text


@pytest.mark.parametrize("unit", ["MJy/sr", "Jy", "erg/s/cm2/Angstrom", "electrons/min", "deg"])
def test_units_of_something_else_are_refused(direct_path, tmp_path, unit):
    with pytest.raises(InputError, match="BUNIT"):
        read_exposure(edited(direct_path, tmp_path / "a_flt.fits", ("SCI", "BUNIT", unit)))


def test_chips_in_two_units_are_refused(truths, tmp_path):
    path = edited(truths["acs_wfc"].paths[0], tmp_path / "a_flc.fits", (("SCI", 2), "BUNIT", "ELECTRONS/S"))
    with pytest.raises(InputError, match="ELECTRONS and ELECTRONS/S"):
        read_exposure(path)


def test_zero_point():
    flam = cards_of({"PHOTFLAM": 7.8188e-20, "PHOTPLAM": 5921.1})
    # ACS/WFC F606W: 26.49 in the calculator of STScI for an epoch of this PHOTFLAM
    assert ab_zero_point((flam,)) == pytest.approx(26.498, abs=2e-3)
    parts = cards_of({"PHOTPLAM": 5921.1}), cards_of({"PHOTFLAM": 7.8188e-20})
    assert ab_zero_point(parts) == ab_zero_point((flam,))
    fnu = cards_of({"PHOTFNU": 9.5291e-8})
    assert ab_zero_point((fnu,)) == pytest.approx(26.4524, abs=3e-3)
    assert ab_zero_point((flam, fnu)) == ab_zero_point((flam,))
    for useless in ({}, {"PHOTFLAM": 0.0}, {"PHOTFLAM": 1e-20}, {"PHOTFLAM": "N/A", "PHOTPLAM": 1.0}):
        assert np.isnan(ab_zero_point((cards_of(useless),)))
        assert ab_zero_point((cards_of(useless), fnu)) == ab_zero_point((fnu,))


def test_no_zero_point_is_no_error(direct_path, tmp_path):
    path = edited(direct_path, tmp_path / "x_flt.fits", (0, "PHOTFLAM", None))
    assert np.isnan(read_exposure(path).ab_zero_point)
    path = edited(path, tmp_path / "y_flt.fits", ("SCI", "PHOTFNU", 9.5291e-8))
    assert read_exposure(path).ab_zero_point == pytest.approx(26.452, abs=3e-3)


@pytest.mark.parametrize(
    ("cards", "band"),
    [
        ({"FILTER": "f140w "}, "F140W"),
        ({"FILTER1": "F814W", "FILTER2": "CLEAR2L"}, "F814W"),
        ({"FILTER1": "CLEAR1L", "FILTER2": "G800L"}, "G800L"),
        ({"FILTER1": "F606W", "FILTER2": "POL0V"}, "F606W-POL0V"),
        ({"FILTER1": "G800L", "FILTER2": "POL0V"}, "G800L"),
        ({"FILTER1": "F606W", "FILTER2": "G800L"}, "G800L"),
        ({"FILTER1": "CLEAR1L", "FILTER2": "CLEAR2L"}, "CLEAR"),
        ({"FILTER1": "CLEAR1S", "FILTER2": "N/A"}, "CLEAR"),
        ({"FILTER": "Clear"}, "CLEAR"),
        ({"FILTER": "N/A", "FILTER1": "CLEAR1L", "FILTER2": "F814W"}, "F814W"),
        ({"FILTER": "F606W;CLEAR2L"}, "F606W"),
        ({"FILTER": "CLEAR1L;CLEAR2L"}, "CLEAR"),
        ({"FILTER": "F606W/POL0V"}, "F606WPOL0V"),
        ({"FILTER1": "", "FILTER2": " "}, ""),
        ({"FILTER": "N/A"}, ""),
        ({}, ""),
    ],
)
def test_filter(cards, band):
    assert filter_of(cards_of(cards)) == band


@pytest.mark.parametrize(
    ("cards", "star"),
    [
        ({"T_SGSTAR": "N8FG000001F1"}, "N8FG000001F1"),
        ({"T_SGSTAR": "N8FG000001F1", "DGESTAR": "N8FG000002F2"}, "N8FG000002F2"),
        ({"DGESTAR": "", "SGESTAR": "S1"}, "S1"),
        ({"T_SGSTAR": "N/A"}, None),
        ({}, None),
    ],
)
def test_guide_star(cards, star):
    assert guide_star_of(cards_of(cards)) == star


def test_an_unknown_guide_star_leaves_the_visit_as_group(direct_path, tmp_path):
    exposure = read_exposure(edited(direct_path, tmp_path / "x_flt.fits", (0, "T_SGSTAR", "N/A")))
    assert (exposure.guide_star, exposure.group) == (None, exposure.visit)


REFUSED = [
    ((0, "TELESCOP", "SPITZER"), "no exposure of a mission"),
    ((0, "TELESCOP", None), "no exposure of a mission"),
    ((0, "INSTRUME", "STIS"), "STIS/IR"),
    ((0, "DETECTOR", "HRC"), "WFC3/HRC"),
    ((0, "DETECTOR", None), "is not one of WFC3/IR, WFC3/UVIS, ACS/WFC"),
    ((0, "ROOTNAME", None), "no ROOTNAME"),
    ((0, "EXPSTART", None), "no EXPSTART"),
    ((0, "EXPEND", None), "no EXPEND"),
    ((0, "EXPTIME", "long"), "EXPTIME in the primary header is no number"),
    ((0, "FILTER", None), "no FILTER"),
    ((0, "EXPTIME", 0.0), "EXPTIME is 0 s"),
    ((0, "EXPTIME", -1.0), "EXPTIME in the primary header is -1.0"),
    (("SCI", "EXTNAME", "WHT"), "no SCI extension"),
    (("SCI", "CTYPE1", "RA---TAN"), "no SIP distortion"),
    (("SCI", "A_ORDER", None), "no SIP distortion"),
    (("SCI", "CD2_1", None), "no CD2_1 in SCI,1"),
    (("SCI", "CRVAL1", None), "no CRVAL1 in SCI,1"),
    (("SCI", "CRPIX2", "north"), "CRPIX2 in SCI,1 is no number"),
    (("SCI", "CTYPE2", "RA---TAN-SIP"), "no SIP distortion"),
]


@pytest.mark.parametrize(("change", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_refused_headers(direct_path, tmp_path, change, says):
    path = edited(direct_path, tmp_path / "x_flt.fits", change)
    with pytest.raises(InputError, match=says) as caught:
        read_exposure(path)
    assert caught.value.path == str(path)
    assert caught.value.remedy


def test_an_image_without_size(direct_path, tmp_path):
    path = tmp_path / "x_flt.fits"
    with fits.open(direct_path) as hdus:
        header = hdus["SCI"].header.copy()
        for card in ("NAXIS1", "NAXIS2"):
            header.remove(card)
        hdus["SCI"] = fits.ImageHDU(header=header)
        hdus.writeto(path)
    with pytest.raises(InputError, match="SCI,1 is no image"):
        read_exposure(path)


def _within(hdu, part):
    info = hdu.fileinfo()
    return {"header": info["hdrLoc"] + 700, "data": info["datLoc"] + 100}[part]


CUTS = [(0, "header"), ("SCI", "header"), ("SCI", "data"), ("ERR", "header"), ("ERR", "data"), ("DQ", "data")]


@pytest.mark.parametrize(("extension", "part"), [*CUTS, ("SAMP", "header"), ("TIME", "header")])
def test_truncated(direct_path, tmp_path, extension, part):
    with fits.open(direct_path) as hdus:
        end = _within(hdus[extension], part)
    path = tmp_path / "x_flt.fits"
    path.write_bytes(direct_path.read_bytes()[:end])
    with pytest.raises(InputError, match="not a readable FITS file") as caught:
        read_exposure(path)
    assert caught.value.path == str(path)
    assert "\n" not in str(caught.value)


def _without(path, target, *removed, **cards):
    """A copy that lacks extensions, by name and number."""
    with fits.open(path) as hdus:
        hdus[0].header.update(cards)
        kept = [hdu for hdu in hdus if (hdu.name, hdu.ver) not in removed]
        fits.HDUList(kept).writeto(target)
    return target


CHIP_TWO = [("SCI", 2), ("ERR", 2), ("DQ", 2)]


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        ([("DQ", 2), ("D2IMARR", 1), ("D2IMARR", 2), ("WCSDVARR", 1)], "without DQ,2"),
        (CHIP_TWO, "without SCI,2"),
        ([("WCSDVARR", 4)], "without WCSDVARR,4"),
    ],
)
def test_the_end_is_missing(two_chip_path, tmp_path, lost, says):
    path = _without(two_chip_path, tmp_path / "x_flc.fits", *lost, NEXTEND=30, SUBARRAY=False)
    with pytest.raises(InputError, match=f"{says}.*truncated"):
        read_exposure(path)


@pytest.mark.parametrize(
    "removed", [[("WCSCORR", 1)], [("ERR", 1)], [("SAMP", 1), ("TIME", 1)], [("HDRLET", 1)], []]
)
def test_nextend_is_not_always_kept_up_to_date(direct_path, tmp_path, removed):
    path = _without(direct_path, tmp_path / "x_flt.fits", *removed, NEXTEND=9)
    assert read_exposure(path).key == read_exposure(direct_path).key


def test_a_subarray_has_one_chip(two_chip_path, tmp_path):
    path = _without(two_chip_path, tmp_path / "x_flc.fits", *CHIP_TWO, NEXTEND=30, SUBARRAY=True)
    assert len(read_exposure(path).chips) == 1


def test_cut_between_extensions(direct_path, tmp_path):
    whole = edited(direct_path, tmp_path / "whole_flt.fits", (0, "NEXTEND", 5))
    assert read_exposure(whole).key
    with fits.open(whole) as hdus:
        end = hdus["DQ"].fileinfo()["hdrLoc"]
    path = tmp_path / "x_flt.fits"
    path.write_bytes(whole.read_bytes()[:end])
    with pytest.raises(InputError, match=r"2 extensions of the 5 .*truncated"):
        read_exposure(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "not a readable FITS file"),
        (b"SIMPLE  =                    T" + b" " * 20, "not a readable FITS file"),
        (b"An error page, not a file" * 300, "not a readable FITS file"),
        (bytes(range(256)) * 40, "not a readable FITS file"),
        (gzip.compress(bytes(100000))[:60], "not a readable FITS file"),
    ],
    ids=["missing", "empty", "start", "text", "bytes", "gzip"],
)
@pytest.mark.parametrize("read", [HST.read, HST.instrument])
def test_no_fits(tmp_path, content, says, read):
    path = tmp_path / "x_flt.fits"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read(file_source(path))
    assert caught.value.path == str(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="not a readable FITS file"):
        HST.read(file_source(tmp_path))


def test_a_truncated_compressed_file(direct_path, tmp_path):
    path = tmp_path / "x_flt.fits.gz"
    content = gzip.compress(direct_path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError) as caught:
        read_exposure(path)
    assert caught.value.path == str(path)


def test_flags_that_are_not_there(direct_path, tmp_path):
    path = edited(direct_path, tmp_path / "x_flt.fits", ("DQ", "EXTNAME", "WHT"))
    with pytest.raises(InputError, match="DQ"):
        list(read_pixels(read_exposure(path)))


@pytest.mark.parametrize("form", ["renamed", "deleted", "without data"])
def test_errors_that_are_not_there_are_zero(direct_path, tmp_path, form):
    path = tmp_path / "x_flt.fits"
    with fits.open(direct_path) as hdus:
        if form == "renamed":
            hdus["ERR"].header["EXTNAME"] = "WHT"
        elif form == "deleted":
            del hdus["ERR"]
        else:
            hdus["ERR"] = fits.ImageHDU(name="ERR", ver=1)
        hdus.writeto(path)
    [(_, pixels)] = read_pixels(read_exposure(path))
    assert not pixels.err.any()
    assert pixels.err.shape == pixels.sci.shape


def test_pixels_of_another_size(direct_path, tmp_path):
    path = tmp_path / "x_flt.fits"
    with fits.open(direct_path) as hdus:
        hdus["ERR"].data = hdus["ERR"].data[:-1]
        hdus.writeto(path)
    with pytest.raises(InputError, match="ERR,1 has 96 by 95 pixels, and SCI,1 96 by 96"):
        read_exposure(path)


def test_a_file_that_goes_away_before_its_pixels_are_read(direct_path, tmp_path):
    path = edited(direct_path, tmp_path / "x_flt.fits")
    exposure = read_exposure(path)
    path.unlink()
    with pytest.raises(ChangedError) as caught:
        list(read_pixels(exposure))
    assert caught.value.path == str(path)


def test_the_pointing_as_commanded_stays_when_a_wcs_is_moved(direct_path, tmp_path):
    before = read_exposure(direct_path)
    assert before.original is not None
    moved = ("SCI", "CRVAL2", fits.getval(direct_path, "CRVAL2", 1) + 0.001)
    after = read_exposure(edited(direct_path, tmp_path / direct_path.name, moved))
    here = [[40.0, 50.0]]
    np.testing.assert_array_equal(after.original.wcs.to_sky(here), before.original.wcs.to_sky(here))
    assert (
        apart(before.original.wcs.to_sky(here), before.chips[0].wcs.to_sky(here))
        < 1e3 * before.original.error
    )


def test_without_alternate_o_the_aperture_tells_the_pointing(direct_path, tmp_path):
    header = fits.getheader(direct_path, 1)
    bare = edited(direct_path, tmp_path / "bare.fits", ("SCI", "CRVAL1O", None))
    exposure = read_exposure(bare)
    middle = 0.5 * (np.array(exposure.chips[0].shape[::-1]) - 1)
    place = exposure.original.wcs.to_sky([middle])[0]
    np.testing.assert_allclose(place, [header["RA_APER"], header["DEC_APER"]])
    assert exposure.original.error > 1
    neither = edited(bare, tmp_path / "neither.fits", ("SCI", "RA_APER", None))
    assert read_exposure(neither).original is None


def test_the_distortion_models_that_a_header_names(direct_path, tmp_path):
    [root] = {read_exposure(direct_path).distortion}
    assert root.startswith("IDC_")
    table = ("PRIMARY", "IDCTAB", "iref$other_idc.fits")
    other = edited(direct_path, tmp_path / direct_path.name, table)
    assert read_exposure(other).distortion == f"{root} and IDC_other"


def test_flags_that_are_no_bits(direct_path, tmp_path):
    with fits.open(direct_path) as hdus:
        hdus["DQ", 1].data = hdus["DQ", 1].data.astype("f4")
        hdus.writeto(tmp_path / "x_flt.fits")
    with pytest.raises(InputError) as caught:
        list(read_pixels(read_exposure(tmp_path / "x_flt.fits")))
    assert caught.value.path == str(tmp_path / "x_flt.fits")
