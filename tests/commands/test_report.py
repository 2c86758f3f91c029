"""``grism-align report`` as a user runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from grism_align.cli import main
from grism_align.io.record.file import write_record
from tests.support.reports import field
from tests.support.reports import record as recorded


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """The record of a visit."""
    path = tmp_path_factory.mktemp("record") / "field_provenance.asdf"
    write_record(path, recorded(field(n_visits=1)))
    return path


def test_the_page_lies_beside_the_record(record, capsys):
    assert main(["report", str(record)]) == 0
    page = record.with_name("field_report.html")
    assert capsys.readouterr().out == f"{page}\n"
    assert "<h1>field</h1>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [["report"], ["table"], ["table", "matches"]])
def test_the_folder_stands_for_its_record(record, tmp_path, capsys, words):
    out = tmp_path / "out"
    command = [words[0], str(out), *words[1:]]
    assert main(command) == 1
    assert f"{out}: no such folder or record" in capsys.readouterr().err
    out.mkdir()
    assert main(command) == 1
    assert "no record of a run in it, *_provenance.asdf" in capsys.readouterr().err
    (out / record.name).write_bytes(record.read_bytes())
    assert main(command) == 0
    by_folder = capsys.readouterr().out
    assert main([words[0], str(out / record.name), *words[1:]]) == 0
    assert capsys.readouterr().out == by_folder
    (out / "other_provenance.asdf").write_bytes(record.read_bytes())
    assert main(command) == 1
    assert "records of several runs in it: field_provenance.asdf, other_prov" in capsys.readouterr().err


def test_elsewhere_and_with_regions(record, tmp_path, capsys):
    page, regions = tmp_path / "new" / "page.html", tmp_path / "regions"
    assert main(["report", str(record), "-o", str(page), "--regions", str(regions)]) == 0
    assert page.is_file()
    written = sorted(regions.iterdir())
    assert [path.suffix for path in written] == [".reg", ".reg"]
    assert capsys.readouterr().out.splitlines() == [str(page), *map(str, written)]


@pytest.mark.parametrize("form", ["png", pytest.param("pdf", marks=pytest.mark.slow)])
def test_with_figures(record, tmp_path, capsys, form):
    folder = tmp_path / "figures"
    assert (
        main(
            ["report", str(record), "-o", str(tmp_path / "a.html"), "--figures", str(folder), "--form", form]
        )
        == 0
    )
    written = {path.name for path in folder.iterdir()}
    assert f"field_sky.{form}" in written
    assert {line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()[1:]} == written


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no_provenance.asdf"], "no such folder or record"),
        (["text.asdf"], "not a readable ASDF file"),
        (["RECORD", "-o", "."], "a folder, not a page"),
        (["RECORD", "-o", "RECORD"], "it is the record"),
        (["RECORD", "-o", "text.asdf/page.html"], "can't be written"),
        (["RECORD", "-o", "page.html", "--regions", "text.asdf"], "can't be written"),
        (["RECORD", "-o", "page.html", "--figures", "text.asdf"], "can't be written"),
    ],
)
def test_what_it_refuses(record, tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.asdf").write_text("no ASDF")
    before = record.read_bytes()
    words = [str(record) if word == "RECORD" else word for word in words]
    assert main(["report", *words]) == 1
    told = capsys.readouterr().err
    assert told.startswith("grism-align report: ")
    assert said in told
    assert record.read_bytes() == before


def test_what_is_heavy_is_imported_when_a_page_is_made():
    code = (
        "import sys, grism_align.cli, grism_align.steps.pipeline, grism_align.workflows.results.write\n"
        "print([name for name in ('matplotlib', 'jinja2', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
