from __future__ import annotations

import errno
import os
from contextlib import ExitStack

import pytest

from grism_align.io.files import locks
from grism_align.io.files.locks import (
    NAME,
    HeldError,
    NoLocksError,
    exclusive,
    is_named,
    lock,
    open_to_lock,
    unlock,
)
from tests.support.processes import elsewhere, other


def _enter(folder):
    with exclusive(folder, 0.0):
        return sorted(path.name for path in folder.iterdir())


def test_one_at_a_time(tmp_path):
    with other(exclusive(tmp_path, 0.0)) as another:
        with pytest.raises(HeldError):
            _enter(tmp_path)
        another.leave()
        assert _enter(tmp_path) == [NAME]
    assert list(tmp_path.iterdir()) == []
    # nor two of one process
    with exclusive(tmp_path, 0.0), pytest.raises(HeldError):
        _enter(tmp_path)


def test_a_lock_ends_with_its_process(tmp_path):
    with other(exclusive(tmp_path, 0.0)) as another:
        another.kill()
        assert [path.name for path in tmp_path.iterdir()] == [NAME]
        assert _enter(tmp_path) == [NAME]
    assert list(tmp_path.iterdir()) == []


def test_who_waits_has_the_lock_of_the_file_that_is_there(tmp_path, monkeypatch):
    """The one that he waits for removes the file when it is done."""
    with ExitStack() as first:
        first.enter_context(exclusive(tmp_path, 0.0))
        monkeypatch.setattr(locks.time, "sleep", lambda _: first.close())
        with exclusive(tmp_path, 60.0):
            assert [path.name for path in tmp_path.iterdir()] == [NAME]
            assert isinstance(elsewhere(lambda: _enter(tmp_path)), HeldError)


def test_an_open_file_whose_name_another_has(tmp_path):
    handle = open_to_lock(tmp_path / "a")
    lock(handle)
    assert is_named(handle, tmp_path / "a")
    (tmp_path / "a").unlink()
    assert not is_named(handle, tmp_path / "a")
    (tmp_path / "a").touch()
    assert not is_named(handle, tmp_path / "a")
    unlock(handle)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_locked(tmp_path, make):
    make(tmp_path / NAME)
    with pytest.raises(OSError, match=NAME), exclusive(tmp_path, 0.0):
        pass


def test_a_link_is_not_followed(tmp_path):
    """One with the name of the lock is nobody's lock, and what it leads to stays."""
    (tmp_path / "of the user").write_text("as it was")
    (tmp_path / NAME).symlink_to(tmp_path / "of the user")
    assert NAME in _enter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["of the user"]
    assert (tmp_path / "of the user").read_text() == "as it was"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_once(tmp_path, monkeypatch, caplog, number):
    def refuse(handle, kind):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    for _ in range(2):
        _enter(tmp_path)
    assert caplog.text.count("no locks") == 1
    handle = open_to_lock(tmp_path / "a")
    with pytest.raises(NoLocksError):
        lock(handle)
    os.close(handle)


def test_other_errors_are_errors(tmp_path, monkeypatch):
    def refuse(handle, kind):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with pytest.raises(OSError, match="output error"), exclusive(tmp_path, 0.0):
        pass


def test_no_lock_without_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError), exclusive(tmp_path / "none", 0.0):
        pass
