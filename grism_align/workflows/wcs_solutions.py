"""The WCSs that exposures come with: which there are, and all exposures onto one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grism_align.algorithms.propagation.common_start import difference
from grism_align.values.errors import InputError
from grism_align.values.record import CHOICE, Activity
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.values.words import did_you_mean
from grism_align.workflows.load import load
from grism_align.workflows.user_shifts import AS_GIVEN, REFERENCE, unmoved, without_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet


@dataclass(frozen=True, eq=False)
class KnownWcs:
    """One of the WCSs of an exposure.

    Parameters
    ----------
    name : str
        As the headers have it.
    solution : str or None
        The astrometric solution that it is; None where it has another distortion model or reference pixel.
    is_used : bool
        Whether it is the one that programs use.
    moved : LinearTransform or None
        From the one that is used to this.
    """

    name: str
    solution: str | None
    is_used: bool
    moved: LinearTransform | None


def known_wcss(exposure: Exposure) -> tuple[KnownWcs, ...]:
    """Return the WCSs of an exposure, the one that is used first.

    Parameters
    ----------
    exposure : Exposure
        As read.
    """
    used = exposure.wcs_name or "unnamed"
    found = {used: KnownWcs(used, exposure.wcs_solution, is_used=True, moved=None)}
    for name in exposure.taken_names:
        solution = exposure.solution_named(name)
        moved = _moved(exposure, solution) if solution and solution in exposure.alternates else None
        found.setdefault(name, KnownWcs(name, solution, is_used=False, moved=moved))
    return tuple(found.values())


def common_solutions(exposures: Sequence[Exposure]) -> list[str]:
    """Return the solutions that all exposures have, in the order in which the first has them.

    Parameters
    ----------
    exposures : sequence of Exposure
        At least one.
    """
    each = [{one.wcs_solution, *one.alternates} for one in exposures]
    first = exposures[0]
    return [
        name
        for name in dict.fromkeys([first.wcs_solution, *first.alternates])
        if all(name in one for one in each)
    ]


def plan_choice(name: str, files: Sequence[Path | str], *, bad_input: str = "auto") -> ExposureSet:
    """Read exposures, and put all onto one of the solutions that they have; nothing is written.

    Parameters
    ----------
    name : str
        Of a WCS or of its solution.
    files : sequence of path-like
        Files, folders or associations.
    bad_input : str
        What becomes of files that can't be used, as for `load`.

    Returns
    -------
    ExposureSet
        With what takes each from the WCS that it has to that one as its correction.

    Raises
    ------
    InputError
        If a file can't be used, or an exposure has no such solution.
    """
    found = without_record(load(files, with_results=False, bad_input=bad_input))
    chosen = {each.key: _chosen(each, name, found.exposures) for each in found.exposures}
    moved = {each.key: _fit(each, chosen[each.key]) for each in found.exposures}
    n_moved = sum(chosen[each.key] != each.wcs_solution for each in found.exposures)
    solution = next(iter(chosen.values()))
    return found.with_activity(
        Activity(
            CHOICE,
            "done",
            f"the WCS {solution} that the headers have",
            {"solution": solution},
            {"moved": n_moved},
        ),
        relative=AlignmentSolution({each.key: unmoved(each) for each in found.exposures}, AS_GIVEN),
        absolute=AlignmentSolution(moved, REFERENCE),
    )


def _chosen(exposure: Exposure, name: str, every: Sequence[Exposure]) -> str:
    solution = exposure.solution_named(name)
    if exposure.applied is not None:
        problem = "its WCS is a correction of grism_align of another, which it starts from"
        raise InputError(exposure.source, problem, "Take it off with grism-align undo first")
    if solution is None:
        mine = [exposure.wcs_solution, *exposure.alternates]
        meant = did_you_mean(name, mine) or f"; it has {', '.join(filter(None, mine))}"
        common = common_solutions(every)
        remedy = (
            f"All exposures have {', '.join(common)}" if any(common) else "The exposures have none in common"
        )
        raise InputError(exposure.source, f"no WCS {name}{meant}", remedy)
    return solution


def _fit(exposure: Exposure, solution: str) -> ExposureFit:
    is_there = solution == exposure.wcs_solution
    transform = LinearTransform.identity(exposure.plane) if is_there else _moved(exposure, solution)
    given_by = "" if is_there else f"its WCS {solution}"
    return ExposureFit(FitStatus.REFERENCE, transform, REFERENCE, geometry="general", given_by=given_by)


def _moved(exposure: Exposure, solution: str) -> LinearTransform:
    """Return what takes the WCS of an exposure to one of its alternates."""
    chip = exposure.chips[0]
    return difference(chip.shape, chip.wcs, exposure.alternates[solution], exposure.plane)
