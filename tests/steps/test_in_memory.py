"""Open models of JWST go in, alone, in lists, containers and libraries; the same comes out, corrected."""

from __future__ import annotations

import gc
import json
import weakref
from contextlib import ExitStack
from typing import ClassVar

import numpy as np
import pytest
from stpipe import crds_client

from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.relative_align_step import RelativeAlignStep
from grism_align.steps.source_catalog_step import SourceCatalogStep
from grism_align.values.errors import (
    AssociationError,
    GrismAlignError,
    InputError,
    LendingError,
    SettingsError,
)

pytest.importorskip("jwst", reason="needs jwst")
from jwst.datamodels import ModelContainer, ModelLibrary
from jwst.stpipe import Pipeline
from stdatamodels.jwst import datamodels

from tests.support.jwst_open import PIXELS, SHARED_FILES, assert_same_sky, sky_of

pytestmark = SHARED_FILES


@pytest.fixture
def field(jwst_field):
    return jwst_field


@pytest.fixture
def aligned(jwst_field, jwst_aligned):
    """Each exposure as written from files, by name."""
    return {path.name: read_exposure(jwst_aligned / path.name) for path in jwst_field.paths}


@pytest.fixture
def association(field):
    """An association as image3 has it."""
    members = [{"expname": path.name, "exptype": "science"} for path in field.paths]
    path = field.paths[0].parent / "field_asn.json"
    content = {"asn_type": "image3", "asn_id": "a1", "products": [{"name": "field", "members": members}]}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def models(field):
    with ExitStack() as held:
        yield [held.enter_context(datamodels.open(path)) for path in field.paths]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Libraries put their temporary files into the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def members_of(given):
    """What is checked of each model, by name: where it has pixels, and its status."""
    if not isinstance(given, ModelLibrary):
        return {one.meta.filename: (sky_of(one), one.meta.cal_step.tweakreg) for one in given}
    found = {}
    with given:
        for number, model in enumerate(given):
            found[model.meta.filename] = sky_of(model), model.meta.cal_step.tweakreg
            given.shelve(model, number, modify=False)
    return found


def assert_aligned(given, aligned):
    found = members_of(given)
    assert found.keys() == aligned.keys()
    for name, (sky, status) in found.items():
        assert status == "COMPLETE"
        assert_same_sky(sky, aligned[name])


FORMS = {
    "list": list,
    "tuple": tuple,
    "container": ModelContainer,
    "library": ModelLibrary,
}


@pytest.mark.parametrize("form", FORMS)
def test_what_comes_in_goes_out_corrected(form, models, aligned):
    before = members_of(models)
    given = FORMS[form](models)
    found = GrismAlignPipeline.call(given)
    assert type(found) is type(given)
    assert_aligned(found, aligned)
    assert (found is given) == (form == "library")
    if form != "library":
        for name, (sky, status) in members_of(given).items():
            np.testing.assert_array_equal(sky, before[name][0])
            assert status is None


def test_a_library_on_disk(association, aligned, here):
    library = ModelLibrary(str(association), on_disk=True)
    assert GrismAlignPipeline.call(library) is library
    assert_aligned(library, aligned)


def test_no_model_of_a_library_on_disk_stays_in_memory(association, monkeypatch, here):
    """Nor its WCS, which holds what it was read from; the steps keep none from one to the next."""
    opened, left = [], {}
    lend = ModelLibrary._datamodels_open

    def watched(*args, **kwargs):
        model = lend(*args, **kwargs)
        opened.extend([weakref.ref(model), weakref.ref(model.meta.wcs)])
        return model

    def looking_back(step, run):
        def wrapped(*args: object):
            result = run(*args)
            gc.collect()
            left[step] = [one() for one in opened if one() is not None]
            return result

        return wrapped

    monkeypatch.setattr(ModelLibrary, "_datamodels_open", watched)
    for step, kind in GrismAlignPipeline.step_defs.items():
        monkeypatch.setattr(kind, "work", looking_back(step, kind.work))
    library = ModelLibrary(str(association), on_disk=True)
    GrismAlignPipeline.call(library, output_dir=str(here), steps={"visit_mosaic": {"skip": False}})
    assert left == {step: [] for step in GrismAlignPipeline.step_defs}
    gc.collect()
    assert opened
    assert all(one() is None for one in opened)


def test_a_library_stays_open_to_whoever_opened_it(models, aligned):
    library = ModelLibrary(models)
    with library:
        GrismAlignPipeline.call(library)
        model = library.borrow(0)
        library.shelve(model, 0)
    assert_aligned(library, aligned)


def test_one_model(models):
    found = GrismAlignPipeline.call(models[0])
    assert found.meta.cal_step.tweakreg == "COMPLETE"
    assert models[0].meta.cal_step.tweakreg is None


@pytest.mark.parametrize("form", ["container", "library"])
def test_steps_go_on_from_each_other(form, models, aligned):
    found = FORMS[form](models)
    for step in (SourceCatalogStep, RelativeAlignStep, GrismWCSPropagateStep):
        found = step.call(found)
    assert_aligned(found, aligned)


def test_a_step_does_not_go_on_from_what_was_changed(models):
    library = ModelLibrary(models)
    SourceCatalogStep.call(library)
    with library:
        model = library.borrow(0)
        model.meta.wcs = models[2].meta.wcs
        library.shelve(model, 0)
    with pytest.raises(SettingsError):
        RelativeAlignStep.call(library)


class Surroundings(Pipeline):
    """A pipeline of jwst's with a step of ours in it."""

    class_alias = "surroundings"
    step_defs: ClassVar = {"grism_align": GrismAlignPipeline}
    spec = ""

    def process(self, given):
        return self.grism_align.run(given)


@pytest.mark.parametrize("form", ["list", "library"])
def test_a_step_of_a_pipeline_of_jwst_corrects_in_place(form, models, aligned, monkeypatch):
    monkeypatch.setattr(crds_client, "get_context_used", lambda _: "none")
    given = FORMS[form](models)
    step = Surroundings()
    found = step.run(given)
    assert found is given
    assert_aligned(found, aligned)
    # as the parameter file of NIRISS has them
    assert step.grism_align.relative_align.dither_error == 0.01
    assert step.grism_align.source_catalog.contrast == 3.0


def test_models_and_results_are_saved_where_that_is_asked_for(models, aligned, tmp_path):
    GrismAlignPipeline.call(models, output_dir=str(tmp_path / "out"))
    for name, exposure in aligned.items():
        written = read_exposure(tmp_path / "out" / name)
        assert_same_sky(written.chips[0].wcs.to_sky(PIXELS), exposure)
    record = read_record(tmp_path / "out" / "aligned_provenance.asdf")
    assert {(one.input.path, one.input.sha256) for one in record.exposures.values()} == {
        (name, "") for name in aligned
    }


def test_what_cannot_be_aligned_is_failed(models):
    models[0].data[:] = np.random.default_rng(1).normal(0, 0.1, models[0].shape)
    found = GrismAlignPipeline.call(models)
    status = [one.meta.cal_step.tweakreg for one in found]
    assert status[0] == "FAILED"
    assert "v2v3corr" not in found[0].meta.wcs.available_frames


def test_what_is_left_out_is_failed(models):
    models[3].meta.wcs = None
    found = GrismAlignPipeline.call(ModelLibrary(models))
    status = [value for _, value in members_status(found)]
    assert status == ["COMPLETE", "COMPLETE", "COMPLETE", "FAILED"]


def members_status(library):
    with library:
        for number, model in enumerate(library):
            yield model.meta.filename, model.meta.cal_step.tweakreg
            library.shelve(model, number, modify=False)


def without_wcs(models):
    models[1].meta.wcs = None


def without_v2v3(models):
    import gwcs

    wcs = models[0].meta.wcs
    world = wcs.get_transform("detector", "world")
    models[0].meta.wcs = gwcs.WCS([("detector", world), (wcs.output_frame, None)])


def of_one_name(models):
    models[1] = models[0].copy()


def closed(models):
    models[0].close()
    models[0].meta.instrument.name = "MIRI"


def of_three_axes(models):
    models[0] = datamodels.CubeModel((2, 16, 16))
    models[0].meta.telescope = "JWST"


@pytest.mark.parametrize("damage", [without_wcs, without_v2v3, of_one_name, closed, of_three_axes])
def test_bad_input_changes_nothing(damage, models):
    """Of one visit, of which nothing is left out."""
    ours = models[:2]
    damage(ours)
    library = ModelLibrary(ours)
    with pytest.raises(InputError):
        GrismAlignPipeline.call(library)
    assert {status for _, status in members_status(library)} == {None}


@pytest.mark.parametrize("bad_input", ["auto", "leave_out", "refuse"])
def test_a_borrowed_model_is_an_error(bad_input, models):
    library = ModelLibrary(models)
    with library:
        model = library.borrow(1)
        with pytest.raises(LendingError):
            GrismAlignPipeline.call(library, bad_input=bad_input)
        library.shelve(model, 1)
    assert {status for _, status in members_status(library)} == {None}


def test_a_library_whose_file_is_gone_is_given_back_whole(association, field, here):
    library = ModelLibrary(str(association), on_disk=True)
    moved = field.paths[1].rename(field.paths[1].with_suffix(".gone"))
    try:
        with pytest.raises(LendingError):
            GrismAlignPipeline.call(library)
    finally:
        moved.rename(field.paths[1])
    assert {status for _, status in members_status(library)} == {None}


def test_files_and_models_are_not_mixed(models, field):
    with pytest.raises(InputError):
        GrismAlignPipeline.call([models[0], str(field.paths[1])])


def test_open_models_are_not_replaced_in_place(models):
    with pytest.raises(SettingsError):
        GrismAlignPipeline.call(models, in_place=True)


def test_a_mistake_in_one_leaves_all_as_they_were(models, monkeypatch):
    from grism_align.io.missions.jwst import correct

    before = members_of(models)
    library, calls = ModelLibrary(models), []
    update = correct._update_fits_wcs

    def failing(model):
        calls.append(model)
        if len(calls) == 3:
            raise GrismAlignError
        update(model)

    monkeypatch.setattr(correct, "_update_fits_wcs", failing)
    with pytest.raises(GrismAlignError):
        GrismAlignPipeline.call(library)
    assert len(calls) == 3
    for name, (sky, status) in members_of(library).items():
        np.testing.assert_array_equal(sky, before[name][0])
        assert status is None


def test_the_name_of_a_product_is_that_of_the_association(association, here):
    library = ModelLibrary(str(association))
    GrismAlignPipeline.call(library, output_dir="out")
    assert (here / "out" / "field_provenance.asdf").is_file()


def test_a_product_without_a_safe_name_is_refused(models):
    library = ModelLibrary(models)
    library._asn["products"][0]["name"] = "a/b"
    with pytest.raises(AssociationError):
        GrismAlignPipeline.call(library)
