"""Products of earlier runs that are true no longer: pages that speak of replaced exposures, and leftovers."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.checksums import sha256_of
from grism_align.io.record.file import read_record, record_at
from grism_align.values.errors import InputError
from grism_align.workflows.results.optional_products import page_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from grism_align.io.files.staging import Staging
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import Record

    FileStates = dict[str, tuple[int, int, int]]

logger = logging.getLogger(__name__)

_RECORD, _REPORT = "_provenance.asdf", "_report.html"
# Endings of products that are called after the run's, and of others.
_OWN = re.compile(r"(report|inspect)\.html|visits\.yaml|(sources|refcat|fits|matches)\.e?csv|.*\.(png|pdf)")
_ENDINGS = ("_drz_sci.fits", "_drz_wht.fits", "_seg.fits", "_cat.ecsv", "_cat.csv", "_hlet.fits", ".reg")
#: Folder, below that of the products, of what is no longer part of them.
SUPERSEDED = "superseded"


def mark_pages(replaced: Collection[Path], out: Staging, own: Path | None = None) -> None:
    """Make the pages of earlier runs say which of their exposures are replaced.

    Parameters
    ----------
    replaced : collection of Path
        Exposures that are about to be replaced. Records beside them are looked at.
    out : Staging
        Writes the pages, with what replaces the exposures.
    own : Path, optional
        Record of the run that replaces them.
    """
    targets = {path.resolve() for path in replaced}
    folders = {path.parent for path in targets} | ({own.parent.resolve()} if own else set())
    for path, record in _records(folders, own.resolve() if own else None):
        changed = tuple(
            key
            for key, exposure in record.exposures.items()
            if exposure.output is not None and Path(exposure.output.path).resolve() in targets
        )
        if not changed:
            continue
        logger.warning("%s is of %d exposures that are replaced now", path, len(changed))
        page = path.with_name(path.name.removesuffix(_RECORD) + _REPORT)
        if page.is_file():
            out.path(page).write_text(page_of(record, page.name, changed), encoding="utf-8")


def _records(folders: Collection[Path], own: Path | None) -> Iterator[tuple[Path, Record]]:
    for folder in sorted(folders):
        for path in sorted(set(folder.glob(f"*{_RECORD}")) - {own}):
            try:
                yield path, read_record(path)
            except InputError as error:
                logger.debug("%s", error)


def leftovers(record: Path, written: Collection[Path]) -> list[Path]:
    """Return the exposures of an earlier run of the same name that a run does not write anew.

    Files that were given and corrected in place are the user's, and stay where they are. Nothing is left over
    from a run of other exposures altogether.

    Parameters
    ----------
    record : Path
        Where the earlier run has its record, if there was one.
    written : collection of Path
        Exposures that the run writes.
    """
    if not record.is_file():
        return []
    try:
        earlier = record_at(record).exposures.values()
    except InputError:
        return []
    outputs = {Path(one.output.path).resolve(): one for one in earlier if one.output}
    targets = {path.resolve() for path in written}
    if targets.isdisjoint(outputs):
        return []
    made = {path: one.output for path, one in outputs.items() if Path(one.input.path).resolve() != path}
    folder = record.parent.resolve()
    found = [(path, made[path]) for path in made.keys() - targets if path.parent == folder and path.is_file()]
    return sorted(path for path, known in found if known and sha256_of(path) == known.sha256)


def move_aside(paths: Collection[Path]) -> None:
    """Move files to a folder below theirs, where nobody takes them for products of the latest run."""
    for path in paths:
        target = path.parent / SUPERSEDED / path.name
        target.parent.mkdir(exist_ok=True)
        path.replace(target)
        logger.warning("Moved %s, which an earlier run wrote and this one did not, to %s", path, target)


def states_of(folder: Path) -> FileStates:
    """Return what changes of each file of a folder, by name, when it is written anew; of no folder nothing.

    Parameters
    ----------
    folder : Path
        That of the products.
    """
    if not folder.is_dir():
        return {}
    files = ((path.name, path.stat()) for path in folder.iterdir() if path.is_file())
    return {name: (state.st_mtime_ns, state.st_ino, state.st_size) for name, state in files}


def left_there(before: FileStates, folder: Path, exposures: ExposureSet) -> list[str]:
    """Return the products in a folder that a whole run has not written: those of earlier runs.

    Parameters
    ----------
    before : dict
        As of `states_of`, before the run.
    folder : Path
        That of the products.
    exposures : ExposureSet
        What the run has written. Mosaics that it has on record are its own.
    """
    now, own = states_of(folder), f"{exposures.product}_"
    others = [name.removesuffix(_RECORD) for name in now if name.endswith(_RECORD)]
    others = [f"{name}_" for name in others if name.startswith(own)]
    kept = {name for mosaic in exposures.mosaics for name in mosaic.files}
    return sorted(
        name
        for name, state in now.items()
        if before.get(name) == state
        and name not in kept
        and (name.endswith(_ENDINGS) or (name.startswith(own) and _OWN.fullmatch(name.removeprefix(own))))
        and not name.startswith(tuple(others))
    )
