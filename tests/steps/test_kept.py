"""Runs that go on: what an earlier one measured is taken over, and the files are those of a fresh one."""

from __future__ import annotations

import re

import numpy as np
import pytest

from grism_align.io.record.file import read_record
from grism_align.simulation import case_a, simulate
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.workflows import measure
from tests.support.outputs import contents

#: What costs time, and measures nothing.
WITHOUT = {
    "relative_align": {"skip": True},
    "absolute_align": {"skip": True},
    "grism_wcs_propagate": {"skip": True},
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two direct and two grism exposures."""
    folder = tmp_path_factory.mktemp("kept") / "raw"
    simulate(case_a(size=96, n_pairs=2, n_visits=1), folder, np.random.default_rng(3))
    return folder


def run(raw, out, catalogs=None, **options):
    """Measure sources; how many catalogs were taken over."""
    steps = {**WITHOUT, "source_catalog": catalogs or {}}
    GrismAlignPipeline.call(str(raw), output_dir=str(out), configure_log=False, steps=steps, **options)
    return read_record(out / "raw_provenance.asdf").activity("source_catalog").n_kept


def files(folder, home):
    """What was written, but for how much of it was taken over."""
    found = contents(folder, home)
    assert "raw_provenance.asdf" in found
    return {name: re.sub(rb"n_kept: \d+", b"", found[name]) for name in found if name != "raw_report.html"}


def _runs(raw, tmp_path, *options):
    """How many catalogs runs into one folder took over, and what each wrote."""
    out, written, taken = tmp_path / "out", [], []
    for turn, chosen in enumerate(options):
        taken.append(run(raw, out, **chosen))
        out.rename(tmp_path / f"out{turn}")
        written.append(files(tmp_path / f"out{turn}", out))
    return taken, written


def test_a_second_run_measures_nothing_and_writes_the_same(raw, tmp_path, kept):
    taken, written = _runs(raw, tmp_path, {"resume": False}, {}, {})
    assert taken == [0, 0, 2]
    assert written[1:] == 2 * written[:1]
    pages = [(tmp_path / f"out{turn}" / "raw_report.html").read_text() for turn in (1, 2)]
    assert ["2 measurements are those of an earlier run" in page for page in pages] == [False, True]


@pytest.mark.slow
def test_several_processes_take_over_what_one_measured(raw, tmp_path, kept):
    taken, written = _runs(raw, tmp_path, {}, {"nproc": 2})
    assert taken == [0, 2]
    assert written[0] == written[1]


def test_a_run_that_ended_early_has_kept_what_it_measured(raw, tmp_path, kept, monkeypatch):
    def broken(*given):
        if list(kept.rglob("*.kept")):
            raise RuntimeError
        return original(*given)

    original = measure.measure_exposure
    with monkeypatch.context() as patch:
        patch.setattr(measure, "measure_exposure", broken)
        with pytest.raises(RuntimeError):
            run(raw, tmp_path / "out", report=False)
    assert run(raw, tmp_path / "out", report=False) == 1


@pytest.mark.slow
def test_only_what_changed_is_measured(raw, tmp_path, kept):
    out = tmp_path / "out"
    assert run(raw, out, report=False) == 0
    assert run(raw, out, {"threshold": 7.0}, report=False) == 0
    assert run(raw, out, {"resume": False}, report=False) == 0
    assert run(raw, out, report=False) == 2


def test_nothing_is_kept_without_room(raw, tmp_path, kept):
    assert run(raw, tmp_path / "out", cache_size=0.0, report=False) == 0
    assert not kept.exists()
