"""What an alignment found, exposure by exposure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from grism_align.values.errors import PlaneMismatchError
from grism_align.values.failure import NotTied, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.values.failure import Remark
    from grism_align.values.transform import LinearTransform, TangentPlane

__all__ = [
    "Agreement",
    "AlignmentSolution",
    "ExposureFit",
    "FitStatus",
    "Governed",
    "Residuals",
    "agreement",
]

Floats = NDArray[np.float64]


class FitStatus(Enum):
    """How an exposure came out.

    REFERENCE: it fixes the frame. ALIGNED: its own sources, with those of the exposures taken at the same
    instant, give its correction. PRIOR_ONLY: they don't, and it is corrected like the other exposures of its
    guide-star acquisition. FAILED: it keeps its WCS.
    """

    REFERENCE = "REFERENCE"
    ALIGNED = "ALIGNED"
    PRIOR_ONLY = "PRIOR_ONLY"
    FAILED = "FAILED"


@dataclass(frozen=True, eq=False)
class Residuals:
    """The matched sources of one fit.

    Parameters
    ----------
    source : (N,) ndarray of int
        ``id`` of the source in the exposure's catalog.
    matched : (N,) ndarray
        What it was matched to: the number of the source in the relative frame, or the reference
        catalog's identifier.
    offset : (N, 2) ndarray, mas
        Where the fit puts the source minus where it should be, east and north.
    weight : (N,) ndarray
        Weight in the fit, of 1; zero where it was clipped.
    error : (N,) ndarray, mas
        Standard error of one axis that was given for it.
    """

    source: NDArray[np.int64]
    matched: NDArray[np.generic]
    offset: Floats
    weight: Floats
    error: Floats


@dataclass(frozen=True)
class Governed:
    """How a grism exposure came by the correction of direct exposures.

    Parameters
    ----------
    exposures : tuple of str
        The direct exposures whose correction it has.
    rule : str
        How those were chosen: association, interpolated, paired, previous, next, nearest or visit.
    weights : tuple of float
        The weight of each of those; they sum to one.
    idle_times : tuple of float, s
        Between it and each of those; negative when that came first.
    propagation_error : float, mas
        What the way from those adds to the error of the shift, of one axis.
    shared_wcs : tuple of str
        WCS solutions that the corrections were carried over by, where the WCSs start from different ones.
    """

    exposures: tuple[str, ...]
    rule: str
    weights: tuple[float, ...]
    idle_times: tuple[float, ...]
    propagation_error: float
    shared_wcs: tuple[str, ...] = ()

    def __str__(self) -> str:
        times = [f"{time:+.0f} s" for time in self.idle_times]
        if len(times) > 1:
            times = [f"{time} ({weight:.2f})" for time, weight in zip(times, self.weights, strict=True)]
        return ", ".join([self.rule, *times, *(f"from its WCS {name}" for name in self.shared_wcs)])


@dataclass(frozen=True, eq=False)
class ExposureFit:
    """The correction of one exposure in one step.

    Parameters
    ----------
    status : FitStatus
        How it came out.
    transform : LinearTransform or None
        The correction of the WCS before any, in the tangent plane that all exposures of a field share; None
        if FAILED.
    reference : str
        What it was fitted to.
    frame : int
        Number of the relative frame; exposures of two frames are not tied to each other.
    n_matched, n_used : int
        Sources matched, and those of them that kept weight.
    rms : float, mas
        Weighted rms residual of one axis.
    rms_axes : (float, float), mas
        The same to the east and to the north.
    reduced_chi2 : float
        Of the used sources by their given errors; above one by what these leave unexplained.
    leverage : float
        Largest share of one source in the weight of the fit.
    false_match_probability : float
        Probability that lists without a common source match as well.
    geometry : str
        What was fitted: shift, rshift, rscale or general.
    remarks : tuple of Remark
        Why it failed, or what to know about it.
    governed : Governed or None
        How a grism exposure came by the correction; None for a direct one.
    given_by : str
        Row of the user's table that has the correction; empty where it was fitted.
    includes_earlier : bool
        Whether the covariance is that of the total correction, so that an earlier step's is not added.
    residuals : Residuals or None
        The matched sources.
    """

    status: FitStatus
    transform: LinearTransform | None
    reference: str = ""
    frame: int = 0
    n_matched: int = 0
    n_used: int = 0
    rms: float = float("nan")
    rms_axes: tuple[float, float] = (float("nan"), float("nan"))
    reduced_chi2: float = float("nan")
    leverage: float = float("nan")
    false_match_probability: float = float("nan")
    geometry: str = ""
    remarks: tuple[Remark, ...] = ()
    governed: Governed | None = None
    given_by: str = ""
    includes_earlier: bool = False
    residuals: Residuals | None = None

    @classmethod
    def failed(cls, *remarks: Remark, reference: str = "") -> ExposureFit:
        """Make the fit of an exposure that keeps its WCS, though it was to be fitted to a reference."""
        return cls(FitStatus.FAILED, None, reference, remarks=remarks)

    @property
    def is_aligned(self) -> bool:
        """Whether the exposure has a correction, the identity included."""
        return self.transform is not None

    @property
    def reason(self) -> str:
        """The remarks in words; empty where there are none."""
        return text_of(self.remarks)

    @property
    def governors(self) -> tuple[str, ...]:
        """The direct exposures whose correction a grism exposure has; none of a direct one."""
        return self.governed.exposures if self.governed else ()

    def noted(self, remark: Remark) -> ExposureFit:
        """Return this fit with one more remark."""
        return replace(self, remarks=(*self.remarks, remark))


@dataclass(frozen=True, eq=False)
class AlignmentSolution:
    """The fits of one step for a set of exposures.

    Parameters
    ----------
    fits : mapping of str to ExposureFit
        By exposure key.
    reference : str
        What fixes the frame: exposures, a visit or a catalog.
    """

    fits: Mapping[str, ExposureFit] = field(default_factory=dict)
    reference: str = ""

    def __getitem__(self, key: str) -> ExposureFit:
        return self.fits[key]

    def __contains__(self, key: object) -> bool:
        return key in self.fits

    @property
    def plane(self) -> TangentPlane:
        """The tangent plane of its corrections.

        Raises
        ------
        PlaneMismatchError
            If they have none in common.
        """
        planes = [fit.transform.plane for fit in self.fits.values() if fit.transform is not None]
        if not planes or not all(plane.coincides(planes[0]) for plane in planes):
            msg = f"{len(planes)} corrections have no tangent plane in common"
            raise PlaneMismatchError(msg)
        return planes[0]

    def then(self, later: AlignmentSolution) -> AlignmentSolution:
        """Let this solution be followed by another of the same exposures.

        An exposure that failed here is failed; one that failed later, or that the later solution does
        not know, keeps this correction.
        """
        return AlignmentSolution(
            {key: _followed(fit, later.fits.get(key)) for key, fit in self.fits.items()},
            later.reference or self.reference,
        )


@dataclass(frozen=True)
class Agreement:
    """How several exposures together agree with a catalog.

    Parameters
    ----------
    n_matched, n_used : int
        Different stars that were matched, and those of them that kept weight anywhere.
    rms : float, mas
        Weighted rms residual of one axis.
    """

    n_matched: int
    n_used: int
    rms: float


def agreement(fits: Sequence[ExposureFit]) -> Agreement:
    """Tell how some exposures agree together, each star counted once.

    Parameters
    ----------
    fits : sequence of ExposureFit
        At least one. Where residuals are not on record, the largest numbers of any count.
    """
    known = [fit.residuals for fit in fits if fit.residuals is not None]
    if not known:
        best = max(fits, key=lambda fit: fit.n_used)
        return Agreement(best.n_matched, best.n_used, best.rms)
    names = np.concatenate([one.matched.astype(str) for one in known])
    weight = np.concatenate([one.weight for one in known])
    square = (np.concatenate([one.offset for one in known]) ** 2).mean(axis=1)
    total = weight.sum()
    rms = float(np.sqrt((weight * square).sum() / total)) if total > 0 else float("nan")
    return Agreement(len(np.unique(names)), len(np.unique(names[weight > 0])), rms)


def _followed(first: ExposureFit, second: ExposureFit | None) -> ExposureFit:
    if second is None or first.transform is None:
        return first
    if second.transform is None:
        # What it was for is said of the later step, and often the same for all exposures.
        why = (NotTied(second.reference),) if second.reference else second.remarks
        return replace(first, remarks=(*first.remarks, *why))
    total = first.transform.then(second.transform)
    if second.includes_earlier:
        total = replace(total, covariance=second.transform.covariance)
    if first.status is FitStatus.PRIOR_ONLY:
        second = replace(second, status=first.status, remarks=first.remarks)
    return replace(second, transform=total, frame=first.frame)
