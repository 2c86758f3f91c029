"""Exposures as they lie on a disk."""

from __future__ import annotations

import os

import pytest

from grism_align.io.associations import is_selection, read_association
from grism_align.values.errors import AssociationError
from tests.support.associations import touch


def names(source):
    return [member.source.name for member in read_association(source).members]


@pytest.fixture
def download(tmp_path):
    """Files as MAST's portal packs them: a folder each, with all that belongs to an exposure."""
    home = tmp_path / "mastDownload"
    touch(home / "HST" / "iaaa01d1q", "iaaa01d1q_flt.fits", "iaaa01d1q_drz.fits", "iaaa01d1q_jif.fits")
    touch(home / "HST" / "iaaa01d2q", "iaaa01d2q_flt.fits.fz")
    touch(home / "HST" / "jaaa01d3q", "jaaa01d3q_flc.fits", "jaaa01d3q_flt.fits")
    touch(home / "HST" / ".trash", "iaaa01d9q_flt.fits")
    (home / "MANIFEST.HTML").write_text("")
    return home


FOUND = ["iaaa01d1q_flt.fits", "iaaa01d2q_flt.fits.fz", "jaaa01d3q_flc.fits"]


@pytest.mark.parametrize("place", [".", "HST"])
def test_a_tree_of_folders(download, place):
    assert names(download / place) == FOUND
    assert is_selection(download / place)


def test_the_folder_itself_comes_first(download):
    touch(download, "iaaa01d8q_flt.fits")
    assert names(download) == ["iaaa01d8q_flt.fits"]


def test_results_in_a_tree_are_no_downloads(download):
    touch(download / "aligned", "iaaa01d1q_flt.fits", "iaaa01d7q_flt.fits")
    (download / "aligned" / "field_provenance.asdf").write_text("")
    found = read_association(download).members
    assert [member.source.name for member in found] == FOUND
    assert "aligned" not in str(found[0].source)


def test_of_two_copies_the_newest(download):
    [copy] = touch(download / "again", "iaaa01d1q_flt.fits")
    for age, newest in ((100, copy), (-100, download / "HST" / "iaaa01d1q" / copy.name)):
        other = download / "HST" / "iaaa01d1q" / copy.name
        os.utime(other, (copy.stat().st_atime, copy.stat().st_mtime - age))
        assert str(read_association(download).members[0].source) == str(newest)


@pytest.mark.parametrize(
    "pattern", ["HST/*/*.fits*", "HST/?aaa*/*_fl[ct].fits*", "**/*.fits*", "**/*_fl*"], ids=str
)
def test_wildcards(download, pattern, monkeypatch):
    monkeypatch.chdir(download)
    assert names(pattern) == FOUND
    assert names([pattern]) == FOUND
    assert is_selection(pattern)


def test_wildcards_of_other_things(download, monkeypatch):
    monkeypatch.chdir(download)
    (download / "one.txt").write_text("HST/iaaa01d1q/iaaa01d1q_flt.fits")
    (download / "two.txt").write_text("HST/*/iaaa01d2q*")
    assert names("*.txt") == ["iaaa01d1q_flt.fits", "iaaa01d2q_flt.fits.fz"]
    assert names("HST/i*") == FOUND[:2]
    with pytest.raises(AssociationError, match="no file has such a name"):
        read_association("HST/*/*_cal.fits")


def test_a_file_that_has_wildcards_in_its_name(tmp_path):
    [path] = touch(tmp_path / "data [1]", "iaaa01d1q_flt.fits")
    assert names(path) == [path.name]
    assert not is_selection(path)
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("given", ["@list.txt", "list.txt"])
def test_a_list_after_an_at_sign(download, given, monkeypatch):
    monkeypatch.chdir(download)
    (download / "list.txt").write_text("HST/iaaa01d1q/iaaa01d1q_flt.fits\n# or\nHST/j*/*_flc.fits\n")
    assert names(given) == [FOUND[0], FOUND[2]]
    assert names([given, "HST/iaaa01d2q/iaaa01d2q_flt.fits.fz"]) == [FOUND[0], FOUND[2], FOUND[1]]


def test_a_name_that_begins_with_an_at_sign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [path] = touch(tmp_path / "@in", "iaaa01d1q_flt.fits")
    assert names("@in") == [path.name]


def test_a_tree_without_exposures(tmp_path):
    touch(tmp_path / "in" / "below", "iaaa01d1q_drz.fits")
    with pytest.raises(AssociationError, match="no folder below does"):
        read_association(tmp_path / "in")
