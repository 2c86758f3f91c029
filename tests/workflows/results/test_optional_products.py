"""What is to look at beside the results: on request, together with them, never at their cost."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from grism_align.io import report
from grism_align.io.missions import file_source, read_exposure
from grism_align.io.record.file import read_record
from grism_align.values.errors import OutputError
from grism_align.workflows.results import optional_products as extras
from grism_align.workflows.results import stamps as stamps_module
from grism_align.workflows.results.checks import check_destination
from grism_align.workflows.results.destination import Destination
from grism_align.workflows.results.write import write_results
from tests.support.associations import write_exposure
from tests.support.executors import HERE
from tests.support.plots import have_plots
from tests.support.reports import field
from tests.support.reports import stamps as pictures
from tests.support.strategies import assert_same


@pytest.fixture
def exposures(tmp_path):
    """A visit whose files exist."""
    found = field(n_visits=1)
    files = []
    for one in found.exposures:
        path = write_exposure(tmp_path / "in", one.key, 0, "F140W" if one.is_direct else "G141")
        files.append(replace(one, source=file_source(path), chips=read_exposure(path).chips))
    return replace(found, exposures=tuple(files))


def _write(exposures, folder, **extra):
    write_results(exposures, Destination(folder, in_place=False, **extra), HERE)


def _names(folder, ending):
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(ending))


def test_left_out_unless_wanted(exposures, tmp_path):
    """And a page of earlier results goes."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "field_report.html").write_text("of an earlier run")
    _write(exposures, tmp_path / "out")
    assert _names(tmp_path / "out", (".html", ".reg")) == []
    assert read_record(tmp_path / "out" / "field_provenance.asdf").stamps is None


def test_report_and_regions(exposures, tmp_path, monkeypatch):
    monkeypatch.setattr(stamps_module, "star_stamps", lambda *arguments: pictures())
    have_plots(monkeypatch)
    out = tmp_path / "out"
    _write(exposures, out, with_report=True, with_regions=True)
    assert _names(out, ".html") == ["field_report.html"]
    assert _names(out, ".reg") == [f"{one.key}.reg" for one in exposures.direct]
    page = (out / "field_report.html").read_text(encoding="utf-8")
    assert "no warnings" in page
    record = read_record(out / "field_provenance.asdf")
    assert_same(record.stamps, pictures())
    # the page that is made again of the file is that of the run
    assert report.report_html(record) == page


@pytest.mark.parametrize("form", [pytest.param("png", marks=pytest.mark.slow), "pdf"])
def test_figures_are_files_that_were_claimed(exposures, tmp_path, form):
    out = tmp_path / "out"
    _write(exposures, out, figures=form)
    destination = Destination(out.resolve(), in_place=False, figures=form)
    claimed = {path.name for path in destination.products(exposures)}
    found = _names(out, f".{form}")
    assert {f"field_sky.{form}", f"field_residuals.{form}"} <= set(found) <= claimed


@pytest.mark.parametrize("broken", ["report", "stamps", "regions", "figures"])
def test_a_mistake_costs_no_results(exposures, tmp_path, monkeypatch, caplog, broken):
    """And no page of earlier results stays in place of the one that failed."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "field_report.html").write_text("of an earlier run")

    def fail(*arguments):
        msg = "a cat on the keyboard"
        raise ZeroDivisionError(msg)

    places = {
        "report": "io.report.report_html",
        "stamps": "workflows.results.stamps.star_stamps",
        "regions": "io.export.regions.region_files",
        "figures": "io.report.plots.every.plots_of",
    }
    monkeypatch.setattr(f"grism_align.{places[broken]}", fail)
    figures = "png" if broken == "figures" else "none"
    _write(exposures, out, with_report=True, with_regions=True, figures=figures)
    [warning] = [one for one in caplog.records if one.name == extras.__name__ and one.levelname == "WARNING"]
    assert "ZeroDivisionError: a cat on the keyboard" in warning.getMessage()
    assert "the results are whole" in warning.getMessage()
    assert len(_names(out, ".fits")) == len(exposures.exposures)
    page = (out / "field_report.html").read_text(encoding="utf-8")
    assert ("could not be made" in page) == (broken == "report")
    assert "earlier run" not in page


def test_a_full_disk_costs_them(exposures, tmp_path, monkeypatch):
    out = tmp_path / "out"

    write = Path.write_text

    def full(path, text, **options):
        if path.suffix == ".html":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        _write(exposures, out, with_report=True)
    # of the file that the user knows, not of the hidden one
    assert caught.value.path == str(out / "field_report.html")
    assert not out.exists()


def test_a_reference_catalog_is_not_replaced(exposures, tmp_path):
    destination = Destination(tmp_path / "out", in_place=False, with_report=True)
    with pytest.raises(OutputError, match="it is the reference catalog"):
        check_destination(exposures, destination, [tmp_path / "out" / "field_report.html"])
