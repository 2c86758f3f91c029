"""Undo corrections: exposures get back the WCS that they had before the latest one."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.claims import claimed, names_change
from grism_align.io.files.staging import Staging, output_errors
from grism_align.io.missions import (
    check_undo,
    file_source,
    identity,
    read_corrections,
    require_identity,
    undo_exposure,
)
from grism_align.values.errors import OutputError
from grism_align.workflows.executors import SerialExecutor
from grism_align.workflows.results.checks import refuse_stale_wcs_files, tell_of_links
from grism_align.workflows.results.superseded import mark_pages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grism_align.values.executor import Executor
    from grism_align.values.mission import Corrections, Undone
    from grism_align.values.source import Identity


logger = logging.getLogger(__name__)

_HERE = SerialExecutor()


def undo_files(
    paths: Iterable[Path | str],
    output_dir: Path | str | None = None,
    *,
    in_place: bool = False,
    executor: Executor = _HERE,
) -> tuple[Undone, ...]:
    """Write exposures with the WCS that each had before our latest correction of it.

    CRVAL, CD and what headers say of the solution are as they were, to the last digit; what follows from them
    (ORIENTAT, S_REGION, ERR and DQ) is made anew. Doing it again goes one correction further back. All files
    are looked at first, and replaced only when all are written. Where runs in place were cut short, and some
    files have corrections that others lack, it is the latest one that is undone, in those that have it: the
    others stay as they are. So the same call finishes one that was cut short.

    Parameters
    ----------
    paths : iterable of path-like
        Exposures that this package wrote.
    output_dir : path-like, optional
        Folder for the results, which keep their names.
    in_place : bool, optional
        Replace the files themselves.
    executor : Executor, optional
        Writes the files.

    Returns
    -------
    tuple of Undone
        What was undone in each, in order. Exposures that stay as they are are left out.

    Raises
    ------
    InputError
        If a file can't be read, was changed by another tool since its correction, or no longer has the WCS
        before, or if none has a correction of ours. Nothing is written then.
    OutputError
        If a result would replace an input unasked, can't be written, or another run is about to write it.
    ChangedError
        If a file changes meanwhile.
    """
    files = [Path(path).expanduser() for path in paths]
    targets = _targets(files, output_dir, in_place=in_place)
    if in_place:
        refuse_stale_wcs_files(targets)
        tell_of_links(targets)
    with claimed(targets), output_errors(targets[0]):
        wanted = _to_undo(files)
        final = {path: target for path, target in zip(files, targets, strict=True) if path in wanted}
        undone = _write(final, wanted, executor)
    for one in undone:
        logger.info("%s: undone %s, back to %s", one.source.name, one.undone, one.restored)
    return undone


@dataclass(frozen=True)
class _Job:
    """A file, what it was when it was looked at, and where to write it."""

    path: Path
    known: Identity | None
    staged: Path


def _write(
    final: Mapping[Path, Path], known: Mapping[Path, Identity | None], executor: Executor
) -> tuple[Undone, ...]:
    if not final:
        return ()
    with ExitStack() as held, Staging(next(iter(final.values())).parent, last=final.values()) as out:
        jobs = {str(path): _Job(path, known[path], out.path(target)) for path, target in final.items()}
        written = list(executor.map(_undo, jobs, "Undoing"))
        out.sync()
        held.enter_context(names_change(out.folders))
        mark_pages(list(final.values()), out)
        for job in jobs.values():
            require_identity(job.path, job.known)
    targets = map(file_source, final.values())
    return tuple(replace(one, target=target) for one, target in zip(written, targets, strict=True))


def _undo(job: _Job) -> Undone:
    return undo_exposure(job.path, job.staged, job.known)


def _to_undo(files: list[Path]) -> dict[Path, Identity | None]:
    """Return the files whose latest correction is to be undone, and what they are."""
    known = {path: identity(path) for path in files}
    found = {path: read_corrections(path) for path in files}
    kept = {path: why for path, one in found.items() if (why := _why_kept(one, found.values()))}
    for path, why in kept.items():
        logger.warning("%s: %s; it is not written", path, why)
    for path in found.keys() - kept.keys():
        check_undo(path)
    return {path: known[path] for path in files if path not in kept}


def _why_kept(one: Corrections, all_of_them: Iterable[Corrections]) -> str:
    """Return why a file stays as it is; empty where its latest correction is undone, or that is an error.

    A run in place that was cut short leaves some files corrected, or undone, and others not. One that is
    undone noted what was, which the others still have; over the latest correction of one that was not
    corrected anew, others have another.
    """
    others = [other for other in all_of_them if other is not one]
    over = [other.latest for other in others if one.latest in other.earlier - {other.latest}]
    if one.is_failed:
        return "no run could correct it; nothing to undo"
    if one.undone and one.undone in {other.latest for other in others} - {one.latest}:
        return f"{one.undone} is undone already"
    if not one.latest and any(other.latest for other in others):
        return "it has no correction of grism_align, as others have"
    if one.latest and over:
        return f"{over[0]} is undone in others, and this one has {one.latest}, which was before that"
    return ""


def _targets(files: list[Path], output_dir: Path | str | None, *, in_place: bool) -> list[Path]:
    if in_place == (output_dir is not None):
        problem = "both output_dir and in_place" if in_place else "neither output_dir nor in_place"
        raise OutputError(output_dir or "undo", problem, "Give one of them")
    if output_dir is None:
        return [path.resolve() for path in files]
    folder = Path(output_dir).expanduser().resolve()
    targets = [folder / path.name for path in files]
    inputs = {path.resolve() for path in files}
    for target in targets:
        if target.resolve() in inputs:
            problem = f"it is the folder of the input {target.name}, which would be replaced"
            raise OutputError(folder, problem, "Give another output_dir, or in_place=True to replace inputs")
    if len(set(targets)) < len(targets):
        raise OutputError(folder, "two of the files have one name", "Undo them one after the other")
    return targets
