"""Measurements on disk: bounded, checked, private, and shared by runs."""

from __future__ import annotations

import hashlib
import os
import stat
import threading

import pytest

from grism_align.io.measurements.store import MeasurementStore


def key_of(number, part="0"):
    return part + hashlib.sha256(str(number).encode()).hexdigest()[1:]


@pytest.fixture
def store(tmp_path):
    return MeasurementStore(tmp_path / "kept", 16 * 1000)


def files(store):
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


def test_what_was_kept_is_there(store):
    assert store.read(key_of(1)) is None
    store.keep(key_of(1), b"content")
    assert store.read(key_of(1)) == b"content"
    store.keep(key_of(1), b"")
    assert store.read(key_of(1)) == b""
    [path] = files(store)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content[:-3] + b"abc",
        lambda content: b"",
        lambda content: b"\x1f\x8b" + content,
        lambda content: content.replace(b"measurement 1", b"measurement 9"),
    ],
)
def test_a_damaged_file_is_as_none(store, damage):
    store.keep(key_of(1), b"content")
    [path] = files(store)
    path.write_bytes(damage(path.read_bytes()))
    assert store.read(key_of(1)) is None
    store.keep(key_of(1), b"content")
    assert store.read(key_of(1)) == b"content"


def test_a_pipe_is_not_waited_for(store):
    store.keep(key_of(1), b"content")
    [path] = files(store)
    path.unlink()
    os.mkfifo(path)
    assert store.read(key_of(1)) is None


def test_what_nobody_used_for_longest_makes_room(store):
    for number in range(3):
        store.keep(key_of(number), bytes(200))
        os.utime(store._path(key_of(number)), ns=(number, number))
    # which makes it the latest
    assert store.read(key_of(0)) is not None
    store.keep(key_of(3), bytes(300))
    there = [number for number in range(4) if store.read(key_of(number)) is not None]
    assert there == [0, 2, 3]
    assert sum(path.stat().st_size for path in files(store)) <= 1000
    # other parts have their own room
    store.keep(key_of(4, "a"), bytes(900))
    assert store.read(key_of(3)) is not None


def test_what_is_larger_than_all_room_is_not_kept(store):
    store.keep(key_of(1), b"content")
    store.keep(key_of(2), bytes(1001))
    assert store.read(key_of(1)) is not None
    assert store.read(key_of(2)) is None


def test_runs_share_it(store):
    """Each finds what it looks for whole, or not at all, while others write and make room."""
    wrong = []

    def work(first):
        for number in range(first, first + 40):
            name = number % 7
            store.keep(key_of(name), str(name).encode() * 150)
            found = store.read(key_of((number + 3) % 7))
            if found not in (None, str((number + 3) % 7).encode() * 150):
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sum(path.stat().st_size for path in files(store)) <= 2 * 1000


@pytest.fixture
def made(kept):
    from grism_align.io.measurements import store

    return store.measurement_store


def test_the_folder_is_the_users_own(made, kept):
    store = made(100)
    assert store == MeasurementStore(kept, 100)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700


def test_nothing_is_kept_where_others_may_write(made, kept, caplog, monkeypatch):
    kept.mkdir(parents=True)
    kept.chmod(0o777)
    assert made(100) is None
    assert "others may write there" in caplog.text
    kept.chmod(0o700)
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert made(100) is None
    assert "another user's" in caplog.text


def test_a_folder_that_cannot_be_made_costs_a_warning(made, kept, caplog):
    kept.parent.write_text("no folder")
    assert made(100) is None
    assert "are not kept" in caplog.text
    assert made(0) is None
