"""What is refused before any work, because results could not be written."""

from __future__ import annotations

import os

import pytest

from grism_align.io.files.names import LONGEST_NAME
from grism_align.values.errors import OutputError
from grism_align.workflows.results.checks import check_destination
from grism_align.workflows.results.destination import Destination
from tests.support.runs import loaded, make_exposures


def _make_folder(path):
    try:
        path.mkdir()
    except OSError:
        pytest.skip("this file system takes names of text only")
    return path


@pytest.mark.parametrize("is_input", [True, False])
def test_a_path_that_no_record_can_hold(tmp_path, is_input):
    odd = _make_folder(tmp_path / os.fsdecode(b"odd\xff"))
    raw = odd / "raw" if is_input else tmp_path / "raw"
    make_exposures(raw)
    with pytest.raises(OutputError) as caught:
        check_destination(loaded(raw), Destination(tmp_path if is_input else odd, in_place=False))
    # it can be printed
    assert caught.value.problem.isascii()


def test_a_name_that_is_too_long_for_a_product(tmp_path):
    make_exposures(tmp_path / "raw")
    [first, *_] = (tmp_path / "raw").iterdir()
    first.rename(first.with_name("x" * (LONGEST_NAME - 8) + "_flt.fits"))
    with pytest.raises(OutputError):
        check_destination(loaded(tmp_path / "raw"), Destination(tmp_path / "out", in_place=False))


@pytest.mark.parametrize("name", ["file", "file/out", "file/deep/out"])
def test_a_folder_that_can_not_be_made(tmp_path, name):
    make_exposures(tmp_path / "raw")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"is a file, not a folder\. Give another output_dir"):
        check_destination(loaded(tmp_path / "raw"), Destination(tmp_path / name, in_place=False))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("in_place", [True, False])
def test_a_folder_that_can_not_be_written(tmp_path, in_place):
    raw = tmp_path / "raw"
    make_exposures(raw)
    locked = raw if in_place else _make_folder(tmp_path / "locked")
    exposures = loaded(raw)
    locked.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="can't be written to"):
            check_destination(exposures, Destination(tmp_path if in_place else locked / "a" / "b", in_place))
    finally:
        locked.chmod(0o700)


@pytest.mark.parametrize(
    ("place", "in_place", "remedy"),
    [
        ("raw", True, "leave out in_place and give output_dir"),
        ("out", True, "give another output_dir"),
        ("out", False, "give another output_dir"),
    ],
)
def test_what_to_do_about_a_folder_that_can_not_be_written(tmp_path, monkeypatch, place, in_place, remedy):
    for name in ("raw", "out"):
        make_exposures(tmp_path / name)
    exposures = loaded(tmp_path / "raw")
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and path.name == place))
    with pytest.raises(OutputError) as caught:
        check_destination(exposures, Destination(tmp_path / "out", in_place))
    assert caught.value.path == str(tmp_path / place)
    assert caught.value.remedy == f"Change its mode, or {remedy}"
