"""The record of a run as an ASDF file: every fit, what it was made with, and of which files."""

from __future__ import annotations

import struct
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grism_align.io.files.staging import atomic_path
from grism_align.io.record.decode import restore
from grism_align.io.record.encode import record_tree
from grism_align.io.record.fields import Companions, FilePair, FileRecord
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.values.field import ExposureSet

__all__ = [
    "SCHEMA_VERSION",
    "Companions",
    "FilePair",
    "FileRecord",
    "read_provenance",
    "restore",
    "write_provenance",
]

#: Version of the layout, also in the name of the schema that describes it.
SCHEMA_VERSION = "1.0.0"

_ROOT = "grism_align"
_REMEDY = "Give the provenance file that a step of grism_align wrote"
_NOTHING = Companions()


def write_provenance(
    path: Path | str,
    exposures: ExposureSet,
    files: Mapping[str, FilePair],
    companions: Companions = _NOTHING,
) -> dict[str, Any]:
    """Write all that is known of a set of exposures, checked against the schema.

    Parameters
    ----------
    path : path-like
        The file to make or to replace; it is the old one or the whole new one.
    exposures : ExposureSet
        The exposures as they were read (`Exposure.applied` is what the input file's WCS had), with
        the solutions found.
    files : mapping of str to FilePair
        The files of every exposure, by key.
    companions : Companions, optional
        What lies beside it.

    Returns
    -------
    dict
        The record, as `read_provenance` gives it.
    """
    import asdf

    content = record_tree(exposures, files, companions, SCHEMA_VERSION)
    # given a path, asdf would make a temporary file of its own, which a kill leaves behind
    with _schema() as schema, atomic_path(Path(path)) as temporary, temporary.open("rb+") as stream:
        asdf.AsdfFile({_ROOT: content}, custom_schema=schema).write_to(stream)
    return content


def read_provenance(path: Path | str) -> dict[str, Any]:
    """Read a record that `write_provenance` wrote, checked against the schema.

    Parameters
    ----------
    path : path-like
        The ASDF file; it is closed when this returns.

    Returns
    -------
    dict
        What the file has under its key ``grism_align``, arrays in memory.

    Raises
    ------
    InputError
        If the file is missing, no ASDF file, not of grism_align, of another version of the schema or
        doesn't follow it.
    """
    import yaml  # type: ignore[import-untyped]

    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such provenance file", _REMEDY)
    try:
        return _checked_content(path)
    except (LookupError, OSError, TypeError, ValueError, struct.error, yaml.YAMLError) as error:
        raise InputError(path, f"not a readable ASDF file ({_brief(error)})", _REMEDY) from error


def _schema() -> Any:
    """A context with the path of the schema, which exists in a zipped package too."""
    folder = resources.files("grism_align.io.record").joinpath("schemas")
    return resources.as_file(folder.joinpath(f"provenance-{SCHEMA_VERSION}.yaml"))


def _checked_content(path: Path) -> dict[str, Any]:
    import asdf

    try:
        content: dict[str, Any] = _open(path, check=True)[_ROOT]
    except asdf.ValidationError as error:
        raise InputError(path, _misfit(_open(path, check=False), error), _REMEDY) from error
    return content


def _open(path: Path, *, check: bool) -> dict[str, Any]:
    """The whole tree of an ASDF file, in memory."""
    import asdf

    with _schema() as schema, asdf.config_context() as config:
        # asdf checks what it reads only when told to, and only warns of arrays that are cut off
        config.validate_on_read = check
        config.warn_on_failed_conversion = False
        config.lazy_tree = False
        custom = schema if check else None
        with asdf.open(path, custom_schema=custom, lazy_load=False, memmap=False) as file:
            return dict(file.tree)


def _misfit(tree: Mapping[str, Any], error: Exception) -> str:
    """Why a tree doesn't follow the schema."""
    content = tree.get(_ROOT)
    if not isinstance(content, dict) or "schema_version" not in content:
        return "an ASDF file, but not a provenance file of grism_align"
    version = content["schema_version"]
    if version != SCHEMA_VERSION:
        return f"written with version {version} of the schema, and this is {SCHEMA_VERSION}"
    return f"doesn't follow the schema ({_brief(error)})"


def _brief(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
