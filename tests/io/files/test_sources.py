from __future__ import annotations

from pathlib import Path

import pytest

from grism_align.io.files.sources import file_of_root, path_of, root_of
from grism_align.values.errors import InputError
from grism_align.values.source import FileSource
from tests.support.sources import LibraryEntry

ENDINGS = ("_flc.fits", "_flt.fits")


def test_a_file_can_be_opened_as_any_path_can(tmp_path):
    path = tmp_path / "a_flt.fits"
    path.write_text("content")
    source = FileSource(str(path), "a")
    assert path_of(source) == path
    assert Path(source).read_text() == "content"
    assert (str(source), source.name, source.root) == (str(path), "a_flt.fits", "a")


def test_a_file_is_what_its_path_says():
    assert FileSource("d/a_flt.fits", "a") == FileSource("d/a_flt.fits")
    assert FileSource("d/a_flt.fits").root == "a_flt.fits"


def test_an_entry_of_a_library_is_no_file():
    with pytest.raises(InputError, match="it is no file"):
        path_of(LibraryEntry("nis", 3))


@pytest.mark.parametrize(
    ("name", "root"), [("d/a_flt.fits", "a"), ("a_flc.fits.gz", "a_flc"), ("a_raw.fits", "a_raw"), ("a", "a")]
)
def test_roots(name, root):
    assert root_of(name, ENDINGS) == root_of(Path(name), ENDINGS) == root


def test_the_best_file_of_a_root(tmp_path):
    assert file_of_root("a", tmp_path, ENDINGS) == tmp_path / "a"
    for ending in reversed(ENDINGS):
        (tmp_path / f"a{ending}").touch()
        assert file_of_root("a", tmp_path, ENDINGS) == tmp_path / f"a{ending}"
