"""The demo as a user runs it, and what it refuses."""

from __future__ import annotations

import re

import pytest

from grism_align.cli import main
from grism_align.demo import run_demo
from grism_align.io.record.file import read_record
from grism_align.values.errors import OutputError


@pytest.mark.slow
def test_demo_of_hst(tmp_path, capsys):
    folder = tmp_path / "demo"
    assert main(["demo", "--output_dir", str(folder)]) == 0
    printed = capsys.readouterr().out
    inputs = sorted(path.name for path in (folder / "input").glob("*.fits"))
    assert len(inputs) == 8
    assert sorted(path.name for path in (folder / "aligned").glob("*.fits")) == inputs
    assert (folder / "aligned" / "demo_asn.json").is_file()
    assert f"look at {folder / 'aligned' / 'demo_report.html'}" in printed
    page = (folder / "aligned" / "demo_report.html").read_text(encoding="utf-8")
    done = r"Aligned with each other and with the sky, grism exposures to 0\.0\d+ px; no warnings\."
    assert re.search(done, page)
    assert 'id="blink"' in page
    tree = read_record(folder / "aligned" / "demo_provenance.asdf")
    assert set(tree.exposures) == {name.split("_")[0] for name in inputs}
    found = re.search(r"Largest error left ([\d.]+) mas, relative to each other ([\d.]+) mas", printed)
    assert max(map(float, found.groups())) < 3
    rows = [line.split() for line in printed.splitlines() if re.match(r"idem\d\da\dq +(direct|grism)", line)]
    last = [row for row in rows if len(row) == 10]
    assert len(last) == 8
    for row in last:
        needed, recovered, left = row[2:5], row[5:8], float(row[8])
        # mas, and the roll in deg: 0.0005 deg are 0.6 mas at the corners
        shifts = [abs(float(a) - float(b)) for a, b in zip(needed[:2], recovered[:2], strict=True)]
        assert max(shifts) < 3
        assert abs(float(needed[2]) - float(recovered[2])) < 0.001
        assert left < 3


def _not_reached(*_):
    pytest.fail("there is nothing to align")


def test_files_of_others_are_refused(tmp_path, capsys):
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "ib6o23rsq_flt.fits").write_bytes(b"mine")
    with pytest.raises(OutputError, match="files of other data"):
        run_demo(tmp_path, 1, _not_reached)
    assert main(["demo", "--output_dir", str(tmp_path)]) == 1
    assert "files of other data" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["ib6o23rsq_flt.fits", "input"]


@pytest.mark.slow
def test_demo_of_jwst(tmp_path, capsys):
    pytest.importorskip("stdatamodels", reason="it writes the files of JWST")
    assert main(["demo", "--output_dir", str(tmp_path), "--instrument", "niriss"]) == 0
    printed = capsys.readouterr().out
    inputs = sorted(path.name for path in (tmp_path / "input").glob("*.fits"))
    assert sorted(path.name for path in (tmp_path / "aligned").glob("*.fits")) == inputs
    assert {name.split("_")[-1] for name in inputs} == {"cal.fits", "assignwcsstep.fits"}
    found = re.search(r"Largest error left ([\d.]+) mas, relative to each other ([\d.]+) mas", printed)
    assert max(map(float, found.groups())) < 3


@pytest.mark.slow
def test_demo_of_roman(tmp_path, capsys):
    pytest.importorskip("roman_datamodels", reason="it writes the files of Roman")
    assert main(["demo", "--output_dir", str(tmp_path), "--instrument", "roman"]) == 0
    printed = capsys.readouterr().out
    inputs = sorted(path.name for path in (tmp_path / "input").glob("*_cal.asdf"))
    assert len(inputs) == 4 * 2 * 4
    assert sorted(path.name for path in (tmp_path / "aligned").glob("*_cal.asdf")) == inputs
    found = re.search(r"Largest error left ([\d.]+) mas, relative to each other ([\d.]+) mas", printed)
    assert max(map(float, found.groups())) < 3


@pytest.mark.parametrize("options", [["--seed", "-1"], ["--output_dir", "file/x"]])
def test_a_demo_that_can_not_be_made(tmp_path, monkeypatch, capsys, options):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert main(["demo", *options]) != 0
    assert options[1] in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
