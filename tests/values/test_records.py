"""Errors, associations, solutions and the exposure set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grism_align.io.missions import file_source
from grism_align.values.association import Association, Member
from grism_align.values.errors import (
    AlignmentError,
    AssociationError,
    GrismAlignError,
    InputError,
    SettingsError,
    TooFewMatchesError,
    UnreliableMatchError,
)
from grism_align.values.exposure import by_pointing
from grism_align.values.failure import ChanceMatch, NoSources, TooFewMatches
from grism_align.values.field import ExposureSet
from grism_align.values.record import Activity
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.source import FileSource
from grism_align.values.transform import LinearTransform, TangentPlane
from tests.support.associations import exposure

PLANE = TangentPlane(53.0, -27.8)

FIRST, SECOND = NoSources(6.0), TooFewMatches(3, 6)


def test_members_that_are_no_exposures():
    kinds = ("direct_image", "science", "", "typo", "SourceCat", "background")
    members = tuple(Member(file_source(f"/d/a{i}_flt.fits"), kind) for i, kind in enumerate(kinds))
    association = Association("field", members)
    assert [m.root for m in association.exposures] == ["a0", "a1", "a2", "a3"]
    assert Member(FileSource("x"), key_order=("a",)) == Member(FileSource("x"))


def test_exposure_taken_alone_is_its_own_pointing():
    assert exposure("ib6o23rsq", 0.0).pointing == "ib6o23rsq"
    assert exposure("nrcalong", 0.0, pointing="jw01").pointing == "jw01"


def test_exposures_of_a_pointing():
    names = {"a": "p", "b": "q", "c": "p", "d": ""}
    taken = [exposure(key, 0.0, pointing=name) for key, name in names.items()]
    assert [[e.key for e in members] for members in by_pointing(taken)] == [["a", "c"], ["b"], ["d"]]
    assert by_pointing([]) == []


def test_errors_carry_their_numbers():
    few = TooFewMatchesError(TooFewMatches(4, 10))
    assert (few.remark, str(few)) == (TooFewMatches(4, 10), "4 matched sources, 10 required")
    doubtful = UnreliableMatchError(ChanceMatch(5, 0.02, 1e-4))
    assert "false-match probability 2.0e-02, limit 1.0e-04" in str(doubtful)
    assert isinstance(few, AlignmentError)
    assert isinstance(doubtful, AlignmentError)


def test_input_errors_name_file_problem_and_remedy():
    error = AssociationError(Path("/d/asn.json"), "has no members", "List one")
    assert str(error) == "/d/asn.json: has no members. List one."
    assert (error.path, error.problem, error.remedy) == ("/d/asn.json", "has no members", "List one")
    assert str(InputError("a.fits", "is no image")) == "a.fits: is no image."
    assert issubclass(InputError, GrismAlignError)


def shifted(east, **changes):
    return ExposureFit(FitStatus.ALIGNED, LinearTransform.from_parameters(PLANE, (east, 0.0)), **changes)


def test_solutions_follow_each_other():
    first = AlignmentSolution(
        {
            "both": shifted(1.0, frame=2, remarks=(FIRST,)),
            "failed": ExposureFit.failed(FIRST),
            "later failed": shifted(1.0, remarks=(FIRST,)),
            "later failed, no note": shifted(1.0),
            "unknown": shifted(1.0),
        },
        "a",
    )
    later = AlignmentSolution(
        {
            "both": shifted(10.0, remarks=(SECOND,), reference="GAIA"),
            "failed": shifted(10.0),
            "later failed": ExposureFit.failed(SECOND),
            "later failed, no note": ExposureFit.failed(SECOND),
            "only later": shifted(10.0),
        },
        "GAIA",
    )
    total = first.then(later)
    assert total.reference == "GAIA"
    assert set(total.fits) == set(first.fits)
    np.testing.assert_allclose(total["both"].transform.shift, [11, 0])
    assert (total["both"].frame, total["both"].remarks) == (2, (SECOND,))
    assert total["failed"] is first["failed"]
    assert total["later failed"].remarks == (FIRST, SECOND)
    assert total["later failed, no note"].remarks == (SECOND,)
    np.testing.assert_allclose(total["later failed"].transform.shift, [1, 0])
    assert total["unknown"] is first["unknown"]
    assert "only later" not in total
    assert first.then(AlignmentSolution()).reference == "a"


def test_exposure_set():
    direct, grism = exposure("iaaa01d1q", 0), exposure("iaaa01g1q", 300, grism=True)
    field = ExposureSet("field", (direct, grism))
    assert repr(field) == "<ExposureSet field: 1 direct, 1 grism>"
    assert (field.direct, field.grisms) == ((direct,), (grism,))
    assert field["iaaa01g1q"] is grism
    assert not field.fit("iaaa01d1q").is_fitted
    with pytest.raises(SettingsError, match=r"iaaa01d9q.*such as iaaa01d1q"):
        field.fit("iaaa01d9q")
    assert direct.mid == pytest.approx(0.5 * (direct.start + direct.end))
    assert direct.pixel_scale == 0.13
    assert direct.plane.coincides(PLANE)

    done = field.with_activity(
        Activity("relative_align", "done"),
        relative=AlignmentSolution({"iaaa01d1q": shifted(1.0)}, "iaaa01d1q"),
        absolute=AlignmentSolution({"iaaa01d1q": shifted(2.0)}, "GAIA"),
        grism=AlignmentSolution({"iaaa01g1q": shifted(7.0)}),
    )
    assert field.activities == ()
    assert [a.step for a in done.activities] == ["relative_align"]
    np.testing.assert_allclose(done.fit("iaaa01d1q").transform.shift, [3, 0])
    np.testing.assert_allclose(done.fit("iaaa01g1q").transform.shift, [7, 0])
    assert done.total.reference == "GAIA"


def with_error(status, sigma, **changes):
    covariance = np.diag([sigma**2, sigma**2, 0, 0, 0, 0])
    transform = LinearTransform(np.eye(2), (1.0, 0.0), PLANE, covariance)
    return ExposureFit(status, transform, **changes)


@pytest.mark.parametrize(("includes", "variance"), [(False, 25.0), (True, 16.0)])
def test_a_covariance_of_the_total_is_not_added_to(includes, variance):
    first = AlignmentSolution({"a": with_error(FitStatus.ALIGNED, 3.0)})
    later = AlignmentSolution({"a": with_error(FitStatus.ALIGNED, 4.0, includes_earlier=includes)})
    total = first.then(later)["a"]
    np.testing.assert_allclose(total.transform.shift, [2, 0])
    np.testing.assert_allclose(np.diag(total.transform.covariance)[:2], variance)
    assert total.includes_earlier is includes


@pytest.mark.parametrize(("later", "expected"), [({}, (1.0, 0.0)), ({"placement_error": 0.1}, (2.0, 3.0))])
def test_the_place_of_a_detector_is_that_of_who_last_looked_for_it(later, expected):
    first = AlignmentSolution(
        {"a": with_error(FitStatus.ALIGNED, 3.0, placement=(1.0, 0.0), placement_error=0.5)}
    )
    last = AlignmentSolution({"a": with_error(FitStatus.ALIGNED, 4.0, placement=(2.0, 3.0), **later)})
    total = first.then(last)["a"]
    assert total.placement == expected
    assert total.placement_error == later.get("placement_error", 0.5)


@pytest.mark.parametrize("status", [FitStatus.ALIGNED, FitStatus.REFERENCE])
def test_what_only_the_pointing_tells_stays_so(status):
    """The frame's own move does not make a source of it; other exposures have the later status."""
    first = AlignmentSolution(
        {
            "prior": with_error(FitStatus.PRIOR_ONLY, 3.0, remarks=(FIRST,), frame=1),
            "own": with_error(FitStatus.REFERENCE, 0.0, remarks=(FIRST,)),
        }
    )
    later = AlignmentSolution({key: with_error(status, 4.0, remarks=(SECOND,)) for key in first.fits})
    total = first.then(later)
    assert (total["prior"].status, total["prior"].remarks, total["prior"].frame) == (
        FitStatus.PRIOR_ONLY,
        (FIRST,),
        1,
    )
    np.testing.assert_allclose(total["prior"].transform.shift, [2, 0])
    np.testing.assert_allclose(np.diag(total["prior"].transform.covariance)[:2], 25.0)
    assert (total["own"].status, total["own"].remarks) == (status, (SECOND,))
    # a later failure leaves it what it was
    lost = first.then(AlignmentSolution({"prior": ExposureFit.failed(SECOND)}))["prior"]
    assert (lost.status, lost.remarks) == (FitStatus.PRIOR_ONLY, (FIRST, SECOND))
    assert lost.is_aligned


def test_the_epoch_of_an_exposure_is_that_of_its_middle():
    one = replace(exposure("a", 0.0), start=51544.0, end=51545.0)
    assert one.epoch == 2000
    assert replace(one, start=51544.0 + 3652.5, end=51545.0 + 3652.5).epoch == 2010
