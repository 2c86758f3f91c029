"""Undo corrections: exposures get back the WCS that they had before the latest one."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.staging import Staging, output_errors, remove_leftovers
from grism_align.io.missions import check_undo, file_source, read_corrections, undo_exposure
from grism_align.values.errors import InputError, OutputError
from grism_align.workflows.executors import SerialExecutor
from grism_align.workflows.results.superseded import mark_pages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grism_align.values.executor import Executor
    from grism_align.values.mission import Undone


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
    are looked at first, and replaced only when all are written. Where a call in place was cut short, the same
    call finishes it: files that it had done stay as they are.

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
        What was undone in each, in order. Exposures that no run could correct are left out, and those in
        which the correction that the others still have was undone before.

    Raises
    ------
    InputError
        If a file can't be read, has no correction of ours, was changed by another tool since, or no longer
        has the WCS before, or if some files lack the latest correction of others. Nothing is written then.
    OutputError
        If a result would replace an input unasked, or can't be written.
    """
    files = [Path(path).expanduser() for path in paths]
    targets = _targets(files, output_dir, in_place=in_place)
    wanted = _to_undo(files)
    final = {path: target for path, target in zip(files, targets, strict=True) if path in wanted}
    with output_errors(targets[0]):
        for left in remove_leftovers({target.parent for target in targets}):
            logger.info("Removed %s, which a run that was killed left", left)
        with Staging(targets[0].parent, last=targets) as out:
            staged = {path: out.path(target) for path, target in final.items()}
            named = {str(path): path for path in final}
            written = executor.map(partial(_undo, staged=staged), named, "Undoing")
            mark_pages(list(final.values()), out)
            undone = tuple(
                replace(one, target=file_source(target))
                for one, target in zip(written, final.values(), strict=True)
            )
    for one in undone:
        logger.info("%s: undone %s, back to %s", one.source.name, one.undone, one.restored)
    return undone


def _undo(path: Path, staged: Mapping[Path, Path]) -> Undone:
    return undo_exposure(path, staged[path])


def _to_undo(files: list[Path]) -> list[Path]:
    """Return the files whose latest correction is to be undone.

    A call in place that was cut short leaves some files undone and others not. Those that are done noted what
    was undone, which the others still have: they are left alone, so that no file goes back too far.
    """
    found = {path: read_corrections(path) for path in files}
    wanted = []
    for path, one in found.items():
        ahead = {other.latest for other in found.values() if other.latest} - {one.latest}
        if one.is_failed:
            logger.warning("%s: no run could correct it; nothing to undo, and it is not written", path)
        elif one.undone in ahead:
            logger.warning("%s: %s is undone already; it is not written", path, one.undone)
        else:
            check_undo(path)
            wanted.append(path)
    for path, other in product(wanted, wanted):
        if found[path].latest in found[other].earlier - {found[other].latest}:
            has = f"its latest correction is {found[path].latest}"
            problem = f"{has}, over which {other.name} has {found[other].latest}"
            raise InputError(path, problem, "Undo files of different states in calls of their own")
    return wanted


def _targets(files: list[Path], output_dir: Path | str | None, *, in_place: bool) -> list[Path]:
    if in_place == (output_dir is not None):
        problem = "both output_dir and in_place" if in_place else "neither output_dir nor in_place"
        raise OutputError(output_dir or "undo", problem, "Give one of them")
    if output_dir is None:
        return [path.resolve() for path in files]
    folder = Path(output_dir).expanduser().absolute()
    targets = [folder / path.name for path in files]
    inputs = {path.resolve() for path in files}
    for target in targets:
        if target.resolve() in inputs:
            problem = f"it is the folder of the input {target.name}, which would be replaced"
            raise OutputError(folder, problem, "Give another output_dir, or in_place=True to replace inputs")
    if len(set(targets)) < len(targets):
        raise OutputError(folder, "two of the files have one name", "Undo them one after the other")
    return targets
