"""How far a run puts exposures from where the run before put them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.io.record.file import write_record
from grism_align.io.report.write import report_html
from grism_align.values.record import EarlierRecord, FilePair, FileRecord
from grism_align.values.solution import AlignmentSolution
from grism_align.values.transform import LinearTransform
from grism_align.workflows.results.destination import Destination
from grism_align.workflows.results.moved import moved_since, record_before
from grism_align.workflows.results.record import make_record
from tests.support.reports import field


def record_of(exposures):
    files = {each.key: FilePair(FileRecord(str(each.source), "")) for each in exposures.exposures}
    return make_record(exposures, files)


@pytest.fixture(scope="module")
def exposures():
    return field(tied=False)


def shifted(exposures, east, north, keys=None):
    """The set with direct exposures moved on, mas."""

    def moved(key, fit):
        if fit.transform is None or (keys is not None and key not in keys):
            return fit
        step = LinearTransform.from_parameters(fit.transform.plane, [east / 1e3, north / 1e3])
        return replace(fit, transform=fit.transform.then(step))

    fits = {key: moved(key, fit) for key, fit in exposures.relative.fits.items()}
    return replace(exposures, relative=AlignmentSolution(fits, exposures.relative.reference))


def test_what_a_shift_moves(exposures):
    earlier = EarlierRecord("out/a_provenance.asdf", record_of(exposures))
    key = exposures.direct[1].key
    found = moved_since(earlier, record_of(shifted(exposures, 0.3, -0.4, {key})))
    assert found.record == "a_provenance.asdf"
    assert found.exposure[found.by_size[0]] == key
    row = found.by_size[0]
    assert (found.east[row], found.north[row]) == pytest.approx((0.3, -0.4), abs=1e-5)
    assert found.most[row] == pytest.approx(0.5, abs=1e-5)
    assert np.count_nonzero(found.most) == 1
    assert f"at most by 0.5 mas ({key})" in str(found)


def test_where_nothing_has_moved(exposures):
    record = record_of(exposures)
    found = moved_since(EarlierRecord("a", record), record)
    assert not found.most.any()
    assert found.added == ()
    assert f"none of {len(found.exposure)} exposures has moved" in str(found)


def test_a_visit_more(exposures):
    new = exposures.exposures[-1].key
    found = moved_since(EarlierRecord("a", record_of(exposures.without([new]))), record_of(exposures))
    assert found.added == (new,)
    assert str(found).endswith("; 1 is new")


def test_runs_that_can_not_be_compared(exposures):
    record = record_of(exposures)
    assert moved_since(None, record) is None
    assert moved_since(EarlierRecord("a", replace(record, exposures={})), record) is None
    other = replace(record, activities=record.activities[:-1])
    assert moved_since(EarlierRecord("a", other), record) is None


def test_the_record_before(exposures, tmp_path):
    destination = Destination(tmp_path, in_place=False)
    assert record_before(exposures, destination) is None
    path = destination.provenance(exposures.product)
    path.write_text("no record")
    assert record_before(exposures, destination) is None
    write_record(path, record_of(exposures))
    assert record_before(exposures, destination).path == str(path)
    going_on = EarlierRecord("b", record_of(exposures))
    assert record_before(replace(exposures, record=going_on), destination) is going_on


def test_the_page_tells(exposures):
    record = record_of(exposures)
    assert "Since the run before" not in report_html(record)
    key = exposures.direct[0].key
    now = record_of(shifted(exposures, 3.0, 4.0, {key}))
    page = report_html(replace(now, moved=moved_since(EarlierRecord("a", record), now)))
    assert f'<tr><th scope="row">{key}</th><td class="number">+3.000</td>' in page
    assert "Since the run before" in page
