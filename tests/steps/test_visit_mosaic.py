"""The mosaic step: part of the pipeline unless it is left out, and drizzled with the final WCSs."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from stpipe import Step

from grism_align.io.files.checksums import sha256_of
from grism_align.io.record.file import read_record
from grism_align.simulation import SceneSettings, case_a
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.visit_mosaic_step import VisitMosaicStep
from grism_align.values.errors import InputError, OutputError, SettingsError
from tests.support.fields import make_field

SMALL = ["--scale=0.1"]

#: Some stars of each exposure, and hardly a galaxy.
SPARSE = SceneSettings(star_density=200.0, galaxy_density=10.0)


def _mosaics(folder):
    return sorted(path.name for path in folder.iterdir() if "_drz_" in path.name)


def _cos(table):
    return np.cos(np.radians(table["dec"]))


def _offset(table, truth):
    """Median offset of a mosaic's bright sources from the nearest true position, mas."""
    east = (np.asarray(table["ra"])[:, None] - truth["ra"]) * _cos(table)[:, None] * 3.6e6
    north = (np.asarray(table["dec"])[:, None] - truth["dec"]) * 3.6e6
    nearest = np.argmin(np.hypot(east, north), axis=1)
    rows = np.arange(len(table))
    good = (table["mag_error"] < 0.08) & (table["flags"] == 0)
    return np.median([east[rows, nearest][good], north[rows, nearest][good]], axis=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two visits that are simulated in a moment."""
    return make_field(case_a(size=96, n_pairs=1, scene=SPARSE), tmp_path_factory.mktemp("small"))


@pytest.mark.usefixtures("everything_by_default")
def test_made_by_default(small, tmp_path):
    assert not GrismAlignPipeline().visit_mosaic.skip
    result = GrismAlignPipeline.call(str(small.association), output_dir=str(tmp_path))
    names = [one.plan.name for one in result.mosaics]
    assert len(names) == 2
    assert _mosaics(tmp_path) == [f"{name}_drz_{part}.fits" for name in names for part in ("sci", "wht")]
    record = read_record(tmp_path / "field_provenance.asdf")
    assert all(one.picture.shape == one.plan.grid.shape for one in record.mosaics)
    page = (tmp_path / "field_report.html").read_text(encoding="utf-8")
    assert page.count('<img class="mosaic"') == 2


@pytest.mark.usefixtures("everything_by_default")
def test_left_out_on_request(small, tmp_path):
    GrismAlignPipeline.call(
        str(small.association), output_dir=str(tmp_path), steps={"visit_mosaic": {"skip": True}}
    )
    assert _mosaics(tmp_path) == []
    record = read_record(tmp_path / "field_provenance.asdf")
    assert record.activity("visit_mosaic") is None


def _in_counts(path):
    with fits.open(path, mode="update") as hdus:
        for hdu in hdus:
            if hdu.name in {"SCI", "ERR"}:
                hdu.header["BUNIT"] = "COUNTS/S"


@pytest.mark.usefixtures("everything_by_default")
def test_what_hinders_mosaics_hinders_nothing_else(tmp_path):
    """Exposures in two units can't be stacked, and can be aligned."""
    field, out = make_field(case_a(size=96, n_pairs=2, n_visits=1, scene=SPARSE), tmp_path), tmp_path / "out"
    _in_counts(field.truth.paths[0])
    GrismAlignPipeline.call(str(field.association), output_dir=str(out))
    activity = read_record(out / "field_provenance.asdf").activity("visit_mosaic")
    assert activity.outcome == "skipped"
    assert "pixels are in" in activity.note
    assert len(list(out.glob("*_flt.fits"))) == 4
    with pytest.raises(InputError):
        VisitMosaicStep.call(str(field.association), output_dir=str(tmp_path / "alone"))


@pytest.mark.usefixtures("everything_by_default")
def test_huge_mosaics_are_left_to_who_asks_for_them(small, tmp_path, monkeypatch):
    monkeypatch.setattr("grism_align.workflows.mosaics.checks.MOST_PIXELS", 1000)
    result = GrismAlignPipeline.call(str(small.association), output_dir=str(tmp_path / "out"))
    activity = next(one for one in result.activities if one.step == "visit_mosaic")
    assert activity.outcome == "skipped"
    assert "GB" in activity.note
    alone = VisitMosaicStep.call(str(small.association), output_dir=str(tmp_path / "alone"))
    assert len(alone.mosaics) == 2


@pytest.mark.usefixtures("everything_by_default")
def test_a_mistake_in_mosaics_costs_no_results(small, tmp_path, monkeypatch):
    def fail(*arguments):
        msg = "a cat on the keyboard"
        raise ZeroDivisionError(msg)

    monkeypatch.setattr("grism_align.workflows.mosaics.make.make_mosaics", fail)
    GrismAlignPipeline.call(str(small.association), output_dir=str(tmp_path))
    activity = read_record(tmp_path / "field_provenance.asdf").activity("visit_mosaic")
    assert (activity.outcome, activity.note) == ("skipped", "ZeroDivisionError: a cat on the keyboard")
    assert len(list(tmp_path.glob("*_flt.fits"))) == 4


@pytest.mark.slow
def test_in_the_pipeline_mosaics_are_on_the_final_frame(field_a, tmp_path):
    """The true catalog, 0.3 to 1.5 arcsec away, is where the mosaics' sources are."""
    out = tmp_path / "out"
    options = ["--steps.visit_mosaic.skip=false", "--steps.visit_mosaic.scale=0.1"]
    options.append(f"--steps.absolute_align.catalog={field_a.catalog}")
    Step.from_cmdline(["grism_align_pipeline", str(field_a.association), f"--output_dir={out}", *options])
    assert len(_mosaics(out)) == 4
    truth = Table.read(field_a.catalog)
    for path in out.glob("*-f140w_cat.ecsv"):
        assert np.abs(_offset(Table.read(path), truth)).max() < 15
    activities = {one.step: one for one in read_record(out / "field_provenance.asdf").activities}
    assert activities["visit_mosaic"].counts["mosaics"] == 2
    assert activities["visit_mosaic"].settings["scale"] == 0.1
    # run alone on what was written, they are the same
    again = tmp_path / "again"
    Step.from_cmdline(["grism_visit_mosaic", str(out / "field_asn.json"), f"--output_dir={again}", *SMALL])
    assert _mosaics(again) == _mosaics(out)
    for path in out.glob("*-f140w_cat.ecsv"):
        assert np.abs(_offset(Table.read(again / path.name), truth)).max() < 15


def test_mistakes_are_told_before_any_work(field_a, tmp_path, monkeypatch):
    missing = tmp_path / "none.fits"
    arguments = ["grism_visit_mosaic", str(field_a.association), f"--output_dir={tmp_path / 'out'}"]
    with pytest.raises(Exception, match=r"none\.fits"):
        Step.from_cmdline([*arguments, f"--grid_image={missing}"])
    monkeypatch.setattr("grism_align.algorithms.mosaics.cosmic_rays.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"grism_align\[cosmicrays\]") as refused:
        VisitMosaicStep.call(str(field_a.association), cosmic_rays="laplacian", configure_log=False)
    assert (refused.value.name, refused.value.value) == ("cosmic_rays", "laplacian")


def test_a_mosaics_catalog_is_a_reference_that_is_not_replaced(field_a, tmp_path):
    out = tmp_path / "out"
    Step.from_cmdline(["grism_visit_mosaic", str(field_a.association), f"--output_dir={out}", *SMALL])
    catalog = next(out.glob("*-f140w_cat.ecsv"))
    before = catalog.read_bytes()
    steps = {"absolute_align": {"catalog": str(catalog)}, "visit_mosaic": {"skip": False}}
    other = GrismAlignPipeline.call(
        str(field_a.association), output_dir=str(out), steps=steps, configure_log=False
    )
    assert catalog.read_bytes() == before
    activity = next(one for one in other.activities if one.step == "visit_mosaic")
    assert activity.outcome == "skipped"
    assert "is read" in activity.note
    tied = [fit for fit in other.absolute.fits.values() if fit.is_aligned]
    assert len(tied) == len(other.direct)
    assert max(fit.rms for fit in tied) < 60


@pytest.mark.slow
def test_rays_are_flagged_in_what_is_written(field_a, tmp_path):
    """The record has the checksums of the final files and the mosaics; inputs are as they were."""
    pytest.importorskip("astroscrappy")
    before = {path: sha256_of(path) for path in field_a.association.parent.glob("*_fl?.fits")}
    out = tmp_path / "out"
    options = ["--steps.visit_mosaic.skip=false", "--steps.visit_mosaic.flag_exposures=true"]
    options += ["--steps.visit_mosaic.scale=0.1", "--steps.visit_mosaic.cosmic_rays=laplacian"]
    Step.from_cmdline(["grism_align_pipeline", str(field_a.association), f"--output_dir={out}", *options])
    assert {path: sha256_of(path) for path in before} == before
    record = read_record(out / "field_provenance.asdf")
    flagged = 0
    for key, entry in record.exposures.items():
        written = out / f"{key}_flt.fits"
        assert entry.output.sha256 == sha256_of(written)
        old, new = fits.getdata(entry.input.path, "DQ"), fits.getdata(written, "DQ")
        assert np.array_equal(new & ~4096, old & ~4096)
        if entry.is_direct:
            flagged += int((new & 4096 > 0).sum())
    counts = {one.step: one.counts for one in record.activities}["visit_mosaic"]
    assert flagged == counts["cosmic_ray_pixels"] > 0
    assert sum(one.n_sources for one in record.mosaics) == counts["sources"]
    for mosaic in record.mosaics:
        assert {name: sha256_of(out / name) for name in mosaic.files} == mosaic.files
        assert fits.getdata(out / f"{mosaic.plan.name}_drz_sci.fits").shape == mosaic.plan.grid.shape
    # what was written goes on from its record
    again = tmp_path / "again"
    Step.from_cmdline(["grism_visit_mosaic", str(out / "field_asn.json"), f"--output_dir={again}", *SMALL])
    assert _mosaics(again) == _mosaics(out)


def test_all_or_nothing_of_the_mosaics_as_well(field_a, tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("grism_align.workflows.results.products.association_text", failing)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(OutputError, match="No space left"):
        VisitMosaicStep.call(str(field_a.association), output_dir=str(out), scale=0.1, configure_log=False)
    assert list(out.iterdir()) == []


def test_a_mosaics_catalog_is_the_reference_of_another_visit(field_a, tmp_path):
    """The second visit comes onto the frame of the first, errors of its guide stars included."""
    first, second = ([p for p in field_a.truth.paths if p.name[4:6] == visit] for visit in ("01", "02"))
    Step.from_cmdline(["grism_visit_mosaic", *map(str, first), f"--output_dir={tmp_path}", *SMALL])
    catalog = next(tmp_path.glob("*-f140w_cat.ecsv"))
    found = GrismAlignPipeline.call(
        [str(path) for path in second],
        steps={"absolute_align": {"catalog": str(catalog)}},
        configure_log=False,
    )
    [exposure] = found.direct
    key = next(path.name[:9] for path in first if path.name[:9] in catalog_keys(catalog))
    plane = exposure.plane
    onto_sky = field_a.truth[exposure.key].correction(plane)
    from_sky = field_a.truth[key].correction(plane).inverted()
    written = exposure.chips[0].wcs.footprint()
    wanted = from_sky.apply_to_sky(onto_sky.apply_to_sky(written))
    got = found.fit(exposure.key).transform.apply_to_sky(written)
    offset = 1e3 * (plane.to_plane(got) - plane.to_plane(wanted))
    assert np.abs(1e3 * (plane.to_plane(wanted) - plane.to_plane(written))).max() > 500
    assert np.abs(offset.mean(axis=0)).max() < 10
    assert np.abs(offset).max() < 30


def catalog_keys(path):
    """Exposures that a mosaic's catalog is of."""
    return Table.read(path).meta["exposures"]
