"""Exposures of Roman from files to files, and back; alone, and with those of HST and JWST."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.simulation import SceneSettings, case_a, score, simulate
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.errors import InputError, OutputError
from grism_align.values.solution import FitStatus
from grism_align.workflows.undo import undo_files

pytest.importorskip("roman_datamodels", reason="needs roman_datamodels")
from roman_datamodels import datamodels as rdm

STEPS = {"visit_mosaic": {"skip": True}}
# as many stars on small cuts as on whole detectors
RICH = SceneSettings(star_density=400.0, galaxy_density=60.0, star_magnitudes=(17.0, 23.0), star_slope=0.0)


def wcs_of(paths):
    exposures = [read_exposure(path) for path in paths]
    return {(one.key, chip.number): chip.wcs for one in exposures for chip in one.chips}


def scores_of(truth, folder):
    found = wcs_of(folder / path.name for path in truth.paths)
    return score(truth, lambda key, chip: found[key, chip])


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Two visits, an image and spectra each, by two detectors, and their stars."""
    plan = replace(case_a("roman_wfi", 200, n_pairs=1, scene=RICH), companions=("WFI02",))
    truth = simulate(plan, tmp_path_factory.mktemp("data"), np.random.default_rng(4))
    catalog = truth.paths[0].with_name("stars.ecsv")
    truth.catalog.write(catalog, format="ascii.ecsv")
    return truth, catalog


@pytest.mark.slow
def test_from_files_to_files_and_back(field, tmp_path):
    truth, catalog = field
    out = tmp_path / "out"
    result = GrismAlignPipeline.call(
        [str(path) for path in truth.paths],
        output_dir=str(out),
        headerlets="file",
        steps={**STEPS, "absolute_align": {"catalog": str(catalog)}},
    )
    assert {fit.status for fit in result.total.fits.values()} == {FitStatus.ALIGNED}
    found = scores_of(truth, out)
    # some 40 stars on each detector to 0.02 pixel each, and the catalog's 0.5 mas
    assert max(one.absolute for one in found.values()) < 2.5
    for grism in result.grisms:
        # by the image that its own detector took before it: it shares its place in the field
        assert result.total.fits[grism.key].governors == (truth[grism.key].governor,)
        assert abs(found[grism.key].absolute - found[truth[grism.key].governor].absolute) < 0.1
    record = read_record(out / "aligned_provenance.asdf")
    assert {one.instrument for one in record.exposures.values()} == {"roman_wfi"}
    # an image of the first visit, and spectra of the other detector in the second
    ends = truth.paths[0], truth.paths[-1]
    assert [truth[read_exposure(path).key].is_direct for path in ends] == [True, False]
    for path in ends:
        with rdm.open(out / path.name) as model, rdm.open(out / path.name.replace("_cal", "_wcs")) as alone:
            model.validate()
            np.testing.assert_array_equal(alone.wcs_l2(5.0, 7.0), model.meta.wcs(5.0, 7.0))
    # a correction that is undone would leave a file of a WCS that is no more
    written = [out / path.name for path in ends]
    with pytest.raises(OutputError, match="_wcs"):
        undo_files(written, in_place=True)
    undone = undo_files(written, tmp_path / "undone")
    assert {one.restored for one in undone} == {"A-PRIORI"}
    for path in ends:
        before, after = (read_exposure(folder / path.name) for folder in (path.parent, tmp_path / "undone"))
        np.testing.assert_array_equal(after.chips[0].wcs.footprint(), before.chips[0].wcs.footprint())


def test_what_roman_has_not_is_refused_before_any_work(field, tmp_path):
    truth, _ = field
    paths = [str(path) for path in truth.paths]
    with pytest.raises(InputError, match="attach"):
        GrismAlignPipeline.call(paths, output_dir=str(tmp_path / "out"), headerlets="attach")
    assert not (tmp_path / "out").exists()


def test_a_file_of_the_wcs_is_not_left_behind(field, tmp_path):
    """In place, exposures would have another WCS than the file that romancal made of it."""
    truth, _ = field
    copies = [tmp_path / path.name for path in truth.paths]
    for path, copy in zip(truth.paths, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    beside = copies[2].with_name(copies[2].name.replace("_cal", "_wcs"))
    beside.write_bytes(b"#ASDF 1.0.0")
    with pytest.raises(OutputError, match=beside.name):
        GrismAlignPipeline.call([str(path) for path in copies], in_place=True, steps=STEPS)
    for path, copy in zip(truth.paths, copies, strict=True):
        assert copy.read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_three_telescopes_on_one_frame(tmp_path, monkeypatch):
    """Each by its own parameters, all by one list of stars."""
    pytest.importorskip("stdatamodels", reason="needs stdatamodels for JWST")
    from grism_align.simulation import run
    from grism_align.simulation.scene import draw_scene

    plans = {
        "roman": replace(case_a("roman_wfi", 200, n_pairs=1, n_visits=1), companions=()),
        "hst": case_a("wfc3_ir", 200, n_pairs=1, n_visits=1),
        "jwst": case_a("niriss", 400, n_pairs=1, n_visits=1),
    }
    center = plans["hst"].ra, plans["hst"].dec
    scene = draw_scene(RICH, center, 60.0, 2020.0, np.random.default_rng(8))
    monkeypatch.setattr(run, "_scene", lambda *_: scene)
    truths = {
        name: simulate(plan, tmp_path / name, np.random.default_rng(number))
        for number, (name, plan) in enumerate(plans.items(), start=2)
    }
    catalog, out = tmp_path / "stars.ecsv", tmp_path / "out"
    truths["hst"].catalog.write(catalog, format="ascii.ecsv")
    paths = [str(path) for truth in truths.values() for path in truth.paths]
    result = GrismAlignPipeline.call(
        paths, output_dir=str(out), steps={**STEPS, "absolute_align": {"catalog": str(catalog)}}
    )
    assert len({fit.frame for fit in result.relative.fits.values()}) == 1
    assert {one.telescope.mission for one in result.exposures} == {"hst", "jwst", "roman"}
    for truth in truths.values():
        assert max(one.absolute for one in scores_of(truth, out).values()) < 3.0
