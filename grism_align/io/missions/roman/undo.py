"""Put the WCS back that an exposure of Roman had before our latest correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.gwcs.changes import correction_to_undo, corrections_of
from grism_align.io.gwcs.names import name_before
from grism_align.io.missions.roman.correct import undo_metadata
from grism_align.io.missions.roman.sources import changed, content_of
from grism_align.values.mission import Undone

if TYPE_CHECKING:
    from grism_align.io.missions.roman.metadata import Metadata
    from grism_align.values.mission import Corrections
    from grism_align.values.source import Source


def read_corrections(source: Source) -> Corrections:
    """Which corrections of ours an exposure has and had.

    Raises
    ------
    InputError
        If the file can't be read.
    """
    return corrections_of(content_of(source, _any_kind).own, source)


def check_undo(source: Source) -> None:
    """Refuse an exposure whose latest correction can't be undone.

    Raises
    ------
    InputError
        If the file can't be read, has no correction of ours, or was changed since.
    """
    content = content_of(source, _any_kind)
    correction_to_undo(content.own, content.wcs, source)


def undo_exposure(source: Source, target: Source) -> Undone:
    """Write an exposure with the WCS that it had before our latest correction, exactly.

    Parameters
    ----------
    source : Source
        The exposure.
    target : Source
        What is to have it. It may be the same.

    Raises
    ------
    InputError
        As `check_undo`.
    """
    with changed(source, target, lambda _: None) as meta:
        undone, left = undo_metadata(meta, source)
    return Undone(source, target, undone.solution, name_before(undone), bool(left.corrections))


def _any_kind(meta: Metadata) -> None:
    """Take any kind of file: what we corrected we can undo."""
