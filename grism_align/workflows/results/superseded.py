"""Products of earlier runs that are true no longer: pages that speak of replaced exposures, and leftovers."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.export.grizli_visits import visits_path
from grism_align.io.files.checksums import sha256_of
from grism_align.io.inspection import inspection_path
from grism_align.io.missions import all_facts
from grism_align.io.record.file import read_record, record_at
from grism_align.io.report.plots.every import plot_names
from grism_align.values.errors import InputError
from grism_align.values.tables import TABLES
from grism_align.workflows.results.destination import Destination
from grism_align.workflows.results.earlier_records import is_made
from grism_align.workflows.results.optional_products import page_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from grism_align.io.files.staging import Staging
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import Record

    FileStates = dict[str, tuple[int, int, int]]

logger = logging.getLogger(__name__)

_RECORD, _REPORT = "_provenance.asdf", "_report.html"
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


def products_before(record: Path) -> FileStates:
    """Return what an earlier run of the same name left, by name, with what changes when it is written anew.

    Only what its record vouches for: files called after its product, its mosaics, and what lies beside
    exposures that it made. What has the names of exposures that were corrected in place may be the user's.

    Parameters
    ----------
    record : Path
        Where the earlier run has its record, if there was one.

    Returns
    -------
    dict
        Without exposures, record, association and log.
    """
    return _states(record.parent, _products_on(record)) if record.is_file() else {}


def left_there(before: FileStates, record: Path, exposures: ExposureSet) -> list[str]:
    """Return the products of an earlier run that a whole run has not written, and no other record names.

    Parameters
    ----------
    before : dict
        As of `products_before`, before the run.
    record : Path
        That of the run.
    exposures : ExposureSet
        What the run has written. Mosaics that it has on record are its own.
    """
    now = _states(record.parent, before)
    left = {name for name, state in before.items() if now.get(name) == state}
    left -= {name for mosaic in exposures.mosaics for name in mosaic.files}
    for other in set(record.parent.glob(f"*{_RECORD}")) - {record} if left else ():
        left -= _products_on(other)
    return sorted(left)


def _products_on(path: Path) -> set[str]:
    """Return the names that products of a record's run have, if they are there; exposures apart."""
    product, every = path.name.removesuffix(_RECORD), Destination(path.parent, in_place=False, with_csv=True)
    endings = {"_cat.ecsv", "_cat.csv", ".reg", *(facts.headerlet_ending for facts in all_facts())} - {""}
    try:
        record = record_at(path)
        names = {name for mosaic in record.mosaics for name in mosaic.files}
        known = [(key, one.visit, is_made(one)) for key, one in record.exposures.items()]
    except InputError as error:
        logger.debug("%s", error)
        return set()
    plots = plot_names(visit for _, visit, _ in known)
    paths = [every.report(product), every.sources(product), inspection_path(path), visits_path(path)]
    paths += [form for name in TABLES for form in every.forms(every.table(product, name))]
    for form in ("png", "pdf"):
        paths += [replace(every, figures=form).figure(product, name) for name in plots]
    return (
        names
        | {each.name for each in paths}
        | {f"{key}{ending}" for key, _, made in known if made for ending in endings}
    )


def _states(folder: Path, names: Iterable[str]) -> FileStates:
    files = ((name, folder / name) for name in names)
    states = ((name, path.stat()) for name, path in files if path.is_file())
    return {name: (state.st_mtime_ns, state.st_ino, state.st_size) for name, state in states}
