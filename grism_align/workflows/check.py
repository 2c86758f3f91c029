"""Look at exposures before they are aligned: whether direct and grism exposures go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grism_align.algorithms.propagation.propagate import propagate
from grism_align.values.failure import FailureCode, Unguided, text_of
from grism_align.values.settings import GrismSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.telling import told_of_tracking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet

_APART = {
    FailureCode.NO_COMMON_START,
    FailureCode.WCS_CHANGED,
    FailureCode.WCS_DOUBTED,
    FailureCode.OTHER_DISTORTION,
}


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
        What speaks against aligning them.
    notes : tuple of str
        What else is to be known before.
    """

    exposures: ExposureSet
    governors: dict[str, tuple[str, ...]]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


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
    apart = {key for key, fit in fits.items() if not fit.is_aligned or _contradicts(fit)}
    problems = (
        *(f"{one.name} can't be used: {one.problem}" for one in exposures.left_out),
        *_mixed(exposures),
        *_told({key: fit for key, fit in fits.items() if key in apart}),
    )
    notes = (
        *told_of_tracking(exposures),
        *_told({key: fit for key, fit in fits.items() if key not in apart}),
    )
    return FieldCheck(exposures, {key: fit.governors for key, fit in fits.items()}, problems, notes)


def _told(fits: Mapping[str, ExposureFit]) -> Iterator[str]:
    """Say what is remarked of grism exposures, but for guiding, once of all of which it is the same."""
    alike: dict[str, list[str]] = {}
    for key, fit in fits.items():
        remarks = [each for each in fit.remarks if not isinstance(each, Unguided)]
        if remarks:
            alike.setdefault(text_of(remarks), []).append(key)
    for text, keys in alike.items():
        yield f"{', '.join(keys)}: {text}"


def _contradicts(fit: ExposureFit) -> bool:
    """Tell whether a grism exposure's WCS is not of one kind with that of a direct exposure."""
    return any(each.code in _APART for remark in fit.remarks for each in remark.with_causes())


def _mixed(exposures: ExposureSet) -> Iterator[str]:
    """Tell of distortion models that differ among the exposures of an instrument."""
    models: dict[str, dict[str, list[Exposure]]] = {}
    for each in exposures.exposures:
        models.setdefault(each.instrument, {}).setdefault(each.distortion or "unnamed", []).append(each)
    for instrument, found in models.items():
        if len(found) > 1:
            parts = (f"{name} ({', '.join(each.key for each in own)})" for name, own in found.items())
            yield f"{instrument} has several distortion models: {'; '.join(parts)}"
