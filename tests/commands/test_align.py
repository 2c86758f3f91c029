"""``grism-align align`` and ``plan`` as users run them."""

from __future__ import annotations

import io
import logging
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.table import Table

from grism_align.cli import main
from grism_align.commands import run as run_module
from grism_align.io.files import claims
from grism_align.io.files.claims import claimed
from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.simulation import case_a
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.workflows.closing_table import WIDTH
from tests.support.fields import apart, few_galaxies, make_field, wcs_apart
from tests.support.processes import elsewhere, other

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    return make_field(case_a(size=300, n_pairs=1, scene=few_galaxies(300)), tmp_path_factory.mktemp("field"))


def run(*words):
    """The exit code, of a command line that can't be understood, too."""
    try:
        return main(list(map(str, words)))
    except SystemExit as ended:
        return int(ended.code)


@dataclass(frozen=True)
class Said:
    """A whole run: the folder of its results, what it printed, and what it said besides."""

    folder: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def run_once(field, tmp_path_factory):
    folder = tmp_path_factory.mktemp("aligned") / "out"
    settings = ["--set", "relative-align.search_radius=60", "--csv", "--product", "mine"]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run("align", field.folder, "-o", folder, "--catalog", field.catalog, *settings)
    assert code == 0
    return Said(folder, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def aligned(run_once):
    return run_once.folder


@pytest.mark.slow
def test_the_same_files_as_by_the_pipeline(field, aligned, tmp_path):
    steps = {
        "absolute_align": {"catalog": str(field.catalog)},
        "relative_align": {"search_radius": 60.0},
    }
    GrismAlignPipeline.call(
        str(field.association), output_dir=str(tmp_path), steps=steps, configure_log=False
    )
    for path in field.truth.paths:
        assert wcs_apart(aligned / path.name, tmp_path / path.name) < 1e-3
    record = read_record(aligned / "mine_provenance.asdf")
    assert record.activity("relative_align").settings["search_radius"] == 60.0
    assert record.activity("absolute_align").settings["catalog"] == str(field.catalog)


def test_what_lies_beside_the_exposures(field, aligned):
    names = {path.name for path in aligned.iterdir()} - {path.name for path in field.truth.paths}
    tables = {f"{name}.{form}" for name in ("mine_fits", "mine_matches") for form in ("ecsv", "csv")}
    catalogs = {f"{read_exposure(path).key}_cat" for path in field.truth.paths}
    tables |= {f"{name}.{form}" for name in catalogs for form in ("ecsv", "csv")}
    others = {f"mine_{one}" for one in ("asn.json", "provenance.asdf", "report.html", "align.log")}
    others |= {"mine_sources.ecsv", "mine_refcat.ecsv"}
    grisms = {name for name in tables if name.startswith(tuple(_grisms(field)))}
    assert names == (tables - grisms) | others


def _grisms(field):
    return [one.key for one in map(read_exposure, field.truth.paths) if not one.is_direct]


def test_catalogs_have_places_on_the_sky(field, aligned):
    for exposure in (read_exposure(aligned / path.name) for path in field.truth.paths):
        if exposure.is_direct:
            [chip] = exposure.chips
            table = Table.read(aligned / f"{exposure.key}_cat.ecsv")
            sky = chip.wcs.to_sky(np.column_stack([table["x"], table["y"]]))
            assert apart(sky, np.column_stack([table["ra"], table["dec"]])) < 0.02
            # pixels of WFC3/IR are no squares
            scale = 1e3 * chip.wcs.pixel_scale * np.hypot(table["x_error"], table["y_error"])
            np.testing.assert_allclose(np.hypot(table["ra_error"], table["dec_error"]), scale, rtol=0.1)


def test_matches_have_the_places_that_were_measured(field, aligned):
    matches = Table.read(aligned / "mine_matches.ecsv")
    record = read_record(aligned / "mine_provenance.asdf")
    for key, positions in record.reference_catalog.exposures.items():
        rows = matches[(matches["exposure"] == key) & (matches["fit"] == "absolute")]
        seen = ~np.ma.getmaskarray(rows["x"])
        assert seen.mean() > 0.95
        rows, there = rows[seen], positions.reference_position[seen]
        # where the fit puts the source, minus where it should be
        east = 3.6e6 * (rows["ra"] - there[:, 0]) * np.cos(np.radians(rows["dec"]))
        north = 3.6e6 * (rows["dec"] - there[:, 1])
        np.testing.assert_allclose(east, rows["residual_east"], atol=0.2)
        np.testing.assert_allclose(north, rows["residual_north"], atol=0.2)
        table = Table.read(aligned / f"{key}_cat.ecsv")
        by_id = {row["id"]: row for row in table}
        assert all(abs(by_id[row["id"]]["x"] - row["x"]) < 1e-3 for row in rows)


def test_the_log_has_everything(aligned):
    log = (aligned / "mine_align.log").read_text()
    for said in ("grism-align align", "relative_align.search_radius = 60", "Measuring idem02a1q", "ALIGNED"):
        assert said in log
    # stpipe's list of all parameters, and what it says
    assert "stpipe" in log


def test_what_is_said(field, run_once):
    table, _, _ = run_once.out.rpartition("results are in")
    assert max(map(len, table.splitlines())) <= WIDTH
    for path in field.truth.paths:
        assert read_exposure(path).key in table
    # below the headings, between the visits and at the end
    assert sum(set(line) == {"-"} for line in table.splitlines()) == 3
    for figures in ("source_catalog: ", "sources matched each", "tied to", "corrected, to"):
        assert figures in run_once.err
    assert "stpipe" not in run_once.err
    # parameters at their defaults are not listed
    assert "search_radius = 60" in run_once.err
    assert "good_bits = " in run_once.err
    assert "max_roll" not in run_once.err


def test_logging_is_as_before(field, tmp_path):
    root, ours = logging.getLogger(), logging.getLogger("grism_align")
    before = (list(root.handlers), root.level, ours.level)
    assert run("align", field.folder, "-o", tmp_path / "out", "-n") == 0
    assert (list(root.handlers), root.level, ours.level) == before


@pytest.mark.usefixtures("everything_by_default")
@pytest.mark.parametrize("words", [["plan"], ["align", "--dry-run"]])
def test_a_plan_writes_nothing(field, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert run(*words, field.folder, "-o", "out", "-c", field.catalog) == 0
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().out
    for path in field.truth.paths:
        assert read_exposure(path).key in said
    assert run(*words, field.folder, "-o", "out", "--no-mosaics") == 0
    assert "visit_mosaic" not in capsys.readouterr().out
    for name in ("visit_mosaic", "in_provenance.asdf", "in_refcat.ecsv", "governed by"):
        assert name in said


def test_a_plan_without_a_folder_looks_into_none(field, tmp_path, monkeypatch, capsys):
    """Not into the one where it is run, whatever is there."""
    monkeypatch.chdir(tmp_path)
    assert run("align", field.folder, "-o", tmp_path, "--no-report", "--exclude", "idem02*") == 0
    words = ("plan", field.folder, "--exclude", "idem01*")
    capsys.readouterr()
    assert run(*words) == 0
    said = capsys.readouterr()
    assert "in_provenance.asdf" in said.out
    assert "the folder that -o names" in said.out
    assert "replaced" not in said.out + said.err
    assert run(*words, "--product", "in") == 0
    assert run(*words, "--product", "in", "-o", ".") == 1
    assert "would be replaced" in capsys.readouterr().err


def test_exposures_can_be_excluded(field, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("align", field.folder, "-o", out, "--exclude", "idem02*", "--no-report") == 0
    assert {path.name[:6] for path in out.glob("*_flt.fits")} == {"idem01"}
    assert run("align", field.folder, "-o", out, "--exclude", "idem01a9q") == 1
    assert "idem01a1q" in capsys.readouterr().err
    assert run("align", field.folder, "-o", out, "--exclude", "*") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("aling",),
        ("align",),
        ("align", "{in}"),
        ("align", "{in}", "-o", "out", "--catalogue=GAIADR3"),
        ("align", "{in}", "-o", "out", "--steps.relative_align.roll=auto"),
        ("align", "{in}", "-o", "out", "--headerlets", "fil"),
        ("align", "-o"),
        ("check", "{in}", "--foo"),
    ],
)
def test_a_command_line_that_can_not_be_understood(field, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert run(*(word.replace("{in}", str(field.folder)) for word in words)) == 2
    said = capsys.readouterr()
    assert 1 <= len(said.err.splitlines()) <= 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("no_such.fits",), "no_such.fits"),
        (("--set", "relative_align.fitgeometry=rotate"), "rshift"),
        (("--set", "relative_align.search_radius=1e9"), "300"),
        (("--set", "relative_align.search_radius=far"), "arcsec"),
        (("--set", "relative_align.serch_radius=9"), "search_radius"),
        (("--set", "search_radius=9"), "relative_align.search_radius"),
        (("--set", "relativ_align.roll=auto"), "relative_align"),
        (("--set", "visit_mosaic.skip=perhaps"), "true or false"),
        (("--set", "roll"), "VALUE"),
        (("--nproc", "two"), "whole number"),
        (("--executor", "dusk"), "dask"),
        (("--fail_on", "faild"), "failed"),
        (("--catalog", "GAIDR3"), "GAIADR3"),
        (("--catalog", "none.ecsv"), "none.ecsv"),
        (("--reference", "idem07"), "idem01"),
        (("--parameters", "none.toml"), "none.toml"),
        (("--parameters", "none.asdf"), "none.asdf"),
        (("--product", "a/b"), "a/b"),
    ],
)
def test_errors_are_one_line(field, tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    inputs = () if words[0].endswith(".fits") else (field.folder,)
    assert run("align", *inputs, *words, "-o", "out") == 1
    said = capsys.readouterr()
    [line] = said.err.splitlines()
    assert line.startswith("grism-align align: ")
    assert told in line
    assert "Traceback" not in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["mine.toml", "mine.cfg"])
def test_what_does_not_go_with_the_data_names_the_parameter_file(field, tmp_path, capsys, name):
    toml = '[relative_align]\nreference = "idem07"\n'
    cfg = "[steps]\n[[relative_align]]\nreference = idem07\n"
    known = f"name = x\nclass = {GrismAlignPipeline.__module__}.GrismAlignPipeline\n"
    (tmp_path / name).write_text(toml if name.endswith("toml") else known + cfg)
    assert run("plan", field.folder, "--parameters", tmp_path / name) == 1
    [line] = capsys.readouterr().err.splitlines()
    for said in ("reference", "idem07", name):
        assert said in line


def test_debug_shows_where(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("align", "none.fits", "-o", "out", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_mistake_of_the_program_is_one_line_too(monkeypatch, capsys):
    def fails(*_, **__):
        raise KeyError(("a", "b"))

    monkeypatch.setattr("grism_align.workflows.load.read_association", fails)
    assert run("align", "x.fits", "-o", "out") == 4
    [line] = capsys.readouterr().err.splitlines()
    assert "KeyError" in line


def test_interrupted(monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("grism_align.workflows.load.read_association", stopped)
    assert run("check", "x.fits") == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_reservations_have_a_code_of_their_own(field, tmp_path, capsys):
    catalog = Table.read(field.catalog)
    catalog["dec"] = catalog["dec"] + 1.0
    catalog.write(tmp_path / "elsewhere.ecsv")
    words = ("align", field.folder, "-o", tmp_path / "out", "-c", tmp_path / "elsewhere.ecsv")
    assert run(*words, "--no-report", "-q") == 3
    said = capsys.readouterr()
    assert "not_tied" in said.err
    assert said.out == ""
    assert run(*words, "--fail-on=any") == 1


def test_the_help_is_one_screenful(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    for command in ("align", "plan"):
        assert run(command, "--help") == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) <= 40
        assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("word", ["--in-place", pytest.param("--in_place", marks=pytest.mark.slow)])
def test_in_place(field, tmp_path, capsys, word):
    field.copied(tmp_path / "in")
    before = {path.name: path.read_bytes() for path in (tmp_path / "in").glob("*.fits")}
    assert run("align", tmp_path / "in" / "field_asn.json", word, "--no-report", "-v") == 0
    assert "rms [mas]" in capsys.readouterr().out
    after = {path.name: path.read_bytes() for path in (tmp_path / "in").glob("*.fits")}
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)
    assert (tmp_path / "in" / "field_align.log").is_file()


def _named_as_left(capsys):
    [line] = [each for each in capsys.readouterr().err.splitlines() if "Of an earlier run" in each]
    return line.removeprefix("warning: ").removeprefix("Of an earlier run, and left there: ").split(", ")


def test_what_an_earlier_run_left_is_named(field, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_module, "_NAMED", 99)
    out = tmp_path / "out"
    words = ("align", field.folder, "-o", out, "--no-report", "--product", "mine")
    first = ("--csv", "--regions", "--headerlets", "file", "-c", field.catalog)
    assert run(*words, *first, "--set", "visit_mosaic.skip=false") == 0
    made = {path.name for path in out.iterdir()}
    # made of the results since then
    (out / "mine_inspect.html").write_text("a page")
    others = ("idem09-f140w_drz_sci.fits", "other_seg.fits", "other_cat.csv", "stars.reg", "notes.txt")
    for name in (*others, "mine_2_provenance.asdf", "mine_stars.ecsv", "mine_2_fits.csv", "mine_sketch.png"):
        (out / name).write_text("of somebody")
    assert "earlier run" not in capsys.readouterr().err
    assert run(*words) == 0
    directs = [one.key for one in map(read_exposure, field.truth.paths) if one.is_direct]
    left = {f"{key}{ending}" for key in directs for ending in ("_cat.csv", ".reg")}
    left |= {f"{read_exposure(path).key}_hlet.fits" for path in field.truth.paths}
    mosaics = {name for name in made if "-f140w_" in name}
    assert any(name.endswith("_drz_sci.fits") for name in mosaics)
    left |= mosaics | {"mine_fits.csv", "mine_matches.csv"}
    named = _named_as_left(capsys)
    assert sorted(named) == sorted(left | {"mine_inspect.html"})
    assert ", ".join(named) in (out / "mine_align.log").read_text()
    assert made - {"mine_refcat.ecsv"} <= {path.name for path in out.iterdir()}


def test_files_beside_exposures_corrected_in_place_are_the_users(field, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_module, "_NAMED", 99)
    field.copied(tmp_path / "in")
    mine = ("idem01a1q.reg", "idem01a1q_hlet.fits", "idem01-f140w_drz_sci.fits", "idem01_seg.fits")
    for name in mine:
        (tmp_path / "in" / name).write_text("of the user")
    words = ("align", tmp_path / "in" / "field_asn.json", "--in-place", "--no-report")
    assert run(*words, "--csv") == 0
    assert "earlier run" not in capsys.readouterr().err
    assert run(*words) == 0
    assert _named_as_left(capsys) == ["field_fits.csv", "field_matches.csv"]


def test_a_second_run_leaves_the_log_of_the_first(field, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(claims, "PATIENCE", 0.0)
    (tmp_path / "in_align.log").write_text("of the first")
    with other(claimed([tmp_path / "in_provenance.asdf"])) as another:
        assert run("align", field.folder, "-o", tmp_path) == 1
        another.leave()
    assert "another run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in_align.log"]
    assert (tmp_path / "in_align.log").read_text() == "of the first"


@pytest.mark.slow
def test_a_run_that_waited_goes_on_from_what_the_other_left(field, tmp_path, monkeypatch, capsys):
    field.copied(tmp_path / "in")
    (tmp_path / "mine.csv").write_text("visit,dra,ddec\nidem01,0.1,0.2\nidem02,0.1,0.2\n")

    def overtaken(_):
        monkeypatch.undo()
        another.leave()
        assert elsewhere(lambda: run("shift", tmp_path / "mine.csv", tmp_path / "in", "--in_place")) == 0

    monkeypatch.setattr(claims.time, "sleep", overtaken)
    with other(claimed([tmp_path / "in" / "in_provenance.asdf"])) as another:
        assert run("align", tmp_path / "in", "--in-place", "--no-report") == 0
    assert "read again" in capsys.readouterr().err
    record = read_record(tmp_path / "in" / "in_provenance.asdf")
    assert record.activity("shift") is not None
    assert record.activity("relative_align") is not None


def test_a_product_name_is_not_taken_from_other_exposures(field, tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("visit,dra,ddec\nidem01,0.1,0.2\n")
    for visit in ("idem01", "idem02"):
        (tmp_path / visit / "in").mkdir(parents=True)
        for path in field.folder.glob(f"{visit}*"):
            shutil.copyfile(path, tmp_path / visit / "in" / path.name)
    out = tmp_path / "out"
    assert run("shift", tmp_path / "mine.csv", tmp_path / "idem01" / "in", "--output_dir", out) == 0
    assert run("plan", tmp_path / "idem02" / "in", "-o", out) == 0
    assert "in_2_provenance.asdf" in capsys.readouterr().out
    # one that was chosen is refused
    assert run("plan", tmp_path / "idem02" / "in", "-o", out, "--product", "in") == 1
    assert "in_provenance.asdf" in capsys.readouterr().err
