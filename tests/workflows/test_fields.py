"""Exposures sorted into fields by their footprints."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.io.associations import read_association
from grism_align.values.errors import AssociationError
from grism_align.values.record import LeftOut
from grism_align.values.transform import TangentPlane
from grism_align.workflows.fields import (
    FieldLimits,
    Sighting,
    connected,
    find_files,
    sight,
    sort_into_fields,
    write_fields,
)
from tests.support.associations import touch, write_exposure
from tests.support.executors import HERE

SIDE = 120.0


def seen(key, east, north=0.0, *, visit=None, grism=False, start=0.0, ra=150.0, dec=2.0):
    """An exposure of two arcmin, so many arcsec away."""
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * SIDE + [east, north]
    footprints = TangentPlane(ra, dec).to_sky(corners)[None]
    kind = "G141" if grism else "F140W"
    return Sighting(f"/{key}", key, ("hst", visit or key), start, not grism, kind, footprints)


def names(groups):
    return sorted(sorted(one.key for one in group) for group in groups)


def test_a_chain_is_one_field():
    row = [seen(f"a{n}", 100.0 * n) for n in range(20)]
    assert names(connected(row)) == [sorted(f"a{n}" for n in range(20))]


def test_what_does_not_overlap_is_another():
    assert names(connected([seen("a", 0), seen("b", 121), seen("c", 121, 119)])) == [["a"], ["b", "c"]]


def test_a_visit_stays_whole():
    far = [seen("a", 0, visit="v"), seen("b", 5000, visit="v"), seen("c", 5050)]
    assert names(connected(far)) == [["a", "b", "c"]]


def test_direct_exposures_decide_where_there_are_any():
    first = [seen("d1", 0, visit="v1"), seen("g1", 60, visit="v1", grism=True)]
    second = [seen("d2", 170, visit="v2"), seen("g2", 100, visit="v2", grism=True)]
    assert names(connected([*first, *second])) == [["d1", "g1"], ["d2", "g2"]]
    lone = seen("g3", 200, visit="v3", grism=True)
    assert names(connected([*first, *second, lone])) == [["d1", "g1"], ["d2", "g2", "g3"]]


def test_over_zero_hours_and_at_the_pole():
    assert len(connected([seen("a", -50, ra=0.0), seen("b", 50, ra=0.0)])) == 1
    assert len(connected([seen("a", 0, ra=10.0, dec=89.999), seen("b", 0, ra=190.0, dec=89.999)])) == 1


def test_nothing_is_no_field():
    assert connected([]) == []


@pytest.fixture
def sorted_by(monkeypatch):
    def sort(some, **limits):
        by_path = {one.path: one for one in some}
        monkeypatch.setattr("grism_align.workflows.fields.sight", by_path.get)
        return sort_into_fields(list(by_path), FieldLimits(**limits), HERE)

    return sort


def test_fields_are_split_where_asked(sorted_by):
    row = [seen(f"a{n}", 100.0 * n, start=float(n)) for n in range(8)]
    assert len(sorted_by(row).fields) == 1
    parts = sorted_by(row, n_exposures=2).fields
    assert sorted(len(one.exposures) for one in parts) == [2, 2, 2, 2]
    assert all(one.extent < 5.0 for one in parts)
    parts = sorted_by(row, extent=8.0).fields
    assert len(parts) == 2
    assert {one.key for part in parts for one in part.exposures} == {one.key for one in row}


def test_a_visit_that_is_too_large_stays_whole(sorted_by):
    [one] = sorted_by([seen(f"a{n}", 100.0 * n, visit="v") for n in range(8)], n_exposures=2).fields
    assert len(one.exposures) == 8


def test_a_deep_field_is_split_by_time(sorted_by):
    parts = sorted_by([seen(f"a{n}", 0, start=float(n)) for n in range(4)], n_exposures=2).fields
    assert [[each.key for each in one.exposures] for one in parts] == [["a0", "a1"], ["a2", "a3"]]
    assert [one.name for one in parts] == ["j100000+020000", "j100000+020000_2"]


def test_names_stay_when_exposures_are_added(sorted_by):
    [before] = sorted_by([seen("a", 0)]).fields
    [after] = sorted_by([seen("b", 90, start=5.0), seen("a", 0)]).fields
    assert before.name == after.name == "j100000+020000"
    [south] = sorted_by([seen("a", 0, ra=53.1, dec=-27.8033)]).fields
    assert south.name == "j033224-274812"


# --- files ---


def test_files_of_a_tree(tmp_path):
    archive = tmp_path / "ARCHIVE"
    write_exposure(archive, "iaaa01d1q", 0)
    write_exposure(archive / "below" / "deep", "iaaa01g1q", 300, "G141")
    write_exposure(archive / "other", "ibbb02d1q", 90000)
    touch(archive / "results", "iccc03d1q_flt.fits", "field_provenance.asdf")
    found = find_files([str(archive)])
    assert [path.name[:9] for path in found] == ["iaaa01d1q", "iaaa01g1q", "ibbb02d1q"]
    one = archive / "iaaa01d1q_flt.fits"
    assert find_files([str(one), str(archive)]) == found
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssociationError, match="holds no exposure"):
        find_files([str(tmp_path / "empty")])


def test_an_association_of_each_field(tmp_path):
    write_exposure(tmp_path / "a", "iaaa01d1q", 0)
    write_exposure(tmp_path / "a", "iaaa01g1q", 300, "G141")
    bad = write_exposure(tmp_path / "a", "oaaa01d1q", 0, INSTRUME="STIS")
    found = sort_into_fields(find_files([str(tmp_path / "a")]), FieldLimits(), HERE)
    assert [one.path for one in found.left_out] == [str(bad)]
    assert isinstance(sight(str(bad)), LeftOut)
    [path] = write_fields(found.fields, tmp_path / "asns", HERE)
    [field] = found.fields
    assert field.has_direct
    written = read_association(path)
    assert (written.product, path.name) == (field.name, f"{field.name}_asn.json")
    assert written.members[1].governors == ("iaaa01d1q",)
