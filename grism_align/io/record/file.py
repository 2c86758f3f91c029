"""The record of a run as an ASDF file: every fit, what it was made with, and of which files."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.files.asdf_bounds import check_asdf, check_asdf_file
from grism_align.io.files.asdf_settings import asdf_settings
from grism_align.io.files.bounded import GZIP, MB, MOST_RECORD, read_whole
from grism_align.io.files.staging import atomic_path
from grism_align.io.record.checks import check_exposure, check_record
from grism_align.io.record.columns import Rows
from grism_align.io.record.decode import record_from
from grism_align.io.record.encode import record_tree
from grism_align.io.record.layout import LayoutError
from grism_align.io.record.migrations import VERSION, VERSION_KEY, VersionError, up_to_date
from grism_align.io.record.schema import ROOT, known_schema
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    import asdf

    from grism_align.values.record import ExposureRecord, Record


_REMEDY = "Give the provenance file that a step of grism_align wrote"
# A larger file stays on disk, and what is asked for is read of it.
_IN_MEMORY = 64 * MB
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
        A record of an earlier layout is brought up to date. Of many exposures each is read, and checked, when
        it is asked for.

    Raises
    ------
    InputError
        If the file is missing, no ASDF file, not of grism_align, of a layout that this version does not know
        or doesn't follow it, or says what can't be: it names the entry then.
    """
    path = Path(path)
    if path.is_dir():
        inside = sorted(each.name for each in path.glob("*_provenance.asdf"))
        remedy = f"Give {' or '.join(inside)} in it" if inside else _REMEDY
        raise InputError(path, "a folder, no provenance file", remedy)
    if not path.is_file():
        raise InputError(path, "no such provenance file", _REMEDY)
    source = _source(path)
    try:
        if isinstance(source, bytes):
            check_asdf(source)
        else:
            with source.open("rb") as stream:
                check_asdf_file(stream)
        with known_schema() as schema:
            record = _record(path, source, schema)
        check_record(record)
    except InputError:
        raise
    except LayoutError as error:
        raise InputError(path, f"doesn't follow the schema ({error})", _REMEDY) from error
    except Exception as error:
        # asdf and the converters of its extensions raise whatever they trip over
        raise InputError(path, f"not a readable ASDF file ({_brief(error)})", _REMEDY) from error
    return _guarded(path, record)


def record_at(path: Path) -> Record:
    """Return a record as it was read last, if that was the same file; else read it.

    A run asks its predecessor's in the same folder for several things, and keeps it to compare with.

    Parameters
    ----------
    path : Path
        The ASDF file.

    Returns
    -------
    Record

    Raises
    ------
    InputError
        As `read_record` does.
    """
    try:
        state = path.stat()
    except OSError:
        return read_record(path)
    return _read_once(path.resolve(), (state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=1)
def _read_once(path: Path, state: tuple[int, ...]) -> Record:
    return read_record(path)


def _source(path: Path) -> bytes | Path:
    """Return what a file has, or its path where that is much."""
    with path.open("rb") as stream:
        is_packed = stream.read(len(GZIP)) == GZIP
    is_large = not is_packed and path.stat().st_size > _IN_MEMORY
    return path if is_large else read_whole(path, MOST_RECORD)


def _guarded(path: Path, record: Record) -> Record:
    """Return a record that checks what is read of it later as the rest was checked."""
    if not isinstance(record.exposures, Rows):
        return record

    def checked(exposures: Mapping[str, ExposureRecord], key: str) -> ExposureRecord:
        try:
            found = exposures[key]
            check_exposure(key, found)
        except LayoutError as error:
            problem = f"doesn't follow the schema (exposures.{error})"
            raise InputError(path, problem, _REMEDY) from error
        return found

    return replace(record, exposures=record.exposures.guarded(checked))


def _record(path: Path, source: bytes | Path, schema: str) -> Record:
    import asdf

    try:
        return record_from(_tree(source, schema)[ROOT])
    except asdf.ValidationError as error:
        tree = _tree(source, None).get(ROOT)
        if isinstance(tree, dict) and tree.get(VERSION_KEY) == VERSION:
            raise _misfit(error) from error
        return _brought_up_to_date(path, tree, schema)


def _tree(source: bytes | Path, schema: str | None) -> Any:
    """Return the tree of an ASDF file, checked against a schema where one is given.

    The arrays of a file that stays on disk are views of it, which live on when it is closed.
    """
    import asdf

    with asdf_settings() as config:
        # asdf checks what it reads only when told to, and only warns of arrays that are cut off
        config.validate_on_read = schema is not None
        config.warn_on_failed_conversion = False
        config.lazy_tree = False
        is_mapped = isinstance(source, Path)
        given: Path | IO[bytes] = source if isinstance(source, Path) else io.BytesIO(source)
        with asdf.open(given, custom_schema=schema, lazy_load=is_mapped, memmap=is_mapped) as file:
            return _at_hand(dict(file.tree))


def _at_hand(node: Any) -> Any:
    """Return a tree with arrays that need no open file; those of a mapped one are not read for it."""
    from asdf.tags.core.ndarray import NDArrayType

    if isinstance(node, dict):
        return {name: _at_hand(one) for name, one in node.items()}
    if isinstance(node, list):
        return list(map(_at_hand, node))
    return np.asarray(node) if isinstance(node, NDArrayType) else node


def _brought_up_to_date(path: Path, tree: Any, schema: str) -> Record:
    """Return the record of a tree that does not follow the schema, if it is of an earlier layout."""
    import asdf

    if not isinstance(tree, dict) or VERSION_KEY not in tree:
        raise InputError(path, "an ASDF file, but not a provenance file of grism_align", _REMEDY)
    try:
        found = up_to_date(tree)
        asdf.AsdfFile({ROOT: found}, custom_schema=schema).validate()
    except VersionError as error:
        raise InputError(path, str(error), _UPDATE if error.is_newer else _REMEDY) from error
    except asdf.ValidationError as error:
        raise _misfit(error) from error
    return record_from(found)


def _misfit(error: asdf.ValidationError) -> LayoutError:
    return LayoutError(_brief(error), list(map(str, error.absolute_path))[1:])


def _brief(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
