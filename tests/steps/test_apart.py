"""Fields of which only a catalog can tell how their parts lie: said at the top, and by the exit code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grism_align.io.record.file import read_record
from grism_align.io.report.contents import Contents
from grism_align.io.report.quality_warnings import quality_warnings
from grism_align.io.report.summary import summary_of
from grism_align.simulation import case_a
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.failure import DisplacedVisits, SeparateFrame
from grism_align.values.outcome import ReservationKind
from grism_align.workflows.outcome import exit_code, reservations
from tests.steps.conftest import SCENE, SIZE
from tests.support.fields import make_field


def _two_visits(folder, **of_second):
    simulation = case_a(size=SIZE, n_pairs=1, scene=SCENE)
    first, second = simulation.visits
    first, second = replace(first, shift=(0.0, 0.0)), replace(second, shift=(0.0, 0.0))
    return make_field(replace(simulation, visits=(first, replace(second, **of_second))), folder)


CASES = {
    # ten times the error of a pointing, and ten times the field
    "displaced": ({"shift": (5.0, 0.0)}, DisplacedVisits, ReservationKind.DISPLACED),
    "apart": ({"offset": (400.0, 0.0)}, SeparateFrame, ReservationKind.APART),
}


@pytest.fixture(scope="module", params=["displaced", pytest.param("apart", marks=pytest.mark.slow)])
def case(request, tmp_path_factory):
    changes, remark, kind = CASES[request.param]
    return _two_visits(tmp_path_factory.mktemp(request.param), **changes), remark, kind


def _run(field, out, **steps):
    result = GrismAlignPipeline.call(
        str(field.association), output_dir=str(out), steps=steps, configure_log=False
    )
    contents = Contents(read_record(out / "field_provenance.asdf"))
    return result, contents, quality_warnings(contents)


@pytest.mark.slow
def test_without_a_catalog(case, tmp_path):
    field, remark, kind = case
    result, contents, warnings = _run(field, tmp_path)
    found = reservations(result)
    assert [one.kind for one in found] == [kind]
    assert exit_code(found) == 3
    [activity] = [one for one in contents.record.activities if one.step == "relative_align"]
    assert [type(one) for one in activity.remarks] == [remark]
    assert warnings[0].is_problem
    assert summary_of(contents, warnings).level == "care"


def test_with_one(case, tmp_path):
    field, _, _ = case
    result, contents, warnings = _run(field, tmp_path, absolute_align={"catalog": str(field.catalog)})
    assert reservations(result) == ()
    assert summary_of(contents, warnings).level == "good"
