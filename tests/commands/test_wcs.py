"""``grism-align wcs``: the WCSs that files have, and all files onto one of them."""

from __future__ import annotations

import shutil

import pytest
from astropy.io import fits

from grism_align.cli import main
from grism_align.io.missions import read_exposure, write_exposure
from grism_align.io.record.file import read_record
from grism_align.io.report import report_html
from grism_align.simulation import case_a
from grism_align.values.mission import WcsLabel
from grism_align.values.outcome import ExitCode
from grism_align.values.record import CHOICE
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.load import load
from tests.support.fields import EMPTY, SMALL, make_field, wcs_apart

LATER = "FIT_REL_GAIA"
#: As far as a linear map and what headers hold go, mas.
SAME = 0.02


@pytest.fixture(scope="module", params=["wfc3_ir", pytest.param("acs_wfc", marks=pytest.mark.slow)])
def made(request, tmp_path_factory):
    """Exposures that all have one WCS, and others of which the direct ones alone have a later one."""
    home = tmp_path_factory.mktemp("made")
    raw = make_field(case_a(request.param, size=SMALL[request.param], n_pairs=1, scene=EMPTY), home)
    mixed = home / "mixed"
    mixed.mkdir()
    for path in raw.truth.paths:
        exposure, target = read_exposure(path), mixed / path.name
        shutil.copyfile(path, target)
        if exposure.is_direct:
            moved = LinearTransform.from_parameters(exposure.plane, (0.8, -1.3), 0.02, 1.0001)
            fit = ExposureFit(FitStatus.ALIGNED, moved, "gaia")
            write_exposure(exposure, fit, target, WcsLabel("gaia", LATER, 50, (5.25, 4.5), "rscale"))
    return raw.folder, mixed


@pytest.fixture
def field(made, tmp_path):
    """A copy of the mixed ones to work on, and the folder of the others."""
    before, mixed = made
    return shutil.copytree(mixed, tmp_path / "exposures"), before


def _before(field):
    folder, before = field
    return [(path, before / path.name) for path in sorted(folder.glob("*.fits"))]


def _solution(field):
    return read_exposure(_before(field)[0][1]).wcs_solution


def test_a_list_tells_what_differs_and_what_to_do(field, capsys):
    assert main(["wcs", "list", str(field[0])]) == ExitCode.RESERVATIONS
    told = capsys.readouterr().out.splitlines()
    assert f"all exposures have: {_solution(field)}" in told
    assert f"in use: {LATER} (2), {_solution(field)} (2)" in told
    assert told[-1].startswith(f"grism-align wcs set {_solution(field)} ")
    used = [line for line in told if "* " in line]
    assert len(used) == 4
    [direct, *_] = [line.split() for line in told if line.split()[-4:-3] == [_solution(field)]]
    # back from where they were moved to
    assert float(direct[-3]) == pytest.approx(-800, abs=2)
    assert float(direct[-2]) == pytest.approx(1300, abs=2)
    assert float(direct[-1]) == pytest.approx(-0.02, abs=1e-5)


def test_of_one_mind(field, capsys):
    assert main(["wcs", "list", str(field[1])]) == ExitCode.DONE
    assert f"in use: {_solution(field)}, in all of them" in capsys.readouterr().out


@pytest.mark.parametrize("is_whole", [pytest.param(True, marks=pytest.mark.slow), False])
def test_all_onto_one_and_back(field, tmp_path, capsys, is_whole):
    """By its whole name, or by what tells solutions apart, in whatever letters."""
    raw = _before(field)[0][1]
    name = fits.getval(raw, "WCSNAME", "SCI") if is_whole else _solution(field).lower()
    out = tmp_path / "out"
    assert main(["wcs", "set", name, str(field[0]), "-o", str(out)]) == ExitCode.DONE
    for path, before in _before(field):
        written = out / path.name
        assert wcs_apart(written, before) < SAME
        assert fits.getval(written, "WCSNAME", "SCI") == fits.getval(before, "WCSNAME", "SCI")
    capsys.readouterr()
    assert main(["wcs", "list", *map(str, sorted(out.glob("*.fits")))]) == ExitCode.DONE
    assert main(["undo", *map(str, sorted(out.glob("*.fits"))), "--in-place"]) == ExitCode.DONE
    for path, _ in _before(field):
        assert wcs_apart(out / path.name, path) < SAME
        names = [fits.getval(one, "WCSNAME", "SCI") for one in (out / path.name, path)]
        assert names[0] == names[1]


def test_it_is_on_record_and_alignments_start_from_there(field, tmp_path):
    out = tmp_path / "out"
    main(["wcs", "set", _solution(field), str(field[0]), "-o", str(out)])
    [path] = out.glob("*_provenance.asdf")
    record = read_record(path)
    assert record.activity(CHOICE).settings == {"solution": _solution(field)}
    assert record.activity(CHOICE).counts == {"moved": 2}
    assert f"onto the WCS {_solution(field)}" in report_html(record)
    [association] = out.glob("*_asn.json")
    again = load(str(association))
    assert not again.total.fits
    assert {each.wcs_solution for each in again.exposures} == {_solution(field)}
    assert all(each.applied is None for each in again.exposures)


def test_in_place_and_once_only(field, capsys):
    words = ["wcs", "set", _solution(field), str(field[0]), "--in-place"]
    assert main(words) == ExitCode.DONE
    assert all(wcs_apart(path, before) < SAME for path, before in _before(field))
    assert main(words) == ExitCode.ERROR
    assert "_provenance.asdf" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", LATER, "FIELD", "-o", "out"], "no WCS FIT_REL_GAIA"),
        (["set", "NONSENSE", "FIELD", "-o", "out"], "All exposures have"),
        (["set", "IDC", "FIELD"], "--output-dir: give"),
        (["list", "nothing.fits"], "nothing.fits"),
    ],
)
def test_what_can_not_be(field, tmp_path, capsys, words, said):
    places = {"FIELD": str(field[0]), "out": str(tmp_path / "out")}
    assert main(["wcs", *(places.get(word, word) for word in words)]) == ExitCode.ERROR
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "meant"), [(["wcs", "lst"], "list"), (["wcs", "sett"], "set"), (["wcs"], "ACTION")]
)
def test_actions_that_are_none(capsys, words, meant):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == ExitCode.USAGE
    assert meant in capsys.readouterr().err
