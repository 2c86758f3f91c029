"""What direct exposures can lend a grism exposure: their corrections, from the WCS that it starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.common_start import common_start
from grism_align.algorithms.propagation.pair import Acquisitions
from grism_align.algorithms.propagation.poses import detector_of, field_axes
from grism_align.algorithms.propagation.wcs_agreement import WcsAgreement, WcsPair
from grism_align.values.failure import NoCommonStart, NotAligned, WcsChanged, WcsDoubted
from grism_align.values.solution import FitStatus
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from grism_align.algorithms.propagation.pair import DirectCandidate
    from grism_align.algorithms.propagation.wcs_agreement import Disagreement
    from grism_align.values.exposure import Exposure
    from grism_align.values.failure import Remark
    from grism_align.values.solution import AlignmentSolution, ExposureFit
    from grism_align.values.transform import TangentPlane


# What two distortion models of a camera differ by at most between a filter and a grism; arcsec, of one axis.
_BETWEEN_MODELS = 0.006


@dataclass(frozen=True)
class Lent:
    """What a direct exposure can lend.

    Parameters
    ----------
    fit : ExposureFit
        Its own.
    transform : LinearTransform
        The correction, from the WCS that the grism exposure starts from.
    shared_wcs : str
        Which WCS they have in common, where they start from different ones.
    variance : float, arcsec^2
        Of its shift against other exposures, of one axis.
    changed : Remark or None
        That the WCSs of the two are, or may be, not one solution though they have one name.
    bridge_error : float, arcsec
        What getting from the one to the other adds to the error, of one axis.
    """

    fit: ExposureFit
    transform: LinearTransform
    shared_wcs: str
    variance: float
    changed: Remark | None = None
    bridge_error: float = 0.0


@dataclass(frozen=True)
class _Place:
    """By how much a detector is off its place in the telescope's field, (v2, v3) and error, arcsec."""

    offset: tuple[float, float] = (0.0, 0.0)
    error: float = 0.0


class Lender:
    """Lends the corrections of direct exposures.

    Parameters
    ----------
    grisms, directs : sequence of Exposure
        The exposures of a field.
    solution : AlignmentSolution
        Total corrections of the direct exposures.
    variances : mapping of str to float, arcsec^2
        Of their shifts against each other, of one axis.
    detector_error : float, arcsec
        How well the place of a detector is known that nothing tells, of one axis.
    """

    def __init__(
        self,
        grisms: Sequence[Exposure],
        directs: Sequence[Exposure],
        solution: AlignmentSolution,
        variances: Mapping[str, float],
        detector_error: float = 0.0,
    ) -> None:
        self._solution, self._variances = solution, variances
        self._unknown = _Place(error=detector_error)
        self._places = {
            detector_of(direct): _Place(
                (1e-3 * fit.placement[0], 1e-3 * fit.placement[1]), 1e-3 * fit.placement_error
            )
            for direct in directs
            if (fit := solution.fits.get(direct.key)) and np.isfinite(fit.placement_error)
        }
        self._agreement = WcsAgreement(list(self._pairs(grisms, directs)))

    def _pairs(self, grisms: Sequence[Exposure], directs: Sequence[Exposure]) -> Iterator[WcsPair]:
        acquisitions = Acquisitions(directs)
        for grism in grisms:
            for direct in acquisitions.of(grism):
                fit = self._solution.fits.get(direct.key)
                if fit is not None and fit.transform is not None:
                    start = common_start(grism, direct, fit.transform.plane)
                    if start is not None:
                        yield WcsPair(grism, direct, start)

    def lend(
        self, grism: Exposure, candidates: Iterable[DirectCandidate]
    ) -> tuple[dict[str, Lent], dict[str, Remark]]:
        """Collect what direct exposures can lend a grism exposure, and why others of them can't.

        Parameters
        ----------
        grism : Exposure
            The dispersed exposure.
        candidates : iterable of DirectCandidate
            Who might.
        """
        lent: dict[str, Lent] = {}
        refusals: dict[str, Remark] = {}
        for candidate in candidates:
            found = self._lent(grism, candidate.exposure)
            if isinstance(found, Lent):
                lent[candidate.key] = found
            else:
                refusals[candidate.key] = found
        return lent, refusals

    def _lent(self, grism: Exposure, direct: Exposure) -> Lent | Remark:
        fit = self._solution.fits.get(direct.key)
        if fit is None or fit.transform is None:
            return NotAligned()
        start = common_start(grism, direct, fit.transform.plane)
        if start is None:
            return NoCommonStart(direct.wcs_solution, grism.wcs_solution)
        found = self._agreement.disagreement(WcsPair(grism, direct, start), fit.transform.plane)
        moved, error = self._between_detectors(grism, direct, fit.transform.plane)
        between = 0.0 if direct.distortion == grism.distortion else _BETWEEN_MODELS
        lent = Lent(
            fit,
            start.transform.then(moved).then(fit.transform),
            start.solution,
            self._variances.get(direct.key, 0.0),
            bridge_error=float(np.hypot(error, between)),
        )
        if found is None:
            return lent
        changed = _remark(grism, direct.key, start.solution or grism.wcs_solution, found)
        if not found.is_believed:
            return changed
        return replace(
            lent,
            transform=found.moved.then(lent.transform),
            changed=changed,
            bridge_error=float(np.hypot(lent.bridge_error, found.error)),
        )

    def _between_detectors(
        self, grism: Exposure, direct: Exposure, plane: TangentPlane
    ) -> tuple[LinearTransform, float]:
        """Return what takes a place in one detector's field to that in another's, and its error, arcsec.

        The lender's correction has the error of its own detector's place: by what the other's is larger.
        """
        identity = LinearTransform.identity(plane)
        mine, theirs = detector_of(grism), detector_of(direct)
        if mine == theirs or direct.attitude is None:
            return identity, 0.0
        here, there = (self._places.get(one, self._unknown) for one in (mine, theirs))
        apart = np.subtract(here.offset, there.offset)
        moved = replace(identity, shift=field_axes(grism, plane) @ apart)
        return moved, float(np.sqrt(max(here.error**2 - there.error**2, 0.0)))


def _remark(grism: Exposure, direct: str, solution: str, found: Disagreement) -> Remark:
    if found.doubt:
        return WcsDoubted(direct, solution, found.doubt)
    there = found.moved.at(grism.plane)
    shift = float((there.shift @ there.shift) ** 0.5)
    return WcsChanged(direct, solution, found.size, shift, there.roll, there.scale - 1.0, found.distortion)


def usable(candidates: Iterable[DirectCandidate], lent: Mapping[str, Lent]) -> tuple[DirectCandidate, ...]:
    """Keep the candidates that lend a correction, and say how good it is.

    Parameters
    ----------
    candidates : iterable of DirectCandidate
        Any.
    lent : mapping of str to Lent
        What those lend that can.
    """
    return tuple(
        replace(
            each,
            is_solid=lent[each.key].fit.status is not FitStatus.PRIOR_ONLY and lent[each.key].changed is None,
            frame=lent[each.key].fit.frame,
            variance=lent[each.key].variance,
            bridge_variance=lent[each.key].bridge_error ** 2,
        )
        for each in candidates
        if each.key in lent
    )
