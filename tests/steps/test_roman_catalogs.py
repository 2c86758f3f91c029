"""Catalogs that romancal's source catalog step made of images, in place of detection."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from grism_align.simulation import SceneSettings, case_a, score, simulate
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.relative_align_step import RelativeAlignStep
from grism_align.values.errors import InputError, SettingsError

pytest.importorskip("roman_datamodels", reason="needs roman_datamodels")
pytest.importorskip("romancal", reason="needs romancal's source catalog step")
from roman_datamodels import datamodels as rdm
from romancal.associations.asn_from_list import asn_from_list
from romancal.datamodels import ModelLibrary

from grism_align.io.models.open_models import models_of
from tests.support.romancal_catalogs import catalog_step

pytestmark = [
    pytest.mark.slow,
    # models and their copies share open files, which libraries leave to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

RICH = SceneSettings(star_density=400.0, galaxy_density=60.0, star_magnitudes=(17.0, 23.0), star_slope=0.0)
STEPS = {"source_catalog": {"skip": True}, "absolute_align": {"skip": True}, "visit_mosaic": {"skip": True}}


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Two visits, an image and spectra each."""
    plan = replace(case_a("roman_wfi", 200, n_pairs=1, scene=RICH), companions=())
    return simulate(plan, tmp_path_factory.mktemp("data"), np.random.default_rng(4))


@pytest.fixture(scope="module")
def catalogs(field, tmp_path_factory):
    """What the step makes of each image, by its file's name; and the same as files beside the images."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")
        folder = field.paths[0].parent
        step = catalog_step(tmp_path_factory.mktemp("references"), monkeypatch)
        found = {}
        for path in field.paths:
            if "f158" in path.name:
                with rdm.open(path) as model:
                    made, _ = step.call(model, npixels=9, bkg_boxsize=100)
                found[path.name] = made.source_catalog.copy()
                made.save(folder / path.name.replace("_cal.asdf", "_cat.parquet"))
    return found


@pytest.fixture
def blank(field, catalogs, tmp_path):
    """The field without anything in its pixels that could be measured, and its catalogs beside it."""
    folder = tmp_path / "blank"
    folder.mkdir()
    for path in field.paths:
        with rdm.open(path) as model:
            model.data = np.zeros_like(model.data)
            model.save(folder / path.name)
        if path.name in catalogs:
            beside = catalog_of(path)
            shutil.copy(beside, folder / beside.name)
    return folder


def catalog_of(path):
    return path.with_name(path.name.replace("_cal.asdf", "_cat.parquet"))


def opened(folder, held):
    return [held.enter_context(rdm.open(path)) for path in sorted(folder.glob("*_cal.asdf"))]


def assert_aligned(truth, exposures):
    """Some 30 stars on each image, to 0.03 pixel or better each, by the PSF of the simulation."""
    fits = exposures.relative.fits
    found = {one.key: one.corrected(fits[one.key].transform) for one in exposures.direct}
    scores = score(truth, lambda key, _: found.get(key, exposures[key]).chips[0].wcs)
    assert max(scores[key].relative for key in found) < 2.0


def test_files_that_name_their_catalogs(field, catalogs, blank, tmp_path):
    for path in blank.glob("*f158_cal.asdf"):
        with rdm.open(path) as model:
            # as the exposure pipeline leaves it that wrote to a folder
            model.meta["source_catalog"] = {"tweakreg_catalog_name": f"elsewhere/{catalog_of(path).name}"}
            model.save(tmp_path / path.name)
        shutil.move(tmp_path / path.name, path)
    assert_aligned(field, RelativeAlignStep.call([str(path) for path in sorted(blank.glob("*_cal.asdf"))]))


def test_models_with_their_catalogs(field, catalogs, blank):
    """As the exposure pipeline has them before tweakreg: tables, or arrays of other versions."""
    with ExitStack() as held:
        models = opened(blank, held)
        for number, model in enumerate(models):
            table = catalogs.get(str(model.meta.filename))
            if table is not None:
                model.meta["source_catalog"] = {}
                model.meta.source_catalog.tweakreg_catalog = table.as_array() if number == 0 else table
        library = ModelLibrary(models)
        assert GrismAlignPipeline.call(library, steps=STEPS) is library
        assert_aligned(field, models_of(library).kept)


def test_an_association_that_names_catalogs(field, blank):
    """By romancal's own ``asn_from_list``, read by us, and by romancal's library from another folder."""
    names = sorted(path.name for path in blank.glob("*_cal.asdf"))
    made = asn_from_list(names, product_name="field", _tweakreg_catalogs=True)
    for member in made["products"][0]["members"]:
        if "prism" in member["expname"]:
            del member["tweakreg_catalog"]
    path = blank / "field_asn.json"
    path.write_text(made.dump()[1])
    assert_aligned(field, RelativeAlignStep.call(str(path)))
    library = ModelLibrary(path, on_disk=True)
    RelativeAlignStep.call(library)
    assert_aligned(field, models_of(library).kept)


def test_what_has_no_catalog_that_can_be_used(catalogs, blank):
    with ExitStack() as held:
        models = opened(blank, held)
        with pytest.raises(SettingsError, match="source_catalog"):
            GrismAlignPipeline.call(ModelLibrary(models), steps=STEPS)
        for model in models:
            table = catalogs.get(str(model.meta.filename))
            if table is not None:
                found = table.copy()
                found.remove_columns([name for name in found.colnames if "psf" in name])
                model.meta["source_catalog"] = {"tweakreg_catalog": found}
        with pytest.raises(InputError, match=r"model 0.*no positions by the PSF"):
            GrismAlignPipeline.call(ModelLibrary(models), steps=STEPS)
