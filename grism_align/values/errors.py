"""The errors that a user can meet; each carries the numbers that led to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "AlignmentError",
    "AssociationError",
    "GrismAlignError",
    "InputError",
    "OutputError",
    "PlaneMismatchError",
    "SettingsError",
    "TooFewMatchesError",
    "UnreliableMatchError",
]


class GrismAlignError(Exception):
    """Base of every error that the package raises on purpose."""


class InputError(GrismAlignError):
    """A file that can't be used.

    Parameters
    ----------
    path : path-like
        The file.
    problem : str
        What is wrong with it.
    remedy : str
        What the user can do.
    """

    def __init__(self, path: Path | str, problem: str, remedy: str = "") -> None:
        self.path = str(path)
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{path}: {problem}." + (f" {remedy}." if remedy else ""))


class AssociationError(InputError):
    """An association whose members or structure can't be used."""


class OutputError(InputError):
    """An output that must not, or can't, be written."""


class SettingsError(GrismAlignError):
    """A parameter outside its bounds or that contradicts another.

    Parameters
    ----------
    name : str
        The parameter.
    value : object
        The value given.
    allowed : str
        What it may be.
    """

    def __init__(self, name: str, value: object, allowed: str) -> None:
        self.name = name
        self.value = value
        super().__init__(f"parameter {name}={value!r}: {allowed}")


class PlaneMismatchError(GrismAlignError):
    """Two transforms of different tangent planes were composed."""


class AlignmentError(GrismAlignError):
    """One exposure could not be fitted. Caught per exposure; its text is the reason on record."""


class TooFewMatchesError(AlignmentError):
    """Fewer matched sources than asked for.

    Parameters
    ----------
    n : int
        Sources matched.
    required : int
        Sources needed.
    where : str, optional
        What was matched with what.
    """

    def __init__(self, n: int, required: int, where: str = "") -> None:
        self.n = n
        self.required = required
        super().__init__(f"{n} matched sources{' ' + where if where else ''}, {required} required")


class UnreliableMatchError(AlignmentError):
    """A match that chance could have made.

    Parameters
    ----------
    n : int
        Sources matched.
    probability : float
        Probability that lists without a common source match as well.
    limit : float
        The largest probability that is accepted.
    """

    def __init__(self, n: int, probability: float, limit: float) -> None:
        self.n = n
        self.probability = probability
        super().__init__(
            f"{n} matched sources could be chance: "
            f"false-match probability {probability:.1e}, limit {limit:.1e}"
        )
