"""What to do about an exposure that could not be aligned.

A record has the reason in words and no code, so this is the one place that reads them. The tests make every
reason where it is written, and fail if a sentence is changed without this table.
"""

from __future__ import annotations

import re
from enum import Enum

__all__ = ["Failure", "failure_of"]


class Failure(Enum):
    """Kinds of failures: words of their reasons, and what to do.

    The first kind whose words are in a reason is that of the reason.
    """

    TRAILED = (
        r"^trailed: ",
        "Leave it out: guiding was lost; see whether the spectra taken next to it are trailed as well",
    )
    FLAGGED = (
        r"pixels are flagged",
        "Look at the file; if its pixels are good, the step source_catalog needs other good_bits",
    )
    NO_SOURCES = (
        r"^usable sources: |^no source above ",
        "Look at the file; if it shows sources, lower the threshold of source_catalog",
    )
    NO_DIRECT = (
        r"^no direct exposure ",
        "Name a direct exposure of another acquisition for it in the association",
    )
    ELSEWHERE = (
        r"^matches no other exposure: |its sources are not where ",
        "See if it overlaps the others; if it may be far off, give a larger search_radius",
    )
    AMBIGUOUS = (
        r"^ambiguous: ",
        "Give a smaller search_radius, so that only one of the solutions is left",
    )
    BY_CHANCE = (
        r"false-match probability ",
        "Give deeper source lists (threshold, brightest): so few or so loose matches come about by chance",
    )
    FEW_MATCHES = (
        r"matched sources",
        "Give deeper source lists (threshold, brightest), or fewer min_matches if you can check the result",
    )
    LOOSE = (
        r"^rms residual ",
        "See whether it is trailed or of another filter; max_rms may be too strict for it",
    )
    OTHER = (r"", "Look at the file and the log")

    @property
    def words(self) -> str:
        """A regular expression for the words of its reasons."""
        return self.value[0]

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.value[1]


def failure_of(reason: str) -> Failure:
    """The kind of a failure, by the reason on record."""
    return next(kind for kind in Failure if re.search(kind.words, reason))
