"""What an alignment found, exposure by exposure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from grism_align.values.declaration import declared, derived, recorded
from grism_align.values.errors import PlaneMismatchError
from grism_align.values.failure import NotTied, Remark, text_of
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from astropy.table import Table

    from grism_align.values.transform import TangentPlane


Floats = NDArray[np.float64]

_UNKNOWN = float("nan")

#: Claimed errors of a grism exposure beyond these, pixels, are remarked, and are too large to rely on.
NOTABLE_ERROR, LARGE_ERROR = 0.1, 0.2


class FitStatus(Enum):
    """How an exposure came out.

    REFERENCE: it fixes the frame, or follows an exposure that does so alone. ALIGNED: its own sources, with
    those of the exposures taken at the same instant, give its correction. PRIOR_ONLY: they don't, and it is
    corrected like the other exposures of its guide-star acquisition; or its spectra deny the correction that
    it was given. FAILED: it keeps its WCS. NOT_FITTED: no step has come to it; no fit of a solution or on
    record has it.
    """

    REFERENCE = "REFERENCE"
    ALIGNED = "ALIGNED"
    PRIOR_ONLY = "PRIOR_ONLY"
    FAILED = "FAILED"
    NOT_FITTED = "not fitted"


@declared(eq=False)
class Residuals:
    """The matched sources of one fit, a row a source."""

    source: NDArray[np.int64] = recorded(
        "Relative: `id` of the source in the exposure's catalog; absolute: its number in the relative frame.",
        shape=("n",),
    )
    matched: NDArray[np.generic] = recorded(
        "Relative: number of the source in the relative frame; absolute: identifier in the catalog.",
        shape=("n",),
    )
    offset: Floats = recorded(
        "Where the fit puts the source minus where it should be, east and north.", unit="mas", shape=("n", 2)
    )
    weight: Floats = recorded("Weight in the fit, 0 to 1; 0 where it was clipped.", shape=("n",))
    error: Floats = recorded(
        "Standard error of one axis, as given: of the measurement, in an absolute fit of the catalog too.",
        unit="mas",
        shape=("n",),
    )


@declared()
class Governed:
    """How a grism exposure came by the correction of direct exposures."""

    exposures: tuple[str, ...] = recorded("The direct exposures whose correction it has.")
    rule: str = recorded(
        "How those were chosen: association, simultaneous, interpolated, paired, previous, next, nearest or "
        "visit."
    )
    weights: tuple[float, ...] = recorded("The weight of each of those; they sum to one.")
    idle_times: tuple[float, ...] = recorded(
        "Between it and each of those; negative when that came first.", unit="s"
    )
    propagation_error: float = recorded(
        "What drift, dithers and visits in between add to the error of the shift, of one axis.", unit="mas"
    )
    shared_wcs: tuple[str, ...] = recorded(
        "WCS solutions that the corrections were carried over by, where the WCSs start from different ones.",
        default=(),
    )

    def __str__(self) -> str:
        times = [f"{time:+.0f} s" for time in self.idle_times]
        if len(times) > 1:
            times = [f"{time} ({weight:.2f})" for time, weight in zip(times, self.weights, strict=True)]
        return ", ".join([self.rule, *times, *(f"from its WCS {name}" for name in self.shared_wcs)])


@declared(eq=False)
class ExposureFit:
    """The correction of one exposure in one step."""

    status: FitStatus = recorded("`REFERENCE`, `ALIGNED`, `PRIOR_ONLY` or `FAILED`.")
    transform: LinearTransform | None = recorded(
        "The correction of the WCS before any, in the tangent plane that all exposures of a field share; "
        "null if FAILED."
    )
    reference: str = recorded("What it was fitted to: exposures, or the catalog's name.", default="")
    frame: int = recorded(
        "Number of the relative frame, from zero; exposures of two frames are not tied to each other.",
        default=0,
    )
    n_matched: int = recorded("Sources matched.", default=0)
    n_used: int = recorded("Matched sources that kept weight in the fit.", default=0)
    rms: float = recorded("Weighted rms residual of one axis.", unit="mas", default=_UNKNOWN)
    rms_axes: tuple[float, float] = recorded(
        "The same to the east and to the north.", unit="mas", default=(_UNKNOWN, _UNKNOWN)
    )
    reduced_chi2: float = recorded(
        "Reduced chi-square of the used sources: above one by what their given errors leave unexplained.",
        default=_UNKNOWN,
    )
    reduced_chi2_axes: tuple[float, float] = recorded(
        "The same to the east and to the north.", default=(_UNKNOWN, _UNKNOWN)
    )
    leverage: float = recorded("Largest share of one source in the weight of the fit.", default=_UNKNOWN)
    false_match_probability: float = recorded(
        "Probability that lists without a common source match as well.", default=_UNKNOWN
    )
    geometry: str = recorded("What was fitted: `shift`, `rshift`, `rscale` or `general`.", default="")
    roll: str = recorded(
        "Whether its guide-star acquisition has one roll (`acquisition`), and what else was fitted, or each "
        "exposure has (`exposure`).",
        default="",
    )
    roll_evidence: float = recorded(
        "What the acquisition's exposures say for a roll of each: logarithm of the Bayes factor.",
        default=_UNKNOWN,
    )
    scale_evidence: float = recorded(
        "What the frame says for scales that differ between acquisitions, the same.", default=_UNKNOWN
    )
    shear_evidence: float = recorded(
        "What the frame says for scales and shears that differ, the same.", default=_UNKNOWN
    )
    systematic_error: float = recorded(
        "Error of one axis that neighbouring sources of an acquisition share, as of a distortion; in the "
        "covariance.",
        unit="mas",
        default=_UNKNOWN,
    )
    remarks: tuple[Remark, ...] = recorded("Why it failed, or what to know about it.", default=())
    governed: Governed | None = recorded(
        "How a grism exposure came by the correction; null for a direct one.", default=None
    )
    placement: tuple[float, float] = recorded(
        "By how much its detector is off its place among those of its camera, along V2 and V3 of the "
        "telescope's field; in the transform, with what these have in common.",
        unit="mas",
        default=(0.0, 0.0),
    )
    placement_error: float = recorded(
        "Error of that, of one axis; NaN where it was not looked for.", unit="mas", default=_UNKNOWN
    )
    given_by: str = recorded(
        "Row of the user's table that has the correction; empty where it was fitted.", default=""
    )
    includes_earlier: bool = recorded(
        "Whether the covariance is that of the total correction, so that an earlier step's is not added.",
        default=False,
    )
    residuals: Residuals | None = recorded("The matched sources; null where there are none.", default=None)

    @classmethod
    def failed(cls, *remarks: Remark, reference: str = "") -> ExposureFit:
        """Make the fit of an exposure that keeps its WCS, though it was to be fitted to a reference.

        Parameters
        ----------
        *remarks : Remark
            Why.
        reference : str, optional
            What it was to be fitted to.

        Returns
        -------
        ExposureFit
            Without a transform.
        """
        return cls(FitStatus.FAILED, None, reference, remarks=remarks)

    @classmethod
    def none(cls) -> ExposureFit:
        """Make the fit of an exposure that no step has come to."""
        return cls(FitStatus.NOT_FITTED, None)

    def __repr__(self) -> str:
        return f"<ExposureFit {self.status.value}{_details(self)}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in _summary(self) if text
        )
        return f"<table>{rows}</table>"

    def table(self) -> Table:
        """Return the matched sources and their residuals, a row a source.

        Returns
        -------
        astropy.table.Table
            Columns ``source``, ``matched``, ``residual_east`` and ``residual_north`` (mas), ``weight`` and
            ``error`` (mas); without rows where there are none.
        """
        from astropy.table import Table

        none, no_integers = np.zeros(0), np.zeros(0, dtype=np.int64)
        found = self.residuals or Residuals(no_integers, no_integers, np.zeros((0, 2)), none, none)
        east, north = found.offset.T
        columns = {
            "source": found.source,
            "matched": found.matched,
            "residual_east": east,
            "residual_north": north,
        }
        table = Table({**columns, "weight": found.weight, "error": found.error})
        for name in ("residual_east", "residual_north", "error"):
            table[name].unit = "mas"
        return table

    @property
    def is_fitted(self) -> bool:
        """Whether a step has come to the exposure."""
        return self.status is not FitStatus.NOT_FITTED

    @property
    def is_aligned(self) -> bool:
        """Whether the exposure has a correction, the identity included."""
        return self.transform is not None

    @property
    @derived()
    def reason(self) -> str:
        """The remarks in words; empty where there are none."""
        return text_of(self.remarks)

    @property
    def governors(self) -> tuple[str, ...]:
        """The direct exposures whose correction a grism exposure has; none of a direct one."""
        return self.governed.exposures if self.governed else ()

    def says(self, *kinds: type[Remark]) -> bool:
        """Tell whether something of these kinds is remarked.

        Parameters
        ----------
        *kinds : type of Remark
            Any of them.

        Returns
        -------
        bool
        """
        return any(isinstance(each, kinds) for each in self.remarks)

    def noted(self, remark: Remark) -> ExposureFit:
        """Return this fit with one more remark.

        Parameters
        ----------
        remark : Remark
            What there is to know.

        Returns
        -------
        ExposureFit
            With the same correction.
        """
        return replace(self, remarks=(*self.remarks, remark))

    def then(self, later: ExposureFit | None) -> ExposureFit:
        """Return this fit followed by that of a later step.

        Parameters
        ----------
        later : ExposureFit or None
            Without one, or without a correction in it, this one is kept; so it is where it failed itself.

        Returns
        -------
        ExposureFit
            The two corrections in one, with the numbers of the later fit.
        """
        if later is None or self.transform is None:
            return self
        if later.transform is None:
            # What it was for is said of the later step, and often the same for all exposures.
            why = (NotTied(later.reference),) if later.reference else later.remarks
            return replace(self, remarks=(*self.remarks, *why))
        total = self.transform.then(later.transform)
        place = later if np.isfinite(later.placement_error) else self
        if later.includes_earlier:
            total = replace(total, covariance=later.transform.covariance)
        if self.status is FitStatus.PRIOR_ONLY:
            later = replace(later, status=self.status, remarks=self.remarks)
        return replace(
            later,
            transform=total,
            frame=self.frame,
            roll=later.roll or self.roll,
            placement=place.placement,
            placement_error=place.placement_error,
        )


def _details(fit: ExposureFit) -> str:
    """Return what matters most of a fit, for one line."""
    if fit.governors:
        return f", governed by {', '.join(fit.governors)}"
    if fit.n_matched:
        return f", {fit.n_used} of {fit.n_matched} matches used, rms {fit.rms:.1f} mas"
    return f": {fit.reason}" if fit.reason else ""


def _summary(fit: ExposureFit) -> Iterator[tuple[str, str]]:
    """Yield what there is to know of a fit, name and text."""
    yield "status", fit.status.value
    yield "reference", fit.reference
    yield "matches", f"{fit.n_used} of {fit.n_matched} used" if fit.n_matched else ""
    yield "rms of one axis", f"{fit.rms:.2f} mas" if np.isfinite(fit.rms) else ""
    yield "reduced chi-square", f"{fit.reduced_chi2:.2f}" if np.isfinite(fit.reduced_chi2) else ""
    yield "geometry", fit.geometry
    yield "governed by", ", ".join(fit.governors)
    yield "what to know", fit.reason


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

        Parameters
        ----------
        later : AlignmentSolution
            What a later step found.

        Returns
        -------
        AlignmentSolution
        """
        return AlignmentSolution(
            {key: fit.then(later.fits.get(key)) for key, fit in self.fits.items()},
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
        At least one, with residuals.
    """
    known = [fit.residuals for fit in fits if fit.residuals is not None]
    names = np.concatenate([one.matched.astype(str) for one in known])
    weight = np.concatenate([one.weight for one in known])
    square = (np.concatenate([one.offset for one in known]) ** 2).mean(axis=1)
    total = weight.sum()
    rms = float(np.sqrt((weight * square).sum() / total)) if total > 0 else float("nan")
    return Agreement(len(np.unique(names)), len(np.unique(names[weight > 0])), rms)
