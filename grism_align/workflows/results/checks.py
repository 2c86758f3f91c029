"""What must be so before results are written."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.names import LONGEST_NAME, is_text, is_too_long
from grism_align.io.files.sources import PACKED, is_file, path_of
from grism_align.io.files.sources import file_of as file_of_source
from grism_align.io.missions import all_facts, facts_of
from grism_align.values.errors import InputError, OutputError
from grism_align.workflows.results.earlier_records import check_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grism_align.values.field import ExposureSet
    from grism_align.workflows.results.destination import Destination


logger = logging.getLogger(__name__)


def check_destination(
    exposures: ExposureSet, destination: Destination, catalogs: Iterable[Path] = ()
) -> None:
    """Refuse, before any work, outputs that would replace inputs.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    destination : Destination
        Where results are to go.
    catalogs : iterable of Path, optional
        Files of reference catalogs that will be read.

    Raises
    ------
    OutputError
        If the output folder can't be made or written, if it is that of an input and `in_place` was not asked
        for, if that was asked for of fpacked exposures, or if a product would replace a reference catalog or
        the record of other exposures.
    InputError
        If headerlets are asked for of exposures that have none.
    """
    _check_folders(exposures, destination)
    _check_lengths(exposures, destination)
    _check_characters(exposures, destination)
    if destination.headerlets != "none":
        _check_headerlets(exposures, destination.headerlets)
    keep_catalogs(exposures, destination, [*catalogs, *catalogs_read(exposures)])
    check_record(exposures, destination)
    if destination.in_place:
        _check_earlier_record(exposures)
        _check_plain(exposures)
        if destination.headerlets != "file":
            refuse_stale_wcs_files(path_of(exposure.source) for exposure in exposures.exposures)
        tell_of_links(path_of(exposure.source) for exposure in exposures.exposures)
        return
    folder = destination.folder.resolve()
    files = {each.source: file_of_source(each.source) for each in exposures.exposures}
    inside = [source for source, path in files.items() if path and path.resolve().parent == folder]
    if inside:
        problem = f"it is the folder of the input {inside[0].name}, which would be replaced"
        raise OutputError(
            destination.folder, problem, "Give another output_dir, or in_place=True to replace inputs"
        )
    origin = exposures.association.origin
    if origin and Path(origin).resolve() == destination.association(exposures.product).resolve():
        problem = "the output association would replace the input's"
        raise OutputError(origin, problem, "Give another output_dir")


def _check_folders(exposures: ExposureSet, destination: Destination) -> None:
    """Refuse folders that can't be made, or written: of what is there, without writing anything."""
    in_place = exposures.exposures if destination.in_place else ()
    replaced = {path_of(each.source).resolve().parent: None for each in in_place}
    for folder in dict.fromkeys((destination.folder, *replaced)):
        above = next(path for path in (folder, *folder.parents) if os.access(path, os.F_OK))
        here = "it" if above == folder else str(above)
        if not above.is_dir():
            raise OutputError(folder, f"{here} is a file, not a folder", "Give another output_dir")
        if not os.access(above, os.W_OK | os.X_OK):
            elsewhere = "leave out in_place and give output_dir"
            remedy = f"Change its mode, or {elsewhere if folder in replaced else 'give another output_dir'}"
            raise OutputError(folder, f"{here} can't be written to", remedy)


def _check_lengths(exposures: ExposureSet, destination: Destination) -> None:
    """Refuse exposures whose names no file can have when they get those of products."""
    for exposure in exposures.exposures:
        name = destination.exposure(exposure).name
        if is_too_long(name):
            problem = f"its name has {len(name)} letters, and {LONGEST_NAME} bytes is the most for a product"
            raise OutputError(exposure.source, problem, "Give it a shorter one")


def _check_characters(exposures: ExposureSet, destination: Destination) -> None:
    """Refuse paths with bytes that are no text: the record has paths as texts."""
    sources = (file_of_source(exposure.source) for exposure in exposures.exposures)
    for path in filter(None, (destination.folder, *sources)):
        if not is_text(path):
            problem = f"the path {str(path)!a} has bytes that are no UTF-8, which the record can't hold"
            raise OutputError(ascii(path.name), problem, "Rename the file or the folder")


def _check_headerlets(exposures: ExposureSet, how: str) -> None:
    for exposure in exposures.exposures:
        facts, name = facts_of(exposure), exposure.telescope.mission.upper()
        if not facts.headerlet_ending:
            problem = f"{name} has no headerlets"
            raise InputError(exposure.source, problem, "Leave out headerlets: undo takes a correction out")
        if how == "attach" and not facts.attaches_headerlets:
            problem = f"exposures of {name} have no extensions to attach a WCS in"
            raise InputError(exposure.source, problem, "Set headerlets to file, or to none")


def refuse_stale_wcs_files(paths: Iterable[Path]) -> None:
    """Refuse to replace exposures beside which files would be left that have their earlier WCS.

    Parameters
    ----------
    paths : iterable of Path
        The exposures.

    Raises
    ------
    OutputError
        Naming the first.
    """
    ending = {
        one: facts.headerlet_ending
        for facts in all_facts()
        if facts.headerlet_follows
        for one in facts.endings
    }
    for path in paths:
        own = next((one for one in ending if path.name.endswith(one)), None)
        beside = None if own is None else path.with_name(path.name.removesuffix(own) + ending[own])
        if beside is not None and is_file(beside):
            problem = f"it has the WCS of {path.name}, which would be another"
            remedy = "Set headerlets to file, which makes it anew, or move it away, or give an output_dir"
            raise OutputError(beside, problem, remedy)


def keep_catalogs(exposures: ExposureSet, destination: Destination, catalogs: Iterable[Path]) -> None:
    """Refuse to replace a reference catalog, which may be the product of an earlier run."""
    products = {path.resolve() for path in replace(destination, with_report=True).products(exposures)}
    products |= {(destination.folder / name).resolve() for one in exposures.mosaics for name in one.files}
    for path in catalogs:
        if path.expanduser().resolve() in products:
            problem = "it is the reference catalog, and a product of that name would replace it"
            raise OutputError(path, problem, "Give another output_dir, or the catalog under another name")


def catalogs_read(exposures: ExposureSet) -> list[Path]:
    """Files that reference catalogs came from, in this run and in those on record."""
    catalog = exposures.reference_catalog
    origins = [] if catalog is None else [catalog.origin]
    for activity in exposures.activities:
        origins += [str(activity.settings.get("catalog") or ""), *(one.url for one in activity.attempts)]
    return [path for path in map(file_of, origins) if path]


def file_of(origin: str) -> Path | None:
    """Return the file that a catalog came from; None for a service."""
    try:
        path = Path(origin).expanduser()
        return path if origin and path.is_file() else None
    except (OSError, RuntimeError):  # too long for a file's name; a home that nobody knows
        return None


def _check_earlier_record(exposures: ExposureSet) -> None:
    """Refuse to align in place, once more, files whose record lies beside them but was not given."""
    if exposures.record is not None:
        return
    for exposure in exposures.exposures:
        folder = path_of(exposure.source).parent
        beside = sorted(folder.glob("*_provenance.asdf")) if exposure.is_product else []
        if beside:
            problem = (
                f"{exposure.source.name} beside it was aligned before, and this may be its record, though "
                "not of the file as it is"
            )
            remedy = "Give the association of those products, which goes on from it, or move the record away"
            raise OutputError(beside[0], problem, remedy)


def tell_of_links(paths: Iterable[Path]) -> None:
    """Say which files that are replaced have other names, by hard links: these keep what they were.

    Parameters
    ----------
    paths : iterable of Path
        The files.
    """
    linked = [path.name for path in paths if path.stat().st_nlink > 1]
    if linked:
        text = "%d files have other names by hard links, which stay as they are, %s among them"
        logger.warning(text, len(linked), linked[0])


def _check_plain(exposures: ExposureSet) -> None:
    """Refuse to replace fpacked files, which would lose pixels or no longer be what their names say."""
    packed = [exposure.source for exposure in exposures.exposures if exposure.source.name.endswith(PACKED)]
    if packed:
        problem = "it is fpacked, and can't be replaced: its images are written plain"
        raise OutputError(packed[0], problem, "Run funpack on it, or give an output_dir")
