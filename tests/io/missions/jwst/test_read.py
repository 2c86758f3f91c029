from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from grism_align.io.missions import file_source, read_exposure, read_instrument, read_keywords, read_pixels
from grism_align.io.missions.registry import mission_named, mission_of
from grism_align.io.models.open_models import ModelSource, models_of
from grism_align.values.errors import InputError, MissingSoftwareError
from grism_align.values.tracking import Guiding, Motion
from grism_align.workflows.load import load

pytest.importorskip("jwst", reason="needs jwst")
from stdatamodels.jwst import datamodels

from grism_align.io.missions.jwst.headers import PLACES


def test_an_image(paths):
    exposure = read_exposure(paths["image"])
    assert exposure.is_direct
    assert (exposure.instrument, exposure.mount, exposure.filter) == ("niriss", "niriss", "F150W")
    assert exposure.key == "jw01234001001_02101_00001_nis"
    assert exposure.pointing == "jw01234001001_02101_00001"
    assert (exposure.program, exposure.visit) == ("01234", "jw01234001001")
    assert exposure.group == "jw01234001001:N000001:1"
    assert exposure.wavelength == pytest.approx(1.5e-6)
    # 3631 Jy over a pixel of one MJy/sr
    area = (0.0656 / 206264.806) ** 2
    assert exposure.ab_zero_point == pytest.approx(-2.5 * np.log10(1e6 * area / 3631), abs=1e-6)
    assert exposure.chips[0].native_scale == pytest.approx(0.0656)
    assert exposure.tracking.guiding is Guiding.GUIDE_STARS
    assert (exposure.wcs_solution, exposure.is_product) == ("A-PRIORI", False)
    assert np.isnan(exposure.dither_offset).all()


@pytest.mark.parametrize(
    ("kind", "instrument", "element", "chip"),
    [
        ("dispersed", "niriss", "GR150R", 1),
        ("short", "nircam_short", "F162M", 4),
        ("long", "nircam_long", "GRISMR", 1),
    ],
)
def test_other_kinds(paths, kind, instrument, element, chip):
    exposure = read_exposure(paths[kind])
    assert read_instrument(paths[kind]) == instrument
    assert (exposure.instrument, exposure.filter, exposure.chips[0].window.chip) == (
        instrument,
        element,
        chip,
    )
    assert exposure.is_direct == (not element.startswith("GR"))


def test_detectors_of_one_instant_have_one_pointing(paths):
    short, long = (read_exposure(paths[kind]) for kind in ("short", "long"))
    assert (short.pointing, short.mount, short.group) == (long.pointing, long.mount, long.group)
    assert short.key != long.key


def test_what_a_model_says_is_what_its_file_says(paths):
    for path in paths.values():
        source = file_source(path)
        with datamodels.open(path) as model:
            from_model = read_exposure(ModelSource(models_of(model), 0, source.name, source.root))
        from_file = read_exposure(path)
        for name in ("key", "kind", "group", "pointing", "start", "end", "filter", "visit", "wcs_solution"):
            assert getattr(from_model, name) == getattr(from_file, name)
        xy = np.array([[3.0, 5.0], [100.0, 50.0]])
        np.testing.assert_array_equal(from_model.chips[0].wcs.to_sky(xy), from_file.chips[0].wcs.to_sky(xy))


def test_keywords_are_those_of_the_schema():
    model = datamodels.ImageModel()
    for keyword, place in PLACES.items():
        assert f"meta.{place}" in model.find_fits_keyword(keyword)


def test_a_subarray(paths, edit):
    path = edit(paths["image"], subarray__xstart=513, subarray__ystart=257)
    window = read_exposure(path).chips[0].window
    np.testing.assert_allclose(window.to_chip(np.array([[0.0, 0.0]])), [[512.0, 256.0]])


def test_metadata_that_tell_of_the_pointing(paths, edit):
    path = edit(
        paths["image"],
        visit__engdb_pointing_quality="PLANNED",
        guidestar__gs_pcs_mode="COARSE",
        target__type="MOVING",
    )
    tracking = read_exposure(path).tracking
    assert tracking.guiding is Guiding.COARSE
    assert tracking.motion is Motion.MOVING_TARGET
    assert tracking.flags == ("ENGQLPTG PLANNED",)


def test_pixels(paths):
    """What saturated in some reads only has a value."""
    exposure = read_exposure(paths["image"])
    ((chip, pixels),) = read_pixels(exposure)
    assert chip.number == 1
    assert pixels.dq[3, 4:7].tolist() == [1, 0, 3]
    assert np.isnan(pixels.sci[3, 4])
    with fits.open(paths["image"]) as hdus:
        np.testing.assert_array_equal(pixels.err, hdus["ERR"].data)


def test_keywords(paths):
    keywords = read_keywords(read_exposure(paths["image"]))
    assert keywords["TELESCOP"][0] == "JWST"
    assert keywords["PUPIL"][0] == "F150W"


def test_an_exposure_travels(paths):
    exposure = read_exposure(paths["dispersed"])
    again = pickle.loads(pickle.dumps(exposure))
    xy = np.array([[3.0, 5.0]])
    np.testing.assert_array_equal(again.chips[0].wcs.to_sky(xy), exposure.chips[0].wcs.to_sky(xy))


# --- what is refused ---


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("image", {"cal_step__resample": "COMPLETE"}, "a mosaic"),
        ("image", {"exposure__type": "NIS_SOSS"}, "NIS_SOSS"),
        ("image", {"exposure__type": "NIS_IMAGE", "visit__tsovisit": True}, "time series"),
        ("image", {"instrument__detector": "MIRIMAGE"}, "instrument NIRISS/MIRIMAGE"),
        ("image", {"instrument__pupil": "CLEARP"}, "no filter and no grism"),
        ("image", {"wcs": None}, "no WCS"),
        ("dispersed", {"wcs": None}, "dispersed exposure without a WCS"),
        ("image", {"exposure__end_time": 59000.0}, "EXPEND"),
        ("image", {"wcsinfo__roll_ref": None}, "ROLL_REF"),
        ("image", {"observation__visit_id": None}, "VISIT_ID"),
    ],
)
def test_refused(paths, edit, kind, changes, says):
    with pytest.raises(InputError, match=says):
        read_exposure(edit(paths[kind], **changes))


def test_refused_by_name(paths, edit):
    with pytest.raises(InputError, match="a mosaic"):
        read_exposure(edit(paths["image"], "jw01234001001_02101_00001_nis_i2d.fits"))


def test_without_the_asdf_extension(paths, tmp_path):
    path = tmp_path / paths["image"].name
    with fits.open(paths["image"]) as hdus:
        fits.HDUList([hdu for hdu in hdus if hdu.name != "ASDF"]).writeto(path)
    with pytest.raises(InputError, match="ASDF"):
        read_exposure(path)


def test_a_damaged_asdf_extension(paths, tmp_path):
    path = tmp_path / paths["image"].name
    with fits.open(paths["image"]) as hdus:
        data = hdus["ASDF"].data
        data["ASDF_METADATA"][0][:400] = ord("x")
        hdus.writeto(path)
    with pytest.raises(InputError, match="ASDF extension can't be read"):
        read_exposure(path)


@pytest.mark.parametrize("telescope", ["HST", "JWST"])
def test_rewritten_by_grizli(paths, tmp_path, telescope):
    path = tmp_path / paths["image"].name
    with fits.open(paths["image"]) as hdus:
        hdus[0].header["OTELESCO"], hdus[0].header["TELESCOP"] = "JWST", telescope
        hdus.writeto(path)
    assert mission_of(file_source(path)) is mission_named("jwst")
    with pytest.raises(InputError, match="grizli"):
        read_exposure(path)


@pytest.mark.parametrize("how", [read_exposure, lambda path: load([path], bad_input="leave_out")])
def test_without_the_libraries_a_run_ends_at_once(how, paths, monkeypatch):
    monkeypatch.setitem(sys.modules, "stdatamodels", None)
    with pytest.raises(MissingSoftwareError) as caught:
        how(paths["image"])
    assert (caught.value.module, caught.value.extra) == ("stdatamodels", "jwst")


def test_files_of_others_cost_no_imports(direct_path):
    code = (
        "import sys; from grism_align.io.missions import read_exposure;"
        f"read_exposure({str(direct_path)!r});"
        "assert not {'stdatamodels', 'gwcs', 'jwst', 'tweakwcs'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
