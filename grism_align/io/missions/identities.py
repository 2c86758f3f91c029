"""Whether the files that exposures were read from still are what they were.

The door to the missions asks, so that no mission needs to. Open models belong to whoever made them, and are
not asked.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from grism_align.io.files.checksums import sha256_of
from grism_align.io.files.identity import identity_of, unchanged, with_sum
from grism_align.io.files.sources import file_of
from grism_align.values.errors import InputError
from grism_align.values.source import FileSource

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from grism_align.values.exposure import Exposure
    from grism_align.values.source import Identity, Source


def identified(exposure: Exposure) -> Exposure:
    """Return an exposure with the SHA-256 of its file, so that a mere touch of that later changes nothing.

    Raises
    ------
    ChangedError
        If the file is no longer the one that was read.
    """
    source = exposure.source
    if not isinstance(source, FileSource) or source.identity is None:
        return exposure
    return replace(exposure, source=replace(source, identity=with_sum(source, source.identity)))


def file_sum(exposure: Exposure) -> str:
    """Return the SHA-256 of the file that an exposure was read from; empty for an open model.

    Raises
    ------
    ChangedError
        If the file is no longer that.
    """
    known, path = known_of(exposure.source), file_of(exposure.source)
    if path is None:
        return ""
    return sha256_of(path) if known is None else with_sum(path, known).sha256


def require_unchanged(exposures: Iterable[Exposure]) -> None:
    """Refuse to go on where the file of an exposure is no longer the one that was read.

    Raises
    ------
    ChangedError
        Naming the first.
    """
    for exposure in exposures:
        require_identity(exposure.source, known_of(exposure.source))


def as_it_is(exposure: Exposure, sha256: str) -> Exposure:
    """Return an exposure whose file a run has just replaced, as one that is read from the new file.

    Parameters
    ----------
    exposure : Exposure
        As it was read.
    sha256 : str
        Of the new file.
    """
    source = exposure.source
    if not isinstance(source, FileSource):
        return exposure
    return replace(exposure, source=replace(source, identity=identity(source, sha256)))


def identity(path: os.PathLike[str] | str, known_sum: str = "") -> Identity:
    """Return what tells a file from any other, its SHA-256 among it.

    Parameters
    ----------
    path : path-like
        The file.
    known_sum : str, optional
        Its SHA-256, where that is known.

    Raises
    ------
    InputError
        If there is no such file.
    """
    try:
        found = identity_of(path)
    except FileNotFoundError as error:
        raise InputError(path, "no such file", "Check the path, or fetch the file again") from error
    return replace(found, sha256=known_sum) if known_sum else with_sum(path, found)


def require_identity(source: Source | os.PathLike[str], known: Identity | None) -> None:
    """Refuse to go on where a source is no longer what it was.

    Raises
    ------
    ChangedError
        If it is another.
    """
    with unchanged(str(source), known):
        pass


def known_of(source: Source | os.PathLike[str]) -> Identity | None:
    """Return what a source was when it was first read; None for what nobody else can change."""
    return source.identity if isinstance(source, FileSource) else None


@contextmanager
def reading(source: Source) -> Iterator[None]:
    """Read a source in the block, which is to be the same before and after.

    Parameters
    ----------
    source : Source
        What is read.

    Raises
    ------
    ChangedError
        If it is another.
    """
    with unchanged(str(source), known_of(source)):
        yield


@contextmanager
def reading_once(source: Source, target: Source, known: Identity | None) -> Iterator[None]:
    """Read a source in the block, which makes the target of it: that may be the same.

    Parameters
    ----------
    source, target : Source
        What is read, and what is written.
    known : Identity or None
        What the source was.

    Raises
    ------
    ChangedError
        If it is another.
    """
    if source == target:
        require_identity(source, known)
        yield
    else:
        with unchanged(str(source), known):
            yield
