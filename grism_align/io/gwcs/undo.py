"""Put the WCS back that an exposure with a gwcs had before our latest correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from grism_align.io.gwcs.changes import correction_to_undo, corrections_of
from grism_align.io.gwcs.names import name_before
from grism_align.values.mission import Undone

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from grism_align.io.gwcs.own import OwnCorrection, OwnNotes
    from grism_align.values.mission import Corrections
    from grism_align.values.source import Source


class _Content(Protocol):
    """What is in an exposure: its WCS, and what we left in its metadata."""

    @property
    def wcs(self) -> Any: ...

    @property
    def own(self) -> Any: ...


@dataclass(frozen=True)
class Undoing:
    """What a mission does to undo corrections.

    Parameters
    ----------
    content_of : callable
        Reads an exposure; it takes the source, and a check of the kind of the file.
    changed : callable
        Gives, for a block, what is changed of an exposure; it takes the source, the target, and a check of
        the file that is made.
    undo : callable
        Puts back what the latest correction replaced (in place); returns that correction and what is left.
    """

    content_of: Callable[[Source, Callable[[Any], None]], _Content]
    changed: Callable[[Source, Source, Callable[[Any], None]], AbstractContextManager[Any]]
    undo: Callable[[Any, Source], tuple[OwnCorrection, OwnNotes]]

    def read_corrections(self, source: Source) -> Corrections:
        """Which corrections of ours an exposure has and had.

        Raises
        ------
        InputError
            If the file can't be read.
        """
        return corrections_of(self.content_of(source, _anything).own, source)

    def check_undo(self, source: Source) -> None:
        """Refuse an exposure whose latest correction can't be undone.

        Raises
        ------
        InputError
            If the file can't be read, has no correction of ours, or was changed since.
        """
        content = self.content_of(source, _anything)
        correction_to_undo(content.own, content.wcs, source)

    def undo_exposure(self, source: Source, target: Source) -> Undone:
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
        with self.changed(source, target, _anything) as content:
            undone, left = self.undo(content, source)
        return Undone(source, target, undone.solution, name_before(undone), bool(left.corrections))


def _anything(_: object) -> None:
    """Take any kind of file: what we corrected we can undo."""
