"""A run does not take the record of other exposures away."""

from __future__ import annotations

import json
import os

import pytest

from grism_align.io.record.file import read_record
from grism_align.values.errors import OutputError
from grism_align.workflows.load import load
from grism_align.workflows.results.checks import check_destination
from grism_align.workflows.results.claims import claimed_results
from grism_align.workflows.results.destination import Destination
from grism_align.workflows.results.write import write_results
from grism_align.workflows.resume import continued
from grism_align.workflows.undo import undo_files
from tests.support.executors import HERE
from tests.support.runs import corrected, make_exposures

KEYS = ("iaaa01d1q", "iaaa01d2q", "ibbb01d1q", "ibbb01d2q")


@pytest.fixture
def paths(tmp_path):
    return make_exposures(tmp_path / "raw", KEYS)


def run(given, folder=None):
    """Align what is given, in place without a folder; the name of the product."""
    exposures = load(given)
    destination = Destination(folder or given_folder(given), in_place=folder is None)
    with claimed_results(exposures, destination) as named:
        ready = continued(named, destination)
        check_destination(ready, destination)
        write_results(corrected(ready), destination, HERE)
    return named.product


def given_folder(given):
    first = given if isinstance(given, os.PathLike) else given[0]
    return first if first.is_dir() else first.parent


def association(paths, name="deep"):
    members = [{"expname": path.name, "exptype": "direct_image"} for path in paths]
    file = paths[0].parent / f"{paths[0].name[:6]}_{len(paths)}.json"
    file.write_text(json.dumps({"products": [{"name": name, "members": members}]}))
    return file


def recorded(folder):
    return {path.name: sorted(read_record(path).exposures) for path in folder.glob("*_provenance.asdf")}


@pytest.mark.slow
@pytest.mark.parametrize("in_place", [True, False])
def test_exposures_that_are_named_one_by_one_have_the_next_name(paths, tmp_path, in_place, caplog):
    folder = None if in_place else tmp_path / "out"
    assert run(paths[:2], folder) == "aligned"
    assert run(paths[2:], folder) == "aligned_2"
    assert "the record of other exposures" in caplog.text
    known = {"aligned_provenance.asdf": list(KEYS[:2]), "aligned_2_provenance.asdf": list(KEYS[2:])}
    assert recorded(folder or paths[0].parent) == known
    # and once more they have their own
    assert [run(paths[2:], folder), run(paths[:2], folder)] == ["aligned_2", "aligned"]
    assert recorded(folder or paths[0].parent) == known


def test_folders_of_one_name(tmp_path):
    for name, keys in (("one", KEYS[:2]), ("two", KEYS[2:])):
        make_exposures(tmp_path / name / "raw", keys)
    products = [run(tmp_path / name / "raw", tmp_path / "out") for name in ("one", "two")]
    assert products == ["raw", "raw_2"]


@pytest.mark.parametrize("in_place", [True, False])
def test_a_name_that_the_user_chose_is_refused(paths, tmp_path, in_place):
    folder = None if in_place else tmp_path / "out"
    run(association(paths[:2]), folder)
    before = recorded(folder or paths[0].parent)
    with pytest.raises(OutputError, match=f"the record of {KEYS[0]}, {KEYS[1]}") as caught:
        run(association(paths[2:]), folder)
    assert caught.value.path == str((folder or paths[0].parent) / "deep_provenance.asdf")
    assert recorded(folder or paths[0].parent) == before


def test_a_record_is_replaced_by_one_of_all_its_exposures(paths, tmp_path):
    run(association(paths[:2]), tmp_path / "out")
    run(association(paths), tmp_path / "out")
    assert recorded(tmp_path / "out") == {"deep_provenance.asdf": list(KEYS)}


def test_of_the_same_field_products_that_are_not_written_again_are_moved_aside(paths, tmp_path):
    run(association(paths), tmp_path / "out")
    run(association(paths[:2]), tmp_path / "out")
    assert recorded(tmp_path / "out") == {"deep_provenance.asdf": list(KEYS[:2])}
    assert len(list((tmp_path / "out" / "superseded").iterdir())) == 2


def test_files_corrected_in_place_keep_their_record_until_they_are_undone(paths):
    run(association(paths))
    with pytest.raises(OutputError, match=f"the record of {KEYS[2]}, {KEYS[3]}"):
        run(association(paths[:2]))
    undo_files(paths[2:], in_place=True)
    run(association(paths[:2]))
    assert recorded(paths[0].parent) == {"deep_provenance.asdf": list(KEYS[:2])}


def test_the_record_of_a_folder_that_was_moved(paths, tmp_path):
    run(association(paths[:2]), tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="the record of"):
        run(association(paths[2:]), tmp_path / "elsewhere")


def test_what_is_no_record_is_nobodys(paths, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "aligned_provenance.asdf").write_text("damaged")
    assert run(paths[:2], tmp_path / "out") == "aligned"


def test_hard_links_are_told(paths, tmp_path, caplog):
    os.link(paths[1], tmp_path / "other name")
    before = paths[1].read_bytes()
    run(paths[:2])
    assert f"{paths[1].name} among them" in caplog.text
    assert (tmp_path / "other name").read_bytes() == before
    caplog.clear()
    os.link(paths[0], tmp_path / "another name")
    undo_files(paths[:2], in_place=True)
    assert f"{paths[0].name} among them" in caplog.text
