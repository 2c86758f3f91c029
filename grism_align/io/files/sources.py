"""Files as the sources of exposures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.values.association import root_name
from grism_align.values.errors import InputError
from grism_align.values.source import FileSource

if TYPE_CHECKING:
    from grism_align.values.source import Source

__all__ = ["file_source", "path_of"]


def file_source(path: Path | str) -> FileSource:
    """Return the source that a file is."""
    return FileSource(str(path), root_name(path))


def path_of(source: Source) -> Path:
    """Return the file of a source.

    Raises
    ------
    InputError
        If it is none, but an entry of a library.
    """
    if not isinstance(source, os.PathLike):
        raise InputError(str(source), "it is no file", "Save it, and give the file")
    return Path(source)
