from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.algorithms.propagation.input_wcs import input_difference
from grism_align.io.files.checksums import sha256_of
from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.simulation import case_a
from grism_align.values.errors import InputError, OutputError
from grism_align.values.record import InputWCS
from grism_align.values.transform import LinearTransform
from grism_align.workflows.load import load
from grism_align.workflows.reapply import plan_reapplication, write_reapplication
from grism_align.workflows.results.destination import Destination, destination_for
from grism_align.workflows.undo import undo_files
from tests.support.aligned_fields import (
    NOT_FOUND,
    all_bytes,
    make_aligned,
    rewrite_record,
    wcs_names,
)
from tests.support.executors import HERE
from tests.support.fields import SMALL, edited, few_of_case_c, score_of, wcs_apart

SAME = 1e-6  # mas
D1, G1, D2, G2 = "idem01a1q", "idem01a2q", "idem02a1q", "idem02a2q"


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """Case A of WFC3/IR: two visits of a direct and a grism exposure."""
    return make_aligned(case_a(size=SMALL["wfc3_ir"], n_pairs=1), tmp_path_factory.mktemp("a"))


@pytest.fixture(scope="module")
def acs(tmp_path_factory):
    """Two chips."""
    simulation = case_a("acs_wfc", SMALL["acs_wfc"], n_pairs=1, n_visits=1)
    return make_aligned(simulation, tmp_path_factory.mktemp("acs"))


@pytest.fixture(scope="module")
def case_c(tmp_path_factory):
    """Case C, the last exposures of which failed."""
    return make_aligned(few_of_case_c(64), tmp_path_factory.mktemp("c"), failed=(5, 6))


@pytest.fixture(scope="module")
def partly(tmp_path_factory):
    """One visit of two pairs, the second of which failed."""
    simulation = case_a(size=64, n_pairs=2, n_visits=1)
    return make_aligned(simulation, tmp_path_factory.mktemp("partly"), failed=(2, 3))


def applied(record, files, folder, **options):
    plan = plan_reapplication(record, [files], **options)
    write_reapplication(plan, Destination(folder, in_place=False), HERE)
    return plan


def apart(first, second, names):
    return max(wcs_apart(first / name, second / name) for name in names)


# --- the same files again ---


@pytest.mark.parametrize("which", ["aligned", pytest.param("case_c", marks=pytest.mark.slow), "acs"])
def test_fresh_files_get_the_wcs_of_the_run(which, request, tmp_path):
    field = request.getfixturevalue(which)
    plan = applied(field.record, field.fetched(tmp_path / "new"), tmp_path / "again")
    assert apart(field.out, tmp_path / "again", field.names) <= SAME
    assert wcs_names(tmp_path / "again", field.names) == wcs_names(field.out, field.names)
    scores = score_of(field.truth, tmp_path / "again")
    fitted = {key: s for key, s in scores.items() if plan.exposures.fit(key).is_aligned}
    assert max(score.absolute for score in fitted.values()) < 0.05  # an affine map of a rotation


def test_grism_exposures_alone(aligned, tmp_path):
    new = aligned.fetched(tmp_path / "new")
    grisms = [new / f"{key}_flt.fits" for key in (G1, G2)]
    plan = plan_reapplication(aligned.record, grisms)
    write_reapplication(plan, Destination(tmp_path / "again", in_place=False), HERE)
    assert apart(aligned.out, tmp_path / "again", [path.name for path in grisms]) <= SAME


def test_the_new_record_names_the_old_one(aligned, tmp_path):
    applied(aligned.record, aligned.fetched(tmp_path / "new"), tmp_path / "again")
    new, old = (read_record(f) for f in (tmp_path / "again/field_provenance.asdf", aligned.record))
    activity = new.activities[-1]
    assert (activity.step, activity.outcome) == ("apply", "done")
    assert activity.settings["record_sha256"] == sha256_of(aligned.record)
    assert activity.counts == {"exposures": 4, "already": 0, "rebased": 0}
    for key, entry in new.exposures.items():
        before = old.exposures[key]
        np.testing.assert_array_equal(entry.total.transform.shift, before.total.transform.shift)
        assert entry.wcs_solution == before.wcs_solution
        assert entry.input.sha256 == sha256_of(tmp_path / "new" / f"{key}_flt.fits")
        assert entry.output.sha256 == sha256_of(tmp_path / "again" / f"{key}_flt.fits")


def test_failed_exposures_keep_their_wcs(partly, tmp_path):
    field = partly
    lost = [field.truth.paths[number].name for number in (2, 3)]
    plan = applied(field.record, field.fetched(tmp_path / "new"), tmp_path / "again")
    assert apart(tmp_path / "new", tmp_path / "again", lost) <= SAME
    for name in lost:
        header = fits.getheader(tmp_path / "again" / name)
        assert header["GALIGN"] == "FAILED"
        assert str(NOT_FOUND) in str(header["HISTORY"]).replace("\n", "")
    # whatever their WCS is, since nothing starts from it
    moved = field.fetched(tmp_path / "moved", *((name[:9], "CRVAL1", 3.0) for name in lost))
    assert (
        plan_reapplication(field.record, [moved]).exposures.total.fits.keys()
        == plan.exposures.total.fits.keys()
    )


def test_twice_is_once(aligned, tmp_path):
    applied(aligned.record, aligned.fetched(tmp_path / "new"), tmp_path / "one")
    for record in (aligned.record, tmp_path / "one/field_provenance.asdf"):
        plan = applied(record, tmp_path / "one", tmp_path / "two")
        assert set(plan.already) == {D1, G1, D2, G2}
        assert apart(tmp_path / "one", tmp_path / "two", aligned.names) <= SAME
        assert wcs_names(tmp_path / "two", aligned.names) == wcs_names(aligned.out, aligned.names)
        shutil.rmtree(tmp_path / "two")


def test_in_place_twice_writes_once(aligned, tmp_path):
    new = aligned.fetched(tmp_path / "new")
    contents = []
    for _ in range(2):
        plan = plan_reapplication(aligned.record, [new])
        write_reapplication(plan, destination_for(plan.exposures, None, in_place=True), HERE)
        contents.append(all_bytes(new))
    assert plan.is_done
    assert contents[0] == contents[1]
    assert apart(aligned.out, new, aligned.names) <= SAME


def test_an_application_that_was_cut_short_is_finished(aligned, tmp_path):
    new = aligned.fetched(tmp_path / "new")
    for key in (D1, G2):
        # another header card, so that no checksum tells that it is an output of the run
        path = aligned.out / f"{key}_flt.fits"
        (new / path.name).unlink()
        edited(path, new / path.name, (0, "OBSERVER", "me"))
    plan = plan_reapplication(aligned.record, [new])
    assert set(plan.already) == {D1, G2}
    write_reapplication(plan, Destination(new, in_place=True), HERE)
    assert apart(aligned.out, new, aligned.names) <= SAME
    assert wcs_names(new, aligned.names) == wcs_names(aligned.out, aligned.names)


# --- another WCS ---


def shifted(path, mas):
    """CRVAL2 of a file, moved to the north."""
    return fits.getval(path, "CRVAL2", 1) + mas / 3.6e6


def test_in_place_beside_the_record_it_goes_on_from_it(aligned, tmp_path):
    folder = tmp_path / "products"
    shutil.copytree(aligned.out, folder)
    record = folder / aligned.record.name
    files = sorted(folder.glob("*_flt.fits"))
    undo_files(files, in_place=True)
    partly = plan_reapplication(record, files[:1])
    with pytest.raises(OutputError, match=f"without {G1}"):
        write_reapplication(partly, Destination(folder, in_place=True), HERE)
    write_reapplication(plan_reapplication(record, files), Destination(folder, in_place=True), HERE)
    assert apart(folder, aligned.out, [path.name for path in files]) < SAME
    assert read_record(record).activities[-1].step == "apply"
    assert plan_reapplication(record, files).is_done


def test_a_moved_start_is_refused(aligned, tmp_path):
    moved = shifted(aligned.raw / f"{D2}_flt.fits", 100.0)
    new = aligned.fetched(tmp_path / "new", (D2, "CRVAL2", moved))
    with pytest.raises(InputError, match=rf"{D2}_flt.fits: its input WCS .* not the one on record") as caught:
        plan_reapplication(aligned.record, [new])
    assert "+100" in str(caught.value)
    assert "--rebase" in str(caught.value)


def test_a_grism_exposure_that_starts_elsewhere_is_refused(aligned, tmp_path):
    cd = fits.getval(aligned.raw / f"{G1}_flt.fits", "CD1_1", 1)
    new = aligned.fetched(tmp_path / "new", (G1, "CD1_1", 1.0001 * cd))
    with pytest.raises(InputError, match=f"{G1}_flt.fits: its input WCS"):
        plan_reapplication(aligned.record, [new])


def test_all_that_differ_are_counted(aligned, tmp_path):
    new = aligned.fetched(tmp_path / "new", ("idem", "CRVAL2", 5.0))
    with pytest.raises(InputError, match="nor are those of 3 more files"):
        plan_reapplication(aligned.record, [new])


def test_another_distortion_is_refused_and_not_rebased(aligned, tmp_path):
    names = ("WCSNAME", "IDC_new0001i")
    new = aligned.fetched(tmp_path / "new", (D1, "A_2_0", 2e-5), (D1, *names))
    with pytest.raises(InputError, match=r"distortion .*models .*IDC_new0001i.*Align these files anew"):
        plan_reapplication(aligned.record, [new], rebase=True)


def test_other_chips_are_refused(acs, tmp_path):
    field = acs

    def without_one(key, entry):
        return replace(entry, input_wcs=replace(entry.input_wcs, chips=entry.input_wcs.chips[:1]))

    record = rewrite_record(field.record, tmp_path / "one.asdf", without_one)
    with pytest.raises(InputError, match="its chips have shapes"):
        plan_reapplication(record, [field.raw], rebase=True)


def other_start(path, target, name):
    """A file whose WCS is another solution, 1.3" and 0.02 deg off."""
    exposure = read_exposure(path)
    move = LinearTransform.from_parameters(exposure.plane, (0.9, -1.0), 0.02)
    with fits.open(path) as hdus:
        for chip in exposure.chips:
            header = hdus["SCI", chip.number].header
            wcs = chip.wcs.corrected(move)
            values = [*wcs.crval, *wcs.cd.ravel()]
            keywords = ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
            for keyword, value in zip(keywords, values, strict=True):
                header[keyword] = float(value)
            header["WCSNAME"] = name
        hdus.writeto(target)


@pytest.mark.parametrize("which", [pytest.param("aligned", marks=pytest.mark.slow), "acs"])
def test_rebased_files_lie_where_the_run_put_them(which, request, tmp_path):
    field = request.getfixturevalue(which)
    model = wcs_names(field.raw, field.names)[0].partition("-")[0]
    (tmp_path / "new").mkdir()
    for name in field.names:
        other_start(field.raw / name, tmp_path / "new" / name, f"{model}-GSC240")
    with pytest.raises(InputError, match=r"\(GSC240, on record IDC\).*--rebase"):
        plan_reapplication(field.record, [tmp_path / "new"])
    plan = applied(field.record, tmp_path / "new", tmp_path / "again", rebase=True)
    assert len(plan.rebased) == len(field.names)
    assert apart(field.out, tmp_path / "again", field.names) < 0.01
    tree = read_record(tmp_path / "again/field_provenance.asdf")
    assert {entry.wcs_solution for entry in tree.exposures.values()} == {"GSC240"}
    assert all("carried over" in entry.total.reason for entry in tree.exposures.values())


@settings(max_examples=10)
@given(
    east=st.floats(-20, 20),
    north=st.floats(-20, 20),
    roll=st.floats(-0.5, 0.5),
    scale=st.floats(0.999, 1.001),
)
def test_the_difference_of_two_starts_is_what_was_put_between_them(acs, east, north, roll, scale):
    exposure = read_exposure(acs.raw / acs.names[0])
    move = LinearTransform.from_parameters(exposure.plane, (east, north), roll, scale)
    chips = tuple(replace(chip, wcs=chip.wcs.corrected(move)) for chip in exposure.chips)
    found = input_difference(InputWCS.of(exposure), replace(exposure, chips=chips), exposure.plane)
    back = found.to_record.then(move)
    assert np.abs(back.shift).max() < 1e-5
    assert abs(back.roll) < 1e-6
    assert found.distortion < 0.05


# --- what is refused before any work ---


def test_files_that_are_not_on_record(aligned, acs, tmp_path):
    new = aligned.fetched(tmp_path / "new")
    stranger = acs.truth.paths[0]
    other = edited(stranger, new / "jxxx01a1q_flc.fits", (0, "ROOTNAME", "jxxx01a1q"))
    with pytest.raises(
        InputError, match=r"1 of 5 files are not on record: jxxx01a1q_flc.fits.*, or allow_missing"
    ):
        plan_reapplication(aligned.record, [new])
    plan = applied(aligned.record, new, tmp_path / "again", allow_missing=True)
    assert plan.left_out == (other.name,)
    assert not (tmp_path / "again" / other.name).exists()
    with pytest.raises(InputError, match="1 of 1 files are not on record"):
        plan_reapplication(aligned.record, [other], allow_missing=True)


def test_two_files_of_one_exposure(aligned, tmp_path):
    new = aligned.fetched(tmp_path / "new")
    shutil.copy(new / f"{D1}_flt.fits", new / "copy_flt.fits")
    with pytest.raises(InputError, match=f"are of one exposure, {D1}"):
        load([new], with_results=False)


def test_records_and_inputs_are_not_replaced(aligned, tmp_path):
    new = aligned.fetched(tmp_path / "new")
    plan = plan_reapplication(aligned.record, [new])
    before = all_bytes(aligned.out)
    with pytest.raises(OutputError, match="replaced by the record of its own application"):
        write_reapplication(plan, Destination(aligned.out, in_place=False), HERE)
    with pytest.raises(OutputError, match="it is the folder of the input"):
        write_reapplication(plan, Destination(new, in_place=False), HERE)
    assert all_bytes(aligned.out) == before
