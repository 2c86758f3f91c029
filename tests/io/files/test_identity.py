from __future__ import annotations

import os
import pickle
import shutil

import pytest

from grism_align.io.files.checksums import sha256_of
from grism_align.io.files.identity import identity_of, unchanged, with_sum
from grism_align.values.errors import ChangedError


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a").write_bytes(b"what was read")
    (tmp_path / "other").write_bytes(b"what was not.")
    return tmp_path / "a"


def _written_over(path):
    """Same size, same times, same entry."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(b"what was not.")
    os.utime(path, ns=times)


CHANGES = {
    "removed": lambda path: path.unlink(),
    "grown": lambda path: path.write_bytes(b"what was read and more"),
    "written over": _written_over,
    "replaced": lambda path: (path.parent / "other").replace(path),
    "copied over": lambda path: shutil.copy2(path.parent / "other", path),
    "a link to another": lambda path: (path.unlink(), path.symlink_to(path.parent / "other")),
}
# Of what does not change a single byte.
TOUCHES = {
    "touched": lambda path: os.utime(path, ns=(1, 1)),
    "of another mode": lambda path: path.chmod(0o400),
    "linked": lambda path: os.link(path, path.parent / "link"),
    "moved and copied back": lambda path: (
        path.replace(path.parent / "x"),
        shutil.copy(path.parent / "x", path),
    ),
    "nothing": lambda path: None,
}


def _read(path, known):
    with unchanged(path, known):
        return path.exists() and path.read_bytes()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("has_sum", [True, False])
def test_a_file_that_is_another_is_not_read(path, change, has_sum):
    known = identity_of(path)
    known = with_sum(path, known) if has_sum else known
    CHANGES[change](path)
    with pytest.raises(ChangedError) as caught:
        _read(path, known)
    assert caught.value.path == str(path)
    assert caught.value.path == pickle.loads(pickle.dumps(caught.value)).path


@pytest.mark.parametrize("touch", TOUCHES)
def test_a_file_of_the_same_bytes_is_the_same(path, touch):
    known = with_sum(path, identity_of(path))
    assert known.sha256 == sha256_of(path)
    TOUCHES[touch](path)
    assert _read(path, known) == b"what was read"


@pytest.mark.parametrize("change", sorted({**CHANGES, **TOUCHES}.keys() - {"nothing"}))
def test_what_happens_while_it_is_read_is_noticed(path, change):
    known = with_sum(path, identity_of(path))
    with pytest.raises(ChangedError), unchanged(path, known):
        (CHANGES | TOUCHES)[change](path)


def _swapped_for_a_moment(path):
    path.replace(path.parent / "aside")
    (path.parent / "other").replace(path)
    (path.parent / "aside").replace(path)


def test_a_swap_for_a_moment_is_noticed(path):
    known = with_sum(path, identity_of(path))
    with pytest.raises(ChangedError), unchanged(path, known):
        _swapped_for_a_moment(path)


def test_what_goes_wrong_with_a_file_that_changed_goes_wrong_for_that(path):
    known = identity_of(path)
    with pytest.raises(ChangedError) as caught, unchanged(path, known):
        int(path.write_bytes(b"") or "")
    assert isinstance(caught.value.__context__, ValueError)
    with pytest.raises(ValueError, match="invalid literal"), unchanged(path, identity_of(path)):
        int(path.read_bytes())


def test_the_sum_is_of_the_file_that_was_seen(path):
    known = identity_of(path)
    path.write_bytes(b"another")
    with pytest.raises(ChangedError):
        with_sum(path, known)


def test_of_what_was_no_file_nothing_is_asked(path):
    with unchanged(path, None):
        path.write_bytes(b"another")
    assert path.read_bytes() == b"another"
    with unchanged("a model in memory", None):
        path.unlink()
    assert not path.exists()
