"""Look at exposures before they are aligned: whether direct and grism exposures go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grism_align.algorithms.propagation.propagate import propagate
from grism_align.values.settings import GrismSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet


@dataclass(frozen=True, eq=False)
class FieldCheck:
    """What the headers of exposures say of an alignment that is to come.

    Parameters
    ----------
    exposures : ExposureSet
        As read.
    governors : mapping of str to tuple of str
        The direct exposures that would govern each grism exposure.
    problems : tuple of str
        What is to be known before.
    """

    exposures: ExposureSet
    governors: dict[str, tuple[str, ...]]
    problems: tuple[str, ...]


def check_field(exposures: ExposureSet) -> FieldCheck:
    """Look for what speaks against aligning exposures together.

    Parameters
    ----------
    exposures : ExposureSet
        As read.

    Notes
    -----
    Corrections of nothing are handed to the grism exposures as those of an alignment will be, so that what is
    said here is what will be said then.
    """
    plane = exposures.exposures[0].plane
    nothing = ExposureFit(FitStatus.ALIGNED, LinearTransform.identity(plane))
    solution = AlignmentSolution({each.key: nothing for each in exposures.direct if each.tracking.is_fixed})
    fits = propagate(exposures.grisms, exposures.direct, solution, GrismSettings()).fits
    problems = (
        *(f"{one.name} can't be used: {one.problem}" for one in exposures.left_out),
        *_mixed(exposures),
        *(f"{each.key}: {each.tracking}" for each in exposures.exposures if str(each.tracking)),
        *(f"{key}: {fit.reason}" for key, fit in fits.items() if fit.remarks),
    )
    return FieldCheck(exposures, {key: fit.governors for key, fit in fits.items()}, problems)


def _mixed(exposures: ExposureSet) -> Iterator[str]:
    """Tell of distortion models that differ among the exposures of an instrument."""
    models: dict[str, dict[str, list[Exposure]]] = {}
    for each in exposures.exposures:
        models.setdefault(each.instrument, {}).setdefault(each.distortion or "unnamed", []).append(each)
    for instrument, found in models.items():
        if len(found) > 1:
            parts = (f"{name} ({', '.join(each.key for each in own)})" for name, own in found.items())
            yield f"{instrument} has several distortion models: {'; '.join(parts)}"
