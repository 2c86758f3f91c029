"""Paths of members, and the checks that hold for every form of association."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.names import safe_name
from grism_align.io.files.sources import file_of, is_file
from grism_align.values.errors import AssociationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grism_align.values.association import Association, Member
    from grism_align.values.source import Source


_SHOWN = 5
#: Of an association; a field has some hundreds.
MOST_MEMBERS = 10_000


def named_by_user(text: str | os.PathLike[str]) -> Path:
    """Absolute path of a file that the user named, environment variables expanded.

    Parameters
    ----------
    text : path-like
        As it stands on the command line. What stands in a file goes to `located`: else a file could have what
        the environment holds, secrets among it, written into products as a name.
    """
    return located(os.path.expandvars(os.fspath(text)))


def located(text: str | os.PathLike[str], folder: Path | None = None) -> Path:
    """Absolute path of a file, ``~`` expanded.

    Parameters
    ----------
    text : path-like
        As a file has it.
    folder : Path, optional
        What a relative path starts from; the current folder if not given.

    Notes
    -----
    Links of folders are followed, a link in place of the file is not: its name is the exposure's.
    """
    path = Path(text)
    with suppress(RuntimeError):  # no such user: then the tilde is part of the name
        path = path.expanduser()
    full = (folder or Path.cwd()) / path
    with suppress(
        OSError, RuntimeError, ValueError
    ):  # links in a circle, or what can be no name: none is there
        return full.parent.resolve() / full.name
    return full


def check_product_name(name: str, label: Path | str) -> str:
    """Return the name of a product, if outputs can be called by it.

    Raises
    ------
    AssociationError
        If it is no plain file name.
    """
    return safe_name(name, label, "the product name", AssociationError)


def check_members(association: Association, label: Path | str) -> Association:
    """Return the association, if it has members, each with its file and a name of its own.

    Parameters
    ----------
    association : Association
        As read.
    label : path-like
        What errors call it.

    Raises
    ------
    AssociationError
        Naming what is missing or double.
    """
    if not association.exposures:
        raise AssociationError(label, "it has no exposure", "List at least one exposure")
    if len(association.members) > MOST_MEMBERS:
        problem = f"{len(association.members)} members, and {MOST_MEMBERS} is the most"
        raise AssociationError(label, problem, "Align fewer exposures at once")
    _check_names([member.source for member in association.exposures], label)
    needed = files_of(association.exposures)
    missing = [str(path) for path in needed if not is_file(path)]
    if missing:
        # what was given as it is has no file that it stands in
        base = "the folder of the association" if isinstance(label, Path) else "the current folder"
        problem = f"{len(missing)} of {len(needed)} files don't exist: {_some(missing)}"
        remedy = f"Relative paths start from {base} or input_dir; correct them or fetch the files"
        raise AssociationError(label, problem, remedy)
    return association


def files_of(members: Iterable[Member]) -> list[Path]:
    """Return the files of members: of each its own, unless it is open, and that of its catalog."""
    return [
        path
        for member in members
        for path in (file_of(member.source), Path(member.catalog) if member.catalog else None)
        if path is not None
    ]


def _check_names(sources: Iterable[Source], label: Path | str) -> None:
    by_root: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        # Without case, as some file systems see names.
        by_root[source.root.lower()].append(str(source))
    doubles = [" and ".join(same) for same in by_root.values() if len(same) > 1]
    if doubles:
        raise AssociationError(
            label,
            f"members of one name: {_some(doubles, separator='; ')}",
            "Outputs keep the names of their exposures: leave all but one out, or rename",
        )


def _some(names: Sequence[str], separator: str = ", ") -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - _SHOWN
    return separator.join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
