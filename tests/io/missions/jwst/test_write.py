from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from grism_align.io.files.checksums import sha256_of
from grism_align.io.missions import check_undo, read_corrections, read_exposure, undo_exposure, write_exposure
from grism_align.values.errors import InputError, OutputError
from grism_align.values.failure import NotAligned
from grism_align.values.mission import HeaderletWanted, WcsLabel
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.sphere import separation
from grism_align.values.transform import LinearTransform

pytest.importorskip("jwst", reason="needs jwst")
from stdatamodels.jwst import datamodels
from tweakwcs import JWSTWCSCorrector

KINDS = ("image", "dispersed", "short", "long")
LABEL = WcsLabel("GAIA", "FIT-GALIGN-GAIA", 12, (1.0, 1.0), "rshift")
ARRAYS = ("SCI", "ERR", "DQ")


def fit_of(exposure, shift=(0.4, -0.3), roll=0.01):
    transform = LinearTransform.from_parameters(exposure.plane, shift, roll, center=(20.0, 10.0))
    return ExposureFit(FitStatus.ALIGNED, transform, reference="GAIA")


def written(path, target, label=LABEL, **changes):
    exposure = read_exposure(path)
    fit, before = fit_of(exposure, **changes), sha256_of(path)
    digests = write_exposure(exposure, fit, target, label)
    assert (digests.input, digests.output) == (before, sha256_of(target))
    return exposure, fit


def metadata(path):
    """All metadata but the WCS, the date, and what we say."""
    with datamodels.open(path) as model:
        tree = {name: value for name, value in model.to_flat_dict().items() if name.startswith("meta.")}
    return {
        name: value
        for name, value in tree.items()
        if not name.startswith("meta.grism_align") and name not in ("meta.wcs", "meta.date")
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_correction_is_what_is_read(paths, tmp_path, kind):
    exposure, fit = written(paths[kind], tmp_path / paths[kind].name)
    again = read_exposure(tmp_path / paths[kind].name)
    sky, xy = exposure.chips[0].wcs, exposure.chips[0].wcs.grid()
    meant = fit.transform.apply_to_sky(sky.to_sky(xy))
    assert 3.6e6 * separation(again.chips[0].wcs.to_sky(xy), meant).max() < 1e-3
    assert again.is_product
    assert again.wcs_solution == "FIT-GALIGN-GAIA"
    np.testing.assert_array_equal(again.alternates["A-PRIORI"].to_sky(xy), sky.to_sky(xy))


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_follows_from_it(paths, tmp_path, kind):
    target = tmp_path / paths[kind].name
    written(paths[kind], target)
    sky = read_exposure(target).chips[0].wcs
    with fits.open(target) as hdus, fits.open(paths[kind]) as before:
        for name in ARRAYS:
            assert hdus[name].data.tobytes() == before[name].data.tobytes()
        header = hdus["SCI"].header
    x, y = WCS(header).all_world2pix(sky.to_sky(sky.grid()), 0).T
    np.testing.assert_allclose(np.column_stack([x, y]), sky.grid(), atol=0.02)
    corners = np.array(header["S_REGION"].split()[2:], dtype=float).reshape(4, 2)
    assert 3.6e6 * separation(corners, sky.footprint()[[0, 3, 2, 1]]).max() < 0.01
    with datamodels.open(target) as model:
        assert model.meta.cal_step.tweakreg == "COMPLETE"
        assert model.meta.wcs.name == "FIT-GALIGN-GAIA"
        own = model.meta.instance["grism_align"]
        assert (own["status"], own["catalog"], own["n_matches"]) == ("ALIGNED", "GAIA", 12)
        info = {name: getattr(model.meta.wcsinfo, name) for name in ("v2_ref", "v3_ref", "roll_ref")}
        JWSTWCSCorrector(model.meta.wcs, info)


@pytest.mark.parametrize("kind", KINDS)
def test_undone_exactly(paths, tmp_path, kind):
    target, back = tmp_path / paths[kind].name, tmp_path / "undone" / paths[kind].name
    exposure, _ = written(paths[kind], target)
    assert read_corrections(target).latest == "FIT-GALIGN-GAIA"
    undone = undo_exposure(target, back)
    assert (undone.undone, undone.restored, undone.remaining) == ("FIT-GALIGN-GAIA", "A-PRIORI", False)
    again, xy = read_exposure(back), exposure.chips[0].wcs.grid()
    np.testing.assert_array_equal(again.chips[0].wcs.to_sky(xy), exposure.chips[0].wcs.to_sky(xy))
    assert metadata(back) == metadata(paths[kind])
    assert read_corrections(back).undone == "FIT-GALIGN-GAIA"
    with pytest.raises(InputError, match="was undone before"):
        check_undo(back)


def test_corrected_again_and_undone_step_by_step(paths, tmp_path):
    path = tmp_path / paths["image"].name
    first, _ = written(paths["image"], path)
    second = WcsLabel("NONE", "FIT-GALIGN-NONE", 5, (1.0, 1.0), "shift")
    written(path, path, second, shift=(0.0, 0.1), roll=0.0)
    found = read_corrections(path)
    assert (found.latest, found.earlier) == ("FIT-GALIGN-NONE", {"FIT-GALIGN-GAIA"})
    with datamodels.open(path) as model:
        assert model.meta.wcs.available_frames.count("v2v3corr") == 1
    assert undo_exposure(path, path).remaining
    xy = first.chips[0].wcs.grid()
    only_first = tmp_path / "first" / path.name
    written(paths["image"], only_first)
    np.testing.assert_array_equal(
        read_exposure(path).chips[0].wcs.to_sky(xy), read_exposure(only_first).chips[0].wcs.to_sky(xy)
    )
    assert undo_exposure(path, path).restored == "A-PRIORI"


def test_the_same_correction_is_not_made_twice(paths, tmp_path):
    path = tmp_path / paths["image"].name
    exposure, fit = written(paths["image"], path)
    # as a run that goes on from a record has it: the WCS before, and the whole correction
    again = type(exposure)(**{**vars(exposure), "source": read_exposure(path).source})
    write_exposure(again, fit, path, LABEL)
    assert not read_corrections(path).earlier


def test_tweakregs_correction_is_kept_and_restored(paths, tmp_path):
    start = tmp_path / paths["image"].name
    with datamodels.open(paths["image"]) as model:
        info = {name: getattr(model.meta.wcsinfo, name) for name in ("v2_ref", "v3_ref", "roll_ref")}
        theirs = JWSTWCSCorrector(model.meta.wcs, info)
        theirs.set_correction([[1, 1e-4], [-1e-4, 1]], [0.2, 0.1])
        theirs.wcs.name = "FIT-LVL3-GAIADR3"
        model.meta.wcs, model.meta.cal_step.tweakreg = theirs.wcs, "COMPLETE"
        model.save(start)
    exposure = read_exposure(start)
    assert exposure.wcs_solution == "FIT-LVL3-GAIADR3"
    assert set(exposure.alternates) == {"A-PRIORI"}
    target = tmp_path / "out" / start.name
    written(start, target)
    assert undo_exposure(target, target).restored == "FIT-LVL3-GAIADR3"
    xy = exposure.chips[0].wcs.grid()
    np.testing.assert_array_equal(
        read_exposure(target).chips[0].wcs.to_sky(xy), exposure.chips[0].wcs.to_sky(xy)
    )
    assert metadata(target) == metadata(start)


@pytest.mark.parametrize("change", ["refined", "assigned anew"])
def test_what_others_changed_since_is_not_undone(paths, tmp_path, change):
    target = tmp_path / paths["image"].name
    written(paths["image"], target)
    with datamodels.open(target) as model, datamodels.open(paths["image"]) as before:
        info = {name: getattr(model.meta.wcsinfo, name) for name in ("v2_ref", "v3_ref", "roll_ref")}
        theirs = JWSTWCSCorrector(model.meta.wcs, info)
        theirs.set_correction(np.eye(2), [0.001, 0.0])
        model.meta.wcs = theirs.wcs if change == "refined" else before.meta.wcs
        model.save(target)
    with pytest.raises(InputError, match="changed by another tool" if change == "refined" else "assign_wcs"):
        undo_exposure(target, tmp_path / "undone.fits")
    assert not (tmp_path / "undone.fits").exists()


@pytest.mark.parametrize("kind", ["image", "dispersed"])
def test_one_that_failed(paths, tmp_path, kind):
    target, exposure = tmp_path / paths[kind].name, read_exposure(paths[kind])
    write_exposure(exposure, ExposureFit.failed(NotAligned()), target, LABEL)
    assert read_corrections(target).is_failed
    with datamodels.open(target) as model:
        assert model.meta.cal_step.tweakreg == "FAILED"
        assert model.meta.instance["grism_align"]["status"] == "FAILED"
    again, xy = read_exposure(target), exposure.chips[0].wcs.grid()
    np.testing.assert_array_equal(again.chips[0].wcs.to_sky(xy), exposure.chips[0].wcs.to_sky(xy))
    with pytest.raises(InputError, match="status FAILED"):
        check_undo(target)


def test_headerlets_are_refused(paths, tmp_path):
    exposure = read_exposure(paths["image"])
    with pytest.raises(InputError, match="headerlets"):
        write_exposure(exposure, fit_of(exposure), tmp_path / "x.fits", LABEL, HeaderletWanted(attach=True))
    assert not list(tmp_path.iterdir())


def test_what_is_read_as_another_is_not_written(paths, tmp_path, monkeypatch):
    from grism_align.io.gwcs import correction

    exposure, target = read_exposure(paths["image"]), tmp_path / "kept.fits"
    target.write_text("as before")
    monkeypatch.setattr(correction, "_set", lambda *_: None)
    with pytest.raises(OutputError, match="read as another"):
        write_exposure(exposure, fit_of(exposure), target, LABEL)
    assert target.read_text() == "as before"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.fits"]


def test_never_aligned(paths):
    assert read_corrections(paths["image"]).latest == ""
    with pytest.raises(InputError, match="never aligned"):
        check_undo(paths["image"])
