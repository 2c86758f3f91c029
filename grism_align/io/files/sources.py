"""Files as the sources of exposures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.values.source import Source


#: What names of FITS files end on whose images are compressed in tiles.
PACKED = ".fz"
_EXTENSIONS = (".gz", PACKED, ".fits", ".asdf")


def is_file(path: Path) -> bool:
    """Tell whether there is a file of a name, which may be one that no file can have: too long, say."""
    return os.path.isfile(path)  # noqa: PTH113  # that of Path raises then


def exists(path: Path) -> bool:
    """Tell whether there is anything of a name, likewise."""
    return os.path.exists(path)  # noqa: PTH110


def path_of(source: Source) -> Path:
    """Return the file of a source.

    Raises
    ------
    InputError
        If it is none, but an entry of a library.
    """
    if not isinstance(source, os.PathLike):
        raise InputError(source, "it is no file", "Save it, and give the file")
    return Path(source)


def file_of(source: Source) -> Path | None:
    """Return the file of a source; None for an open model."""
    return Path(source) if isinstance(source, os.PathLike) else None


def root_of(path: os.PathLike[str] | str, endings: Sequence[str]) -> str:
    """Return the name of the exposure that a file holds: the file's without ending and extension.

    Parameters
    ----------
    path : path-like
        A file, or a root name, which is returned as it is.
    endings : sequence of str
        What names of files with exposures end on.
    """
    name = Path(path).name
    ending = next((each for each in endings if name.endswith(each)), "")
    name = name.removesuffix(ending)
    for extension in () if ending else _EXTENSIONS:
        name = name.removesuffix(extension)
    return name


def file_of_root(root: str, folder: Path, endings: Sequence[str]) -> Path:
    """Return the file of an exposure in a folder: that with the first of some endings; else its root name.

    Parameters
    ----------
    root : str
        Root name.
    folder : Path
        The folder.
    endings : sequence of str
        The best first.
    """
    candidates = (folder / f"{root}{ending}" for ending in endings)
    return next((path for path in candidates if is_file(path)), folder / root)
