"""``grism-align table`` as users run it."""

from __future__ import annotations

import csv
import io

import pytest
from astropy.table import Table

from grism_align.cli import main
from grism_align.io.record.file import write_record
from grism_align.values.tables import TABLES, results_table
from tests.support.reports import field
from tests.support.reports import record as recorded

RECORD = recorded(field(n_visits=1))


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    path = tmp_path_factory.mktemp("record") / "field_provenance.asdf"
    write_record(path, RECORD)
    return path


def test_csv_into_a_pipe(record, capsys):
    assert main(["table", str(record)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["exposure"] for row in rows] == list(RECORD.exposures)
    assert main(["table", str(record), "--columns", "exposure, status"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "exposure,status"


def test_columns_on_a_terminal(record, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["table", str(record)]) == 0
    told = capsys.readouterr().out
    assert all(key in told for key in RECORD.exposures)
    assert max(map(len, told.splitlines())) < 100


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("ending", [".ecsv", ".csv", ".fits", ".vot", ".parquet"])
def test_forms(record, tmp_path, name, ending, capsys):
    path = tmp_path / f"table{ending}"
    assert main(["table", str(record), name, "-o", str(path)]) == 0
    wanted = results_table(name, RECORD.exposures, "field")
    found = Table.read(path)
    assert found.colnames == wanted.colnames
    assert found["exposure"].astype(str).tolist() == wanted["exposure"].tolist()
    assert f"{len(wanted)} rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{record}", "fitts"], "fits"),
        (["{record}", "--columns", "exposures"], "exposure"),
        (["{record}", "-o", "table.xyz"], ".ecsv"),
        (["{record}", "-o", "{record}"], "the record"),
        (["no_provenance.asdf"], "no_provenance.asdf"),
    ],
)
def test_what_it_refuses(record, tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    words = ["table", *(word.replace("{record}", str(record)) for word in words)]
    try:
        code = main(words)
    except SystemExit as ended:
        code = ended.code
    assert code in (1, 2)
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
