"""Open models of Roman go in, in lists and libraries; the same comes out, corrected."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import ClassVar

import numpy as np
import pytest

from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.relative_align_step import RelativeAlignStep
from grism_align.steps.source_catalog_step import SourceCatalogStep
from grism_align.values.errors import GrismAlignError, InputError

pytest.importorskip("roman_datamodels", reason="needs roman_datamodels")
pytest.importorskip("romancal", reason="needs romancal's libraries of models")
from roman_datamodels import datamodels as rdm
from romancal.datamodels import ModelLibrary
from romancal.pipeline import MosaicPipeline
from romancal.stpipe import RomanPipeline
from romancal.tweakreg import TweakRegStep

from tests.support.roman_models import roman_field

# models and their copies share open files, which libraries leave to the garbage collector
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

XY = np.array([[0.0, 0.0], [159.0, 12.0], [70.0, 159.0]])


@pytest.fixture(autouse=True)
def _without_crds(monkeypatch, tmp_path):
    """Keep steps from asking for parameters of an instrument, and let libraries put files somewhere."""
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Two visits, an image and spectra each, by two detectors; not to be changed."""
    return roman_field(tmp_path_factory.mktemp("data"), np.random.default_rng(4))


@pytest.fixture(scope="module")
def aligned_folder(field, tmp_path_factory):
    """What a run on the files writes."""
    out = tmp_path_factory.mktemp("out")
    GrismAlignPipeline.call([str(path) for path in field.paths], output_dir=str(out))
    return out


@pytest.fixture(scope="module")
def aligned(field, aligned_folder):
    """The sky of some pixels of each exposure as written from files, by name."""
    names = [path.name for path in field.paths]
    return {name: read_exposure(aligned_folder / name).chips[0].wcs.to_sky(XY) for name in names}


@pytest.fixture(scope="module")
def association(field):
    members = [{"expname": path.name, "exptype": "science"} for path in field.paths]
    path = field.paths[0].parent / "field_asn.json"
    content = {"asn_type": "none", "asn_id": "a1", "asn_pool": "none", "asn_rule": "Asn_Lv2", "program": "99"}
    path.write_text(json.dumps({**content, "products": [{"name": "field", "members": members}]}))
    return path


@pytest.fixture
def models(field):
    with ExitStack() as held:
        yield [held.enter_context(rdm.open(path)) for path in field.paths]


def sky_of(model):
    return np.column_stack(model.meta.wcs(*XY.T, with_bounding_box=False))


def members_of(given):
    if not isinstance(given, ModelLibrary):
        return {str(one.meta.filename): (sky_of(one), one.meta.cal_step.tweakreg) for one in given}
    found = {}
    with given:
        for number, model in enumerate(given):
            found[str(model.meta.filename)] = sky_of(model), model.meta.cal_step.tweakreg
            given.shelve(model, number, modify=False)
    return found


def assert_aligned(given, aligned):
    found = members_of(given)
    assert found.keys() == aligned.keys()
    for name, (sky, status) in found.items():
        assert status == "COMPLETE"
        # 1e-9 deg are 0.004 mas
        np.testing.assert_allclose(sky, aligned[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("form", [list, tuple, ModelLibrary])
def test_what_comes_in_goes_out_corrected(form, models, aligned):
    before = members_of(models)
    given = form(models)
    found = GrismAlignPipeline.call(given)
    assert type(found) is type(given)
    assert_aligned(found, aligned)
    if form is not ModelLibrary:
        # copies were corrected
        for name, (sky, _) in members_of(models).items():
            np.testing.assert_array_equal(sky, before[name][0])


def test_a_library_on_disk(association, aligned):
    library = ModelLibrary(association, on_disk=True)
    assert GrismAlignPipeline.call(library) is library
    assert_aligned(library, aligned)


def test_step_by_step(models, aligned):
    """Sources and fits stay with the library."""
    library = ModelLibrary(models)
    SourceCatalogStep.call(library)
    RelativeAlignStep.call(library)
    found = members_of(library)
    images = {name: sky for name, sky in aligned.items() if "f158" in name}
    for name, sky in images.items():
        np.testing.assert_allclose(found[name][0], sky, rtol=0, atol=1e-9)


class _Pipeline(RomanPipeline):
    class_alias = "roman_pipeline_of_a_test"
    spec = ""
    step_defs: ClassVar = {"tweakreg": TweakRegStep}

    def process(self, dataset):
        """Process as the exposure pipeline does at its end."""
        self.tweakreg.run(dataset)
        return dataset


def test_in_place_of_tweakreg(association, aligned, tmp_path):
    """The hook of romancal's pipelines: the step is skipped, and its library aligned."""
    library = ModelLibrary(association)
    hooks = ["grism_align.integration.align_library"]
    _Pipeline.call(library, steps={"tweakreg": {"skip": True, "post_hooks": hooks}})
    assert_aligned(library, aligned)
    record = read_record(tmp_path / "field_provenance.asdf")
    assert len(record.exposures) == len(aligned)


def test_spectra_get_their_correction_within_a_pipeline(field, aligned, tmp_path):
    """As after assign_wcs: by what the record has of the images of their visit."""
    from grism_align.integration import correct_dispersed

    images = [str(path) for path in field.paths if "f158" in path.name]
    GrismAlignPipeline.call(images, output_dir=str(tmp_path / "images"))
    for path in (path for path in field.paths if "prism" in path.name):
        with rdm.open(path) as model:
            assert correct_dispersed(model, tmp_path / "images") is model
            np.testing.assert_allclose(sky_of(model), aligned[path.name], rtol=0, atol=1e-9)


def test_a_model_is_as_it_was_where_another_can_not_be_corrected(models):
    library = ModelLibrary(models)
    before = members_of(library)
    with library:
        model = library.borrow(1)
        del model.meta["wcs"]
        library.shelve(model, 1)
    with pytest.raises(GrismAlignError, match="no WCS"):
        GrismAlignPipeline.call(library, bad_input="refuse")
    with library:
        for number in (0, 2):
            model = library.borrow(number)
            np.testing.assert_array_equal(sky_of(model), before[str(model.meta.filename)][0])
            assert "grism_align" not in model.meta
            library.shelve(model, number, modify=False)


def test_a_closed_model_is_named(models):
    models[0].close()
    del models[0].meta["exposure"]
    with pytest.raises(InputError, match="model 0"):
        GrismAlignPipeline.call(models, bad_input="refuse")


# --- romancal goes on from there ---


@pytest.fixture
def products(field, aligned_folder):
    """Images as written."""
    return [aligned_folder / path.name for path in field.paths if "f158" in path.name]


def _catalog(truth, model):
    """Stars where they are, as romancal's own catalog has them."""
    from astropy.table import Table

    sky = np.column_stack([truth.catalog["ra"], truth.catalog["dec"]])
    x, y = model.meta.wcs.invert(*sky.T, with_bounding_box=False)
    is_inside = (x > 0) & (x < 159) & (y > 0) & (y < 159)
    return Table({"x_psf": x[is_inside], "y_psf": y[is_inside], "flux": np.ones(is_inside.sum())})


def test_tweakreg_refines_what_was_written(field, products, tmp_path):
    """Its corrector takes the files; where the catalog is where they say, it leaves them."""
    reference = tmp_path / "stars.ecsv"
    stars = field.catalog["ra", "dec"].copy()
    stars.rename_columns(["ra", "dec"], ["RA", "DEC"])
    stars.write(reference, format="ascii.ecsv")
    with ExitStack() as held:
        models = [held.enter_context(rdm.open(path)) for path in products]
        before = [sky_of(model) for model in models]
        for model in models:
            model.meta["source_catalog"] = {"tweakreg_catalog": _catalog(field, model).as_array()}
        library = ModelLibrary(models)
        TweakRegStep.call(
            library, abs_refcat=str(reference), abs_minobj=3, minobj=3, catalog_path=str(tmp_path)
        )
        with library:
            for number, model in enumerate(library):
                assert list(model.meta.wcs.available_frames).count("v2v3corr") == 1
                np.testing.assert_allclose(sky_of(model), before[number], rtol=0, atol=1e-6)
                library.shelve(model, number, modify=False)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_mosaic_pipeline_goes_on_from_the_association_that_is_written(products, aligned_folder):
    [path] = aligned_folder.glob("*_roman_wfi_f158_image_asn.json")
    content = json.loads(path.read_text())
    [product] = content["products"]
    assert sorted(one["expname"] for one in product["members"]) == sorted(one.name for one in products)
    # a mosaic of one detector: between the two are thousands of empty pixels
    product["members"] = [one for one in product["members"] if "wfi01" in one["expname"]]
    one_detector = aligned_folder / "one_asn.json"
    one_detector.write_text(json.dumps(content))
    mosaic, *_ = MosaicPipeline.call(
        str(one_detector), resample_on_skycell=False, steps={"source_catalog": {"skip": True}}
    )
    assert np.isfinite(mosaic.data).any()
    assert mosaic.meta.filename.startswith(product["name"])
