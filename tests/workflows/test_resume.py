"""A second run in place: after one that finished, and after one that was killed between two renamings."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from astropy.io import fits

from grism_align.io.record.file import read_record
from grism_align.simulation import case_a, simulate
from grism_align.values.errors import OutputError
from grism_align.values.record import Activity
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.load import load
from grism_align.workflows.results.checks import check_destination
from grism_align.workflows.results.destination import Destination
from grism_align.workflows.results.write import write_results
from grism_align.workflows.resume import continued
from tests.support.executors import HERE
from tests.support.fields import wcs_apart


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Two direct and two grism exposures."""
    folder = tmp_path_factory.mktemp("start") / "raw"
    simulate(case_a(size=64, n_pairs=2, n_visits=1), folder, np.random.default_rng(3))
    return folder


@pytest.fixture
def folder(start, tmp_path):
    return shutil.copytree(start, tmp_path / "raw")


def run(folder):
    """Align in place, by a correction that is the same in every run."""
    destination = Destination(folder, in_place=True)
    loaded = continued(load(folder), destination)
    check_destination(loaded, destination)

    def solution(exposures):
        moves = {e.key: LinearTransform.from_parameters(e.plane, (0.5, -0.3), 0.01) for e in exposures}
        return AlignmentSolution({k: ExposureFit(FitStatus.ALIGNED, move) for k, move in moves.items()})

    fitted = loaded.with_activity(
        Activity("relative_align", "done"), relative=solution(loaded.direct), grism=solution(loaded.grisms)
    )
    write_results(fitted, destination, HERE)
    return loaded


def test_first_run_takes_files_as_they_are(folder):
    loaded = load(folder)
    assert continued(loaded, Destination(folder, in_place=True)) is loaded


def test_a_run_after_one_that_was_killed(folder, start):
    """The record has its name, and so have two of the four exposures."""
    run(folder)
    once = shutil.copytree(folder, folder.parent / "once")
    paths = sorted(folder.glob("*_flt.fits"))
    for path in paths[2:]:
        shutil.copy(start / path.name, path)
    loaded = run(folder)
    by_name = sorted(loaded.exposures, key=lambda e: e.source.name)
    assert [e.applied is not None for e in by_name] == [1, 1, 0, 0]
    for path in paths:
        assert wcs_apart(path, once / path.name) < 1e-4
        assert "WCSNAMEB" not in fits.getheader(path, "SCI")
    records = read_record(folder / "raw_provenance.asdf").exposures.values()
    assert all(record.total.transform is not None for record in records)


def test_a_run_after_one_that_finished(folder):
    run(folder)
    once = shutil.copytree(folder, folder.parent / "once")
    loaded = run(folder)
    assert all(exposure.applied is not None for exposure in loaded.exposures)
    for path in folder.glob("*_flt.fits"):
        assert wcs_apart(path, once / path.name) == 0


def test_elsewhere_the_record_is_not_looked_for(folder):
    run(folder)
    loaded = load(folder)
    assert continued(loaded, Destination(folder.parent / "out", in_place=False)) is loaded


def test_files_that_the_record_does_not_know_are_refused(folder):
    run(folder)
    path = min(folder.glob("*_flt.fits"))
    fits.setval(path, "COMMENT", value="edited")
    (folder / "a_provenance.asdf").write_text("no record")
    with pytest.raises(OutputError, match="was aligned before, and this may be its record"):
        run(folder)
