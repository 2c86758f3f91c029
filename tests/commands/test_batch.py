"""``grism-align batch``: many fields, of which each may fail."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from grism_align.cli import main
from grism_align.commands import batch
from grism_align.commands.run import Finished
from grism_align.io.associations import read_association, write_association
from grism_align.simulation import case_a
from grism_align.values.batch import FieldOutcome, code_of, problems_first
from grism_align.values.errors import InputError, WorkerError
from grism_align.values.outcome import ExitCode
from grism_align.workflows.load import load
from grism_align.workflows.results.destination import destination_for
from tests.support.fields import make_field
from tests.support.runs import corrected, make_exposures


def run(*words):
    return main(["batch", *map(str, words)])


@pytest.fixture
def associations(tmp_path):
    """Three fields of the same exposures."""
    make_exposures(tmp_path / "raw")
    found = load(tmp_path / "raw").association
    return [write_association(replace(found, product=name), tmp_path / f"{name}_asn.json") for name in "abc"]


@pytest.fixture
def done(monkeypatch):
    """Have no field aligned but in name; those that fail are named by the test."""
    calls, failures = [], {}

    def aligned(request, saying):
        product = read_association(request.files[0]).product
        calls.append(product)
        if product in failures:
            raise failures[product]
        result = corrected(load(request.files[0]))
        destination = destination_for(result, request.folder, in_place=False)
        request.folder.mkdir(parents=True, exist_ok=True)
        destination.provenance(product).write_text("record")
        destination.report(product).write_text("report")
        return Finished(result, ExitCode.DONE, destination)

    monkeypatch.setattr(batch, "run", aligned)
    return calls, failures


def test_a_folder_of_each_and_a_table_of_all(associations, done, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(*associations, "-o", out) == 0
    printed = capsys.readouterr().out
    assert "3 of 3 fields are done" in printed
    assert sorted(done[0]) == ["a", "b", "c"]
    table = Table.read(out / "batch.ecsv")
    assert table["product"].tolist() == ["a", "b", "c"]
    assert set(table["state"]) == {"done"}
    assert table["n_aligned"].tolist() == [3, 3, 3]
    assert '<a href="b/b_report.html">b</a>' in (out / "batch.html").read_text()


def test_it_goes_on_where_it_stopped(associations, done, tmp_path, capsys):
    calls, failures = done
    out = tmp_path / "out"
    failures["b"] = InputError("somewhere", "it is odd", "Give another")
    assert run(*associations, "-o", out) == 3
    assert "b failed: somewhere: it is odd. Give another." in capsys.readouterr().out
    page = (out / "batch.html").read_text()
    assert page.index(">b<") < page.index(">a<")
    calls.clear()
    failures.clear()
    assert run(*associations, "-o", out) == 0
    assert calls == ["b"]
    calls.clear()
    assert run(*associations, "-o", out, "--nproc=1") == 0
    assert calls == []
    # other parameters, and all again when asked for
    assert run(*associations, "-o", out, "--set", "relative_align.search_radius=77") == 0
    assert sorted(calls) == ["a", "b", "c"]
    calls.clear()
    assert run(associations[0], "-o", out, "--set", "relative_align.search_radius=77", "--again") == 0
    assert calls == ["a"]


def test_what_changed_is_done_again(associations, done, tmp_path, capsys):
    calls, _ = done
    out = tmp_path / "out"
    run(*associations, "-o", out)
    calls.clear()
    (out / "a" / "a_report.html").unlink()
    (out / "b" / "b_batch.json").write_text("{")
    assert run(*associations, "-o", out, "--dry-run") == 0
    assert calls == []
    assert capsys.readouterr().out.splitlines()[-2:] == ["a      done", "b      done"]
    assert run(*associations, "-o", out) == 0
    assert sorted(calls) == ["a", "b"]
    calls.clear()
    path = tmp_path / "raw" / "iaaa01d1q_flt.fits"
    os.utime(path)
    assert run(*associations, "-o", out) == 0
    assert sorted(calls) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("error", "code", "state"),
    [
        (InputError("somewhere", "it is odd", "Give another"), 1, "failed"),
        (ZeroDivisionError("division by zero"), 4, "mistake"),
    ],
)
def test_where_none_is_done(associations, done, tmp_path, error, code, state):
    done[1].update(dict.fromkeys("abc", error))
    assert run(*associations, "-o", tmp_path / "out") == 1
    table = Table.read(tmp_path / "out" / "batch.ecsv")
    assert set(table["code"]) == {code}
    assert set(table["state"]) == {state}


def test_associations_that_can_not_be_read(associations, done, tmp_path, capsys):
    (tmp_path / "bad_asn.json").write_text("{")
    assert run(*associations, tmp_path / "bad_asn.json", "-o", tmp_path / "out") == 3
    assert "bad failed: " in capsys.readouterr().out
    twice = tmp_path / "twice_asn.json"
    shutil.copy(associations[0], twice)
    assert run(*associations, twice, "-o", tmp_path / "out") == 1
    assert "a is the product of" in capsys.readouterr().err


def test_a_worker_that_dies_is_the_end_of_its_field(associations, tmp_path):
    job = batch.FieldJob(
        batch.Request((str(associations[0]),), tmp_path / "a"), (), "a", "key", False, tmp_path
    )
    found = batch._lost({"a": job}, WorkerError("Aligning a", "it was ended by SIGKILL"))
    assert (found.product, found.code) == ("a", ExitCode.ERROR)
    assert "SIGKILL" in found.told


def test_order_and_codes():
    codes = {"a": 0, "b": 3, "c": 1, "d": 4, "e": 0}
    some = [FieldOutcome(name, "", "", ExitCode(code)) for name, code in codes.items()]
    assert [one.product for one in problems_first(some)] == ["c", "d", "b", "a", "e"]
    assert code_of(some) == 3
    assert code_of(some[:1]) == 0
    assert code_of(some[2:4]) == 1


@pytest.mark.slow
def test_fields_at_the_same_time(tmp_path, capsys):
    """Two processes, a field each; one field can't be aligned."""
    field = make_field(case_a(size=300, n_pairs=1), tmp_path / "x")
    second = write_association(
        replace(read_association(field.association), product="second"), tmp_path / "second_asn.json"
    )
    odd = tmp_path / "odd_asn.json"
    content = json.loads(second.read_text())
    content["products"][0] |= {"name": "odd", "members": content["products"][0]["members"][1:2]}
    odd.write_text(json.dumps(content))
    out = tmp_path / "out"
    words = (field.association, second, odd, "-o", out, "--nproc=2", "--no-mosaics")
    assert run(*words) == 3
    table = Table.read(out / "batch.ecsv")
    assert table["state"].tolist() == ["failed", "done", "done"]
    assert np.isfinite(table["error"][1:]).all()
    for name in ("field", "second"):
        assert (out / name / f"{name}_report.html").exists()
        assert "grism-align batch" in (out / name / f"{name}_align.log").read_text()
    assert run(*words) == 3
    assert "earlier" in capsys.readouterr().out
