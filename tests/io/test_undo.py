from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grism_align.io.missions import HeaderletWanted, hst_rewrite
from grism_align.io.missions.hst import read_exposure
from grism_align.io.missions.hst_headers import WcsLabel, solution_name
from grism_align.io.missions.hst_write import write_exposure
from grism_align.io.undo import undo_files
from grism_align.values.errors import InputError, OutputError
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform

from ..fields import apart, edited, grid, raw_hdus, wcs_apart

FIT_OF_OTHERS = [
    ("SCI", "HDRNAME", "of another tool"),
    ("SCI", "NMATCHES", 11),
    ("SCI", "FITGEOM", "general"),
    ("SCI", "RMS_RA", 3.25),
    ("SCI", "CRDER1", 1e-7),
    ("SCI", "WCSTYPE", "a priori solution"),
    ("SCI", "S_REGION", "POLYGON ICRS 1 2 3 4 5 6"),
    (0, "NEXTEND", 5),
]


def align(path, target, shift=(0.8, -1.3), roll=0.02, scale=1.0, headerlet=None):
    """Write an exposure with one more correction, on top of what it has."""
    exposure = read_exposure(path)
    transform = LinearTransform.from_parameters(exposure.plane, shift, roll, scale)
    fit = ExposureFit(FitStatus.ALIGNED, transform, "gaia", n_used=50, rms=5.25)
    label = WcsLabel("gaia", solution_name("gaia", exposure.taken_names), 50, (5.25, 4.5), "rscale")
    write_exposure(exposure, fit, target, label, *([headerlet] if headerlet else []))
    return target


def undo(path, folder):
    [undone] = undo_files([path], folder)
    return undone.output


def cards(hdu):
    """All cards, as they stand in the file; those that tell of history and sums left out."""
    kept = (card for card in hdu.header.cards if card.keyword not in ("HISTORY", "CHECKSUM", "S_REGION"))
    # what ERR and DQ have is the same number, written as astropy does
    return sorted(str(card) if hdu.name in ("PRIMARY", "SCI") else repr(tuple(card)) for card in kept)


def assert_same_headers(first, second):
    with fits.open(first) as one, fits.open(second) as other:
        for before, after in zip(one, other, strict=True):
            assert cards(before) == cards(after)
    assert [data for _, _, data in raw_hdus(first)] == [data for _, _, data in raw_hdus(second)]


@pytest.fixture
def source(direct_path, tmp_path):
    """An exposure that another tool has aligned."""
    (tmp_path / "source").mkdir()
    return edited(direct_path, tmp_path / "source" / direct_path.name, *FIT_OF_OTHERS)


# --- what comes back ---


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shift=st.tuples(*[st.floats(-20, 20)] * 2), roll=st.floats(-0.4, 0.4), scale=st.floats(0.999, 1.001))
def test_undo_after_write_is_the_identity(source, tmp_path, shift, roll, scale):
    written = align(source, tmp_path / "out" / source.name, shift, roll, scale)
    undone = undo(written, tmp_path / "undone")
    assert_same_headers(source, undone)
    assert wcs_apart(source, undone) == 0
    words = fits.getheader(undone, "SCI")["S_REGION"].split()[2:]
    corners = [[float(x), float(y)] for x, y in zip(words[::2], words[1::2], strict=True)]
    assert apart(corners, read_exposure(undone).chips[0].wcs.footprint()) < 0.1


def test_every_instrument_comes_back(truth, tmp_path):
    for path in truth.paths:
        undone = undo(align(path, tmp_path / "out" / path.name), tmp_path / "undone")
        assert_same_headers(path, undone)
        history = str(fits.getheader(undone)["HISTORY"])
        assert "undone" in history
        assert "FIT_REL_gaia, back to" in history


def test_values_that_no_program_writes_alike(direct_path, tmp_path):
    """Cards come back digit for digit, also such as astropy would write with fewer."""
    with fits.open(direct_path) as hdus:
        hdus.writeto(tmp_path / direct_path.name)
    content = (tmp_path / direct_path.name).read_bytes()
    at = content.index(b"CD1_1   =")
    odd = b"CD1_1   = -2.5184892740000123987E-05 / odd"
    (tmp_path / direct_path.name).write_bytes(content[:at] + odd.ljust(80) + content[at + 80 :])
    undone = undo(
        align(tmp_path / direct_path.name, tmp_path / "out" / direct_path.name), tmp_path / "undone"
    )
    assert odd in undone.read_bytes()


def test_step_by_step(source, tmp_path):
    steps = [source]
    for number in range(3):
        steps.append(align(steps[-1], tmp_path / str(number) / source.name))
    path = steps.pop()
    for number, before in enumerate(reversed(steps)):
        [undone] = undo_files([path], tmp_path / f"undone{number}")
        assert_same_headers(before, undone.output)
        assert undone.remaining == (before is not source)
        assert undone.restored == fits.getheader(before, "SCI")["WCSNAME"]
        path = undone.output
    assert "GALIGN" not in fits.getheader(path)
    with pytest.raises(InputError, match="no correction of grism_align to undo"):
        undo_files([path], tmp_path / "more")
    # and it can be aligned again as if nothing had been
    again = align(path, tmp_path / "again" / source.name)
    assert wcs_apart(again, tmp_path / "0" / source.name) == 0
    assert (
        fits.getheader(again, "SCI")["WCSNAME"]
        == fits.getheader(tmp_path / "0" / source.name, "SCI")["WCSNAME"]
    )


def test_forty_alignments(direct_path, tmp_path):
    """The letters run out and the oldest give way; each WCS is right, and undo goes as far as they reach."""
    others = [
        ("SCI", f"{stem}{letter}", "x") for letter in "ABCDEFGHIJKLMNPQRSTU" for stem in ("WCSNAME", "CRVAL1")
    ]
    path, written = edited(direct_path, tmp_path / direct_path.name, *others), []
    for number in range(40):
        align(path, path, shift=(0.01 * number, 0.02))
        written.append(read_exposure(path).chips[0].wcs)
    header, xy = fits.getheader(path, "SCI"), grid(read_exposure(path).chips[0].shape)
    assert [header[f"{stem}U"] for stem in ("WCSNAME", "CRVAL1")] == ["x", "x"]
    assert header["WCSNAMEO"] == "OPUS"
    assert len({header[f"WCSNAME{letter}"] for letter in "VWXYZ"} | {header["WCSNAME"]}) == 6
    for number in range(5):
        undo_files([path], in_place=True)
        assert apart(read_exposure(path).chips[0].wcs.to_sky(xy), written[-2 - number].to_sky(xy)) == 0
    before = path.read_bytes()
    with pytest.raises(InputError, match="no longer archived: the letters for alternates had run out"):
        undo_files([path], in_place=True)
    assert path.read_bytes() == before


def test_no_letter_is_left(direct_path, tmp_path, caplog):
    """Alternates of others are not touched; the file is aligned, and that can't be undone."""
    letters = "ABCDEFGHIJKLMNPQRSTUVWXYZ"
    others = [("SCI", f"CRVAL1{letter}", 1.0) for letter in letters]
    source = edited(direct_path, tmp_path / direct_path.name, *others)
    aligned = align(source, tmp_path / "out" / direct_path.name)
    assert "all letters are taken by others" in caplog.text
    assert {fits.getheader(aligned, "SCI")[f"CRVAL1{letter}"] for letter in letters} == {1.0}
    with pytest.raises(InputError, match="no longer archived"):
        undo_files([aligned], tmp_path / "undone")


def test_governors_come_back(truths, tmp_path):
    exposure = read_exposure(truths["wfc3_ir"].paths[1])
    path, label = exposure.path, WcsLabel("x", "FIT_REL_x", 5, (1.0, 1.0), "shift")
    for number, governors in enumerate([("a", "b"), ("c",), ()]):
        move = LinearTransform.from_parameters(exposure.plane, (1.0 + number, 0.0))
        fit = ExposureFit(FitStatus.ALIGNED, move, governed_by=governors)
        target = tmp_path / str(number) / path.name
        write_exposure(
            replace(exposure, path=path), fit, target, replace(label, solution=f"FIT_REL_x{number}")
        )
        path = target
    assert "GALGOVRN" not in fits.getheader(path)
    path = undo(path, tmp_path / "first")
    assert fits.getheader(path)["GALGOVRN"] == "c"
    path = undo(path, tmp_path / "second")
    assert fits.getheader(path)["GALGOVRN"] == "a,b"


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_the_attached_headerlet_and_the_table_rows_go(direct_path, tmp_path):
    wcscorr = pytest.importorskip("stwcs.wcsutil.wcscorr")
    source = edited(direct_path, tmp_path / direct_path.name, (0, "NEXTEND", 5))
    with fits.open(source, mode="update") as hdus:
        wcscorr.init_wcscorr(hdus)
    first = align(source, tmp_path / "1" / source.name, headerlet=HeaderletWanted(attach=True))
    second = align(first, tmp_path / "2" / source.name, headerlet=HeaderletWanted(attach=True))
    undone = undo(second, tmp_path / "undone")
    assert_same_headers(first, undone)
    assert [name for name, _, _ in raw_hdus(undone)].count("HDRLET,1") == 1
    back = undo(undone, tmp_path / "back")
    with fits.open(source) as one, fits.open(back) as other:
        assert len(one) == len(other) == other[0].header["NEXTEND"] + 1
        names = [hdus["WCSCORR"].data["WCS_ID"].tolist() for hdus in (one, other)]
        assert [name for name in names[0] if name] == [name for name in names[1] if name]


@pytest.mark.filterwarnings("ignore:Some non-standard WCS keywords were excluded")
def test_an_undone_file_is_read_by_all(two_chip_path, tmp_path):
    undone = undo(align(two_chip_path, tmp_path / "out" / two_chip_path.name), tmp_path / "undone")
    with fits.open(undone) as hdus, fits.open(two_chip_path) as before:
        for extver in (1, 2):
            header = hdus["SCI", extver].header
            assert "WCSNAMEA" not in header
            old = WCS(before["SCI", extver].header, before)
            xy = grid((header["NAXIS2"], header["NAXIS1"]))
            assert apart(WCS(header, hdus).all_pix2world(xy, 0), old.all_pix2world(xy, 0)) == 0
            for name in ("ERR", "DQ"):
                assert hdus[name, extver].header["CRVAL1"] == header["CRVAL1"]


# --- what is refused ---


def test_a_file_that_was_never_aligned(direct_path, tmp_path):
    aligned = align(direct_path, tmp_path / "out" / direct_path.name)
    before = aligned.read_bytes()
    never = edited(direct_path, tmp_path / "never_flt.fits")
    with pytest.raises(InputError, match="never aligned") as caught:
        undo_files([aligned, never], tmp_path / "undone")
    assert caught.value.path == str(never)
    assert not (tmp_path / "undone").exists()
    assert aligned.read_bytes() == before


def test_an_exposure_that_no_run_could_correct_is_left_alone(direct_path, tmp_path, caplog):
    aligned = align(direct_path, tmp_path / "out" / direct_path.name)
    failed = tmp_path / "out" / "failed_flt.fits"
    exposure = read_exposure(direct_path)
    label = WcsLabel("NONE", "", 0, (0.0, 0.0), "")
    write_exposure(exposure, ExposureFit.failed("no sources"), failed, label)
    before = failed.read_bytes()
    [undone] = undo_files([aligned, failed], in_place=True)
    assert undone.path == aligned
    assert failed.read_bytes() == before
    assert f"{failed}: no run could correct it" in caplog.text


def test_a_product_of_an_earlier_version(direct_path, tmp_path):
    old = edited(direct_path, tmp_path / direct_path.name, (0, "GALIGN", "ALIGNED"))
    with pytest.raises(InputError, match="a version that did not note it"):
        undo_files([old], tmp_path / "undone")


def test_a_wcs_that_another_tool_changed(direct_path, tmp_path):
    aligned = align(direct_path, tmp_path / "out" / direct_path.name)
    value = fits.getheader(aligned, "SCI")["CRVAL1"]
    for card in (("SCI", "CRVAL1", value + 1e-9), ("SCI", "WCSNAME", "TWEAK")):
        changed = edited(aligned, tmp_path / f"{card[1]}_flt.fits", card)
        with pytest.raises(InputError, match="was changed by another tool after grism_align"):
            undo_files([changed], tmp_path / "undone")
        # aligned on top of that, undo goes back to the other tool's and stops there
        again = align(changed, tmp_path / "again" / changed.name)
        back = undo(again, tmp_path / "back")
        assert wcs_apart(back, changed) == 0
        with pytest.raises(InputError, match="was changed by another tool"):
            undo_files([back], tmp_path / "undone")


def test_an_alternate_that_is_gone(direct_path, tmp_path):
    aligned = align(direct_path, tmp_path / "out" / direct_path.name)
    changed = edited(aligned, tmp_path / direct_path.name, ("SCI", "CRVAL1A", None))
    with pytest.raises(InputError, match="no longer archived"):
        undo_files([changed], tmp_path / "undone")


def test_where_results_go(direct_path, tmp_path):
    aligned = align(direct_path, tmp_path / "out" / direct_path.name)
    with pytest.raises(OutputError, match="neither output_dir nor in_place"):
        undo_files([aligned])
    with pytest.raises(OutputError, match="both output_dir and in_place"):
        undo_files([aligned], tmp_path, in_place=True)
    with pytest.raises(OutputError, match="which would be replaced"):
        undo_files([aligned], tmp_path / "out")
    other = align(direct_path, tmp_path / "other" / direct_path.name)
    with pytest.raises(OutputError, match="two of the files have one name"):
        undo_files([aligned, other], tmp_path / "undone")
    [undone] = undo_files([str(aligned)], in_place=True)
    assert undone.path == undone.output == aligned
    assert_same_headers(direct_path, aligned)


def test_a_full_disk_changes_no_file(truths, tmp_path, monkeypatch):
    paths = [align(path, tmp_path / path.name) for path in truths["wfc3_ir"].paths]
    before = [path.read_bytes() for path in paths]
    copy, calls = hst_rewrite._copy_hdu, []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        copy(*arguments)

    monkeypatch.setattr(hst_rewrite, "_copy_hdu", failing)
    with pytest.raises(OutputError, match="no file was changed"):
        undo_files(paths, in_place=True)
    assert [path.read_bytes() for path in paths] == before
    assert sorted(tmp_path.iterdir()) == sorted(paths)
