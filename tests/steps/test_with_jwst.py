"""jwst's own steps on what we aligned, in memory: WCSs made anew, mosaics, and spectra cut out."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from stpipe import crds_client

from grism_align.integration import correct_dispersed
from grism_align.io.missions import read_exposure
from grism_align.simulation import case_a, simulate
from grism_align.steps.pipeline import GrismAlignPipeline

pytest.importorskip("jwst", reason="needs jwst")
from jwst.assign_wcs import AssignWcsStep
from jwst.datamodels import ModelLibrary
from jwst.extract_2d.grisms import extract_grism_objects
from jwst.outlier_detection import OutlierDetectionStep
from jwst.resample import ResampleStep
from jwst.skymatch import SkyMatchStep
from jwst.stpipe import Pipeline
from jwst.tweakreg import TweakRegStep
from stdatamodels.jwst import datamodels

from tests.support.jwst_references import write_references

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of jwst's own
]

SIZE = 400


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Two visits, as calibrated, and as they are."""
    plan = case_a("niriss", (SIZE, SIZE), n_visits=2)
    return simulate(plan, tmp_path_factory.mktemp("sim"), np.random.default_rng(3))


@pytest.fixture(scope="module")
def aligned(truth, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    paths = [str(one.path) for one in truth.exposures.values()]
    GrismAlignPipeline.call(paths, output_dir=str(out))
    return out


@pytest.fixture(scope="module")
def references(truth, tmp_path_factory):
    grisms = {one.element for one in truth.exposures.values() if not one.is_direct}
    folder = tmp_path_factory.mktemp("references")
    return {grism: write_references("niriss", grism, folder / grism)["NIS"] for grism in grisms}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder for what pipelines write, without CRDS."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")
    monkeypatch.setattr(crds_client, "get_context_used", lambda _: "none")
    monkeypatch.setattr(crds_client, "get_svn_version", lambda: "none", raising=False)
    monkeypatch.setattr(crds_client, "get_multiple_reference_paths", lambda *_, **__: {})
    # of files that are given
    monkeypatch.setattr(crds_client, "check_reference_open", lambda path: path)


class Spec2(Pipeline):
    """The beginning of spec2."""

    class_alias = "some_spec2"
    step_defs: ClassVar = {"assign_wcs": AssignWcsStep}
    spec = ""

    def process(self, given):
        return self.assign_wcs.run(given)


class Image3(Pipeline):
    """Image3 without its catalog, which needs reference files."""

    class_alias = "some_image3"
    step_defs: ClassVar = {
        "tweakreg": TweakRegStep,
        "skymatch": SkyMatchStep,
        "outlier_detection": OutlierDetectionStep,
        "resample": ResampleStep,
    }
    spec = ""

    def process(self, given):
        for name in self.step_defs:
            given = getattr(self, name).run(given)
        return given


def sky_of(model, xy):
    others = np.full(len(xy), 1.5), np.ones(len(xy))
    return np.column_stack(model.meta.wcs.get_transform("detector", "world")(*xy.T, *others)[:2])


def test_a_wcs_that_assign_wcs_makes_anew_is_corrected(truth, aligned, references, monkeypatch):
    monkeypatch.setenv("GRISM_ALIGN_RECORD", str(aligned))
    xy = np.array([[0.0, 0.0], [300.0, 20.0], [200.0, 399.0]])
    for exposure in truth.exposures.values():
        if exposure.is_direct:
            continue
        given = {**dict.fromkeys(AssignWcsStep.reference_file_types, "N/A"), **references[exposure.element]}
        overrides = {f"override_{name}": path for name, path in given.items()}
        hook = {"sip_approx": False, "post_hooks": ["grism_align.integration.correct_dispersed"]}
        model = datamodels.open(exposure.path)
        model.meta.wcs = None
        found = Spec2(steps={"assign_wcs": {**overrides, **hook}}).run(model)
        assert found.meta.cal_step.instance["assign_wcs"] == "COMPLETE"
        written = read_exposure(aligned / exposure.path.name).chips[0].wcs.to_sky(xy)
        # 0.01 mas
        np.testing.assert_allclose(sky_of(found, xy), written, rtol=0, atol=3e-9)


def test_image3_goes_on_from_a_library(truth):
    images = [datamodels.open(one.path) for one in truth.exposures.values() if one.is_direct]
    hook = {"tweakreg": {"skip": True, "post_hooks": ["grism_align.integration.align_library"]}}
    mosaic = Image3(steps=hook).run(ModelLibrary(images))
    assert mosaic.meta.cal_step.resample == "COMPLETE"
    assert mosaic.meta.cal_step.tweakreg == "COMPLETE"
    assert np.isfinite(mosaic.data).mean() > 0.5


def test_spectra_are_cut_out_where_the_corrected_wcs_says(truth, aligned, references, tmp_path):
    exposure = next(one for one in truth.exposures.values() if not one.is_direct)
    image = next(one for one in truth.exposures.values() if one.is_direct)
    # stars where an aligned image shows them
    stars = truth.scene.sky[truth.scene.mag < 21]
    true = image.chips[1].to_pixel(stars)
    inside = ((true > 100) & (true < SIZE - 100)).all(axis=1)
    sky = read_exposure(aligned / image.path.name).chips[0].wcs.to_sky(true[inside])
    model = datamodels.open(exposure.path)
    correct_dispersed(model, aligned)
    model.meta.source_catalog = str(catalog_of(sky, tmp_path))
    slits = extract_grism_objects(model, reference_files=references[exposure.element]).slits
    assert len(slits) >= 3
    to_grism = model.meta.wcs.get_transform("world", "grism_detector")
    for slit in slits:
        ra, dec = sky[slit.source_id - 1]
        x, y = to_grism(ra, dec, 1.5, slit.meta.wcsinfo.spectral_order)[:2]
        # of the cut-out, the pixel there has the star's position
        own = slit.meta.wcs(x - slit.xstart + 1, y - slit.ystart + 1, with_bounding_box=False)
        np.testing.assert_allclose(own[:2], (ra, dec), rtol=0, atol=0.01 * 0.0656 / 3600)
        assert 0 <= x - slit.xstart + 1 < slit.xsize
        assert 0 <= y - slit.ystart + 1 < slit.ysize
    # and that is where the star is
    rest = np.full(len(sky), 1.5), np.ones(len(sky))
    there = np.column_stack(model.meta.wcs.get_transform("world", "detector")(*sky.T, *rest)[:2])
    off = there - exposure.chips[1].to_pixel(stars[inside])
    assert np.sqrt(np.mean(off**2)) < 0.1


def catalog_of(sky, folder):
    """A catalog as image3 makes it, as far as extract_2d reads it."""
    where = SkyCoord(*sky.T, unit="deg")
    catalog = QTable({"label": np.arange(len(sky)) + 1, "sky_centroid": where})
    for name, value in {
        "xcentroid": 0,
        "ycentroid": 0,
        "isophotal_abmag": 18,
        "isophotal_abmag_err": 0.1,
    }.items():
        catalog[name] = np.full(len(sky), float(value))
    catalog["is_extended"] = np.zeros(len(sky), dtype=bool)
    for corner, (east, north) in {"ll": (1, -1), "lr": (-1, -1), "ul": (1, 1), "ur": (-1, 1)}.items():
        offsets = 0.3 * east * units.arcsec, 0.3 * north * units.arcsec
        catalog[f"sky_bbox_{corner}"] = where.spherical_offsets_by(*offsets)
    catalog.write(folder / "cat.ecsv", format="ascii.ecsv")
    return folder / "cat.ecsv"
