from __future__ import annotations

import pytest
from astropy.io import fits

from grism_align.cli import main
from grism_align.io.record.file import read_record
from grism_align.simulation import case_a
from tests.support.aligned_fields import all_bytes, make_aligned, wcs_names
from tests.support.fields import wcs_apart
from tests.support.outputs import contents


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """One visit of a direct and a grism exposure, of which the latter failed in the first."""
    return make_aligned(case_a(size=64, n_pairs=1), tmp_path_factory.mktemp("a"), failed=(1,))


def run(*words):
    return main([str(word) for word in words])


def apart(first, second, names):
    return max(wcs_apart(first / name, second / name) for name in names)


def test_apply(field, tmp_path, capsys):
    new, again = field.fetched(tmp_path / "new"), tmp_path / "again"
    assert run("apply", field.record, new, "--output_dir", again) == 3
    printed = capsys.readouterr().out
    assert "FAILED: no source above 6 sigma" in printed
    assert f"4 exposures -> {again}; the record is {again / 'field_provenance.asdf'}" in printed
    assert apart(field.out, again, field.names) <= 1e-6
    assert wcs_names(again, field.names) == wcs_names(field.out, field.names)
    assert (again / "field_asn.json").is_file()


@pytest.mark.slow
def test_by_two_processes(field, tmp_path, capsys):
    """What one would write, and taken off again."""
    new = field.fetched(tmp_path / "new")
    written, undone = [], []
    for nproc in (1, 2):
        again, before = tmp_path / f"again{nproc}", tmp_path / f"before{nproc}"
        assert run("apply", field.record, new, "--output_dir", again, "--nproc", nproc) == 3
        files = [
            again / name for name in field.names if "FAILED" not in fits.getheader(again / name)["GALIGN"]
        ]
        assert run("undo", *files, "--output_dir", before, "--nproc", nproc) == 0
        written.append(contents(again))
        undone.append(contents(before))
    assert written[0] == written[1]
    assert undone[0] == undone[1]
    assert len(undone[0]) == 3


def test_apply_in_place_and_again(field, tmp_path, capsys):
    new = field.fetched(tmp_path / "new")
    assert run("apply", field.record, new, "--in_place") == 3
    assert "4 exposures in place" in capsys.readouterr().out
    before = all_bytes(new)
    # the association of the first time, whose record is another
    assert run("apply", field.record, new / "field_asn.json", "--in_place") == 3
    printed = capsys.readouterr().out
    assert "3 have their correction already: idem01a1q, idem02a1q, idem02a2q" in printed
    assert "Nothing to write" in printed
    assert all_bytes(new) == before
    assert apart(field.out, new, field.names) <= 1e-6


def test_rebase(field, tmp_path, capsys):
    start = fits.getval(field.raw / "idem01a1q_flt.fits", "CRVAL2", 1)
    new = field.fetched(tmp_path / "new", ("idem01a1q", "CRVAL2", start + 1 / 3600))
    command = ("apply", field.record, new, "--output_dir", tmp_path / "again")
    assert run(*command) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"grism-align apply: {new / 'idem01a1q_flt.fits'}: its input WCS (IDC)")
    assert "up to 1000 mas" in said
    assert "give --rebase" in said
    assert not (tmp_path / "again").exists()
    assert run(*command, "--rebase") == 3
    assert "idem01a1q carried over: its input WCS" in capsys.readouterr().out
    assert apart(field.out, tmp_path / "again", field.names) < 0.01
    tree = read_record(tmp_path / "again/field_provenance.asdf")
    assert tree.activities[-1].counts["rebased"] == 1


def test_files_that_are_not_on_record(field, tmp_path, capsys):
    new = field.fetched(tmp_path / "new")
    with fits.open(new / "idem01a1q_flt.fits") as hdus:
        hdus[0].header["ROOTNAME"] = "idem09a1q"
        hdus.writeto(new / "idem09a1q_flt.fits")
    command = ("apply", field.record, new, "--output_dir", tmp_path / "again")
    assert run(*command) == 1
    assert "not on record: idem09a1q_flt.fits" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
    assert run(*command, "--allow_missing") == 3
    assert "Not on record, left out: idem09a1q_flt.fits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["{record}", "{raw}"], "--output-dir: give the folder of the products, or --in-place"),
        (["{raw}/no.asdf", "{raw}", "--output_dir", "{tmp}/o"], "no such folder or record"),
        (["{record}", "{raw}/no", "--output_dir", "{tmp}/o"], "no such file or folder"),
        (["{record}", "{raw}", "--output_dir", "{raw}"], "it is the folder of the input"),
        (["{record}", "{raw}", "--output_dir", "{out}"], "record of its own application"),
        (["{record}", "{raw}", "--in_place", "--output_dir", "{out}"], "record of its own application"),
    ],
)
def test_refusals_write_nothing(field, tmp_path, capsys, words, says):
    places = {"record": field.record, "raw": field.raw, "out": field.out, "tmp": tmp_path}
    before = all_bytes(field.raw), all_bytes(field.out)
    assert run("apply", *(word.format(**places) for word in words)) == 1
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.out == ""
    assert (all_bytes(field.raw), all_bytes(field.out)) == before
    assert list(tmp_path.iterdir()) == []


def test_undo_after_apply_is_the_fetched_file(field, tmp_path, capsys):
    new = field.fetched(tmp_path / "new")
    assert run("apply", field.record, new, "--output_dir", tmp_path / "again") == 3
    corrected = [tmp_path / "again" / name for name in field.names if "idem01a2q" not in name]
    assert run("undo", *corrected, "--output_dir", tmp_path / "back") == 0
    printed = capsys.readouterr().out
    assert f"3 files -> {tmp_path / 'back'}" in printed
    for path in corrected:
        assert path.name in printed
        one, other = fits.getheader(new / path.name, 1), fits.getheader(tmp_path / "back" / path.name, 1)
        for keyword in ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "WCSNAME"):
            assert one[keyword] == other[keyword]
    assert run("undo", new, "--in_place") == 1
    assert "grism-align undo: " in capsys.readouterr().err
    # and what was undone can be corrected again
    assert run("apply", field.record, tmp_path / "back", "--in_place") == 0
    assert apart(tmp_path / "back", field.out, [path.name for path in corrected]) <= 1e-6


def test_files_that_have_another_correction(field, tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("visit,dra,ddec\nidem01,1,1\nidem02,1,1\n")
    assert run("shift", tmp_path / "mine.csv", field.raw, "--output_dir", tmp_path / "mine") == 0
    command = ("apply", field.record, tmp_path / "mine", "--output_dir", tmp_path / "again")
    assert run(*command) == 1
    assert "(FIT_REL_USER, on record IDC)" in (said := capsys.readouterr().err)
    assert "grism-align undo" in said
    assert run(*command, "--rebase") == 3
    assert apart(tmp_path / "again", field.out, [n for n in field.names if "idem01a2q" not in n]) < 0.01
