from __future__ import annotations

import errno
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.io.files import staging
from grism_align.io.files.staging import (
    PartlyReplacedError,
    Staging,
    atomic_path,
    output_errors,
)
from grism_align.values.errors import OutputError


def write(path, text):
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def texts(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


# --- one file ---


def test_a_file_appears_when_it_is_whole(tmp_path):
    with atomic_path(tmp_path / "a.fits") as temporary:
        temporary.write_text("half")
        assert temporary.parent.name.startswith(".grism_align-")
        assert temporary.name == "a.fits"
        assert not (tmp_path / "a.fits").exists()
    assert names(tmp_path) == ["a.fits"]


def test_an_error_leaves_the_old_file(tmp_path):
    write(tmp_path / "a", "old")
    with pytest.raises(ValueError, match="stop"), atomic_path(tmp_path / "a") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise ValueError("stop")
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_bytes_are_on_disk_before_the_name_is_taken(tmp_path, monkeypatch):
    events, rename, sync = [], Path.replace, os.fsync
    monkeypatch.setattr(staging.os, "fsync", lambda handle: (events.append("sync"), sync(handle)))
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append("rename"), rename(self, to)))
    write(tmp_path / "d", "d")
    assert events == ["sync", "rename"]
    events.clear()
    with Staging(tmp_path) as out:
        for name in "abc":
            out.path(name).write_text(name)
    assert events == 3 * ["sync"] + 3 * ["rename"]


# --- several files ---


def test_all_appear_together_some_first_and_some_last(tmp_path, monkeypatch):
    write(tmp_path / "a", "old")
    order, rename = [], Path.replace

    def replace(self, target):
        order.append(target.name)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    last = {tmp_path / "a", tmp_path / "c"}
    with Staging(tmp_path, first={tmp_path / "e"}, last=last) as out:
        for name in "abcde":
            assert out.path(name).name == name
            out.path(name).write_text(name)
        out.path(tmp_path / "b").write_text("b anew")
        assert out.path("never written").parent == out.path("a").parent
        assert (tmp_path / "a").read_text() == "old"
        assert not (tmp_path / "b").exists()
    assert order == ["e", "b", "d", "a", "c"]
    assert texts(tmp_path) == {"a": "a", "b": "b anew", "c": "c", "d": "d", "e": "e"}
    # and after it each file is its own again
    write(tmp_path / "f", "f")
    assert (tmp_path / "f").read_text() == "f"


@given(
    old=st.sets(st.sampled_from("abcdef")),
    order=st.permutations("abcdef"),
    stops=st.integers(0, 7),
    rename=st.integers(0, 7),
)
def test_all_or_none_in_any_order_and_wherever_it_stops(old, order, stops, rename):
    """Until the first takes its name nothing has changed; from then on the error tells what has."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        before = {one: f"old {one}" for one in old}
        for one, text in before.items():
            write(folder / one, text)
        taken, replace = [], Path.replace

        def failing(self, target):
            if len(taken) == rename:
                raise OSError(errno.EACCES, "Permission denied", str(self))
            taken.append(target)
            return replace(self, target)

        patch.setattr(Path, "replace", failing)
        error = _staged(folder, order[:stops], is_whole=stops >= len(order))
        assert texts(folder) == before | {one.name: f"new {one.name}" for one in taken}
        if isinstance(error, PartlyReplacedError):
            turns = sorted(order, key=lambda one: {"c": -1, "a": 1}.get(one, 0))
            assert list(error.replaced) == taken == [folder / one for one in turns[:rename]]
            assert error.filename == str(folder / turns[rename])
        elif error is not None:
            assert taken == []
        else:
            assert len(taken) == len(order)


def _staged(folder, wanted, *, is_whole):
    """Write files, the last of which may be too much; the error that came of it."""
    try:
        with Staging(folder, first=[folder / "c"], last=[folder / "a"]) as out:
            for one in wanted:
                out.path(one).write_text(f"new {one}")
            if not is_whole:
                _stop(out.path("z"))
    except (ValueError, OSError) as error:
        return error
    return None


def test_each_folder_has_its_hidden_folder(tmp_path):
    """Renaming is atomic within a file system only."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a", "old")
    targets = [tmp_path / name / "a" for name in ("one", "two", "new")]
    with Staging(tmp_path / "one", last=targets) as out:
        for name in ("one", "two", "new"):
            path = out.path(tmp_path / name / "a")
            assert path.parent.parent == tmp_path / name
            path.write_text(name)
        assert [(tmp_path / name / "a").read_text() for name in ("one", "two")] == ["old", "old"]
        assert not (tmp_path / "new" / "a").exists()
    assert [texts(tmp_path / name) for name in ("one", "two", "new")] == [
        {"a": name} for name in ("one", "two", "new")
    ]


def test_modes_are_kept(tmp_path):
    write(tmp_path / "a", "old")
    (tmp_path / "a").chmod(0o640)
    write(tmp_path / "b", "made alone")
    with Staging(tmp_path) as out:
        for name in "ac":
            out.path(name).write_text("new")
            out.path(name).chmod(0o600)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes["a"] == 0o640
    assert modes["b"] == modes["c"]


def _write(path, text="theirs"):
    path.write_text(text)


def _stop(path):
    path.write_text("whole")
    raise ValueError("stop")


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_what_others_write_appears_with_the_rest_or_not_at_all(tmp_path, pool):
    options = {"mp_context": multiprocessing.get_context("fork")} if pool is ProcessPoolExecutor else {}
    with pool(2, **options) as workers:
        with Staging(tmp_path) as out:
            list(workers.map(_write, [out.path("a"), out.path("b")]))
            assert not list(tmp_path.glob("[a-z]*"))
            out.path("c").write_text("ours")
        assert texts(tmp_path) == {"a": "theirs", "b": "theirs", "c": "ours"}
        with pytest.raises(ValueError, match="stop"), Staging(tmp_path) as out:
            list(workers.map(_stop, [out.path("a"), out.path("e")]))
    assert texts(tmp_path) == {"a": "theirs", "b": "theirs", "c": "ours"}


@pytest.mark.parametrize("name", ["../victim", "sub/victim", "/tmp/victim", "../one/../victim"])
def test_nothing_is_written_to_another_folder(tmp_path, name):
    (tmp_path / "one").mkdir()
    with pytest.raises(OutputError), Staging(tmp_path / "one", last=[tmp_path / "two" / "a"]) as out:
        out.path(name)
    assert names(tmp_path) == ["one"]


def test_a_folder_that_is_reached_through_a_link_is_the_same(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to("one")
    with Staging(tmp_path / "link") as out:
        out.path(tmp_path / "one" / "a").write_text("a")
    assert texts(tmp_path / "one") == {"a": "a"}


# --- errors ---


def test_errors_name_the_file_that_was_to_be(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught, Staging(tmp_path) as out:
        out.path("folder")
    assert caught.value.filename == str(tmp_path / "folder")
    with pytest.raises(FileNotFoundError) as caught, Staging(tmp_path) as out:
        out.path("a").read_text()
    assert caught.value.filename == str(tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="file"), Staging(tmp_path / "file") as out:
        out.path("a")
    with pytest.raises(FileNotFoundError, match="elsewhere"), Staging(tmp_path) as out:
        (out.folder / "elsewhere").read_text()
    assert names(tmp_path) == ["file", "folder"]


def test_what_can_not_be_put_on_disk_stops_it(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(staging.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), Staging(tmp_path) as out:
        out.path("a").write_text("a")
    assert names(tmp_path) == []


def _refused(tmp_path, monkeypatch, allowed):
    """Files whose renaming goes wrong after some."""
    count, rename = iter(range(100)), Path.replace

    def replace(self, target):
        if next(count) == allowed:
            raise OSError(errno.EACCES, "Permission denied", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with output_errors(tmp_path), Staging(tmp_path) as out:
        for number in range(8):
            out.path(f"f{number}").write_text("")


@pytest.mark.parametrize(
    ("allowed", "says"),
    [
        (0, "no file was changed"),
        (2, "f0, f1 took their names before that, the others are as they were"),
        (7, "f0, f1, f2, f3, f4 and 2 more took their names"),
    ],
)
def test_the_error_says_what_became_of_the_files(tmp_path, monkeypatch, allowed, says):
    with pytest.raises(OutputError) as caught:
        _refused(tmp_path, monkeypatch, allowed)
    assert caught.value.path == str(tmp_path / f"f{allowed}")
    assert says in caught.value.remedy
    assert names(tmp_path) == [f"f{number}" for number in range(allowed)]
