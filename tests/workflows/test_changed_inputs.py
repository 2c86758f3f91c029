"""Inputs that change during a run: it ends with the name of the file, and nothing is written."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest

from grism_align.io.files.checksums import sha256_of
from grism_align.io.missions import read_keywords, read_pixels, write_exposure
from grism_align.io.record.file import read_record
from grism_align.values.errors import ChangedError
from grism_align.values.mission import WcsLabel
from grism_align.values.settings import DetectionSettings, ExecutionSettings
from grism_align.workflows.executors import executor_for
from grism_align.workflows.load import load
from grism_align.workflows.measure import measure_exposures
from grism_align.workflows.results import write as results
from grism_align.workflows.results.destination import Destination
from grism_align.workflows.results.write import write_results
from grism_align.workflows.undo import undo_files
from tests.support.executors import HERE
from tests.support.runs import KEYS, assert_of_one_run, corrected, loaded, make_exposures

CHANGES = {
    "another's file": lambda paths: shutil.copy(paths[0], paths[0].parent / "x").replace(paths[1]),
    "another's bytes": lambda paths: shutil.copy2(paths[0], paths[1]),
    "cut off": lambda paths: os.truncate(paths[1], 1000),
    "removed": lambda paths: paths[1].unlink(),
}


UNSEEN = "another's bytes"


@pytest.fixture
def paths(tmp_path):
    return make_exposures(tmp_path / "raw")


@pytest.fixture(params=CHANGES)
def change(request, paths):
    """A function that changes the second exposure."""
    return lambda: CHANGES[request.param](paths)


def destination(paths, in_place):
    return Destination(paths[0].parent if in_place else paths[0].parent.parent / "out", in_place)


def state(folder):
    """All files; none where there is no folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def _before(module, name, change, monkeypatch):
    """Have something happen before a function of a module is called, and return what there is then."""
    original, found = getattr(module, name), {}

    def changed(*arguments):
        if not found:
            change()
            found["state"] = True
        return original(*arguments)

    monkeypatch.setattr(module, name, changed)


@pytest.mark.parametrize("reading", ["pixels", "keywords", "writing"])
def test_whoever_opens_it_again(paths, change, reading, tmp_path):
    exposure = loaded(paths[0].parent).exposures[1]
    assert exposure.source.identity.sha256 == sha256_of(paths[1])
    fit = corrected(loaded(paths[0].parent)).fit(exposure.key)
    opened = {
        "pixels": lambda: list(read_pixels(exposure)),
        "keywords": lambda: read_keywords(exposure),
        "writing": lambda: write_exposure(
            exposure, fit, tmp_path / "a_flt.fits", WcsLabel("NONE", "x", 1, (1.0, 1.0), "shift")
        ),
    }[reading]
    change()
    with pytest.raises(ChangedError) as caught:
        opened()
    assert caught.value.path == str(paths[1])


@pytest.mark.parametrize(
    ("moment", "in_place", "change"),
    [
        # all changes at one moment, and at all moments the one that size and time of the file don't tell
        pytest.param(
            *each, marks=() if each[0] == "write_exposures" or each[2] == UNSEEN else pytest.mark.slow
        )
        for each in [
            (moment, in_place, change)
            for moment, in_place in [
                ("findings_of", False),
                ("write_exposures", True),
                ("write_record", False),
                ("mark_pages", True),
            ]
            for change in CHANGES
        ]
    ],
    indirect=["change"],
)
def test_a_run_writes_nothing(paths, change, moment, in_place, monkeypatch):
    """Whenever that is, to the instant before names change."""
    target = destination(paths, in_place)
    before = state(target.folder)
    exposures = corrected(loaded(paths[0].parent))
    _before(results, moment, change, monkeypatch)
    with pytest.raises(ChangedError) as caught:
        write_results(exposures, target, HERE)
    assert caught.value.path == str(paths[1])
    after = state(target.folder)
    for files in (before, after):
        files.pop(paths[1].name, None)
    assert after == before


@pytest.mark.parametrize("change", ["cut off"], indirect=True)
def test_other_processes_hold_to_it_too(paths, change):
    exposures = corrected(loaded(paths[0].parent))
    change()
    target = destination(paths, in_place=False)
    with executor_for(ExecutionSettings(2)) as executor, pytest.raises(ChangedError) as caught:
        write_results(exposures, target, executor)
    assert caught.value.path == str(paths[1])
    assert not target.folder.exists()


def test_it_is_not_left_out_as_unreadable(paths, change):
    exposures = replace(loaded(paths[0].parent), leaves_out=True)
    settings = {one.instrument: DetectionSettings() for one in exposures.exposures}
    change()
    with pytest.raises(ChangedError):
        measure_exposures(exposures, settings, HERE)


def test_undo(paths, change, monkeypatch):
    written = corrected(loaded(paths[0].parent))
    write_results(written, destination(paths, in_place=True), HERE)
    before = state(paths[0].parent)
    from grism_align.workflows import undo

    _before(undo, "mark_pages", change, monkeypatch)
    with pytest.raises(ChangedError) as caught:
        undo_files(paths, in_place=True)
    assert caught.value.path == str(paths[1])
    after = state(paths[0].parent)
    for files in (before, after):
        files.pop(paths[1].name, None)
    assert after == before


def test_a_touch_changes_nothing(paths, monkeypatch):
    exposures = corrected(loaded(paths[0].parent))
    _before(results, "write_exposures", lambda: os.utime(paths[1], (1, 1)), monkeypatch)
    target = destination(paths, in_place=False)
    write_results(exposures, target, HERE)
    assert_of_one_run(target.folder)


def test_the_record_is_of_the_files_that_were_read(paths):
    sums = {path.name[:9]: sha256_of(path) for path in paths}
    for in_place in (False, True):
        target = destination(paths, in_place)
        write_results(corrected(loaded(paths[0].parent)), target, HERE)
        record = read_record(target.folder / "raw_provenance.asdf")
        assert {key: one.input.sha256 for key, one in record.exposures.items()} == sums


def test_what_was_written_in_place_is_what_the_next_step_has(paths):
    """And what another writes there then is noticed again."""
    target = destination(paths, in_place=True)
    exposures = write_results(corrected(loaded(paths[0].parent)), target, HERE)
    assert {read_keywords(one)["TELESCOP"][0] for one in exposures.exposures} == {"HST"}
    exposures = write_results(corrected(exposures, 0.7), target, HERE)
    assert_of_one_run(target.folder)
    shutil.copy(paths[0], paths[1])
    with pytest.raises(ChangedError):
        write_results(exposures, target, HERE)


def test_headers_alone_can_be_looked_at_without_reading_all(paths):
    exposures = load(paths[0].parent, with_sums=False)
    assert [one.key for one in exposures.exposures] == list(KEYS)
    assert {one.source.identity.sha256 for one in exposures.exposures} == {""}
