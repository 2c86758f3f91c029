from __future__ import annotations

import numpy as np
import pytest

from grism_align.io.files.checksums import sha256_of
from grism_align.io.missions import check_undo, read_corrections, read_exposure, undo_exposure, write_exposure
from grism_align.values.errors import InputError, OutputError
from grism_align.values.failure import NotAligned
from grism_align.values.mission import HeaderletWanted, WcsLabel
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.sphere import separation
from grism_align.values.transform import LinearTransform

pytest.importorskip("roman_datamodels", reason="needs roman_datamodels")
import asdf
from roman_datamodels import datamodels as rdm
from tweakwcs import RomanWCSCorrector

KINDS = ("image", "dispersed", "other")
LABEL = WcsLabel("GAIA", "FIT-GALIGN-GAIA", 12, (3.0, 4.0), "rshift")
INFO = ("v2_ref", "v3_ref", "roll_ref")


def fit_of(exposure, shift=(0.4, -0.3), roll=0.01):
    transform = LinearTransform.from_parameters(exposure.plane, shift, roll, center=(20.0, 10.0))
    return ExposureFit(FitStatus.ALIGNED, transform, reference="GAIA")


def written(path, target, label=LABEL, headerlet=None, **changes):
    exposure = read_exposure(path)
    fit, before = fit_of(exposure, **changes), sha256_of(path)
    digests = write_exposure(exposure, fit, target, label, headerlet or HeaderletWanted())
    assert (digests.input, digests.output) == (before, sha256_of(target))
    return exposure, fit


def corrector(meta):
    return RomanWCSCorrector(meta.wcs, {name: meta.wcsinfo[name] for name in INFO})


def metadata(path):
    """All metadata but the WCS, the date, and what we say."""

    def flat(tree, place=""):
        for name, value in tree.items():
            if hasattr(value, "items"):
                yield from flat(value, f"{place}{name}.")
            else:
                yield f"{place}{name}", str(value)

    tree = asdf.util.load_yaml(path)["roman"]["meta"]
    return dict(
        flat({name: one for name, one in tree.items() if name not in ("grism_align", "wcs", "file_date")})
    )


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
    _, fit = written(paths[kind], target)
    sky = read_exposure(target).chips[0].wcs
    with rdm.open(target) as model, rdm.open(paths[kind]) as before:
        model.validate()
        for name in ("data", "err", "dq", "var_poisson"):
            assert np.asarray(model[name]).tobytes() == np.asarray(before[name]).tobytes()
        corners = np.array(model.meta.wcsinfo.s_region.split()[2:], dtype=float).reshape(4, 2)
        assert 3.6e6 * separation(corners, sky.footprint()[[0, 3, 2, 1]]).max() < 0.01
        assert model.meta.cal_step.tweakreg == "COMPLETE"
        assert model.meta.wcs.name == "FIT-GALIGN-GAIA"
        assert list(model.meta.wcs.available_frames)[-2:] == ["v2v3corr", "world"]
        own, results = model.meta.grism_align, model.meta.wcs_fit_results
        assert (own["status"], own["catalog"], own["n_matches"]) == ("ALIGNED", "GAIA", 12)
        assert (results["status"], results["nmatches"], results["fitgeom"]) == ("SUCCESS", 12, "rshift")
        assert results["rmse"] == pytest.approx(0.005)
        assert abs(results["proper_rot"]) == pytest.approx(0.01)
        # what romancal refines it with
        assert corrector(model.meta) is not None
    assert fit.is_aligned


def test_arrays_stay_compressed_as_they_were(paths, tmp_path):
    for packing in ("lz4", "zlib", None):
        source, target = tmp_path / f"in_{packing}" / paths["image"].name, tmp_path / f"out_{packing}.asdf"
        source.parent.mkdir()
        with rdm.open(paths["image"]) as model:
            model.to_asdf(source, all_array_compression=packing)
        written(source, target)
        with asdf.open(target) as file:
            assert file.get_array_compression(file["roman"]["data"]) == packing


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
    with rdm.open(path) as model:
        assert list(model.meta.wcs.available_frames).count("v2v3corr") == 1
    assert undo_exposure(path, path).remaining
    xy = first.chips[0].wcs.grid()
    only_first = tmp_path / "first" / path.name
    written(paths["image"], only_first)
    np.testing.assert_array_equal(
        read_exposure(path).chips[0].wcs.to_sky(xy), read_exposure(only_first).chips[0].wcs.to_sky(xy)
    )
    assert metadata(path) == metadata(only_first)
    assert undo_exposure(path, path).restored == "A-PRIORI"


@pytest.mark.parametrize("name", ["", "JWST tangent-plane linear correction. v1"])
def test_romancals_correction_is_kept_and_restored(paths, tmp_path, name):
    """Of today, and of versions that called it as JWST's is."""
    start = tmp_path / paths["image"].name
    with rdm.open(paths["image"]) as model:
        theirs = corrector(model.meta)
        theirs.set_correction([[1, 1e-4], [-1e-4, 1]], [0.2, 0.1])
        theirs.wcs.name = "FIT-LVL2-GAIADR3_S3"
        if name:
            frames = list(theirs.wcs.available_frames)
            theirs.wcs.pipeline[frames.index("v2v3corr") - 1].transform.name = name
        model.meta["wcs"], model.meta.cal_step["tweakreg"] = theirs.wcs, "COMPLETE"
        model.meta["wcs_fit_results"] = {
            "status": "SUCCESS",
            "nmatches": 31,
            "matrix": [[1.0, 0.0], [0.0, 1.0]],
        }
        model.save(start)
    exposure = read_exposure(start)
    assert exposure.wcs_solution == "FIT-LVL2-GAIADR3_S3"
    assert set(exposure.alternates) == {"A-PRIORI"}
    target = tmp_path / "out" / start.name
    written(start, target)
    with rdm.open(target) as model:
        assert corrector(model.meta) is not None
    assert undo_exposure(target, target).restored == "FIT-LVL2-GAIADR3_S3"
    xy = exposure.chips[0].wcs.grid()
    np.testing.assert_array_equal(
        read_exposure(target).chips[0].wcs.to_sky(xy), exposure.chips[0].wcs.to_sky(xy)
    )
    assert metadata(target) == metadata(start)


@pytest.mark.parametrize("change", ["refined", "assigned anew"])
def test_what_others_changed_since_is_not_undone(paths, tmp_path, change):
    target, changed = tmp_path / paths["image"].name, tmp_path / "changed" / paths["image"].name
    changed.parent.mkdir()
    written(paths["image"], target)
    with rdm.open(target) as model, rdm.open(paths["image"]) as before:
        theirs = corrector(model.meta)
        theirs.set_correction(np.eye(2), [0.001, 0.0])
        model.meta["wcs"] = theirs.wcs if change == "refined" else before.meta.wcs
        model.save(changed)
    with pytest.raises(InputError, match="changed by another tool" if change == "refined" else "assign_wcs"):
        undo_exposure(changed, tmp_path / "undone.asdf")
    assert not (tmp_path / "undone.asdf").exists()


@pytest.mark.parametrize("kind", ["image", "dispersed"])
def test_one_that_failed(paths, tmp_path, kind):
    target, exposure = tmp_path / paths[kind].name, read_exposure(paths[kind])
    write_exposure(exposure, ExposureFit.failed(NotAligned()), target, LABEL)
    assert read_corrections(target).is_failed
    with rdm.open(target) as model:
        model.validate()
        assert model.meta.cal_step.tweakreg == "FAILED"
        assert model.meta.wcs_fit_results["status"] == "FAILED"
    again, xy = read_exposure(target), exposure.chips[0].wcs.grid()
    np.testing.assert_array_equal(again.chips[0].wcs.to_sky(xy), exposure.chips[0].wcs.to_sky(xy))
    with pytest.raises(InputError, match="status FAILED"):
        check_undo(target)


def test_the_wcs_by_itself(paths, tmp_path):
    """As romancal makes it: of the calibrated array, and of the raw one, whose border is 4 pixels wide."""
    target, alone = tmp_path / paths["image"].name, tmp_path / "x_wcs.asdf"
    written(paths["image"], target, headerlet=HeaderletWanted(alone))
    with rdm.open(target) as model, rdm.open(alone) as found:
        expected = rdm.WfiWcsModel.from_model_with_wcs(model)
        found.validate()
        assert isinstance(found, rdm.WfiWcsModel)
        assert set(expected.meta) <= set(found.meta)
        assert found.meta.wcs_fit_results["nmatches"] == 12
        for name in ("wcs_l2", "wcs_l1"):
            np.testing.assert_array_equal(found[name](7.0, 9.0), expected[name](7.0, 9.0))
            assert found[name].bounding_box == expected[name].bounding_box
        np.testing.assert_allclose(found.wcs_l1(11.0, 13.0), found.wcs_l2(7.0, 9.0), atol=1e-12)


def test_nothing_is_attached(paths, tmp_path):
    exposure = read_exposure(paths["image"])
    with pytest.raises(InputError, match="attach"):
        write_exposure(exposure, fit_of(exposure), tmp_path / "x.asdf", LABEL, HeaderletWanted(attach=True))
    assert not list(tmp_path.iterdir())


def test_what_is_read_as_another_is_not_written(paths, tmp_path, monkeypatch):
    from grism_align.io.gwcs import correction

    exposure, target = read_exposure(paths["image"]), tmp_path / "kept.asdf"
    target.write_text("as before")
    monkeypatch.setattr(correction, "_set", lambda *_: None)
    with pytest.raises(OutputError, match="read as another"):
        write_exposure(exposure, fit_of(exposure), target, LABEL)
    assert target.read_text() == "as before"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.asdf"]


def test_never_aligned(paths):
    assert read_corrections(paths["image"]).latest == ""
    with pytest.raises(InputError, match="never aligned"):
        check_undo(paths["image"])
