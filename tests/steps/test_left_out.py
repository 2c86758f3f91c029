"""One exposure that can't be used does not cost the others."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from astropy.io import fits
from stpipe import Step

from grism_align.io.record.file import read_record
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.source_catalog_step import SourceCatalogStep
from grism_align.values.errors import InputError
from grism_align.values.outcome import ReservationKind
from grism_align.workflows.outcome import reservations
from tests.support.fields import wcs_apart


@pytest.fixture
def folder(field_a, tmp_path):
    """Two visits of a direct and a grism exposure, which a test may spoil; without an association."""
    field_a.copied(tmp_path / "in")
    (tmp_path / "in" / "field_asn.json").unlink()
    return tmp_path / "in"


@pytest.fixture
def names(field_a):
    return [path.name for path in field_a.truth.paths]


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-5000])


def _half_a_header(path):
    with fits.open(path) as hdus:
        end = hdus["DQ"].fileinfo()["hdrLoc"] + 1500
    path.write_bytes(path.read_bytes()[:end])


def _first_block_cut(path):
    path.write_bytes(path.read_bytes()[:2000])


def _empty(path):
    path.write_bytes(b"")


def _error_page(path):
    path.write_text("<html>503 Service Unavailable</html>")


def _without_distortion(path):
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "WCSNAME": "OPUS"})


def _of_another_telescope(path):
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["TELESCOP"] = "JWST"


def _without_pixels(path):
    """Headers are read; that there is no DQ shows when pixels are."""
    with fits.open(path) as hdus:
        kept = fits.HDUList([hdu.copy() for hdu in hdus if hdu.name != "DQ"])
        kept[0].header.pop("NEXTEND", None)
    kept.writeto(path, overwrite=True)


SPOILERS = [
    _truncated,
    _half_a_header,
    _first_block_cut,
    _empty,
    _error_page,
    _without_distortion,
    _of_another_telescope,
    _without_pixels,
]


def _given(form, folder, names):
    if form == "association":
        kinds = ["direct_image", "science"] * 2
        members = [{"expname": name, "exptype": kind} for name, kind in zip(names, kinds, strict=True)]
        members[3]["direct"] = members[2]["expname"]
        content = {"products": [{"name": "field", "members": members}]}
        (folder / "field_asn.json").write_text(json.dumps(content))
    (folder / "list.txt").write_text("\n".join(names))
    forms = {
        "folder": folder,
        "files": [folder / name for name in names],
        "list": folder / "list.txt",
        "association": folder / "field_asn.json",
    }
    return forms[form]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__.strip("_"))
def test_whatever_is_wrong_with_it(folder, names, spoil, caplog):
    spoil(folder / names[2])
    measured = SourceCatalogStep.call(folder, configure_log=False)
    assert [f"{e.key}_flt.fits" for e in measured.exposures] == [names[0], names[1], names[3]]
    assert list(measured.catalogs) == [names[0].removesuffix("_flt.fits")]
    [left_out] = measured.left_out
    assert left_out.path == str(folder / names[2])
    assert left_out.name == names[2]
    assert left_out.problem
    assert left_out.remedy
    assert f"Left out: {folder / names[2]}" in caplog.text
    assert [one.kind for one in reservations(measured)] == [ReservationKind.LEFT_OUT]


@pytest.mark.parametrize("form", ["folder", "files", "list", "association"])
def test_however_it_is_given(folder, names, form):
    given = _given(form, folder, names)
    (folder / names[2]).write_bytes(b"")
    measured = SourceCatalogStep.call(given, configure_log=False)
    assert [one.name for one in measured.left_out] == [names[2]]
    # named as the governor of the other, which is governed by the rules instead
    assert measured["idem02a2q"].governors == ()


@pytest.mark.parametrize("spoil", [_truncated, _without_pixels])
def test_refused_on_request(folder, names, spoil):
    spoil(folder / names[2])
    with pytest.raises(InputError) as caught:
        SourceCatalogStep.call(folder, bad_input="refuse", configure_log=False)
    assert caught.value.path == str(folder / names[2])


def test_one_visit_named_file_by_file(folder, names):
    """What was named by hand was meant."""
    _truncated(folder / names[1])
    files = [folder / name for name in names[:2]]
    with pytest.raises(InputError):
        SourceCatalogStep.call(files, configure_log=False)
    assert len(SourceCatalogStep.call(files, bad_input="leave_out", configure_log=False).exposures) == 1


def test_nothing_is_left(folder, names):
    for name in names:
        _truncated(folder / name)
    with pytest.raises(InputError) as caught:
        SourceCatalogStep.call(folder, configure_log=False)
    assert caught.value.path == str(folder / names[0])


def test_no_direct_exposure_is_left(folder, names):
    for name in (names[0], names[2]):
        _without_pixels(folder / name)
    with pytest.raises(InputError) as caught:
        SourceCatalogStep.call(folder, configure_log=False)
    assert caught.value.path == str(folder / names[0])


@pytest.mark.slow
def test_the_others_as_if_it_had_not_been_there(folder, names, tmp_path):
    """Same WCSs; on record, in the page and in the association of the products."""
    _truncated(folder / names[1])
    shutil.copytree(folder, tmp_path / "without")
    (tmp_path / "without" / names[1]).unlink()
    for source, out in ((folder, "out"), (tmp_path / "without", "expected")):
        GrismAlignPipeline.call(source, output_dir=str(tmp_path / out), configure_log=False)
    for name in (names[0], names[2], names[3]):
        assert wcs_apart(tmp_path / "out" / name, tmp_path / "expected" / name) == 0.0
    assert not (tmp_path / "out" / names[1]).exists()
    record = read_record(tmp_path / "out" / "in_provenance.asdf")
    assert [one.name for one in record.left_out] == [names[1]]
    assert f"{names[1]} left out" in (tmp_path / "out" / "in_report.html").read_text()
    again = GrismAlignPipeline.call(
        str(tmp_path / "out" / "in_asn.json"), output_dir=str(tmp_path / "again"), configure_log=False
    )
    assert [one.name for one in again.left_out] == [names[1]]


@pytest.mark.parametrize("given", ["current", "input_dir"])
def test_names_are_of_the_current_folder_or_of_input_dir(folder, names, given, tmp_path, monkeypatch):
    """And not of the folder of the first file."""
    (tmp_path / "one").mkdir()
    for name in names[:2]:
        (folder / name).rename(tmp_path / "one" / name)
    for name in names[2:]:
        (folder / name).rename(tmp_path / name)
    files = [f"one/{names[0]}", f"one/{names[1]}", names[2], str(tmp_path / names[3])]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path if given == "current" else elsewhere)
    place = [] if given == "current" else [f"--input_dir={tmp_path}"]
    Step.from_cmdline(["grism_source_catalog", *files, *place, f"--output_dir={tmp_path / 'out'}"])
    record = read_record(tmp_path / "out" / "aligned_provenance.asdf")
    assert len(record.exposures) == 4
    assert np.all([one.input.path.startswith(str(tmp_path)) for one in record.exposures.values()])
