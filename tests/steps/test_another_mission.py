"""The whole pipeline on exposures of a mission that an installed package brings, none of them HST's."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.solution import FitStatus
from grism_align.workflows.undo import undo_files
from tests.support.flat_mission import flat_field


@pytest.fixture
def field(install, tmp_path):
    install(flat="tests.support.flat_mission:FLAT")
    return flat_field(tmp_path / "data", np.random.default_rng(7))


def errors(field, folder):
    """How far the written WCSs, by key, have the corners of their detectors from the truth, (4, 2) arcsec."""
    found = {}
    for key, true in field.true.items():
        corners = read_exposure(folder / f"{key}_sky.npz").chips[0].wcs.footprint()
        found[key] = true.plane.to_plane(corners) - true.plane.to_plane(true.footprint())
    return found


@pytest.mark.slow
def test_from_files_to_files(field, tmp_path):
    out = tmp_path / "out"
    steps = {"visit_mosaic": {"skip": False, "scale": 0.1, "make_catalog": False, "flag_exposures": True}}
    result = GrismAlignPipeline.call([str(path) for path in field.paths], output_dir=str(out), steps=steps)
    assert {fit.status for fit in result.total.fits.values()} == {FitStatus.REFERENCE, FitStatus.ALIGNED}
    left = errors(field, out)
    common = left["flat0_0"]
    # the error of the reference, which all have in common, and the noise of some 60 centroids
    assert max(np.abs(one - common).max() for one in left.values()) < 0.005
    before = errors(field, field.paths[0].parent)
    assert np.abs(before["flat1_0"] - before["flat0_0"]).max() > 0.1
    assert (out / "aligned_report.html").is_file()
    assert len(list(out.glob("*_drz_sci.fits"))) == 2
    exposures = read_record(out / "aligned_provenance.asdf").exposures
    assert {one.instrument for one in exposures.values()} == {"flat_cam"}
    undone = undo_files(sorted(out.glob("*_sky.npz")), tmp_path / "undone")
    assert {one.restored for one in undone} == {"PLANNED"}
    for key, one in errors(field, tmp_path / "undone").items():
        np.testing.assert_array_equal(one, before[key])
