"""What is on record is put back: fits, sources, and WCSs as they were before any correction."""

from __future__ import annotations

import logging
import shutil
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest

from grism_align.io.files.checksums import file_record
from grism_align.io.missions import file_source
from grism_align.values.field import ExposureSet
from grism_align.values.record import EarlierRecord, FilePair
from grism_align.values.solution import AlignmentSolution
from grism_align.workflows.restore import restore
from grism_align.workflows.results.record import make_record
from tests.support.recorded_fields import PIXELS, file_of, inputs, mas_apart, recorded_field, with_outputs


@pytest.fixture
def field(tmp_path):
    return recorded_field(tmp_path)


def on_record(exposures, files):
    """The record of a set, as if its file had been read."""
    return EarlierRecord("p.asdf", make_record(exposures, files))


def _assert_same_fit(first, second):
    for name in ("status", "reference", "frame", "n_matched", "n_used", "remarks", "governed", "given_by"):
        assert getattr(first, name) == getattr(second, name)
    np.testing.assert_equal(
        (first.rms, first.false_match_probability),
        (second.rms, second.false_match_probability),
    )
    assert (first.transform is None) == (second.transform is None)
    if first.transform is not None:
        np.testing.assert_array_equal(first.transform.matrix, second.transform.matrix)
        np.testing.assert_array_equal(first.transform.shift, second.transform.shift)
        np.testing.assert_array_equal(first.transform.covariance, second.transform.covariance)
        assert first.transform.plane == second.transform.plane
    assert (first.residuals is None) == (second.residuals is None)
    if first.residuals is not None:
        for name in ("source", "matched", "offset", "weight"):
            np.testing.assert_array_equal(getattr(first.residuals, name), getattr(second.residuals, name))


def _assert_same_solution(first, second, keys=None):
    assert set(second.fits) == set(first.fits if keys is None else keys)
    assert first.reference == second.reference
    for key in second.fits:
        _assert_same_fit(first[key], second[key])


def test_a_set_of_which_nothing_is_known(field):
    bare = ExposureSet("p", field.exposures)
    restored = restore(bare, on_record(bare, inputs(bare)))
    assert restored.sources == ()
    assert not restored.total.fits
    assert restored.reference_catalog is None


def test_restore_from_inputs(field, tmp_path):
    earlier = on_record(field, inputs(field))
    read = ExposureSet(field.product, field.exposures, association=field.association)
    restored = restore(read, earlier)
    for step in ("relative", "absolute", "grism", "total"):
        _assert_same_solution(getattr(field, step), getattr(restored, step))
    for one, other in zip(restored.sources, field.sources, strict=True):
        np.testing.assert_equal(astuple(one), astuple(other))
    assert restored.exposures == field.exposures
    assert restored.parameter_file == "wfc3_ir.asdf"
    assert restored.record is earlier
    assert [activity.step for activity in restored.activities] == ["relative_align", "visit_mosaic"]
    assert [a.attempts for a in restored.activities] == [a.attempts for a in field.activities]
    assert not read.relative.fits


def test_restore_from_outputs_takes_the_correction_off(field, tmp_path):
    pairs, read = with_outputs(field, tmp_path / "out")
    earlier = on_record(field, pairs)
    restored = restore(read, earlier)
    _assert_same_solution(field.total, restored.total)
    for before, corrected, after in zip(field.exposures, read.exposures, restored.exposures, strict=True):
        total = field.total[before.key].transform
        assert (after.applied is None) == (total is None)
        for chips in zip(before.chips, corrected.chips, after.chips, strict=True):
            raw, moved, undone = (chip.wcs.to_sky(PIXELS) for chip in chips)
            assert mas_apart(raw, undone) < 1e-4
            if total is not None:
                assert mas_apart(raw, moved) > 50
                assert mas_apart(after.applied.apply_to_sky(undone), moved) < 1e-4
        assert before.plane.coincides(after.plane)


def test_restore_in_two_stages(field, tmp_path):
    relative_only = replace(field, absolute=AlignmentSolution(), grism=AlignmentSolution())
    pairs, read = with_outputs(relative_only, tmp_path / "first")
    earlier = on_record(relative_only, pairs)
    halfway = restore(read, earlier)
    # the next step goes on from what it restored, and its inputs are already corrected
    further = replace(halfway, absolute=field.absolute, grism=field.grism)
    records = {e.key: FilePair(file_record(e.source)) for e in further.exposures}
    restored = restore(read, on_record(further, records))
    _assert_same_solution(field.total, restored.total)
    applied = restored["direct2"].applied
    np.testing.assert_array_equal(applied.matrix, field.relative["direct2"].transform.matrix)
    undone = restored["direct2"].chips[1].wcs.to_sky(PIXELS)
    assert mas_apart(undone, field["direct2"].chips[1].wcs.to_sky(PIXELS)) < 1e-4


def test_files_not_on_record_stay_as_they_are(field, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    pairs, read = with_outputs(field, tmp_path / "out")
    earlier = on_record(field, pairs)
    changed, renamed, _, other = read.exposures
    shutil.copy(renamed.source, changed.source)
    changed = replace(changed, source=file_source(changed.source))
    renamed = replace(renamed, source=file_source(shutil.move(renamed.source, tmp_path / "renamed.fits")))
    Path(other.source).write_bytes(b"something else")
    other = replace(other, source=file_source(other.source))
    new = file_of(tmp_path, "direct5")
    now = replace(read, exposures=(changed, renamed, read["direct3"], other, new))
    restored = restore(now, earlier)
    assert restored.exposures == now.exposures
    _assert_same_solution(field.relative, restored.relative, ["direct3"])
    assert not restored.absolute.fits
    assert not restored.grism.fits
    assert caplog.text.count("not the file on record") == 3
    assert caplog.text.count("direct5_flt.fits: not on record") == 1
    only_new = ExposureSet("p", (new,))
    assert restore(only_new, earlier).exposures == (new,)
    assert not restore(only_new, earlier).relative.fits


def test_a_correction_that_the_reader_knows_is_not_taken_off_twice(field, tmp_path):
    pairs, read = with_outputs(field, tmp_path / "out")
    earlier = on_record(field, pairs)
    total = field.total["direct2"].transform
    known = replace(field["direct2"], source=read["direct2"].source, applied=total)
    restored = restore(ExposureSet("p", (known,)), earlier)
    assert restored["direct2"] == known
    assert "direct2" in restored.absolute
