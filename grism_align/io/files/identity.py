"""Whether a file still is what it was when it was first read."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.checksums import sha256_of
from grism_align.values.errors import ChangedError
from grism_align.values.source import Identity

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator


def identity_of(path: os.PathLike[str] | str) -> Identity:
    """Return what tells a file as it is now from any other, from its entry on the disk alone.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    OSError
        If there is none.
    """
    found = Path(path).stat()
    return Identity((found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino))


def with_sum(path: os.PathLike[str] | str, known: Identity) -> Identity:
    """Return the identity of a file with the SHA-256 of its bytes.

    Parameters
    ----------
    path : path-like
        The file.
    known : Identity
        What it was.

    Raises
    ------
    ChangedError
        If it is another by now.
    """
    if known.sha256:
        return known
    with unchanged(path, known):
        return replace(known, sha256=_sum(path))


@contextmanager
def read_with_sum(path: os.PathLike[str] | str) -> Iterator[str]:
    """Read a file in the block that is opened once, and yield the SHA-256 of what is read.

    Parameters
    ----------
    path : path-like
        The file. Where it can't be read, that is left to the block to tell, and the sum is empty.

    Raises
    ------
    ChangedError
        If it changes meanwhile.
    """
    try:
        known = with_sum(path, identity_of(path))
    except OSError:
        yield ""
        return
    with unchanged(path, known):
        yield known.sha256


@contextmanager
def unchanged(path: os.PathLike[str] | str, known: Identity | None) -> Iterator[None]:
    """Read a file in the block, and have it be the same before and after.

    Parameters
    ----------
    path : path-like
        The file.
    known : Identity or None
        What it was when it was first read; nothing is asked without one.

    Raises
    ------
    ChangedError
        If it is another, or none. One that was merely touched, copied or linked has the same bytes, and is
        the same.
    """
    if known is None:
        yield
        return
    now = _now(path)
    if now.stamp != known.stamp and not (known.sha256 and _sum(path) == known.sha256):
        raise ChangedError(path)
    try:
        yield
    finally:
        # what was swapped for a moment has another stamp too, and whatever went wrong in the block, it did so
        # for that
        if _now(path).stamp != now.stamp:
            raise ChangedError(path)


def _now(path: os.PathLike[str] | str) -> Identity:
    try:
        return identity_of(path)
    except FileNotFoundError as error:
        raise ChangedError(path) from error


def _sum(path: os.PathLike[str] | str) -> str:
    try:
        return sha256_of(Path(path))
    except FileNotFoundError as error:
        raise ChangedError(path) from error
