"""The file of a record: what is written is read, by others too, and what is no record is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace

import asdf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.io.record import file as record_file
from grism_align.io.record import migrations, parts
from grism_align.io.record.decode import record_from
from grism_align.io.record.encode import record_tree
from grism_align.io.record.file import read_record, record_at, write_record
from grism_align.io.record.layout import LayoutError
from grism_align.io.record.migrations import VERSION, VersionError, up_to_date
from grism_align.io.record.models import sky_model
from grism_align.io.record.parts import part_of
from grism_align.values.declaration import declared, recorded
from grism_align.values.errors import InputError
from grism_align.values.record import Record
from grism_align.values.transform import LinearTransform, TangentPlane
from grism_align.workflows.results.record import make_record
from tests.support.recorded_fields import PIXELS, inputs, mas_apart, recorded_field
from tests.support.reports import field as reported_field
from tests.support.reports import mosaic, record, stamps
from tests.support.strategies import assert_same, values_of


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    return recorded_field(tmp_path_factory.mktemp("field"))


@pytest.fixture(scope="module")
def whole(field):
    return make_record(field, inputs(field))


@given(values_of(Record))
@settings(max_examples=40)
def test_what_is_written_is_read(made):
    assert_same(record_from(record_tree(made)), made)


def _possible(made):
    """What is read of a file is checked for what it says as well."""
    nothing = {"mosaics": (), "exposures": {}, "aligned_sources": None, "reference_catalog": None}
    return replace(made, product="field", **nothing)


def test_a_record_is_read_once_until_it_is_another(whole, tmp_path):
    path = tmp_path / "a_provenance.asdf"
    with pytest.raises(InputError, match="no such provenance file"):
        record_at(path)
    write_record(path, whole)
    known = record_at(path)
    assert record_at(tmp_path / "." / path.name) is known
    write_record(path, replace(whole, product="other"))
    assert record_at(path).product == "other"
    assert known.product == whole.product


@given(made=values_of(Record).map(_possible))
@settings(max_examples=4)
def test_so_it_is_with_the_file(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("record") / "p.asdf"
    write_record(path, made)
    assert_same(read_record(path), made)


def test_a_whole_run(tmp_path):
    made = record(reported_field(), stamps=stamps(), mosaics=(mosaic(("i00v000dq",)),))
    write_record(tmp_path / "p.asdf", made)
    assert_same(read_record(tmp_path / "p.asdf"), made)


def test_readable_without_the_package(whole, tmp_path):
    write_record(tmp_path / "p.asdf", whole)
    code = (
        "import asdf, sys\n"
        "with asdf.open('p.asdf') as f:\n"
        "    exposures = f['grism_align']['exposures']\n"
        "    row = exposures['name'].astype(str).tolist().index('direct2')\n"
        "    total, chips = exposures['total'], exposures['input_wcs']['chips']\n"
        "    print(total['transform']['matrix'][row], f['grism_align']['models']['direct2'](34.02, -5.0))\n"
        "    begin, end = chips['first'][row], chips['first'][row + 1]\n"
        "    assert chips['items']['number'][begin:end].tolist() == [1, 2]\n"
        "assert not any(name.startswith('grism_align') for name in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_is_there_for_its_readers(whole):
    """Arrays for columns, of exposures too; what follows from the rest as well."""
    tree = record_tree(whole)
    assert tree["schema_version"] == VERSION
    entries = tree["exposures"]
    row = entries["name"].astype(str).tolist().index("direct2")
    assert (entries["kind"][row], entries["guide_star"]["known"][row]) == (b"direct", False)
    total = entries["total"]
    assert not total["residuals"]["known"].any()
    assert total["status"][row] == b"ALIGNED"
    expected = whole.exposures["direct2"].displacement.shift
    np.testing.assert_array_equal(entries["displacement"]["shift"][row], expected)
    offset = entries["relative"]["residuals"]["offset"]
    assert offset["items"].shape == (offset["first"][-1], 2)
    assert entries["relative"]["transform"]["covariance"].shape == (4, 6, 6)
    assert type(tree["sources"]["number"]) is np.ndarray
    assert not total["transform"]["known"][2]
    assert total["reason"][2] == b"4 matched sources, 10 required"
    remark = {name: column[0] for name, column in total["remarks"]["items"].items()}
    assert remark == {
        "code": b"TOO_FEW_MATCHES",
        "text": total["reason"][2],
        "numbers": b'{"n": 4, "required": 10}',
    }
    # parameters in types that every reader knows
    settings = tree["activities"][0]["settings"]
    assert (settings["kind"], settings["limits"]) == ("direct", [1.0, None])
    assert type(settings["path"]) is str


@settings(max_examples=60)
@given(
    st.tuples(st.floats(0, 360), st.floats(-90, 90)),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    st.floats(-0.5, 0.5),
    st.floats(0.99, 1.01),
    st.floats(-0.01, 0.01),
)
def test_the_model_of_astropy_is_the_transform(point, shift, roll, scale, skew):
    plane = TangentPlane(*point)
    matrix = LinearTransform.from_parameters(plane, roll=roll, scale=scale).matrix @ [[1.0, skew], [0.0, 1.0]]
    transform = LinearTransform(matrix, shift, plane)
    model = sky_model(transform)
    corners = np.array([[0.0, 0.0], [-150, -150], [150, -120], [3.0, 180], [-90, 10.0]])
    sky = plane.to_sky(corners)
    assert mas_apart(np.column_stack(model(*sky.T)), transform.apply_to_sky(sky)) < 1e-3


def test_the_model_survives_the_file(field, whole, tmp_path):
    write_record(tmp_path / "p.asdf", whole)
    with asdf.open(tmp_path / "p.asdf", lazy_load=False, memmap=False) as file:
        model = file["grism_align"]["models"]["direct2"]
    sky = field["direct2"].chips[0].wcs.to_sky(PIXELS)
    moved = field.total["direct2"].transform.apply_to_sky(sky)
    assert mas_apart(np.column_stack(model(*sky.T)), moved) < 1e-3
    assert mas_apart(np.column_stack(model.inverse(*moved.T)), sky) < 1e-3


def test_writing_checks_and_is_atomic(whole, tmp_path):
    path = tmp_path / "out" / "p.asdf"
    write_record(path, whole)
    before = path.read_bytes()
    wrong = replace(whole.stamps or stamps(), before=np.zeros(3, dtype=np.float32))
    with pytest.raises(asdf.ValidationError) as caught:
        write_record(path, replace(whole, stamps=wrong))
    assert "before" in caught.value.absolute_path
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def _refused(path):
    with pytest.raises(InputError) as caught:
        read_record(path)
    assert path.name in str(caught.value)
    assert caught.value.remedy
    return caught.value


def test_files_that_are_no_record(whole, tmp_path):
    assert "no such" in _refused(tmp_path / "none.asdf").problem
    (tmp_path / "text.asdf").write_text("hello")
    assert "not a readable ASDF" in _refused(tmp_path / "text.asdf").problem
    (tmp_path / "broken.asdf").write_text("#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%YAML 1.1\n---\n{a: [\n...\n")
    assert "not a readable ASDF" in _refused(tmp_path / "broken.asdf").problem
    write_record(tmp_path / "whole.asdf", whole)
    content = (tmp_path / "whole.asdf").read_bytes()
    for cut in (200, len(content) // 3, content.index(b"BLK") + 100):
        (tmp_path / "cut.asdf").write_bytes(content[:cut])
        assert "not a readable ASDF" in _refused(tmp_path / "cut.asdf").problem
    for tree in ({"roman": {}}, {"grism_align": {}}, {"grism_align": 3}):
        asdf.AsdfFile(tree).write_to(tmp_path / "other.asdf")
        assert "not a provenance file" in _refused(tmp_path / "other.asdf").problem


def _put(tree, place, value):
    """Another value at a place; none takes the entry away."""
    *parents, name = place.split(".")
    for one in parents:
        tree = tree[int(one) if isinstance(tree, list) else one]
    if value is ...:
        del tree[name]
    else:
        tree[name] = value(tree[name]) if callable(value) else value


def _second(value):
    """Another value of the second exposure, direct2."""

    def change(column):
        found = column.astype(np.str_) if column.dtype.kind == "S" else column.copy()
        found = found.astype(object) if isinstance(value, str) else found
        found[1] = value
        return found.astype(np.str_) if isinstance(value, str) else found

    return change


FIT = "exposures.relative"


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        ("sources", ..., "sources"),
        ("product", 3, "product"),
        ("sources.ra", np.zeros((2, 2)), "sources.ra"),
        ("sources.ra", np.array(["a", "b"]), "sources.ra"),
        ("sources.ra", np.zeros(7), "sources"),
        ("aligned_sources", {}, "aligned_sources"),
        ("activities.0.attempts.0.url", ..., "url"),
        ("activities.0.attempts.0.n_rows", "many", "activities.0.attempts.0.n_rows"),
        ("exposures.plane.ra", None, "exposures.plane.ra"),
        ("exposures.plane.ra", _second(np.nan), "exposures.direct2.plane"),
        ("exposures.input", None, "exposures.input"),
        ("exposures.output", {"path": "a"}, "exposures.output"),
        ("exposures.kind", _second("spectrum"), "exposures.direct2.kind"),
        ("exposures.name", _second("direct1"), "exposures.name"),
        ("exposures.start", np.zeros(3), "exposures.start: 3 values"),
        ("exposures.input_wcs.chips.items.shape", np.zeros((8, 1)), "exposures.input_wcs.chips.items.shape"),
        ("exposures.input_wcs.chips.first", np.arange(5)[::-1], "exposures.input_wcs.chips.first"),
        ("exposures.input_wcs.chips.first", np.arange(5) * 3, "exposures.input_wcs.chips.items.number"),
        (f"{FIT}.status", _second("FINE"), "exposures.direct2.relative.status"),
        (f"{FIT}.rms", "large", f"{FIT}.rms"),
        (f"{FIT}.n_used", np.full(4, 2.5), f"{FIT}.n_used"),
        (f"{FIT}.leverage", ..., "leverage"),
        (f"{FIT}.rms_axes", np.zeros((4, 3)), f"{FIT}.rms_axes"),
        (f"{FIT}.transform.matrix", np.zeros((4, 2, 1)), f"{FIT}.transform.matrix"),
        (f"{FIT}.transform.matrix", _second(np.zeros((2, 2))), "exposures.direct2.relative.transform"),
        (f"{FIT}.residuals.offset.items", np.zeros((3, 3)), f"{FIT}.residuals.offset"),
        (f"{FIT}.residuals.weight.items", [1.0, 1.0, 0.0], f"{FIT}.residuals.weight"),
        (
            f"{FIT}.residuals.error",
            {"first": np.array([0, 0, 2, 2, 2]), "items": np.zeros(2)},
            "exposures.direct2.relative.residuals: error",
        ),
        (f"{FIT}.remarks.items.code", np.array(["NONE_SUCH"]), "exposures.direct3.relative.remarks.0: "),
        (f"{FIT}.remarks.items.numbers", np.array(['{"n": 3}']), "exposures.direct3.relative.remarks.0: TOO"),
        (f"{FIT}.remarks.items.numbers", np.array(["{"]), "exposures.direct3: "),
        ("exposures.grism.governed.weights", 1.0, "exposures.grism.governed.weights"),
    ],
)
def test_an_entry_that_is_wrong_is_named(place, value, named, whole, tmp_path):
    tree = record_tree(whole)
    _put(tree, place, value)
    asdf.AsdfFile({"grism_align": tree}).write_to(tmp_path / "p.asdf")
    problem = _refused(tmp_path / "p.asdf").problem
    assert problem.startswith("doesn't follow the schema (")
    assert named in problem


def test_of_many_exposures_each_is_read_and_checked_when_it_is_asked_for(whole, tmp_path, monkeypatch):
    """From the file itself where it is large, which need not be open nor have its name any more."""
    monkeypatch.setattr(parts, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(record_file, "_IN_MEMORY", 0)
    path = tmp_path / "p.asdf"
    write_record(path, whole)
    with asdf.open(path, lazy_load=False, memmap=False) as file:
        tree = dict(file.tree)
    tree["grism_align"]["exposures"]["relative"]["status"] = np.array(["REFERENCE", "FINE", "FAILED", ""])
    tree["grism_align"]["exposures"]["start"][2] = np.inf
    asdf.AsdfFile(tree).write_to(path)
    found = read_record(path).exposures
    path.unlink()
    assert list(found) == list(whole.exposures)
    assert found["direct1"] is found["direct1"]
    assert_same(found["direct1"], whole.exposures["direct1"])
    assert_same(found["grism4"], whole.exposures["grism4"])
    for key, entry in (("direct2", "direct2.relative.status"), ("direct3", "direct3.start")):
        with pytest.raises(InputError, match=rf"\(exposures\.{entry}") as caught:
            found[key]
        assert caught.value.path == str(path)
    assert "direct5" not in found
    with pytest.raises(KeyError):
        found["direct5"]


def test_what_is_read_later_can_be_sent_to_others(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "MOST_AT_ONCE", 1)
    write_record(tmp_path / "p.asdf", whole)
    found = pickle.loads(pickle.dumps(read_record(tmp_path / "p.asdf").exposures))
    assert_same(found, whole.exposures)


def test_types_that_have_no_place_on_record():
    @declared()
    class Bag:
        things: set = recorded("What lies in it.")

    with pytest.raises(TypeError):
        part_of(Bag)


def test_a_tree_that_nobody_checked():
    with pytest.raises(LayoutError, match="created"):
        record_from({})


def test_the_version_of_another_layout(whole, tmp_path):
    tree = record_tree(whole)
    for version, advice in (("2.0.0", "update this one"), ("0.9.0", "Give the provenance file")):
        other = {**tree, "schema_version": version}
        asdf.AsdfFile({"grism_align": other}).write_to(tmp_path / "p.asdf")
        refused = _refused(tmp_path / "p.asdf")
        assert refused.problem == f"written with version {version} of the layout, and this is {VERSION}"
        assert advice in refused.remedy


def test_earlier_layouts_are_brought_up_to_date(whole, tmp_path, monkeypatch):
    """Step by step: a name that changed twice."""

    def first(tree):
        return {**tree, "title": tree["name"], "schema_version": "0.9.0"}

    def second(tree):
        return {**tree, "product": tree["title"], "schema_version": VERSION}

    monkeypatch.setattr(migrations, "MIGRATIONS", {"0.8.0": first, "0.9.0": second})
    tree = record_tree(whole)
    old = {**tree, "schema_version": "0.8.0", "name": tree["product"]}
    del old["product"]
    asdf.AsdfFile({"grism_align": old}).write_to(tmp_path / "p.asdf")
    assert read_record(tmp_path / "p.asdf").product == whole.product
    # one that leads nowhere does not go round for ever
    monkeypatch.setattr(migrations, "MIGRATIONS", {"0.8.0": dict})
    with pytest.raises(VersionError) as caught:
        up_to_date(old)
    assert (caught.value.version, caught.value.is_newer) == ("0.8.0", False)


def test_no_layout_but_this_was_released():
    assert migrations.MIGRATIONS == {}
    assert up_to_date({"schema_version": VERSION, "a": 1}) == {"schema_version": VERSION, "a": 1}
