"""Associations of JWST's pipelines go in; such with which the pipelines go on come out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.workflows.load import load

pytest.importorskip("jwst", reason="needs jwst")
from jwst.associations.load_asn import load_asn
from jwst.datamodels import ModelLibrary

from tests.support import jwst_models as jm

PLAN = [{"NIS": ("CLEAR", "F150W")}, {"NIS": ("GR150C", "F150W")}]


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Two visits, an image and spectra each; not to be changed."""
    return jm.jwst_field(tmp_path_factory.mktemp("data"), [jm.NIS], PLAN, np.random.default_rng(4))


def spec2_of(path):
    name = path.name.replace("_assign_wcs", "_rate")
    members = [{"expname": name, "exptype": "science"}, {"expname": "f_i2d.fits", "exptype": "direct_image"}]
    content = {"asn_type": "spec2", "products": [{"name": "p", "members": members}]}
    association = path.with_name(f"{path.stem}_spec2_asn.json")
    association.write_text(json.dumps(content))
    return str(association)


@pytest.fixture(scope="module")
def associations(field):
    """As spec2 has them, of the spectra of both visits."""
    return [spec2_of(path) for path in field.paths if "_assign_wcs" in path.name]


def test_images_of_the_visit_are_found_beside_spectra(associations):
    found = load(associations[0])
    assert {one.visit for one in found.exposures} == {"jw01234001001"}
    assert [one.is_direct for one in found.exposures] == [True, False]
    both = load(associations)
    assert [one.is_direct for one in both.exposures] == [True, False, True, False]
    assert len({one.group for one in both.exposures}) == 2


def test_pipelines_go_on_from_what_is_written(associations, tmp_path):
    GrismAlignPipeline.call(associations, output_dir=str(tmp_path))
    [image3] = tmp_path.glob("*_image3_asn.json")
    library = ModelLibrary(str(image3))
    with library:
        for number, model in enumerate(library):
            assert model.meta.cal_step.tweakreg == "COMPLETE"
            library.shelve(model, number, modify=False)
    # outliers are found between exposures of different instants
    assert len(library.group_names) == len(library) == 2
    product = json.loads(image3.read_text())["products"][0]["name"]
    spec2 = sorted(tmp_path.glob("*_spec2_asn.json"))
    assert len(spec2) == 2
    for path in spec2:
        with path.open() as stream:
            content = load_asn(stream)
        kinds = {one["exptype"]: one["expname"] for one in content["products"][0]["members"]}
        assert (tmp_path / kinds["science"]).is_file()
        assert kinds["direct_image"] == f"{product}_i2d.fits"
        assert kinds["sourcecat"] == f"{product}_cat.ecsv"
        assert kinds["segmap"] == f"{product}_segm.fits"
    # what was written can be aligned again, the mosaics not yet made
    assert len(load([str(image3), *map(str, spec2)]).exposures) == 4
