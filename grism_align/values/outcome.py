"""How a run or a command came out: what a script learns from its exit code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """What a process ends with."""

    #: All was done as asked.
    DONE = 0
    #: Nothing was done, for the error that was printed.
    ERROR = 1
    #: The command line can't be understood.
    USAGE = 2
    #: Done, but for what was printed.
    RESERVATIONS = 3
    #: Ended by a mistake of the package itself.
    MISTAKE = 4
    #: Ended by whoever ran it (Ctrl-C).
    INTERRUPTED = 130


class ReservationKind(StrEnum):
    """What can be short of what was asked."""

    LEFT_OUT = "left_out"
    UNREACHABLE = "unreachable"
    NOT_TIED = "not_tied"
    APART = "apart"
    DISPLACED = "displaced"
    FAILED = "failed"
    PRIOR_ONLY = "prior_only"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class Reservation:
    """One thing that is short of what was asked.

    Parameters
    ----------
    kind : ReservationKind
        What it is.
    text : str
        The same with the numbers and names.
    """

    kind: ReservationKind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"
