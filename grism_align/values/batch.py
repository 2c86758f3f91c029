"""What came of one of many fields."""

from __future__ import annotations

from dataclasses import dataclass

from grism_align.values.outcome import ExitCode


@dataclass(frozen=True)
class FieldOutcome:
    """What came of one field of a batch.

    Parameters
    ----------
    product : str
        What its results are called.
    association : str
        Path of its association.
    folder : str
        Where its results are.
    code : ExitCode
        What a process that aligned it alone would end with.
    told : str
        The error, or what is short of what was asked; empty where all is well.
    n_visits, n_direct, n_grism : int
        Visits, direct and grism exposures; zero where it could not be opened.
    n_aligned : int
        Exposures that were aligned, or fix the frame.
    n_left_out : int
        Files that could not be used.
    tied_to : str
        Reference catalog; empty where it is tied to none.
    error : float, pix
        Largest claimed error of a grism exposure, of one axis; NaN where none is known.
    seconds : float
        It took so long.
    is_earlier : bool
        Whether it was done by an earlier batch, and is as it was then.
    """

    product: str
    association: str
    folder: str
    code: ExitCode
    told: str = ""
    n_visits: int = 0
    n_direct: int = 0
    n_grism: int = 0
    n_aligned: int = 0
    n_left_out: int = 0
    tied_to: str = ""
    error: float = float("nan")
    seconds: float = 0.0
    is_earlier: bool = False

    @property
    def is_done(self) -> bool:
        """Whether there are results."""
        return self.code in {ExitCode.DONE, ExitCode.RESERVATIONS}

    @property
    def state(self) -> str:
        """Whether to trust them, a word."""
        words = {ExitCode.DONE: "done", ExitCode.RESERVATIONS: "reservations", ExitCode.MISTAKE: "mistake"}
        return words.get(self.code, "failed")


def problems_first(outcomes: list[FieldOutcome]) -> list[FieldOutcome]:
    """Return fields in the order in which people should look at them: without results, with doubts, well.

    Parameters
    ----------
    outcomes : list of FieldOutcome
        In any order.
    """
    return sorted(outcomes, key=lambda one: (one.is_done, one.code == ExitCode.DONE, one.product))


def code_of(outcomes: list[FieldOutcome]) -> ExitCode:
    """Return what a batch ends with: done, done with reservations, or nothing done.

    Parameters
    ----------
    outcomes : list of FieldOutcome
        Of all fields.
    """
    if all(one.code == ExitCode.DONE for one in outcomes):
        return ExitCode.DONE
    return ExitCode.RESERVATIONS if any(one.is_done for one in outcomes) else ExitCode.ERROR
