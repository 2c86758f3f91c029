from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grism_align.io.files import staging as atomic
from grism_align.io.missions import file_source, read_exposure, write_exposure
from grism_align.io.missions.hst import rewrite as hst_rewrite
from grism_align.io.missions.hst.headers import solution_name, solution_of
from grism_align.values.errors import InputError, OutputError
from grism_align.values.failure import NoSources
from grism_align.values.mission import HeaderletWanted, WcsLabel
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.undo import undo_files
from tests.support.fields import apart, edited, grid, raw_hdus, wcs_apart
from tests.support.governed import governed

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


# What tells of the undoing itself, or is made anew.
LEFT = ("HISTORY", "CHECKSUM", "S_REGION", "GALUNDO")


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
    return Path(undone.target)


def cards(hdu):
    """All cards, as they stand in the file; those that tell of history and sums left out."""
    kept = (card for card in hdu.header.cards if card.keyword not in LEFT)
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


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
        history = "".join(fits.getheader(undone)["HISTORY"])
        assert "undone" in history
        assert "FIT_REL_gaia, back to" in history


def test_values_that_no_program_writes_alike(direct_path, tmp_path):
    """Cards come back digit for digit, also such as astropy would write with fewer."""
    with fits.open(direct_path) as hdus:
        hdus.writeto(tmp_path / direct_path.name)
    content = (tmp_path / direct_path.name).read_bytes()
    at = content.index(b"CD1_1   =")
    value = fits.getheader(direct_path, "SCI")["CD1_1"]
    odd = f"CD1_1   = {value:.16E}000123 / odd".replace("E-05000123", "000123E-05").encode()
    assert b"000123E-05" in odd
    (tmp_path / direct_path.name).write_bytes(content[:at] + odd.ljust(80) + content[at + 80 :])
    undone = undo(
        align(tmp_path / direct_path.name, tmp_path / "out" / direct_path.name), tmp_path / "undone"
    )
    assert odd in Path(undone).read_bytes()


def test_step_by_step(source, tmp_path):
    steps = [source]
    for number in range(3):
        steps.append(align(steps[-1], tmp_path / str(number) / source.name))
    path = steps.pop()
    for number, before in enumerate(reversed(steps)):
        [undone] = undo_files([path], tmp_path / f"undone{number}")
        assert_same_headers(before, Path(undone.target))
        assert undone.remaining == (before is not source)
        assert undone.restored == fits.getheader(before, "SCI")["WCSNAME"]
        path = Path(undone.target)
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


@pytest.mark.slow
def test_more_alignments_than_letters(direct_path, tmp_path):
    """The letters run out and the oldest give way; each WCS is right, and undo goes as far as they reach."""
    others = [
        ("SCI", f"{stem}{letter}", "x") for letter in "ABCDEFGHIJKLMNPQRSTU" for stem in ("WCSNAME", "CRVAL1")
    ]
    path, written = edited(direct_path, tmp_path / direct_path.name, *others), []
    for number in range(14):
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
    path, label = Path(exposure.source), WcsLabel("x", "FIT_REL_x", 5, (1.0, 1.0), "shift")
    for number, governors in enumerate([("a", "b"), ("c",), ()]):
        exposure = replace(exposure, source=file_source(path))
        move = LinearTransform.from_parameters(exposure.plane, (1.0 + number, 0.0))
        fit = ExposureFit(FitStatus.ALIGNED, move, governed=governed(*governors) if governors else None)
        target = tmp_path / str(number) / path.name
        write_exposure(
            exposure,
            fit,
            target,
            replace(label, solution=f"FIT_REL_x{number}"),
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
    never = edited(direct_path, tmp_path / "never_flt.fits")
    with pytest.raises(InputError, match="never aligned") as caught:
        undo_files([never], tmp_path / "undone")
    assert caught.value.path == str(never)
    assert not (tmp_path / "undone").exists()


def test_an_exposure_that_no_run_could_correct_is_left_alone(direct_path, tmp_path, caplog):
    aligned = align(direct_path, tmp_path / "out" / direct_path.name)
    failed = tmp_path / "out" / "failed_flt.fits"
    exposure = read_exposure(direct_path)
    label = WcsLabel("NONE", "", 0, (0.0, 0.0), "")
    write_exposure(exposure, ExposureFit.failed(NoSources(6.0)), failed, label)
    before = failed.read_bytes()
    [undone] = undo_files([aligned, failed], in_place=True)
    assert Path(undone.source) == aligned
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
    assert Path(undone.source) == Path(undone.target) == aligned
    assert_same_headers(direct_path, aligned)


def test_a_relative_output_dir_is_of_the_current_folder(direct_path, tmp_path, monkeypatch):
    aligned = align(direct_path, tmp_path / "out" / direct_path.name)
    monkeypatch.chdir(tmp_path)
    [undone] = undo_files([aligned], "undone")
    assert Path(undone.target) == tmp_path / "undone" / direct_path.name
    assert_same_headers(direct_path, tmp_path / "undone" / direct_path.name)
    assert [path.name for path in (tmp_path / "undone").iterdir()] == [direct_path.name]


# --- calls that were cut short ---


@pytest.fixture
def twice(truths, tmp_path):
    """A direct and a grism exposure with two corrections each, and how they were after each."""
    paths = list(truths["wfc3_ir"].paths[:2])
    states = [paths]
    for name in ("once", "twice"):
        states.append([align(path, tmp_path / name / path.name) for path in states[-1]])
    return states


@pytest.mark.parametrize("depth", [1, 2])
def test_a_call_in_place_that_was_cut_short_is_finished_by_the_same_call(twice, depth, caplog):
    files, before = twice[depth], twice[depth - 1]
    name = solution_of(fits.getheader(files[0], "SCI")["WCSNAME"])
    undo_files(files[:1], in_place=True)
    done = files[0].read_bytes()
    [undone] = undo_files(files, in_place=True)
    assert Path(undone.source) == files[1]
    assert files[0].read_bytes() == done
    assert f"{files[0]}: {name} is undone already" in caplog.text
    assert max(wcs_apart(*pair) for pair in zip(files, before, strict=True)) == 0
    # and the next call goes one further, or tells that there is no further
    if depth == 2:
        assert len(undo_files(files, in_place=True)) == 2
        assert max(wcs_apart(*pair) for pair in zip(files, twice[0], strict=True)) == 0
    with pytest.raises(InputError, match="to undo \\(FIT_REL_gaia was undone before\\)"):
        undo_files(files, in_place=True)


@pytest.mark.parametrize(
    ("first", "second", "depth"), [(0, 1, 0), (1, 0, 0), (0, 2, 1), (1, 2, 1), (2, 1, 1)]
)
def test_of_a_set_that_a_kill_left_mixed_the_latest_correction_is_undone(twice, first, second, depth, caplog):
    """A run in place that was cut short corrected one file and not the other."""
    files = [twice[first][0], twice[second][1]]
    ahead = int(second > first)
    kept = files[1 - ahead].read_bytes()
    [undone] = undo_files(files, in_place=True)
    assert Path(undone.source) == files[ahead]
    assert wcs_apart(files[ahead], twice[depth][ahead]) == 0
    assert files[1 - ahead].read_bytes() == kept
    assert f"{files[1 - ahead]}: " in caplog.text


def test_a_new_correction_is_not_taken_for_one_that_was_undone(twice, tmp_path):
    undone = [undo(path, tmp_path / "undone") for path in twice[2]]
    again = [align(path, tmp_path / "again" / path.name) for path in undone]
    assert "GALUNDO" not in fits.getheader(again[0])
    back = undo_files(again, tmp_path / "back")
    assert [one.undone for one in back] == [fits.getheader(path, "SCI")["WCSNAME"] for path in twice[2]]


def test_what_a_killed_run_left_is_removed(direct_path, tmp_path):
    aligned = align(direct_path, tmp_path / "out" / direct_path.name)
    left = tmp_path / "out" / ".grism_align-ab12cd3_"
    left.mkdir()
    (left / direct_path.name).write_bytes(b"half")
    undo_files([aligned], in_place=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [direct_path.name]


def test_a_folder_of_the_name_changes_no_file(twice, tmp_path):
    (tmp_path / "undone" / twice[1][1].name).mkdir(parents=True)
    with pytest.raises(OutputError, match=r"Is a directory.*no file was changed") as caught:
        undo_files(twice[1], tmp_path / "undone")
    assert caught.value.path == str(tmp_path / "undone" / twice[1][1].name)
    assert ".grism_align-" not in str(caught.value)
    assert [path.name for path in (tmp_path / "undone").iterdir()] == [twice[1][1].name]


def test_where_a_name_cannot_be_taken_the_files_that_are_new_are_told(twice, monkeypatch):
    files, rename = twice[1], atomic.Path.replace

    def replace(self, target):
        if target == files[1]:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(self), None, str(target))
        return rename(self, target)

    monkeypatch.setattr(atomic.Path, "replace", replace)
    with pytest.raises(OutputError, match=f"{files[0].name} took their names before that") as caught:
        undo_files(files, in_place=True)
    assert caught.value.path == str(files[1])
    assert ".grism_align-" not in str(caught.value)
    assert [wcs_apart(*pair) == 0 for pair in zip(files, twice[0], strict=True)] == [True, False]


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
