from __future__ import annotations

import multiprocessing
import os

import pytest

from grism_align.io.files import staging as atomic
from grism_align.io.files.staging import all_or_nothing, atomic_path, remove_leftovers


def write(path, text):
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    with atomic_path(tmp_path / "a.fits") as temporary:
        temporary.write_text("half")
        assert temporary.name.startswith(".grism_align-")
        assert temporary.name.endswith(".a.fits")
        assert not (tmp_path / "a.fits").exists()
    assert names(tmp_path) == ["a.fits"]


def test_an_error_leaves_the_old_file(tmp_path):
    write(tmp_path / "a", "old")
    with pytest.raises(ValueError, match="stop"), atomic_path(tmp_path / "a") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise ValueError("stop")
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_all_appear_together_and_some_last(tmp_path, monkeypatch):
    write(tmp_path / "a", "old")
    order, rename = [], atomic.Path.replace

    def replace(self, target):
        order.append(target.name)
        return rename(self, target)

    monkeypatch.setattr(atomic.Path, "replace", replace)
    with all_or_nothing(last={tmp_path / "a", tmp_path / "c"}):
        for name in "abcd":
            write(tmp_path / name, name)
        write(tmp_path / "b", "b anew")
        assert (tmp_path / "a").read_text() == "old"
        assert not (tmp_path / "b").exists()
    assert order == ["b", "d", "a", "c"]
    assert [(tmp_path / name).read_text() for name in "abcd"] == ["a", "b anew", "c", "d"]
    assert names(tmp_path) == list("abcd")
    # and after it each file is its own again
    write(tmp_path / "e", "e")
    assert (tmp_path / "e").read_text() == "e"


def test_all_are_on_disk_before_the_first_takes_its_name(tmp_path, monkeypatch):
    events, rename, sync = [], atomic.Path.replace, os.fsync
    monkeypatch.setattr(atomic.os, "fsync", lambda handle: (events.append("sync"), sync(handle)))
    monkeypatch.setattr(atomic.Path, "replace", lambda self, to: (events.append("rename"), rename(self, to)))
    with all_or_nothing():
        for name in "abc":
            write(tmp_path / name, name)
    assert events == 3 * ["sync"] + 3 * ["rename"]
    events.clear()
    write(tmp_path / "d", "d")
    assert events == ["sync", "rename"]


def test_none_appears_where_one_fails(tmp_path):
    write(tmp_path / "a", "old")
    with pytest.raises(ValueError, match="stop"), all_or_nothing():  # noqa: PT012
        write(tmp_path / "a", "new")
        write(tmp_path / "b", "new")
        raise ValueError("stop")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def _die(folder):
    with all_or_nothing():
        write(folder / "a", "half done")
        os._exit(9)


def test_leftovers_of_a_process_that_is_gone(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_die, args=(tmp_path,))
    process.start()
    process.join()
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".grism_align-")
    (tmp_path / ".grism_align-elsewhere-1-x.a").write_text("of another machine")
    (tmp_path / ".hidden").write_text("of the user")
    with atomic_path(tmp_path / "b") as temporary:
        assert remove_leftovers([tmp_path, tmp_path, tmp_path / "none"]) == [left]
        assert temporary.exists()
    assert names(tmp_path) == [".grism_align-elsewhere-1-x.a", ".hidden", "b"]
