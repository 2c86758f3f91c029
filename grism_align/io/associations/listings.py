"""Associations without a structure: lists of files, HAP poller files, folders."""

from __future__ import annotations

from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.associations.files import MOST_MEMBERS, located
from grism_align.io.associations.search import exposures_in, is_pattern, matching
from grism_align.io.files.names import made_safe
from grism_align.io.files.sources import is_file
from grism_align.io.missions import all_facts, exposure_endings, exposure_of_root, file_source, listed_by
from grism_align.values.association import Association, Member
from grism_align.values.errors import AssociationError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Comments, and rows of poller files that name a file again, included.
_MOST_LINES = 20 * MOST_MEMBERS


def read_folder(folder: Path) -> Association:
    """All exposures of a folder, one file each.

    Parameters
    ----------
    folder : Path
        With files of exposures, compressed or not.

    Raises
    ------
    AssociationError
        If it has none.
    """
    members = tuple(Member(file_source(path)) for path in exposures_in(folder))
    return Association(made_safe(folder.name), members)


def parse_listing(text: str, origin: Path) -> Association:
    """Return the exposures that a text names, one a line.

    Parameters
    ----------
    text : str
        Lines are paths, wildcards, root names, names of association tables, or the comma-separated columns
        of a mission's own lists, such as poller files of HST. ``#`` begins a comment.
    origin : Path
        The file. Names are looked for in its folder, then in the current one, then, in such lists,
        at the path in the last column.

    Raises
    ------
    AssociationError
        If a line is none of these.
    """
    members: list[Member] = []
    repeated: dict[str, None] = {}
    known = [number for facts in all_facts() for number in facts.listing_columns]
    for number, line in _lines(text):
        if len(members) > MOST_MEMBERS or number > _MOST_LINES:
            raise AssociationError(origin, f"a list of more than {MOST_MEMBERS} files", "Give a shorter one")
        columns = [column.strip() for column in line.split(",")]
        if len(columns) in known:
            path = str(_found(columns[0], origin.parent, columns[-1]))
            # Poller files of multi-visit mosaics repeat a file for each sky cell.
            members += [] if path in repeated else [Member(file_source(path))]
            repeated[path] = None
        elif len(columns) == 1 or is_file(_found(line, origin.parent)):
            members += _entry(line, origin)
        else:
            raise AssociationError(
                origin,
                f"line {number} has {len(columns)} columns",
                f"Give one file a line, or a HAP poller file of {' or '.join(map(str, known))} columns",
            )
    product = made_safe(origin.stem.removesuffix("_asn"))
    return Association(product, tuple(members), origin=str(origin))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbers and contents of the lines that say something."""
    for number, line in enumerate(text.splitlines(), start=1):
        content = "" if line.lstrip().startswith("#") else line.split(" #")[0].strip()
        if content:
            yield number, content


def _entry(name: str, origin: Path) -> list[Member]:
    """Members that a name stands for: those of an association table, else the one exposure."""
    path = _found(name, origin.parent)
    if is_pattern(path):
        parts = Path(name).parts
        leads_off = Path(name).is_absolute() or ".." in parts
        if "**" in parts or (leads_off and has_magic(str(Path(name).parent))):
            problem = f"{name} has wildcards for folders not below the list's, which may search the disk"
            raise AssociationError(origin, problem, "Give such names on the command line")
        return [Member(file_source(each)) for each in matching(path)]
    if is_file(path) and not path.name.endswith(exposure_endings()):
        listed = listed_by(path)
        return [Member(file_source(path))] if listed is None else list(listed.members)
    if not path.suffix:
        path = exposure_of_root(path.name.lower(), path.parent)
    return [Member(file_source(path))]


def _found(name: str, folder: Path, archived: str = "") -> Path:
    """Return the first that exists of the file here, in the current folder and in the archive; else here."""
    here = located(name, folder)
    others = [located(name), *([located(archived, folder)] if archived else [])]
    return next((path for path in (here, *others) if is_file(path)), here)
