"""What jwst's pipelines call between their steps: images aligned in image3, spectra corrected in spec2."""

from __future__ import annotations

import io
import json
import logging
from typing import ClassVar

import numpy as np
import pytest
from stpipe import crds_client

from grism_align.integration import align_library, correct_dispersed
from grism_align.io.missions import read_exposure
from grism_align.values.errors import InputError

pytest.importorskip("jwst", reason="needs jwst")
from jwst.datamodels import ModelLibrary
from jwst.stpipe import Pipeline, Step
from jwst.tweakreg import TweakRegStep
from stdatamodels.jwst import datamodels

from tests.support import jwst_models as jm
from tests.support.jwst_open import SHARED_FILES, assert_same_sky, sky_of

pytestmark = SHARED_FILES


@pytest.fixture
def field(jwst_field):
    return jwst_field


@pytest.fixture
def aligned(jwst_aligned):
    """The folder of all exposures as aligned from files, with the record."""
    return jwst_aligned


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder for what pipelines write, without CRDS."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(crds_client, "get_context_used", lambda _: "none")
    monkeypatch.delenv("GRISM_ALIGN_RECORD", raising=False)
    return tmp_path


def images(field):
    return [path for path in field.paths if "_cal" in path.name]


def spectra(field):
    return [path for path in field.paths if "_assign_wcs" in path.name]


@pytest.fixture
def association(field):
    """An association as image3 has it: images only."""
    members = [{"expname": path.name, "exptype": "science"} for path in images(field)]
    path = field.paths[0].parent / "image3_asn.json"
    path.write_text(json.dumps({"asn_type": "image3", "products": [{"name": "f150w", "members": members}]}))
    return path


def assert_like_file(model, folder):
    assert_same_sky(sky_of(model), read_exposure(folder / model.meta.filename))


class Image3(Pipeline):
    """As much of image3 as needs no reference files."""

    class_alias = "some_image3"
    step_defs: ClassVar = {"tweakreg": TweakRegStep}
    spec = ""

    def process(self, given):
        return self.tweakreg.run(given)


class FreshWcs(Step):
    """What assign_wcs does: a model without a correction gets its WCS."""

    class_alias = "fresh_wcs"
    spec = ""

    def process(self, given):
        return given


class Spec2(Pipeline):
    """As much of spec2."""

    class_alias = "some_spec2"
    step_defs: ClassVar = {"assign_wcs": FreshWcs}
    spec = ""

    def process(self, given):
        return self.assign_wcs.run(given)


def run_image3(association, **library):
    hook = {"tweakreg": {"skip": True, "post_hooks": ["grism_align.integration.align_library"]}}
    return Image3(steps=hook).run(ModelLibrary(str(association), **library))


def run_spec2(path):
    hook = {"assign_wcs": {"post_hooks": ["grism_align.integration.correct_dispersed"]}}
    return Spec2(steps=hook).run(datamodels.open(path))


@pytest.mark.parametrize("on_disk", [False, True])
def test_image3_with_our_alignment_in_place_of_tweakreg(association, on_disk, here):
    library = run_image3(association, on_disk=on_disk)
    with library:
        for number, model in enumerate(library):
            assert model.meta.cal_step.tweakreg == "COMPLETE"
            assert model.meta.wcs.name == "FIT-GALIGN-NONE"
            library.shelve(model, number, modify=False)
    assert (here / "f150w_provenance.asdf").is_file()


def test_the_pipelines_log_has_what_is_said(field, association, here):
    """By both hooks: jwst's pipelines show what some packages log, one by one."""
    said = io.StringIO()
    shown = logging.StreamHandler(said)
    shown.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    stpipe = logging.getLogger("stpipe")
    level = stpipe.level
    stpipe.addHandler(shown)
    stpipe.setLevel(logging.INFO)
    try:
        run_image3(association)
        assert "grism_align.steps.base: relative_align: " in said.getvalue()
        assert "grism_align.steps.hooks: The record is " in said.getvalue()
        run_spec2(spectra(field)[0])
        assert "ALIGNED" in said.getvalue().rpartition("grism_align.steps.hooks: ")[2]
    finally:
        stpipe.removeHandler(shown)
        stpipe.setLevel(level)


@pytest.mark.parametrize("how", ["variable", "argument", "beside"])
def test_spec2_with_the_correction_on_record(field, aligned, how, here, monkeypatch):
    for path in spectra(field):
        if how == "argument":
            model = correct_dispersed(datamodels.open(path), aligned)
        else:
            if how == "variable":
                monkeypatch.setenv("GRISM_ALIGN_RECORD", str(aligned / "aligned_provenance.asdf"))
            else:
                monkeypatch.chdir(aligned)
            model = run_spec2(path)
        assert model.meta.cal_step.tweakreg == "COMPLETE"
        assert_like_file(model, aligned)


def test_spec2_after_image3(field, aligned, association, here):
    """The record of image3 has images only; spectra get the correction of those of their visit."""
    run_image3(association)
    for path in spectra(field):
        assert_like_file(run_spec2(path), aligned)


def test_a_correction_is_carried_over_to_another_wcs(field, aligned, here):
    """As newer reference files give it: here by a pixel."""
    path = spectra(field)[0]
    model = datamodels.open(path)
    model.meta.wcsinfo.v3_ref += 0.0656
    model.meta.wcs = jm.dispersed_wcs(jm.imaging_wcs(model, jm.NIS))
    before = sky_of(model)
    correct_dispersed(model, aligned)
    assert_like_file(model, aligned)
    assert np.abs(sky_of(model) - before).max() > 1e-6


def test_images_stay_as_they_are(field, aligned, here):
    model = datamodels.open(images(field)[0])
    before = sky_of(model)
    assert correct_dispersed(model, aligned) is model
    np.testing.assert_array_equal(sky_of(model), before)
    assert model.meta.cal_step.tweakreg is None


def test_without_a_record_nothing_is_done(field, here):
    model = datamodels.open(spectra(field)[0])
    with pytest.raises(InputError, match="no record"):
        correct_dispersed(model)
    assert model.meta.cal_step.tweakreg is None


def test_direct_exposures_that_are_gone_are_an_error(field, association, here):
    run_image3(association)
    moved = [path.rename(path.with_suffix(".gone")) for path in images(field)]
    model = datamodels.open(spectra(field)[0])
    try:
        with pytest.raises(InputError, match="not where it was"):
            correct_dispersed(model)
    finally:
        for path in moved:
            path.rename(path.with_suffix(".fits"))
    assert model.meta.cal_step.tweakreg is None


@pytest.mark.parametrize("hook", [align_library, correct_dispersed])
def test_what_is_not_open_is_refused(hook, field):
    with pytest.raises(InputError):
        hook(str(field.paths[0]))
