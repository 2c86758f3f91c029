from __future__ import annotations

import errno
import os
import resource
from tempfile import TemporaryFile

import pytest

from grism_align.io.files import space
from grism_align.io.files.space import reserve
from tests.support.processes import elsewhere


@pytest.fixture(params=["reserves", "does not", "unknown"])
def file_system(request, monkeypatch):
    """One that can reserve, one that can't, and a platform without the call."""

    def refuse(handle, start, size):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if request.param == "does not":
        monkeypatch.setattr(space.os, "posix_fallocate", refuse)
    elif request.param == "unknown":
        monkeypatch.delattr(space.os, "posix_fallocate")


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_zeros_on_the_disk(tmp_path, size):
    with (tmp_path / "a").open("wb") as stream:
        stream.write(b"head")
        reserve(stream, size)
        assert stream.tell() == 4
    assert (tmp_path / "a").read_bytes() == b"head" + bytes(size)
    assert 512 * (tmp_path / "a").stat().st_blocks >= size


def _too_much(path):
    """What comes of more than the process may write."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    with path.open("wb") if path else TemporaryFile() as stream:
        reserve(stream, 2_000_000)


@pytest.mark.usefixtures("file_system")
def test_no_room_is_an_error_that_names_the_file(tmp_path):
    error = elsewhere(lambda: _too_much(tmp_path / "a"))
    assert isinstance(error, OSError)
    assert error.errno == errno.EFBIG
    assert error.filename == os.fspath(tmp_path / "a")
    assert elsewhere(lambda: _too_much(None)).errno == errno.EFBIG


def test_other_errors_are_errors(tmp_path, monkeypatch):
    def refuse(handle, start, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(space.os, "posix_fallocate", refuse)
    with (tmp_path / "a").open("wb") as stream, pytest.raises(OSError, match="No space left"):
        reserve(stream, 1)
