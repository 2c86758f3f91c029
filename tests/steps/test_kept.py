"""Runs that go on: what an earlier one measured is taken over, and the files are those of a fresh one."""

from __future__ import annotations

import re

import numpy as np
import pytest

from grism_align.io.record.file import read_record
from grism_align.simulation import case_a, simulate
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.workflows import relative
from tests.support.outputs import contents


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two direct and two grism exposures, whose spectra are measured together."""
    folder = tmp_path_factory.mktemp("kept") / "raw"
    simulate(case_a(size=256, n_pairs=2, n_visits=1), folder, np.random.default_rng(3))
    return folder


def run(raw, out, **options):
    GrismAlignPipeline.call(str(raw), output_dir=str(out), configure_log=False, **options)
    return n_kept(out)


def n_kept(out):
    record = read_record(out / "raw_provenance.asdf")
    return {one.step: one.n_kept for one in record.activities if one.n_kept}


def files(folder, home):
    """What was written, but for how much of it was taken over."""
    return {name: re.sub(rb"n_kept: \d+", b"", content) for name, content in contents(folder, home).items()}


def same(one, other):
    assert one.keys() == other.keys()
    # the report tells it in words
    assert [name for name in one if one[name] != other[name] and not name.endswith(".html")] == []


def test_a_second_run_measures_nothing_and_writes_the_same(raw, tmp_path, kept):
    out, written, taken = tmp_path / "out", [], []
    for turn, options in enumerate([{"resume": False}, {}, {}, {"nproc": 2}, {"resume": False}]):
        taken.append(run(raw, out, **options))
        out.rename(tmp_path / f"out{turn}")
        written.append(files(tmp_path / f"out{turn}", out))
    everything = {"source_catalog": 2, "grism_wcs_propagate": 3}
    assert taken == [{}, {}, everything, everything, {}]
    for other in written[1:]:
        same(written[0], other)
    page = (tmp_path / "out2" / "raw_report.html").read_text()
    assert "5 measurements are those of an earlier run" in page
    assert "of an earlier run" not in (tmp_path / "out1" / "raw_report.html").read_text()


def test_a_run_that_ended_early_has_kept_what_it_measured(raw, tmp_path, kept, monkeypatch):
    def broken(*given):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(relative, "align_relative", broken)
        with pytest.raises(RuntimeError):
            run(raw, tmp_path / "out")
    assert run(raw, tmp_path / "out") == {"source_catalog": 2}


def test_only_what_changed_is_measured(raw, tmp_path, kept):
    run(raw, tmp_path / "out")
    # the sources are the same, and so are the spectra
    assert run(raw, tmp_path / "out", output_file=None) == {"source_catalog": 2, "grism_wcs_propagate": 3}
    other = {"source_catalog": {"threshold": 7.0}}
    assert "source_catalog" not in run(raw, tmp_path / "out", steps=other)
    own = {"source_catalog": {"resume": False}}
    assert run(raw, tmp_path / "out", steps=own) == {"grism_wcs_propagate": 3}


def test_nothing_is_kept_without_room(raw, tmp_path, kept):
    for _ in range(2):
        assert run(raw, tmp_path / "out", cache_size=0.0) == {}
    assert not kept.exists()
