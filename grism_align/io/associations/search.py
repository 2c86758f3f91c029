"""Exposures as they lie on a disk: in folders, in trees of folders, by wildcards, in lists after an ``@``."""

from __future__ import annotations

import os
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.sources import exists
from grism_align.io.missions import exposure_endings, root_name
from grism_align.values.errors import AssociationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What the record of a run ends on; exposures beside one are results, not downloads.
_RECORD = "_provenance.asdf"


def exposures_in(folder: Path) -> tuple[Path, ...]:
    """Return the exposures of a folder by name; where one has several files, the best.

    A folder that has none itself is searched with all folders below, as ``mastDownload`` is; the results of
    earlier runs in them are passed over.

    Raises
    ------
    AssociationError
        If there is none.
    """
    found = best_exposures(_files(folder)) or best_exposures(_files_below(folder))
    if not found:
        endings = ", ".join(f"*{ending}" for ending in exposure_endings())
        raise AssociationError(
            folder,
            f"the folder holds no exposure ({endings}), and no folder below does",
            "Give the folder of the exposures, or name the files",
        )
    return found


def best_exposures(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the files of exposures among others by name, the best of each; of alike ones the newest.

    Parameters
    ----------
    paths : iterable of Path
        Files of any kind.
    """
    rank = {ending: number for number, ending in enumerate(exposure_endings())}
    best: dict[str, tuple[int, float, Path]] = {}
    for path in sorted(paths):
        ending = next((each for each in rank if path.name.endswith(each)), None)
        if ending is not None:
            found = (rank[ending], -path.stat().st_mtime, path)
            root = root_name(path)
            best[root] = min(best.get(root, found), found)
    return tuple(path for _, (_, _, path) in sorted(best.items()))


def exposures_below(folder: Path) -> tuple[Path, ...]:
    """Return the exposures of a folder and of all below, by name; where one has several files, the best.

    Results of earlier runs are passed over.

    Raises
    ------
    AssociationError
        If there is none.
    """
    found = best_exposures(_files_below(folder))
    return found or exposures_in(folder)


def is_pattern(text: str | os.PathLike[str]) -> bool:
    """Tell whether a name has wildcards, and is not that of a file that has them in its name."""
    return has_magic(os.fspath(text)) and not exists(Path(text))


def matching(pattern: Path) -> tuple[Path, ...]:
    """Return what wildcards match: of exposures the best file of each, and if there is none, whatever it is.

    Raises
    ------
    AssociationError
        If there is nothing.
    """
    found = sorted(map(Path, glob(str(pattern), recursive=True)))  # noqa: PTH207  # the pattern is absolute
    files = [path for path in found if path.is_file()]
    if not found:
        raise AssociationError(pattern, "no file has such a name", "Correct the name, or name the files")
    return best_exposures(files) or tuple(files or found)


def _files(folder: Path) -> Iterator[Path]:
    # Names that start with a dot are unfinished outputs or debris of file systems.
    return (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _files_below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if not any(name.endswith(_RECORD) for name in names):
            yield from (Path(place) / name for name in names if not name.startswith("."))
