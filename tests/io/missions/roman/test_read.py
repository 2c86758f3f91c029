from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from astropy.time import Time

from grism_align.io.missions import (
    file_source,
    is_exposure,
    read_exposure,
    read_instrument,
    read_keywords,
    read_pixels,
)
from grism_align.io.missions.registry import mission_named, mission_of
from grism_align.io.missions.roman.metadata import Metadata
from grism_align.io.models.open_models import ModelSource, models_of
from grism_align.values.errors import InputError, MissingSoftwareError
from grism_align.values.tracking import Guiding
from grism_align.workflows.load import load

pytest.importorskip("roman_datamodels", reason="needs roman_datamodels")
from roman_datamodels import datamodels as rdm

EXPECTED = {
    "image": ("F158", 1, True),
    "dispersed": ("GRISM", 1, False),
    "other": ("F158", 2, True),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_what_it_is(paths, kind):
    exposure = read_exposure(paths[kind])
    element, detector, is_direct = EXPECTED[kind]
    assert read_instrument(paths[kind]) == exposure.instrument == "roman_wfi"
    assert (exposure.filter, exposure.chips[0].window.chip, exposure.is_direct) == (
        element,
        detector,
        is_direct,
    )
    assert exposure.key == paths[kind].name.removesuffix("_cal.asdf")
    assert exposure.program == "00099"
    assert exposure.rate_unit == "DN/s"
    assert exposure.tracking.guiding is Guiding.GUIDE_STARS


def test_detectors_of_one_instant_have_one_pointing(paths):
    first, other, later = (read_exposure(paths[kind]) for kind in ("image", "other", "dispersed"))
    assert (first.pointing, first.mount, first.group) == (other.pointing, other.mount, other.group)
    assert first.pointing != later.pointing
    assert first.group == later.group
    np.testing.assert_allclose(first.attitude, other.attitude, atol=2e-9)


def test_magnitudes_are_of_the_files_own_factor(paths, edit):
    """One DN is 1.8 electrons; what is calibrated already has another unit."""
    exposure = read_exposure(paths["image"])
    assert exposure.ab_zero_point == pytest.approx(26.38 - 2.5 * np.log10(1.8), abs=1e-3)
    calibrated = read_exposure(edit(paths["image"], cal_step__flux="COMPLETE"))
    assert calibrated.rate_unit == "MJy/sr"
    with rdm.open(paths["image"]) as model:
        factor = model.meta.photometry.conversion_megajanskys
    assert calibrated.ab_zero_point - exposure.ab_zero_point == pytest.approx(2.5 * np.log10(factor))


def test_without_photometry(paths, edit):
    exposure = read_exposure(edit(paths["image"], photometry__pixel_area=-999999.0))
    assert np.isnan(exposure.ab_zero_point)
    assert np.isnan(exposure.chips[0].flux_scale)


def test_what_a_model_says_is_what_its_file_says(paths):
    for path in paths.values():
        source = file_source(path)
        with rdm.open(path) as model:
            from_model = read_exposure(ModelSource(models_of(model), 0, source.name, source.root))
        from_file = read_exposure(path)
        for name in ("key", "kind", "group", "pointing", "start", "end", "filter", "visit", "wcs_solution"):
            assert getattr(from_model, name) == getattr(from_file, name)
        xy = np.array([[3.0, 5.0], [90.0, 50.0]])
        np.testing.assert_array_equal(from_model.chips[0].wcs.to_sky(xy), from_file.chips[0].wcs.to_sky(xy))


def test_the_wcs_is_the_files(paths):
    with rdm.open(paths["image"]) as model:
        expected = np.column_stack(model.meta.wcs([3.0, 80.0], [5.0, 40.0]))
    found = read_exposure(paths["image"]).chips[0].wcs.to_sky([[3.0, 5.0], [80.0, 40.0]])
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_metadata_that_tell_of_the_pointing(paths, edit):
    path = edit(
        paths["image"], pointing__pointing_engineering_source="PLANNED", guide_star__guide_mode="WIM-ACQ"
    )
    tracking = read_exposure(path).tracking
    assert tracking.guiding is Guiding.COARSE
    assert tracking.flags == ("pointing_engineering_source PLANNED",)


@pytest.mark.parametrize(
    "value",
    [
        Time("2027-08-01T00:00:00", scale="utc"),
        "2027-08-01T00:00:00.000",
        {"value": "2027-08-01T00:00:00", "base_format": "isot"},
        {"value": Time("2027-08-01").mjd, "format": "mjd"},
        {"value": "2027-08-01T00:01:09.184", "format": "isot", "scale": "tt"},
    ],
)
def test_times_in_all_their_forms(value):
    meta = Metadata.of_tree("x", {"exposure": {"start_time": value}})
    assert meta.time("exposure.start_time") == pytest.approx(Time("2027-08-01").mjd, abs=1e-9)


def test_names_of_other_times(paths, edit):
    """Of ground tests, and renamed."""
    old = "r0009901001001001001_01101_0001_WFI01_cal.asdf"
    assert read_exposure(edit(paths["image"], old, filename=old)).key == old.removesuffix("_cal.asdf")
    renamed = edit(paths["image"], "mine.asdf", filename="?")
    assert read_exposure(renamed).key == read_exposure(paths["image"]).key
    spectral = edit(paths["dispersed"], exposure__type="WFI_GRISM")
    assert not read_exposure(spectral).is_direct


def test_pixels(paths, tmp_path):
    """Errors have half precision in the file; what saturated in some reads only has a value."""
    path = tmp_path / paths["image"].name
    with rdm.open(paths["image"]) as model:
        model.dq[3, 4:7] = 1, 2, 3
        model.err[3, 5] = np.inf
        model.save(path)
        data, err = np.array(model.data), np.array(model.err)
    ((chip, pixels),) = read_pixels(read_exposure(path))
    assert chip.number == 1
    assert pixels.dq[3, 4:7].tolist() == [1, 0, 3]
    assert pixels.err.dtype == np.float32
    assert pixels.err[3, 5] == 0
    np.testing.assert_array_equal(pixels.sci, data)
    is_known = np.isfinite(err)
    np.testing.assert_array_equal(pixels.err[is_known], err[is_known])


def test_keywords(paths):
    keywords = read_keywords(read_exposure(paths["image"]))
    assert keywords["TELESCOP"][0] == "ROMAN"
    assert keywords["FILTER"][0] == "F158"


def test_an_exposure_travels(paths):
    exposure = read_exposure(paths["dispersed"])
    again = pickle.loads(pickle.dumps(exposure))
    xy = np.array([[3.0, 5.0]])
    np.testing.assert_array_equal(again.chips[0].wcs.to_sky(xy), exposure.chips[0].wcs.to_sky(xy))


# --- what is refused ---


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("image", {"model_type": "MosaicModel"}, "a mosaic"),
        ("image", {"model_type": "MosaicSegmentationMapModel"}, "a segmentation map"),
        ("image", {"model_type": "RampModel"}, "the reads of an exposure"),
        ("image", {"model_type": "ScienceRawModel"}, "a raw exposure"),
        ("image", {"model_type": "WfiWcsModel"}, "without its pixels"),
        ("image", {"exposure__type": "WFI_FLAT"}, "WFI_FLAT"),
        ("image", {"instrument__detector": "WFI19"}, "WFI19"),
        ("image", {"instrument__optical_element": "DARK"}, "no filter, prism or grism"),
        ("image", {"wcs": None}, "no WCS"),
        ("dispersed", {"wcs": None}, "no WCS"),
        ("image", {"exposure__end_time": Time("2020-01-01")}, "exposure.start_time is"),
        ("image", {"exposure__start_time": Time("1990-01-01")}, "exposure.start_time is"),
        ("image", {"exposure__start_time": "yesterday"}, "is no time"),
        ("image", {"exposure__start_time": None}, "no exposure.start_time"),
        ("image", {"wcsinfo__roll_ref": -999999.0}, "wcsinfo.roll_ref"),
        ("image", {"observation__visit_id": "?"}, "observation.visit_id"),
    ],
)
def test_refused(paths, edit, kind, changes, says):
    with pytest.raises(InputError, match=says) as caught:
        read_exposure(edit(paths[kind], **changes))
    assert paths[kind].name in str(caught.value)


def test_a_file_of_a_wcs_alone(paths, tmp_path):
    path = tmp_path / "r0009901001001001001_0001_wfi01_f158_wcs.asdf"
    with rdm.open(paths["image"]) as model:
        rdm.WfiWcsModel.from_model_with_wcs(model).save(path)
    assert is_exposure(path)
    with pytest.raises(InputError, match="without its pixels"):
        read_exposure(path)


@pytest.mark.parametrize("keep", [3000, 60000])
def test_cut_off(paths, tmp_path, keep):
    path = tmp_path / paths["image"].name
    path.write_bytes(paths["image"].read_bytes()[:keep])
    with pytest.raises(InputError, match=path.name):
        list(read_pixels(read_exposure(path)))


def test_a_damaged_tree(paths, tmp_path):
    path = tmp_path / paths["image"].name
    content = paths["image"].read_bytes()
    path.write_bytes(content.replace(b"meta:", b"meat:", 1))
    with pytest.raises(InputError, match="metadata"):
        read_exposure(path)


def test_arrays_that_claim_to_be_huge(paths, tmp_path):
    path, content = tmp_path / paths["image"].name, bytearray(paths["image"].read_bytes())
    place = content.index(b"\xd3BLK")
    content[place + 30 : place + 38] = (1 << 40).to_bytes(8, "big")
    path.write_bytes(content)
    with pytest.raises(InputError, match="larger than"):
        read_exposure(path)


def test_no_asdf_in_spite_of_its_name(tmp_path):
    path = tmp_path / "r0009901001001001001_0001_wfi01_f158_cal.asdf"
    path.write_bytes(b"")
    with pytest.raises(InputError, match="in spite of its name"):
        read_exposure(path)


def test_other_asdf_files_are_of_no_mission(tmp_path):
    import asdf

    path = tmp_path / "other.asdf"
    asdf.AsdfFile({"romance": 1}).write_to(path)
    assert not is_exposure(path)


def test_it_is_romans(paths):
    assert mission_of(file_source(paths["image"])) is mission_named("roman")


@pytest.mark.parametrize("how", [read_exposure, lambda path: load([path], bad_input="leave_out")])
def test_without_the_libraries_a_run_ends_at_once(how, paths, monkeypatch):
    monkeypatch.setitem(sys.modules, "roman_datamodels.datamodels", None)
    with pytest.raises(MissingSoftwareError) as caught:
        how(paths["image"])
    assert caught.value.extra == "roman"


def test_files_of_others_cost_no_imports(direct_path):
    code = (
        "import sys; from grism_align.io.missions import read_exposure;"
        f"read_exposure({str(direct_path)!r});"
        "assert not {'roman_datamodels', 'gwcs', 'romancal', 'tweakwcs'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
