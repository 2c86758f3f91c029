from __future__ import annotations

import errno
import gzip
from dataclasses import replace
from datetime import UTC, datetime
from string import ascii_uppercase

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from grism_align.io.files.checksums import sha256_of
from grism_align.io.files.fits import plain_text
from grism_align.io.missions import as_it_is, file_source, read_exposure, write_exposure
from grism_align.io.missions.hst import rewrite as hst_rewrite
from grism_align.io.missions.hst import write as hst_write
from grism_align.io.missions.hst.alternates import archive_key
from grism_align.io.missions.hst.headers import solution_name, wcs_name
from grism_align.values.errors import ChangedError
from grism_align.values.failure import NotTied, TooFewMatches
from grism_align.values.mission import WcsLabel
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.sphere import sky_to_vector
from grism_align.values.transform import LinearTransform, TangentPlane
from tests.support.fields import apart, edited, grid, raw_hdus, wcs_apart
from tests.support.governed import governed

LINEAR = [
    "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2",
]  # fmt: skip
OF_THE_FIT = {
    *("WCSNAME", "WCSTYPE", "HDRNAME", "NMATCHES", "FITGEOM", "CATALOG", "RMS_RA", "RMS_DEC"),
    *("CRDER1", "CRDER2", "ORIENTAT", "GALPREV"),
}
LABEL = WcsLabel("gaia", "FIT_REL_gaia", 50, (5.25, 4.5), "rscale")


def move(exposure, shift=(0.8, -1.3), roll=0.02, scale=1.0002):
    return LinearTransform.from_parameters(exposure.plane, shift, roll, scale)


def fit_of(exposure, **parameters):
    return ExposureFit(FitStatus.ALIGNED, move(exposure, **parameters), "gaia", n_used=50, rms=5.25)


def align(path, folder, label=LABEL, **parameters):
    """An exposure written with a correction: the exposure, its fit and the new file."""
    exposure = read_exposure(path)
    fit = fit_of(exposure, **parameters)
    target = folder / path.name
    write_exposure(exposure, fit, target, label)
    return exposure, fit, target


def all_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- the new WCS ---


def test_every_reader_sees_the_fitted_wcs(truth, tmp_path):
    """astropy, stwcs and our own reader; NPOL and D2IM included."""
    hstwcs = pytest.importorskip("stwcs.wcsutil").HSTWCS
    for path in truth.paths:
        exposure, fit, target = align(path, tmp_path)
        with fits.open(target) as hdus:
            for before, after in zip(exposure.chips, read_exposure(target).chips, strict=True):
                xy = grid(before.shape)
                expected = fit.transform.apply_to_sky(before.wcs.to_sky(xy))
                assert apart(before.wcs.to_sky(xy), expected) > 1000
                header = hdus["SCI", before.number].header
                assert apart(after.wcs.to_sky(xy), expected) < 0.01
                assert apart(WCS(header, hdus).all_pix2world(xy, 0), expected) < 0.01
                of_stwcs = hstwcs(hdus, ext=("SCI", before.number))
                assert apart(of_stwcs.all_pix2world(xy, 0), expected) < 0.01
                assert of_stwcs.orientat == pytest.approx(header["ORIENTAT"], abs=1e-9)


def test_a_large_correction(direct_path, tmp_path):
    exposure, fit, target = align(direct_path, tmp_path, shift=(25.0, -14.0), roll=0.4)
    [chip] = read_exposure(target).chips
    xy = grid(chip.shape)
    expected = fit.transform.apply_to_sky(exposure.chips[0].wcs.to_sky(xy))
    assert apart(chip.wcs.to_sky(xy), expected) < 0.01


def test_the_two_chips_stay_rigid(truths, tmp_path):
    for name in ("acs_wfc", "wfc3_uvis"):
        exposure, _, target = align(truths[name].paths[0], tmp_path, roll=0.05, scale=1.0)
        ny, nx = exposure.chips[0].shape
        x = np.linspace(0, nx - 1, 5)
        above, below = np.column_stack([x, np.full(5, ny - 1.0)]), np.column_stack([x, np.zeros(5)])

        def gap(chips, sides=(above, below)):
            upper, lower = (chip.wcs.to_sky(xy) for chip, xy in zip(chips, sides, strict=True))
            across = np.linalg.norm(sky_to_vector(upper) - sky_to_vector(lower), axis=1)
            return np.degrees(across) * 3.6e6

        assert np.abs(gap(read_exposure(target).chips) - gap(exposure.chips)).max() < 0.05


def test_err_and_dq_have_the_wcs_of_sci(truth, tmp_path):
    for path in truth.paths:
        _, _, target = align(path, tmp_path)
        with fits.open(target) as hdus, fits.open(path) as before:
            for index, hdu in enumerate(hdus):
                if hdu.name in ("ERR", "DQ"):
                    science = hdus["SCI", hdu.ver].header
                    assert [hdu.header[k] for k in LINEAR] == [science[k] for k in LINEAR]
                    assert hdu.header["CRVAL1"] != before[index].header["CRVAL1"]


def test_crpix_stays_and_orientat_follows(truth, tmp_path):
    for path in truth.paths:
        exposure, _, target = align(path, tmp_path, roll=0.25)
        for chip in exposure.chips:
            old, new = (fits.getheader(p, "SCI", chip.number) for p in (path, target))
            assert [old[f"CRPIX{i}"] for i in (1, 2)] == [new[f"CRPIX{i}"] for i in (1, 2)]
            assert new["ORIENTAT"] - old["ORIENTAT"] == pytest.approx(0.25, abs=0.01)
            cd = np.degrees(np.arctan2(new["CD1_2"], new["CD2_2"]))
            assert new["ORIENTAT"] == pytest.approx(cd, abs=1e-9)


# --- what stays ---


def test_all_data_and_all_other_extensions_are_the_same_bytes(truth, tmp_path):
    for path in truth.paths:
        _, _, target = align(path, tmp_path)
        before, after = raw_hdus(path), raw_hdus(target)
        assert [name for name, _, _ in before] == [name for name, _, _ in after]
        assert [data for _, _, data in before] == [data for _, _, data in after]
        for (name, old, _), (_, new, _) in zip(before, after, strict=True):
            has_wcs = name.split(",")[0] in ("PRIMARY", "SCI", "ERR", "DQ")
            assert (old != new) == has_wcs, name
        assert target.stat().st_size == sum(len(h) + len(d) for _, h, d in after)


def test_tables_and_scaled_integers_too(direct_path, tmp_path):
    """Integers with BZERO, a table with variable rows, a compressed image, a headerlet-like copy."""
    source = tmp_path / "source"
    source.mkdir()
    rows = np.array([np.arange(3.0), np.arange(5.0)], dtype=object)
    column = fits.Column("X", "PD()", array=rows)
    with fits.open(direct_path) as hdus:
        hdus["DQ"].data = hdus["DQ"].data.astype("u2")
        hdus.append(fits.BinTableHDU.from_columns([column], name="WCSCORR"))
        hdus.append(fits.CompImageHDU(np.arange(400, dtype="i4").reshape(20, 20), name="MASK"))
        hdus.writeto(source / direct_path.name)
    _, _, target = align(source / direct_path.name, tmp_path)
    before, after = raw_hdus(source / direct_path.name), raw_hdus(target)
    assert [data for _, _, data in before] == [data for _, _, data in after]
    assert before[-2:] == after[-2:]
    assert before[4:6] == after[4:6]


def test_all_other_cards_are_the_same(truth, tmp_path):
    for path in truth.paths:
        _, _, target = align(path, tmp_path)
        with fits.open(path) as before, fits.open(target) as after:
            for old, new in zip(before, after, strict=True):
                changed = {*LINEAR, *OF_THE_FIT} if old.name in ("SCI", "ERR", "DQ") else set()
                kept = [str(card) for card in old.header.cards if card.keyword not in changed]
                now = [str(card) for card in new.header.cards]
                assert [card for card in now if card in set(kept)] == kept
                added = {card.keyword for card in new.header.cards} - set(old.header)
                ours = {"GALIGN", "GALVERS", "GALERROR", "GALGOVRN", "HISTORY"} | OF_THE_FIT
                assert all(
                    keyword in ours or keyword.endswith("A") or "GALDT" in keyword for keyword in added
                )


def test_checksums(direct_path, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    with fits.open(direct_path) as hdus:
        hdus.writeto(source / direct_path.name, checksum=True)
    _, _, target = align(source / direct_path.name, tmp_path)
    # warns, which is an error here, where a sum is wrong
    with fits.open(target, checksum=True) as hdus:
        for hdu in hdus:
            assert hdu.data is None or np.asarray(hdu.data).size
            assert "DATASUM" in hdu.header
            assert ("CHECKSUM" in hdu.header) == (hdu.name in ("SAMP", "TIME"))


# --- labels and the archived WCS ---


def test_labels(direct_path, tmp_path):
    source = edited(direct_path, tmp_path / "source_flt.fits", ("SCI", "HDRNAME", "of the old WCS"))
    _, _, target = align(source, tmp_path / "out")
    header = fits.getheader(target, "SCI")
    assert header["WCSNAME"] == "IDC_w3m18525i-FIT_REL_gaia"
    assert header["WCSTYPE"] == "undistorted a posteriori solution relatively aligned to GAIA"
    assert (header["NMATCHES"], header["FITGEOM"]) == (50, "rscale")
    assert (header["RMS_RA"], header["RMS_DEC"]) == (5.25, 4.5)
    np.testing.assert_allclose([header["CRDER1"], header["CRDER2"]], np.array([5.25, 4.5]) / 3.6e6)
    assert header["CATALOG"] == "gaia"
    assert header["HDRNAME"].startswith("idem01a1q_gal")
    assert len(header["HDRNAME"]) <= 24
    assert header["HDRNAMEA"] == "of the old WCS"
    assert header["GALPREV"] == "A"
    primary = fits.getheader(target)
    assert primary["GALIGN"] == "ALIGNED"
    assert primary["GALVERS"]
    assert str(primary["HISTORY"]).startswith("grism_align ")


@pytest.mark.filterwarnings("ignore:Some non-standard WCS keywords were excluded")
def test_stwcs_sees_the_archived_wcs(truth, tmp_path):
    altwcs = pytest.importorskip("stwcs.wcsutil.altwcs")
    for path in truth.paths:
        exposure, _, target = align(path, tmp_path)
        with fits.open(target) as hdus, fits.open(path) as before:
            for chip in exposure.chips:
                extension = ("SCI", chip.number)
                old, header = before[extension].header, hdus[extension].header
                assert altwcs.wcskeys(header) == [" ", "A", "O"]
                assert altwcs.wcsnames(header)["A"] == old["WCSNAME"] == header["WCSNAMEA"]
                archived = altwcs.wcs_from_key(hdus, extension, from_key="A")
                np.testing.assert_allclose(
                    [archived[f"{k}A"] for k in LINEAR], [old[k] for k in LINEAR], rtol=1e-12
                )
                assert [header[f"{k}A"] for k in LINEAR] == [old[k] for k in LINEAR]
                assert [header[f"{k}O"] for k in LINEAR] == [old[f"{k}O"] for k in LINEAR]
                xy = grid(chip.shape)
                found = WCS(header, hdus, key="A").all_pix2world(xy, 0)
                assert apart(found, chip.wcs.to_sky(xy)) < 1e-6


@pytest.mark.filterwarnings("ignore:Some non-standard WCS keywords were excluded")
def test_stwcs_restores_the_archived_wcs(direct_path, tmp_path):
    altwcs = pytest.importorskip("stwcs.wcsutil.altwcs")
    _, _, target = align(direct_path, tmp_path)
    with fits.open(target, mode="update") as hdus:
        altwcs.restoreWCS(hdus, ("SCI", 1), wcskey="A")
    assert wcs_apart(target, direct_path) < 1e-4


def test_repeated_alignment_archives_under_the_next_letter(direct_path, tmp_path):
    path, names = direct_path, [fits.getheader(direct_path, "SCI")["WCSNAME"]]
    for number in range(3):
        exposure = read_exposure(path)
        solution = solution_name("gaia", exposure.taken_names)
        before = path
        _, _, path = align(path, tmp_path / str(number), replace(LABEL, solution=solution))
        names.append(fits.getheader(path, "SCI")["WCSNAME"])
    assert names == ["IDC_w3m18525i"] + [f"IDC_w3m18525i-FIT_REL_gaia{end}" for end in ("", "_2", "_3")]
    header, last = fits.getheader(path, "SCI"), fits.getheader(before, "SCI")
    assert [header[f"WCSNAME{letter}"] for letter in "ABC"] == names[:3]
    assert [header[f"{k}C"] for k in LINEAR] == [last[k] for k in LINEAR]
    assert [header[k] for k in ("NMATCHC", "FITGEOMC", "RMS_RAC")] == [50, "rscale", 5.25]
    assert header["WCSNAMEO"] == "OPUS"


def test_a_letter_in_use_by_any_chip_is_left_alone(two_chip_path, tmp_path):
    source = edited(two_chip_path, tmp_path / "x_flc.fits", (("SCI", 2), "CRVAL1A", 12.5))
    _, _, target = align(source, tmp_path / "out")
    for extver in (1, 2):
        assert "WCSNAMEB" in fits.getheader(target, "SCI", extver)
    assert fits.getheader(target, "SCI", 2)["CRVAL1A"] == 12.5
    assert "CRVAL1A" not in fits.getheader(target, "SCI", 1)


LETTERS = [letter for letter in ascii_uppercase if letter != "O"]


def test_letters_run_out(direct_path, tmp_path):
    """The alternate that we archived first goes; those of others and the OPUS WCS never do."""
    cards = [("SCI", f"CRVAL1{letter}", 1.0) for letter in LETTERS]
    ours = [("SCI", "GALDTH", "2026-02-01"), ("SCI", "GALDTQ", "2025-02-01"), ("SCI", "GALDTR", "2026-01-01")]
    stale = ("SCI", "RMS_RAQ", 77.0)
    source = edited(direct_path, tmp_path / "x_flt.fits", *cards, *ours, stale)
    _, _, target = align(source, tmp_path / "out")
    old, new = fits.getheader(source, "SCI"), fits.getheader(target, "SCI")
    assert new["WCSNAMEQ"] == old["WCSNAME"]
    assert new["CRVAL1Q"] == old["CRVAL1"]
    assert new["GALDTQ"] > "2026-03"
    assert "RMS_RAQ" not in new
    assert new["CRVAL1O"] == old["CRVAL1O"]
    assert {new[f"CRVAL1{letter}"] for letter in LETTERS if letter != "Q"} == {1.0}


def test_the_next_free_letter_is_never_o():
    header = fits.Header({f"CRVAL1{letter}": 1.0 for letter in ascii_uppercase[:14]})
    assert archive_key([header]) == "P"
    assert archive_key([fits.Header()]) == "A"
    assert archive_key([fits.Header(), fits.Header({"CRVAL1A": 0.0})]) == "B"


def test_names_of_solutions():
    assert solution_name("Gaia DR3", ()) == "FIT_REL_GaiaDR3"
    assert solution_name("--", ()) == "FIT_REL_NONE"
    taken = ["IDC_a-FIT_REL_x", "IDC_b-FIT_REL_x_2", "IDC_a", "OPUS"]
    assert solution_name("x", taken) == "FIT_REL_x_3"
    assert solution_name("y", taken) == "FIT_REL_y"
    assert (
        wcs_name(fits.Header({"WCSNAME": "IDC_abc-FIT_IMG_z"}), fits.Header(), "FIT_REL_x")
        == "IDC_abc-FIT_REL_x"
    )
    assert (
        wcs_name(fits.Header({"IDCTAB": "N/A"}), fits.Header({"IDCTAB": "iref$w3m18525i_idc.fits"}), "x")
        == "IDC_w3m18525i-x"
    )
    assert wcs_name(fits.Header({"WCSNAME": "mine"}), fits.Header(), "x") == "IDC_unknown-x"


@pytest.mark.parametrize("catalog", ["gaïa", "é" * 80, "x" * 200, "two\nlines"])
def test_any_catalog_name_fits_into_a_header(direct_path, tmp_path, catalog):
    exposure = read_exposure(direct_path)
    target = tmp_path / direct_path.name
    label = WcsLabel(catalog, solution_name(catalog, ()), 5, (float("nan"), float("nan")), "shift")
    write_exposure(exposure, replace(fit_of(exposure), remarks=(NotTied(f"{catalog}: …"),)), target, label)
    header = fits.getheader(target, "SCI")
    assert header["WCSTYPE"].endswith(plain_text(catalog).upper())
    assert header["RMS_RA"] == -1.0
    assert "CRDER1" not in header
    assert fits.getheader(target)["GALIGN"] == "ALIGNED"


def test_the_outline_follows(direct_path, tmp_path):
    source = edited(direct_path, tmp_path / "x_flt.fits", ("SCI", "S_REGION", "POLYGON ICRS 1 2 3 4 5 6"))
    _, _, target = align(source, tmp_path / "out")
    assert "S_REGION" not in fits.getheader(align(direct_path, tmp_path)[2], "SCI")
    words = fits.getheader(target, "SCI")["S_REGION"].split()
    assert words[:2] == ["POLYGON", "ICRS"]
    corners = np.array(words[2:], dtype=float).reshape(-1, 2)
    assert apart(corners, read_exposure(target).chips[0].wcs.footprint()) < 0.1


def test_the_governors_of_a_grism_exposure(truths, tmp_path):
    exposure = read_exposure(truths["wfc3_ir"].paths[1])
    fit = replace(fit_of(exposure), governed=governed("idem01a1q", "idem01a3q"))
    write_exposure(exposure, fit, tmp_path / exposure.source.name, LABEL)
    assert fits.getheader(tmp_path / exposure.source.name)["GALGOVRN"] == "idem01a1q,idem01a3q"
    # those that a card has no room for are counted, names are not cut
    names = [f"idem01a{letter}q" for letter in "123456789"]
    many = replace(fit, governed=governed(*names))
    write_exposure(exposure, many, tmp_path / "many_flt.fits", LABEL)
    assert fits.getheader(tmp_path / "many_flt.fits")["GALGOVRN"] == ",".join(names[:6]) + ",+3"


# --- failed exposures, and corrections that the file already has ---


def test_a_failed_exposure_keeps_its_wcs(truth, tmp_path):
    for path in truth.paths:
        target = tmp_path / path.name
        write_exposure(read_exposure(path), ExposureFit.failed(TooFewMatches(4, 10)), target, LABEL)
        before, after = raw_hdus(path), raw_hdus(target)
        assert before[1:] == after[1:]
        assert before[0][2] == after[0][2]
        primary = fits.getheader(target)
        assert primary["GALIGN"] == "FAILED"
        assert "4 matched sources, 10 required" in "".join(primary["HISTORY"])


def test_only_what_is_missing_of_a_correction_is_applied(truth, tmp_path):
    """The file has one part of the correction already; the end is that of the whole one at once."""
    for path in truth.paths:
        exposure, _, half = align(path, tmp_path / "half", shift=(0.5, 0.3), roll=0.01)
        _, _, whole = align(path, tmp_path / "whole")
        continued = replace(
            exposure, source=file_source(half), applied=move(exposure, shift=(0.5, 0.3), roll=0.01)
        )
        target = tmp_path / path.name
        write_exposure(continued, fit_of(exposure), target, LABEL)
        assert wcs_apart(target, whole) < 0.01
        assert wcs_apart(half, whole) > 500


def test_a_file_corrected_since_it_was_read(direct_path, tmp_path):
    """As in_place does for one step after the other."""
    path = edited(direct_path, tmp_path / direct_path.name)
    exposure = read_exposure(path)
    _, _, expected = align(direct_path, tmp_path / "out")
    for parameters in ({"shift": (0.5, 0.3), "roll": 0.01}, {}):
        digests = write_exposure(exposure, fit_of(exposure, **parameters), path, LABEL)
        exposure = as_it_is(exposure, digests.output)
    assert wcs_apart(path, expected) < 1e-4


def test_an_applied_correction_of_another_plane(direct_path, tmp_path):
    """A grism exposure's correction is in the plane of the exposure that governs it, now another."""
    exposure, fit, once = align(direct_path, tmp_path / "once")
    plane = TangentPlane(exposure.plane.ra + 0.01, exposure.plane.dec)
    applied = move(exposure, shift=(0.5, 0.3)).at(plane)
    target = tmp_path / direct_path.name
    write_exposure(replace(exposure, applied=applied), fit, target, LABEL)
    assert wcs_apart(once, target) == 0


def test_nothing_is_applied_twice(direct_path, tmp_path):
    exposure, fit, once = align(direct_path, tmp_path / "once")
    again = replace(exposure, source=file_source(once), applied=fit.transform)
    target = tmp_path / direct_path.name
    write_exposure(again, fit, target, LABEL)
    before, after = raw_hdus(once), raw_hdus(target)
    assert before[1:] == after[1:]
    assert wcs_apart(once, target) == 0


def test_an_applied_correction_can_be_taken_back(direct_path, tmp_path):
    exposure, fit, once = align(direct_path, tmp_path / "once")
    again = replace(exposure, source=file_source(once), applied=fit.transform)
    target = tmp_path / direct_path.name
    write_exposure(again, replace(fit, transform=LinearTransform.identity(exposure.plane)), target, LABEL)
    assert wcs_apart(target, direct_path) < 0.01


def test_a_fit_in_another_plane(direct_path, tmp_path):
    exposure, fit, target = align(direct_path, tmp_path / "own")
    plane = TangentPlane(exposure.plane.ra + 0.02, exposure.plane.dec - 0.01)
    other = tmp_path / direct_path.name
    write_exposure(exposure, replace(fit, transform=fit.transform.at(plane)), other, LABEL)
    assert wcs_apart(other, target) < 0.05


# --- files ---


def test_in_place(direct_path, tmp_path):
    _, _, expected = align(direct_path, tmp_path / "out")
    path = edited(direct_path, tmp_path / direct_path.name)
    path.chmod(0o640)
    exposure = read_exposure(path)
    before = sha256_of(path)
    digests = write_exposure(exposure, fit_of(exposure), path, LABEL)
    assert wcs_apart(path, expected) == 0
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == [direct_path.name, "out"]
    assert (digests.input, digests.output) == (before, sha256_of(path))


def test_digests_are_of_the_files(direct_path, tmp_path):
    exposure, target = read_exposure(direct_path), tmp_path / direct_path.name
    digests = write_exposure(exposure, fit_of(exposure), target, LABEL)
    assert (digests.input, digests.output) == (sha256_of(direct_path), sha256_of(target))


@pytest.fixture
def frozen_clock(monkeypatch):
    class Frozen(datetime):
        @classmethod
        def now(cls, tz=UTC):
            return datetime(2026, 3, 4, 5, 6, 7, tzinfo=tz)

    monkeypatch.setattr(hst_write, "datetime", Frozen)


def test_compressed_files(direct_path, tmp_path, frozen_clock):
    source = tmp_path / "in" / f"{direct_path.name}.gz"
    source.parent.mkdir()
    source.write_bytes(gzip.compress(direct_path.read_bytes()))
    _, _, plain = align(direct_path, tmp_path)
    _, _, first = align(source, tmp_path / "1")
    _, _, second = align(source, tmp_path / "2")
    assert first.read_bytes()[:2] == b"\x1f\x8b"
    assert gzip.decompress(first.read_bytes()) == plain.read_bytes()
    assert first.read_bytes() == second.read_bytes()
    assert wcs_apart(first, plain) == 0


def test_names_that_lie_about_compression(direct_path, tmp_path, frozen_clock):
    """Browsers decompress some files and keep the name; others lose the .gz."""
    _, _, expected = align(direct_path, tmp_path)
    unpacked, packed = tmp_path / f"a_{direct_path.name}.gz", tmp_path / f"b_{direct_path.name}"
    unpacked.write_bytes(direct_path.read_bytes())
    packed.write_bytes(gzip.compress(direct_path.read_bytes()))
    assert gzip.decompress(align(unpacked, tmp_path / "out")[2].read_bytes()) == expected.read_bytes()
    assert align(packed, tmp_path / "out")[2].read_bytes() == expected.read_bytes()


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that is full after the first extension."""
    copy, calls = hst_rewrite._copy_hdu, []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        copy(*arguments)

    monkeypatch.setattr(hst_rewrite, "_copy_hdu", failing)


@pytest.mark.parametrize("in_place", [True, False])
def test_a_full_disk_leaves_nothing_half_written(direct_path, tmp_path, full_disk, in_place):
    path = edited(direct_path, tmp_path / direct_path.name)
    exposure = read_exposure(path)
    out = path if in_place else tmp_path / "out" / path.name
    out.parent.mkdir(exist_ok=True)
    if not in_place:
        out.write_bytes(b"an older file")
    before, output = all_bytes(path.parent) if in_place else None, out.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        write_exposure(exposure, fit_of(exposure), out, LABEL)
    assert out.read_bytes() == output
    assert sorted(p.name for p in out.parent.iterdir()) == [out.name]
    assert before is None or all_bytes(path.parent) == before


def test_a_source_that_vanishes(direct_path, tmp_path):
    path = edited(direct_path, tmp_path / direct_path.name)
    exposure = read_exposure(path)
    path.unlink()
    with pytest.raises(ChangedError):
        write_exposure(exposure, fit_of(exposure), tmp_path / "out" / path.name, LABEL)
    assert not list(tmp_path.rglob("*.fits"))


def test_a_source_that_is_cut_while_it_is_copied(direct_path, tmp_path, monkeypatch):
    path = edited(direct_path, tmp_path / direct_path.name)
    exposure = read_exposure(path)
    tell = hst_write._tell

    def cut(*arguments):
        tell(*arguments)
        path.write_bytes(direct_path.read_bytes()[:20000])

    monkeypatch.setattr(hst_write, "_tell", cut)
    with pytest.raises(ChangedError) as caught:
        write_exposure(exposure, fit_of(exposure), tmp_path / "out" / path.name, LABEL)
    assert caught.value.path == str(path)
    assert list((tmp_path / "out").iterdir()) == []
