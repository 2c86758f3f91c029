"""Undo corrections: exposures get back the WCS that they had before the latest one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.atomic import all_or_nothing
from grism_align.io.missions import Undone, check_undo, undo_exposure
from grism_align.values.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["undo_files"]

logger = logging.getLogger(__name__)


def undo_files(
    paths: Iterable[Path | str], output_dir: Path | str | None = None, *, in_place: bool = False
) -> tuple[Undone, ...]:
    """Write exposures with the WCS that each had before our latest correction of it.

    CRVAL, CD and what headers say of the solution are as they were, to the last digit; what follows from them
    (ORIENTAT, S_REGION, ERR and DQ) is made anew. Doing it again goes one correction further back. All files
    are looked at first, and replaced only when all are written.

    Parameters
    ----------
    paths : iterable of path-like
        Exposures that this package wrote.
    output_dir : path-like, optional
        Folder for the results, which keep their names.
    in_place : bool, optional
        Replace the files themselves.

    Returns
    -------
    tuple of Undone
        What was undone in each, in order. Exposures that no run could correct are left out.

    Raises
    ------
    InputError
        If a file can't be read, has no correction of ours, was changed by another tool since, or no longer
        has the WCS before. Nothing is written then.
    OutputError
        If a result would replace an input unasked, or can't be written.
    """
    files = [Path(path).expanduser() for path in paths]
    targets = _targets(files, output_dir, in_place=in_place)
    jobs = []
    for path, target in zip(files, targets, strict=True):
        if check_undo(path):
            jobs.append((path, target))
        else:
            logger.warning("%s: no run could correct it; nothing to undo, and it is not written", path)
    try:
        with all_or_nothing():
            undone = tuple(undo_exposure(path, target) for path, target in jobs)
    except OSError as error:
        remedy = "Free space or give another output_dir; no file was changed"
        raise OutputError(error.filename or targets[0], f"can't be written ({error})", remedy) from error
    for one in undone:
        logger.info("%s: undone %s, back to %s", one.path.name, one.undone, one.restored)
    return undone


def _targets(files: list[Path], output_dir: Path | str | None, *, in_place: bool) -> list[Path]:
    if in_place == (output_dir is not None):
        problem = "both output_dir and in_place" if in_place else "neither output_dir nor in_place"
        raise OutputError(output_dir or "undo", problem, "Give one of them")
    if output_dir is None:
        return [path.resolve() for path in files]
    folder = Path(output_dir).expanduser()
    targets = [folder / path.name for path in files]
    inputs = {path.resolve() for path in files}
    for target in targets:
        if target.resolve() in inputs:
            problem = f"it is the folder of the input {target.name}, which would be replaced"
            raise OutputError(folder, problem, "Give another output_dir, or in_place=True to replace inputs")
    if len(set(targets)) < len(targets):
        raise OutputError(folder, "two of the files have one name", "Undo them one after the other")
    return targets
