"""What a script learns of a run: 0 all as asked, 3 done with reservations, 1 nothing done."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace

import pytest
from astropy.table import Table
from stpipe import Step

from grism_align.steps.absolute_align_step import AbsoluteAlignStep
from grism_align.steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.relative_align_step import RelativeAlignStep
from grism_align.steps.source_catalog_step import SourceCatalogStep
from grism_align.values.errors import ReservationError, SettingsError
from grism_align.values.outcome import ReservationKind
from grism_align.values.record import LeftOut
from grism_align.values.solution import FitStatus
from grism_align.values.tracking import Guiding, Tracking
from grism_align.workflows.outcome import check_reservations, exit_code, reservations

PIPELINE = ["grism_align_pipeline"]


def strun(*arguments):
    """The exit code of strun, which hands its arguments on; errors, which are 1, are raised."""
    try:
        Step.from_cmdline([*PIPELINE, *map(str, arguments), "--report=false"])
    except SystemExit as ended:
        return int(ended.code)
    return 0


@pytest.fixture
def in_strun(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/strun", *PIPELINE])


@pytest.fixture
def elsewhere(field_a, tmp_path):
    """A catalog of another place."""
    stars = Table.read(field_a.catalog)
    stars["dec"] = stars["dec"] + 1.0
    stars.write(tmp_path / "elsewhere.ecsv")
    return tmp_path / "elsewhere.ecsv"


@pytest.fixture
def folder(field_a, tmp_path):
    field_a.copied(tmp_path / "in")
    return tmp_path / "in"


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("in_strun")
def test_all_as_asked(field_a, tmp_path):
    catalog = f"--steps.absolute_align.catalog={field_a.catalog}"
    assert strun(field_a.association, catalog, f"--output_dir={tmp_path / 'out'}", "--fail_on=any") == 0


@pytest.fixture(scope="module")
def measured(field_a):
    """The exposures with their sources."""
    return SourceCatalogStep.call(str(field_a.association), configure_log=False)


def _checked(result, kind):
    """A result has reservations of one kind: refused on request only."""
    found = reservations(result)
    assert kind in [one.kind for one in found]
    assert exit_code(found) == 3
    check_reservations(result, [], in_place=False)
    for asked in ([kind], ["any"], ["left_out", "unreachable", kind]):
        with pytest.raises(ReservationError, match=f"{kind}: "):
            check_reservations(result, asked, in_place=False)


def test_a_catalog_that_ties_nothing(measured, elsewhere):
    aligned = RelativeAlignStep.call(measured, configure_log=False)
    tied = AbsoluteAlignStep.call(aligned, catalog=str(elsewhere), configure_log=False)
    _checked(tied, ReservationKind.NOT_TIED)


def test_a_service_that_can_not_be_reached(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", _refused)
    aligned = RelativeAlignStep.call(measured, configure_log=False)
    settings = {"catalog": "GAIADR3", "retries": 0, "cache_dir": str(tmp_path)}
    _checked(AbsoluteAlignStep.call(aligned, **settings, configure_log=False), ReservationKind.UNREACHABLE)


def _refused(*_):
    raise ConnectionRefusedError


def test_exposures_without_a_fit_of_their_own(measured):
    failed = RelativeAlignStep.call(measured, min_matches=1000, configure_log=False)
    _checked(failed, ReservationKind.FAILED)
    lent = {key: replace(fit, status=FitStatus.PRIOR_ONLY) for key, fit in failed.relative.fits.items()}
    _checked(replace(failed, relative=replace(failed.relative, fits=lent)), ReservationKind.PRIOR_ONLY)


def test_grism_exposures_that_may_be_off_by_more_than_a_fifth_of_a_pixel(measured):
    aligned = RelativeAlignStep.call(measured, configure_log=False)
    found = GrismWCSPropagateStep.call(aligned, dither_error=0.001, drift_error=0.001, configure_log=False)
    assert reservations(found) == ()
    gyros = Tracking(Guiding.GYROS)
    exposures = [each if each.is_direct else replace(each, tracking=gyros) for each in aligned.exposures]
    drifted = replace(aligned, exposures=tuple(exposures))
    _checked(GrismWCSPropagateStep.call(drifted, configure_log=False), ReservationKind.UNCERTAIN)


def test_inputs_that_are_left_out(measured):
    bad = (LeftOut("/data/x_flt.fits", "truncated", "Fetch it again"),)
    _checked(replace(measured, left_out=bad), ReservationKind.LEFT_OUT)


@pytest.mark.usefixtures("in_strun")
def test_nothing_changes_in_place_without_the_catalog_that_was_asked_for(folder, elsewhere):
    before = _contents(folder)
    given = [folder / "field_asn.json", f"--steps.absolute_align.catalog={elsewhere}"]
    with pytest.raises(ReservationError, match="not_tied"):
        strun(*given, "--in_place=true")
    assert _contents(folder) == before
    out = folder.parent / "out"
    assert strun(*given, f"--output_dir={out}") == 3
    assert len(list(out.glob("*_flt.fits"))) == 4


def test_an_unknown_reservation(field_a):
    with pytest.raises(SettingsError, match="fail_on"):
        GrismAlignPipeline.call(str(field_a.association), fail_on="everything", configure_log=False)
