"""Where an exposure is read from: a handle that its mission opens."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Protocol


class Source(Protocol):
    """What holds an exposure: a file, or an entry of a library of open models. Immutable and hashable.

    ``str`` gives what errors call it.
    """

    @property
    def name(self) -> str:
        """What users call it, and what a copy of it is called."""
        ...

    @property
    def root(self) -> str:
        """Name of the exposure, as far as that can be told without opening it."""
        ...


@dataclass(frozen=True)
class Identity:
    """What tells whether a file still is the one that was read.

    Parameters
    ----------
    stamp : tuple of int
        Size, times of the last change of its content and of its entry (ns), and number of the entry. While it
        is the same, so is the file.
    sha256 : str
        Of its bytes, which says whether a file with another stamp is the same; empty where nobody has asked.
    """

    stamp: tuple[int, ...]
    sha256: str = ""


@dataclass(frozen=True)
class FileSource:
    """A file that holds an exposure. It can be opened as any path can.

    Parameters
    ----------
    path : str
        Where it is.
    root : str
        Name of the exposure by that of the file; the file's whole name if not given.
    identity : Identity or None
        What it was when it was first read, which it is to be whenever it is opened again; None before that.
    """

    path: str
    root: str = field(default="", compare=False)
    identity: Identity | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.root or self.name)

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path

    @property
    def name(self) -> str:
        """The file's name."""
        return os.path.basename(self.path)  # noqa: PTH119  # values know of no file system
