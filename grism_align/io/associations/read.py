"""Read an association, whatever form it has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from grism_align.io.associations.files import check_members, check_product_name, named_by_user
from grism_align.io.associations.json_form import parse
from grism_align.io.associations.listings import parse_listing, read_folder
from grism_align.io.associations.pipelines import is_of_pipeline
from grism_align.io.associations.search import is_pattern, matching
from grism_align.io.files.bounded import MOST_TEXT, read_whole
from grism_align.io.files.fits import is_fits
from grism_align.io.files.kinds import what_is
from grism_align.io.files.names import made_safe
from grism_align.io.files.sources import exists, is_file
from grism_align.io.missions import exposure_endings, file_source, is_exposure, listed_by, root_name
from grism_align.values.association import Association, Member
from grism_align.values.errors import AssociationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from grism_align.values.source import Source


PathLike = str | os.PathLike[str]
#: One of the forms, or several of them.
AssociationSource = PathLike | Sequence[PathLike]

#: Product of a Python list, which has no name.
_LIST_PRODUCT = "aligned"
_FORMS = "Give an association, a list of exposures, a folder or an exposure"


def read_association(source: AssociationSource) -> Association:
    """Read which exposures to align together.

    Parameters
    ----------
    source : path-like or sequence of path-like
        A JSON association, an HST association table (``*_asn.fits``), a HAP poller file, a text file
        with one path a line (also after an ``@``), a folder or a tree of folders, one exposure, a name with
        wildcards; or several of these, whose members are joined. What a file holds decides, not its name.

    Returns
    -------
    Association
        Its paths are absolute and exist, and its members' root names differ.

    Raises
    ------
    AssociationError
        Naming the file, what is wrong and what to do.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    for item in sources:
        if not isinstance(item, str | os.PathLike):
            raise AssociationError(repr(item), f"a {type(item).__name__} is no path", _FORMS)
    paths = [path for item in sources for path in _meant(item)]
    if len(paths) == 1:
        return check_members(_read_one(paths[0]), paths[0])
    return check_members(_joined([_read_part(path) for path in paths]), "list of exposures")


def _meant(item: PathLike) -> tuple[Path, ...]:
    """Return the files or folders that a name stands for."""
    path = named_by_user(item)
    if isinstance(item, str) and item.startswith("@") and not exists(path):
        path = named_by_user(item[1:])
    return matching(path) if is_pattern(path) else (path,)


def _joined(parts: Sequence[Association]) -> Association:
    """All members of several associations, and what the associations that say something agree on."""
    headers = [dict(part.header) for part in parts if part.header]
    header: dict[str, Any] = reduce(_agreed, headers) if headers else {}
    return Association(_LIST_PRODUCT, tuple(_each_once(parts)), header)


def _each_once(parts: Sequence[Association]) -> Iterator[Member]:
    """Yield the members of all; an exposure beside an association that lists it is one of that."""
    listed = {member.source for part in parts if part.origin for member in part.members}
    seen: set[Source] = set()
    for part in parts:
        # pipelines list an exposure in the associations of all that they make of it
        is_anew = is_of_pipeline(part.header)
        for member in part.members:
            if (part.origin or member.source not in listed) and not (is_anew and member.source in seen):
                yield member
            seen.add(member.source)


def _agreed(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in first.items() if key in second and second[key] == value}


def is_selection(source: AssociationSource) -> bool:
    """Tell whether exposures were taken as they lie in a folder, and not named one by one."""
    items = [source] if isinstance(source, str | os.PathLike) else source
    return any((exists(path) and path.is_dir()) or is_pattern(path) for path in map(named_by_user, items))


def _read_part(path: Path) -> Association:
    """One part of several.

    One that does not exist is left to the check that lists all missing files; an exposure that can't be read,
    and what is no exposure at all, such as a picture, is left to who reads exposures.
    """
    lone = Association(made_safe(root_name(path)), (Member(file_source(path)),))
    try:
        return _read_one(path) if exists(path) else lone
    except AssociationError:
        if is_file(path) and (path.name.endswith(exposure_endings()) or what_is(path)):
            return lone
        raise


def _read_one(path: Path) -> Association:
    if exists(path) and path.is_dir():
        return read_folder(path)
    if not is_file(path):
        raise AssociationError(path, "no such file or folder", _FORMS)
    listed = listed_by(path)
    if listed is not None:
        check_product_name(listed.product, path)
        return listed
    if is_fits(path) or is_exposure(path):
        return _lone_exposure(path)
    if path.name.lower().endswith((".fits", ".fits.gz")):
        raise AssociationError(path, "not a FITS file, in spite of its name", "Fetch the file again")
    text = _text(path)
    if path.suffix.lower() == ".json" or text.lstrip().startswith(("{", "[")):
        return parse(text, path)
    return parse_listing(text, path)


def _lone_exposure(path: Path) -> Association:
    return Association(made_safe(root_name(path)), (Member(file_source(path)),))


def _text(path: Path) -> str:
    content = read_whole(path, MOST_TEXT, AssociationError)
    try:
        # A NUL byte decodes, but no text holds one.
        if b"\0" not in content:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    what = what_is(path)
    problem = "neither FITS nor JSON nor a text with one path a line"
    raise AssociationError(path, f"{what}, {problem}" if what else problem, _FORMS)
