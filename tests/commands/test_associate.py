from __future__ import annotations

import json
import subprocess
import sys

import pytest

from grism_align.cli import main
from grism_align.io.associations import read_association
from tests.support.associations import write_exposure


@pytest.fixture
def field(tmp_path):
    folder = tmp_path / "field"
    write_exposure(folder, "iaaa01d1q", 0)
    write_exposure(folder, "iaaa01g1q", 300, "G141")
    write_exposure(folder, "iaaa01d2q", 600)
    write_exposure(folder, "ibbb02g1q", 90000, "G102")
    return folder


def test_associate_a_folder(field, capsys):
    output = field / "goods_asn.json"
    assert main(["associate", str(field), "-o", str(output)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = [line.split() for line in printed.out.splitlines()]
    assert lines[0] == ["visit", "exposure", "kind", "filter", "start", "governed", "by"]
    start = "2014-12-09T00:05:00"
    governors = ["iaaa01d1q,", "iaaa01d2q", "(interpolated)"]
    assert lines[2] == ["iaaa01", "iaaa01g1q", "grism", "G141", start, *governors]
    assert lines[1][-1] == "-"
    assert lines[4][-1] == "none"
    found = read_association(output)
    assert found.product == "goods"
    assert [member.root for member in found.members] == ["iaaa01d1q", "iaaa01g1q", "iaaa01d2q", "ibbb02g1q"]
    assert found.members[1].governors == ("iaaa01d1q", "iaaa01d2q")
    assert found.product_extra["overlaps"] == [["iaaa01", "ibbb02"]]


def test_an_association_keeps_what_it_says(field, tmp_path, capsys):
    members = [
        {"expname": "iaaa01g1q_flt.fits", "exptype": "science", "direct": "iaaa01d2q", "note": 1},
        {"expname": "iaaa01d1q_flt.fits", "exptype": "direct_image"},
        {"expname": "iaaa01d2q_flt.fits", "exptype": "direct_image"},
    ]
    (field / "in.json").write_text(json.dumps({"odd": 1, "products": [{"name": "x", "members": members}]}))
    command = ["associate", str(field / "in.json"), "-o", str(tmp_path / "out.json"), "--product", "mine"]
    assert main(command) == 0
    assert "iaaa01d2q (association)" in capsys.readouterr().out
    found = read_association(tmp_path / "out.json")
    assert (found.product, found.header["odd"]) == ("mine", 1)
    grism = next(member for member in found.members if member.root == "iaaa01g1q")
    assert (grism.governors, grism.extra) == (("iaaa01d2q",), {"note": 1})


def test_overwrite_is_asked_for(field, capsys):
    output = field / "x_asn.json"
    output.write_text("old")
    command = ["associate", str(field), "-o", str(output)]
    assert main(command) == 1
    assert "it exists" in capsys.readouterr().err
    assert output.read_text() == "old"
    assert main([*command, "--overwrite"]) == 0
    assert read_association(output).product == "x"


@pytest.mark.parametrize(
    ("files", "output", "says"),
    [
        (["field/nowhere_flt.fits", "field"], "x.json", "1 of 5 files don't exist"),
        (["field", "field"], "x.json", "members of one name"),
        (["field/iaaa01d1q_flt.fits"], "field/iaaa01d1q_flt.fits", "is a member"),
    ],
)
def test_errors_write_nothing(field, monkeypatch, capsys, files, output, says):
    monkeypatch.chdir(field.parent)
    before = {path: path.stat().st_mtime_ns for path in field.parent.rglob("*")}
    assert main(["associate", *files, "-o", output, "--overwrite", "--product", "p"]) == 1
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.err.startswith("grism-align associate: ")
    assert printed.out == ""
    assert {path: path.stat().st_mtime_ns for path in field.parent.rglob("*")} == before


def test_an_exposure_that_is_none_of_ours(field, capsys, caplog):
    path, output = write_exposure(field, "oaaa01d1q", 0, INSTRUME="STIS"), field / "x.json"
    assert main(["associate", str(field), "-o", str(output), "--bad_input=refuse"]) == 1
    assert str(path) in capsys.readouterr().err
    assert not output.exists()
    assert main(["associate", str(field), "-o", str(output)]) == 3
    assert str(path) in caplog.text
    assert len(read_association(output).members) == 4


def test_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert "associate" in capsys.readouterr().err


def test_the_command_line_loads_nothing_heavy():
    code = (
        "import sys, grism_align.cli; print([m for m in ('numpy', 'astropy', 'stpipe') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
