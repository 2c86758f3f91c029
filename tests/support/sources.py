"""Sources of exposures that are no files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LibraryEntry:
    """What is no file: a model of a library."""

    name: str
    index: int

    @property
    def root(self):
        return self.name
