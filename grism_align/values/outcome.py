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
    #: Done, but for what was printed.
    RESERVATIONS = 3


class ReservationKind(StrEnum):
    """What can be short of what was asked."""

    LEFT_OUT = "left_out"
    UNREACHABLE = "unreachable"
    NOT_TIED = "not_tied"
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
