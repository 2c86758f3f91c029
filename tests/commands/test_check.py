from __future__ import annotations

import pytest
from astropy.io import fits

from grism_align.cli import main
from grism_align.simulation import case_a
from tests.support.fields import EMPTY, make_field


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two visits of a direct and a grism exposure."""
    return make_field(case_a(size=96, n_pairs=1, scene=EMPTY), tmp_path_factory.mktemp("made"))


@pytest.fixture
def paths(made, tmp_path):
    """These in a folder of their own, to be changed."""
    made.copied(tmp_path / "in")
    return [tmp_path / "in" / path.name for path in made.truth.paths]


def _told(capsys):
    return capsys.readouterr().out


def test_all_is_well(paths, capsys):
    assert main(["check", str(paths[0].parent)]) == 0
    told = _told(capsys)
    heading, *lines = (line.split() for line in told.splitlines())
    assert heading[:5] == ["visit", "exposure", "kind", "filter", "MJD"]
    assert [line[1] for line in lines[:4]] == [path.name.removesuffix("_flt.fits") for path in paths]
    assert lines[1][2:4] == ["grism", "G141"]
    assert lines[1][-1] == lines[0][1]
    with fits.open(paths[0]) as hdus:
        assert hdus["SCI"].header["WCSNAME"] in lines[0]
        assert f"{hdus[0].header['EXPSTART']:.5f}" == lines[0][4]
    assert "go together" in told


def _moved(header):
    header["CRVAL1"] += 0.01


def _other_model(header):
    header["WCSNAME"] = "IDC_other-GSC240"


def _no_distortion(header):
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})


@pytest.mark.parametrize("change", [_moved, _other_model, _no_distortion])
def test_what_does_not_go_together(paths, capsys, change):
    path = paths[0]
    with fits.open(path, mode="update") as hdus:
        change(hdus["SCI"].header)
    assert main(["check", str(paths[0].parent)]) == 3
    told = _told(capsys)
    assert "go together" not in told
    assert path.name.removesuffix("_flt.fits") in told


def test_a_grism_exposure_alone(paths, capsys):
    paths[0].unlink()
    assert main(["check", *map(str, paths[1:])]) == 3
    assert f"{paths[1].name.removesuffix('_flt.fits')}: no direct exposure" in _told(capsys)


def test_what_headers_say_of_guiding_is_said_once(paths, capsys):
    for path in paths:
        fits.setval(path, "FGSLOCK", value="FINE/GYRO")
    main(["check", str(paths[0].parent)])
    told = [line for line in _told(capsys).splitlines() if "guided on" in line]
    assert told == ["all exposures: by the headers, guided on one guide star"]
