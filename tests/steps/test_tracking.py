"""Exposures on gyros, of a moving target and scans, through the whole pipeline."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from grism_align.io.record.file import read_record
from grism_align.io.report.contents import Contents
from grism_align.io.report.quality_warnings import quality_warnings
from grism_align.simulation import case_a, simulate
from grism_align.simulation.plan import PointingErrors
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.failure import FlaggedByHeaders, Moving, Unguided
from grism_align.values.solution import FitStatus
from grism_align.values.tracking import Guiding, Motion
from grism_align.workflows.summary_table import summary_table

pytestmark = pytest.mark.slow

# arcsec/h: 20 pixels
DRIFT = 20 * 0.1283


def headers(truth, cards):
    """Change primary headers, by root name; all have those of an empty name."""
    for true in truth.exposures.values():
        with fits.open(true.path, mode="update") as hdus:
            hdus[0].header.update(cards.get("", {}) | cards.get(true.key, {}))


def run(truth, folder, **keywords):
    return GrismAlignPipeline.call([str(path) for path in truth.paths], output_dir=str(folder), **keywords)


@pytest.fixture(scope="module")
def drifting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drifting")
    errors = PointingErrors(drift=20.0)
    truth = simulate(case_a(size=300, n_pairs=2, errors=errors), folder / "in", np.random.default_rng(3))
    headers(truth, {"": {"FGSLOCK": "GYROS"}})
    return truth, run(truth, folder / "out"), folder / "out"


def shift_errors(truth, found):
    """By how much shifts are off from the frame of the direct exposures, arcsec."""

    def off(exposure):
        plane = exposure.plane
        true = truth.exposures[exposure.key].correction(plane)
        return found.fit(exposure.key).transform.at(plane).shift - true.shift

    frame = np.mean([off(exposure) for exposure in found.direct], axis=0)
    return {exposure.key: off(exposure) - frame for exposure in found.exposures}


def test_the_claimed_error_grows_with_time_on_gyros(drifting):
    truth, found, _ = drifting
    errors = shift_errors(truth, found)
    for grism in found.grisms:
        fit = found.fit(grism.key)
        claimed = fit.transform.at(grism.plane).axis_error
        assert np.abs(errors[grism.key]).max() < 3 * claimed
        assert any(isinstance(remark, Unguided) for remark in fit.remarks)
        hours = 24 * min(abs(each.mid - grism.mid) for each in found.direct)
        if len(fit.governors) == 1:
            assert 0.3 * DRIFT * hours < claimed < 3 * DRIFT * hours
        else:
            assert claimed < 0.3 * DRIFT * hours
    # the direct exposures' own sources tell where they pointed
    assert max(np.abs(errors[each.key]).max() for each in found.direct) < 2e-3


def test_it_is_told(drifting):
    _, found, folder = drifting
    rows = summary_table(found).splitlines()
    assert "tracking" in rows[0]
    assert sum("guided on gyros" in row for row in rows) == len(found.exposures)
    record = read_record(folder / "aligned_provenance.asdf")
    assert {each.tracking.guiding for each in record.exposures.values()} == {Guiding.GYROS}
    told = [one.text for one in quality_warnings(Contents(record))]
    assert any("guided on gyros" in text for text in told)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moving")
    truth = simulate(case_a(size=300, n_pairs=2), folder / "in", np.random.default_rng(5))
    cards = {
        "idem01a1q": {"MTFLAG": "T"},
        "idem01a4q": {"SCAN_TYP": "C"},
        "idem02a2q": {"EXPFLAG": "INDETERMINATE"},
    }
    headers(truth, cards)
    return truth, folder


def test_moving_targets_and_scans_are_left_out(moving):
    truth, folder = moving
    found = run(truth, folder / "out", report=False)
    for key, motion in (("idem01a1q", Motion.MOVING_TARGET), ("idem01a4q", Motion.SCAN)):
        assert found.fit(key).status is FitStatus.FAILED
        assert found.fit(key).remarks == (Moving(motion.value),)
        assert fits.getval(folder / "out" / f"{key}_flt.fits", "GALIGN") == "FAILED"
    # the next rule gives it a governor
    assert found.fit("idem01a2q").governors == ("idem01a3q",)
    assert found.fit("idem02a2q").remarks == (FlaggedByHeaders(("EXPFLAG INDETERMINATE",)),)


def test_they_are_taken_on_request(moving):
    truth, folder = moving
    take = {name: {"take_moving": True} for name in ("relative_align", "grism_wcs_propagate")}
    found = run(truth, folder / "taken", report=False, steps=take)
    assert all(fit.is_aligned for fit in (found.fit(each.key) for each in found.exposures))
    assert "moving target" in summary_table(found)


def test_nothing_is_left(moving, tmp_path):
    truth, _ = moving
    both = [truth.exposures[key].path for key in ("idem01a1q", "idem01a2q")]
    found = GrismAlignPipeline.call(list(map(str, both)), output_dir=str(tmp_path), report=False)
    assert all(found.fit(each.key).status is FitStatus.FAILED for each in found.exposures)
