"""The mosaic step: off in the pipeline unless asked for, and drizzled with the final WCSs."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from stpipe import Step

from grism_align.io.provenance import read_provenance
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.visit_mosaic_step import VisitMosaicStep
from grism_align.values.errors import OutputError, SettingsError

SMALL = ["--scale=0.1"]


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
    good = (table["mag_error"] < 0.03) & (table["flags"] == 0)
    return np.median([east[rows, nearest][good], north[rows, nearest][good]], axis=1)


def test_off_unless_asked_for(output_a):
    assert GrismAlignPipeline().visit_mosaic.skip
    assert not VisitMosaicStep().skip
    result, folder = output_a
    assert _mosaics(folder) == []
    assert "visit_mosaic" not in [activity.step for activity in result.activities]


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
    activities = {one["step"]: one for one in read_provenance(out / "field_provenance.asdf")["activities"]}
    assert activities["visit_mosaic"]["counts"]["mosaics"] == 2
    assert activities["visit_mosaic"]["settings"]["scale"] == 0.1
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
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="drizzlepac"):
        VisitMosaicStep.call(str(field_a.association), engine="astrodrizzle", configure_log=False)


def test_a_mosaics_catalog_is_a_reference_that_is_not_replaced(field_a, tmp_path):
    out = tmp_path / "out"
    Step.from_cmdline(["grism_visit_mosaic", str(field_a.association), f"--output_dir={out}", *SMALL])
    catalog = next(out.glob("*-f140w_cat.ecsv"))
    options = [f"--steps.absolute_align.catalog={catalog}", "--steps.visit_mosaic.skip=false"]
    with pytest.raises(OutputError, match="is read"):
        Step.from_cmdline(["grism_align_pipeline", str(field_a.association), f"--output_dir={out}", *options])
    other = GrismAlignPipeline.call(
        str(field_a.association), steps={"absolute_align": {"catalog": str(catalog)}}, configure_log=False
    )
    tied = [fit for fit in other.absolute.fits.values() if fit.is_aligned]
    assert len(tied) == len(other.direct)
    assert max(fit.rms for fit in tied) < 60
