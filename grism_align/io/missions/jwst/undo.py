"""Put the WCS back that an exposure of JWST had before our latest correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.missions.jwst.correct import check_undo_model, name_before, undo_model
from grism_align.io.missions.jwst.own import notes_of
from grism_align.io.missions.jwst.sources import changed, content_of
from grism_align.values.mission import Corrections, Undone
from grism_align.values.solution import FitStatus

if TYPE_CHECKING:
    from grism_align.io.files.cards import Cards
    from grism_align.values.source import Source


def read_corrections(source: Source) -> Corrections:
    """Which corrections of ours an exposure has and had.

    Raises
    ------
    InputError
        If the file can't be read.
    """
    notes = notes_of(content_of(source, _any_kind).own, source)
    names = [one.solution for one in notes.corrections]
    return Corrections(
        latest=names[-1] if names else "",
        earlier=frozenset(names[:-1]),
        undone=notes.undone,
        is_failed=notes.told.get("status") == FitStatus.FAILED.value and not names,
    )


def check_undo(source: Source) -> None:
    """Refuse an exposure whose latest correction can't be undone.

    Raises
    ------
    InputError
        If the file can't be read, has no correction of ours, or was changed since.
    """
    content = content_of(source, _any_kind)
    check_undo_model(content.own, content.wcs, source)


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
    with changed(source, target, lambda _: None) as model:
        undone, left = undo_model(model, source)
    return Undone(source, target, undone.solution, name_before(undone), bool(left.corrections))


def _any_kind(cards: Cards) -> None:
    """Take any kind of file: what we corrected we can undo."""
