from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from grism_align.io.files import hidden
from grism_align.io.files.hidden import MARK, HiddenFolder, Owner, hidden_folder, owners, remove_leftovers
from grism_align.io.files.locks import open_to_lock
from grism_align.io.files.staging import Staging, atomic_path
from tests.support.processes import elsewhere, other


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_for_a_while(tmp_path):
    with hidden_folder(tmp_path) as folder:
        assert folder.name.startswith(MARK)
        (folder / "below").mkdir()
        (folder / "below" / "a").write_text("")
        assert remove_leftovers([tmp_path]) == []
        assert elsewhere(lambda: remove_leftovers([tmp_path])) == []
    assert names(tmp_path) == []


def test_who_works_there_is_told(tmp_path):
    with other(hidden_folder(tmp_path)):
        [(folder, owner)] = owners(tmp_path)
        assert folder.parent == tmp_path
        assert owner.host == os.uname().nodename
        assert owner.process != os.getpid()
        assert str(owner.process) in str(owner)
    # killed
    assert list(owners(tmp_path)) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"process": "x", "host": 1}', '{"command": "\\u001b[2J", "process": 1}']
)
def test_an_owner_that_can_not_be_read(tmp_path, text):
    folder = HiddenFolder(tmp_path)
    (folder.path / ".owner").write_text(text)
    [(_, owner)] = owners(tmp_path)
    assert owner.command == "another run"
    folder.remove()


def test_what_is_told_of_an_owner_is_one_line_of_text(tmp_path):
    folder = HiddenFolder(tmp_path)
    (folder.path / ".owner").write_text(
        '{"command": "a\\u001b[2J\\nb", "process": 7, "host": "%s", "since": "now"}' % ("h" * 5000)
    )
    [(_, owner)] = owners(tmp_path)
    assert owner == Owner("a?[2J?b", 7, "h" * 200, "now")
    folder.remove()


# --- leftovers ---


@pytest.mark.parametrize("kind", ["staging", "one file", "folder"])
def test_leftovers_of_a_run_that_was_killed_are_removed_by_whoever_writes_next(tmp_path, kind):
    def die(path):
        path.write_text("half done")
        os.kill(os.getpid(), 9)

    def work():
        if kind == "staging":
            with Staging(tmp_path) as out, atomic_path(out.path("a")) as temporary:
                die(temporary)
        elif kind == "one file":
            with atomic_path(tmp_path / "a") as temporary:
                die(temporary)
        else:
            with hidden_folder(tmp_path) as folder:
                die(folder / "a")

    with pytest.raises(EOFError):
        elsewhere(work)
    [left] = tmp_path.iterdir()
    assert left.name.startswith(MARK)
    with atomic_path(tmp_path / "b") as temporary:
        temporary.write_text("b")
    assert names(tmp_path) == ["b"]


def test_what_is_at_work_stays(tmp_path):
    """Also what another process, whose number nobody here knows, is at."""
    with other(hidden_folder(tmp_path)), Staging(tmp_path) as out:
        out.path("c").write_text("c")
        before = names(tmp_path)
        assert remove_leftovers([tmp_path, tmp_path, tmp_path / "none"]) == []
        assert names(tmp_path) == before
        assert len(before) == 2


def test_what_only_has_the_name_of_a_leftover_stays_and_does_no_harm(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a").write_text("of the user")
    (tmp_path / ".grism_align-linked00").symlink_to(tmp_path / "theirs")
    (tmp_path / ".grism_align-broken00").symlink_to(tmp_path / "none")
    (tmp_path / ".grism_align-file0000").write_text("of the user")
    (tmp_path / ".grism_align-my own notes").mkdir()
    foreign = tmp_path / ".grism_align-foreign0"
    foreign.mkdir()
    before = names(tmp_path)
    monkeypatch.setattr(hidden, "_is_own", lambda path: path != foreign)
    with atomic_path(tmp_path / "b") as temporary:
        temporary.write_text("b")
    assert names(tmp_path) == sorted([*before, "b"])
    assert names(tmp_path / "theirs") == ["a"]


def test_a_leftover_that_can_not_be_removed_does_no_harm(tmp_path, monkeypatch):
    (tmp_path / ".grism_align-left0000").mkdir()

    def refuse(path, **options):
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(hidden.shutil, "rmtree", refuse)
        assert remove_leftovers([tmp_path]) == []
    assert len(remove_leftovers([tmp_path])) == 1


def test_a_folder_that_another_run_takes_for_a_leftover_is_made_again(tmp_path, monkeypatch):
    """In the instant between its making and its locking."""
    taken, make = [], hidden.tempfile.mkdtemp

    def mkdtemp(**options):
        name = make(**options)
        if not taken:
            taken.extend(remove_leftovers([tmp_path]))
        return name

    monkeypatch.setattr(hidden.tempfile, "mkdtemp", mkdtemp)
    with hidden_folder(tmp_path) as folder:
        assert folder.is_dir()
        assert folder not in taken
        assert len(taken) == 1
    assert names(tmp_path) == []


def test_a_folder_that_another_run_is_about_to_remove_is_not_used(tmp_path, monkeypatch):
    handles, make = [], hidden.tempfile.mkdtemp

    def mkdtemp(**options):
        name = make(**options)
        if not handles:
            handles.append(open_to_lock(tmp_path / name / ".owner"))
            hidden.lock(handles[0], shared=True)
        return name

    monkeypatch.setattr(hidden.tempfile, "mkdtemp", mkdtemp)
    with hidden_folder(tmp_path):
        assert len(names(tmp_path)) == 2
    os.close(handles[0])


def test_one_lock_does_for_many_folders(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = HiddenFolder(tmp_path / "one")
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    second = HiddenFolder(tmp_path / "two", first)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files
    assert elsewhere(lambda: remove_leftovers([tmp_path / "one", tmp_path / "two"])) == []
    second.remove()
    first.remove()
    assert names(tmp_path / "one") == names(tmp_path / "two") == []


def test_where_there_are_no_links_each_folder_has_its_lock(tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    first = HiddenFolder(tmp_path)
    second = HiddenFolder(tmp_path, first)
    assert elsewhere(lambda: remove_leftovers([tmp_path])) == []
    assert len(list(owners(tmp_path))) == 2
    for folder in (second, first):
        folder.remove()
    assert names(tmp_path) == []


def test_without_locks_nobody_knows_what_is_left_over(tmp_path, monkeypatch):
    def refuse(handle, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(hidden.lock.__globals__["fcntl"], "flock", refuse)
    with hidden_folder(tmp_path):
        assert remove_leftovers([tmp_path]) == []
        assert list(owners(tmp_path)) == []
    assert names(tmp_path) == []
