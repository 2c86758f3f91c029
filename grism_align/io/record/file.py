"""The record of a run as an ASDF file: every fit, what it was made with, and of which files."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grism_align.io.files.staging import atomic_path
from grism_align.io.record.decode import record_from
from grism_align.io.record.encode import record_tree
from grism_align.io.record.kinds import LayoutError
from grism_align.io.record.migrations import VERSION_KEY, VersionError, up_to_date
from grism_align.io.record.schema import ROOT, known_schema
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.values.record import Record

__all__ = ["read_record", "write_record"]

_REMEDY = "Give the provenance file that a step of grism_align wrote"
_UPDATE = "A later version of grism_align wrote it: update this one"


def write_record(path: Path | str, record: Record) -> None:
    """Write a record, checked against its schema.

    Parameters
    ----------
    path : path-like
        The file to make or to replace; it is the old one or the whole new one.
    record : Record
        What is to be written.
    """
    import asdf

    tree = {ROOT: record_tree(record)}
    # given a path, asdf would make a temporary file of its own, which a kill leaves behind
    with known_schema() as schema, atomic_path(Path(path)) as temporary, temporary.open("rb+") as stream:
        asdf.AsdfFile(tree, custom_schema=schema).write_to(stream)


def read_record(path: Path | str) -> Record:
    """Read a record that `write_record` wrote, checked against its schema.

    Parameters
    ----------
    path : path-like
        The ASDF file; it is closed when this returns.

    Returns
    -------
    Record
        With its arrays in memory. A record of an earlier layout is brought up to date.

    Raises
    ------
    InputError
        If the file is missing, no ASDF file, not of grism_align, of a layout that this version does not know
        or doesn't follow it; it names the entry then.
    """
    import yaml  # type: ignore[import-untyped]

    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such provenance file", _REMEDY)
    try:
        tree = _tree(path)
    except (LookupError, OSError, TypeError, ValueError, struct.error, yaml.YAMLError) as error:
        raise InputError(path, f"not a readable ASDF file ({_brief(error)})", _REMEDY) from error
    if not isinstance(tree, dict) or VERSION_KEY not in tree:
        raise InputError(path, "an ASDF file, but not a provenance file of grism_align", _REMEDY)
    return _checked(path, tree)


def _tree(path: Path) -> Any:
    """What an ASDF file has under the key of the package, in memory; None where there is no such key."""
    import asdf

    with asdf.config_context() as config:
        # asdf only warns of arrays that are cut off
        config.warn_on_failed_conversion = False
        config.lazy_tree = False
        with asdf.open(path, lazy_load=False, memmap=False) as file:
            return file.tree.get(ROOT)


def _checked(path: Path, tree: Mapping[str, Any]) -> Record:
    import asdf

    try:
        found = up_to_date(tree)
        with known_schema() as schema:
            asdf.AsdfFile({ROOT: found}, custom_schema=schema).validate()
        return record_from(found)
    except VersionError as error:
        raise InputError(path, str(error), _UPDATE if error.is_newer else _REMEDY) from error
    except asdf.ValidationError as error:
        place = ".".join(map(str, list(error.absolute_path)[1:]))
        raise InputError(path, _misfit(f"{place}: {_brief(error)}".lstrip(": ")), _REMEDY) from error
    except LayoutError as error:
        raise InputError(path, _misfit(str(error)), _REMEDY) from error


def _misfit(problem: str) -> str:
    return f"doesn't follow the schema ({problem})"


def _brief(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
