"""One least-squares solution for the corrections of many pointings and the positions of their sources.

A pointing is an exposure, or several that one telescope took at the same instant, which share one shift.
Each measurement says: position in the exposure, corrected = position of the source. Both sides are
unknown; the sources' positions are eliminated, which leaves a small system for the corrections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.design import REFERENCE, Design
from grism_align.algorithms.fitting.errors import JointErrors
from grism_align.algorithms.fitting.fit import biweight_response, robust_weights, variance_factor
from grism_align.algorithms.fitting.floor import estimate_floor
from grism_align.algorithms.fitting.normal import NormalEquations, NormalSystem
from grism_align.algorithms.fitting.places import border_of
from grism_align.algorithms.fitting.prior import GENERATORS, prior_reweighted
from grism_align.algorithms.fitting.sources import FittedSources, SourceMotions, SourceUnknowns, first_motions
from grism_align.algorithms.fitting.systematics import WeightedFit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.places import Border, MountedDetectors
    from grism_align.algorithms.fitting.prior import PointingPrior


#: Robust weight of a clipped measurement: it tells nothing, but a source that has no other keeps a position.
LEAST_WEIGHT = 1e-10
_ITERATIONS = 25
_PRIOR_ITERATIONS = 10
#: Terms of a group besides its shift, by geometry.
N_TERMS_OF = {"shift": 0, "rshift": 1, "rscale": 2, "general": 4}
# Measurements of a class that tell its scatter.
_FEWEST_OF_CLASS = 8


@dataclass(frozen=True, eq=False)
class Measurements:
    """Positions of the same sources in several pointings, M of each.

    Parameters
    ----------
    pointing : (M,) ndarray of int
        Number of the pointing, 0 to E - 1, or `REFERENCE`.
    source : (M,) ndarray of int
        Number of the source, 0 to S - 1. Every source has two measurements or more.
    xy : (M, 2) ndarray, arcsec
        Measured position in the common tangent plane.
    error : (M,) ndarray, arcsec
        Standard error of one axis; the rms of the two where they differ.
    noise_class : (M,) ndarray of int
        Class of the measurement, 0 to K - 1: those of one class share the scatter beyond their errors.
    group : (E,) ndarray of int
        Number of each pointing's group, whose pointings share roll, scale and shears.
    fixed : (E,) ndarray of bool
        Pointings that fix the frame: their mean shift and their groups' mean terms are zero. Of no
        account where there are measurements by a reference catalog, which then is the frame.
    axis_error : (M, 2) ndarray, arcsec, or None
        Standard errors of x and y; None where they are the same.
    acquisition : (E,) ndarray of int, or None
        Number of each pointing's guide-star acquisition, 0 to A - 1, which has one group or several; None
        where each has one.
    epoch : (E,) ndarray, Julian year, or None
        When each pointing was; None where sources are taken to stand still. Where weeks lie between, their
        motions are unknown too.
    mounted : MountedDetectors, or None
        Which detector made each measurement, where the places of detectors are unknown too.
    """

    pointing: NDArray[np.int64]
    source: NDArray[np.int64]
    xy: NDArray[np.float64]
    error: NDArray[np.float64]
    noise_class: NDArray[np.int64]
    group: NDArray[np.int64]
    fixed: NDArray[np.bool_]
    axis_error: NDArray[np.float64] | None = None
    acquisition: NDArray[np.int64] | None = None
    epoch: NDArray[np.float64] | None = None
    mounted: MountedDetectors | None = None

    def variance(self, scatter: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return variances of x and y, (M, 2), arcsec^2, with the scatter (K,) of each class."""
        error = self.error[:, None].repeat(2, axis=1) if self.axis_error is None else self.axis_error
        return np.asarray(error**2 + scatter[self.noise_class][:, None] ** 2)

    @property
    def acquisitions(self) -> NDArray[np.int64]:
        """Number of each pointing's acquisition, (E,)."""
        return self.group if self.acquisition is None else self.acquisition

    @property
    def n_acquisitions(self) -> int:
        """Number of acquisitions."""
        return int(self.acquisitions.max()) + 1

    @property
    def n_pointings(self) -> int:
        """Number of pointings."""
        return len(self.group)

    @property
    def is_unanchored(self) -> bool:
        """Whether no measurement tells a common move of all pointings."""
        return bool((self.pointing != REFERENCE).all())


@dataclass(frozen=True, eq=False)
class JointSolution:
    """Corrections of all pointings, about the centre of each group's acquisition.

    Parameters
    ----------
    shift : (E, 2) ndarray, arcsec
        Of each pointing at its group's centre.
    terms : (G, 4) ndarray
        Of each group: position angles grow by a roll (rad), distances by a scale, and two shears; zero
        where the geometry leaves them out.
    center : (G, 2) ndarray, arcsec
        The groups' centres.
    errors : JointErrors or None
        Covariances; None where nobody asks for them.
    residual : (M, 2) ndarray, arcsec
        Corrected position minus the source's.
    weight : (M,) ndarray
        Robust weight, 0 to 1.
    scatter : (K,) ndarray, arcsec
        Error of one axis, of each class, that the given errors don't explain.
    source_xy : (S, 2) ndarray, arcsec
        Positions of the sources, at the mean epoch of each one's measurements.
    source_error : (S,) ndarray, arcsec
        Standard errors of one axis.
    motions : SourceMotions or None
        What their motions turned out to be like; None where they were taken to stand still.
    border : Border or None
        Where detectors are, and what their places do to the corrections; None where nobody asks.
    """

    shift: NDArray[np.float64]
    terms: NDArray[np.float64]
    center: NDArray[np.float64]
    errors: JointErrors | None
    residual: NDArray[np.float64]
    weight: NDArray[np.float64]
    scatter: NDArray[np.float64]
    source_xy: NDArray[np.float64]
    source_error: NDArray[np.float64]
    motions: SourceMotions | None = None
    border: Border | None = None

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Of each pointing's (shift x, shift y, roll, scale, shears), (E, 6, 6), for given places."""
        return self._errors.covariance

    @property
    def term_covariance(self) -> NDArray[np.float64]:
        """Of the terms of all groups, (G, 4, G, 4)."""
        return self._errors.term_covariance

    @property
    def systematic(self) -> float:
        """Error of one axis that neighbouring measurements share, arcsec; in the covariances."""
        return self._errors.systematic

    @property
    def _errors(self) -> JointErrors:
        if self.errors is None:
            msg = "the errors of this solution were given up"
            raise ValueError(msg)
        return self.errors

    def matrices(self) -> NDArray[np.float64]:
        """Return the linear map of each group, (G, 2, 2); a roll keeps distances exactly."""
        maps = np.eye(2) + np.einsum("gk,kij->gij", self.terms, GENERATORS)
        return np.asarray(maps / np.sqrt(1.0 + self.terms[:, 0] ** 2)[:, None, None])


@dataclass(frozen=True, eq=False)
class Start:
    """What is known of a joint solution before it is made.

    Parameters
    ----------
    scatter : (K,) ndarray, arcsec
        First guess of the scatter of each class, which a class with few measurements keeps.
    weight : (M,) ndarray, or None
        First guess of the robust weights, by a solution that is close; None for ones. Of no account where
        motions of sources are fitted: these are learned together with the weights.
    """

    scatter: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None


def solve_joint(
    measured: Measurements,
    geometry: str,
    clip: float,
    prior: PointingPrior | None = None,
    start: Start | None = None,
    tolerance: float = 1e-3,
) -> JointSolution:
    """Solve for all corrections at once, with robust weights.

    Parameters
    ----------
    measured : Measurements
        What was measured.
    geometry : {'shift', 'rshift', 'rscale', 'general'}
        A shift a pointing; and a roll a group; and a scale a group; and two shears a group.
    clip : float
        Residuals beyond this many sigma get no weight.
    prior : PointingPrior, optional
        What is known of the pointing, about the centres of `group_centers`.
    start : Start, optional
        First guess; default: no scatter, and weights of one.
    tolerance : float, optional
        No weight changes by more than this in the last iteration.

    Returns
    -------
    JointSolution

    Notes
    -----
    With A the derivatives of the corrected positions by the corrections, S those by the sources and W the
    weights, eliminating the sources leaves N = A'WA - A'WS (S'WS)^-1 S'WA (Schur complement; Triggs et al.
    2000, "Bundle adjustment", section 6.1). The prior's inverse covariance is added to N.
    """
    problem = _Problem(measured, group_centers(measured), N_TERMS_OF[geometry], prior)
    start = start or Start(np.zeros(int(measured.noise_class.max()) + 1))
    weighing = _weighed(problem, clip, prior, start, tolerance)
    weight, scatter, prior = weighing.weight, weighing.scatter, weighing.prior
    motions = None if weighing.motions is None else weighing.motions.honest
    variance = measured.variance(scatter)
    inverse = (1.0 / variance).mean(axis=1)
    honest = weight * inverse
    pull = weighing.residual / np.sqrt(variance * inverse[:, None])
    expected = _expected_squares(measured, weight[:, None] / variance, motions)
    factor = variance_factor(pull, honest, expected.mean(axis=1), weight, clip)
    final = np.maximum(weight / factor, LEAST_WEIGHT)[:, None] / variance
    solved, equations = problem.solve(final, prior, motions)
    shift, terms = problem.design.unpacked(solved.parameters)
    fit = WeightedFit(
        measured, problem.design.matrix, solved.unknowns, solved.residual, biweight_response(clip)
    )
    errors = JointErrors(equations, problem.design, fit, solved.border)
    return JointSolution(
        shift=shift,
        terms=terms,
        center=problem.center,
        errors=errors,
        residual=solved.residual,
        weight=weight,
        scatter=scatter,
        source_xy=solved.sources.xy,
        source_error=_errors_of_sources(measured, honest / factor, len(solved.sources.xy)),
        motions=motions,
        border=errors.border,
    )


@dataclass(frozen=True, eq=False)
class _Weighing:
    """What measurements, prior and motions weigh once that no longer changes, and the residuals."""

    weight: NDArray[np.float64]
    scatter: NDArray[np.float64]
    residual: NDArray[np.float64]
    prior: PointingPrior | None
    motions: SourceMotions | None


def _weighed(
    problem: _Problem, clip: float, prior: PointingPrior | None, start: Start, tolerance: float
) -> _Weighing:
    """Solve and weigh in turns."""
    measured, n_terms = problem.measured, problem.design.n_terms
    scatter, motions = start.scatter, first_motions(measured)
    known = start.weight if motions is None else None
    weight = np.ones(len(measured.source)) if known is None else known
    prior = None if prior is None else _before_the_first_fit(prior, measured, n_terms)
    for _ in range(_ITERATIONS):
        variance = measured.variance(scatter)
        # Without the equations, which would be held while those of the next weights are set up.
        solved = problem.solve(np.maximum(weight, LEAST_WEIGHT)[:, None] / variance, prior, motions)[0]
        left = redundancy(measured, weight[:, None] / variance, motions)
        scatter = _class_scatter(measured, solved.residual / left, weight > 0, scatter)
        variance = measured.variance(scatter)
        new = robust_weights(np.sqrt(((solved.residual / left) ** 2 / variance).sum(axis=1)), clip)
        done = np.abs(new - weight).max() < tolerance
        weight = new
        if prior is not None:
            before = prior
            prior = prior_reweighted(before, solved.parameters, n_terms, is_unanchored=measured.is_unanchored)
            moved = prior.of_shifts.own_weight - before.of_shifts.own_weight
            done = done and np.abs(moved).max() < tolerance
        motions = None if motions is None else motions.learned(solved.sources)
        if done:
            break
    return _Weighing(weight, scatter, solved.residual, prior, motions)


def _before_the_first_fit(prior: PointingPrior, measured: Measurements, n_terms: int) -> PointingPrior:
    """Let what a match found count from the start, lest a pointing far off lose its sources."""
    for _ in range(_PRIOR_ITERATIONS):
        nothing = np.zeros_like(prior.so_far(n_terms))
        prior = prior_reweighted(prior, nothing, n_terms, is_unanchored=measured.is_unanchored)
    return prior


def _errors_of_sources(measured: Measurements, weight: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the standard errors (N,) of the sources' positions, NaN where nothing measured one."""
    total = np.bincount(measured.source, weight, n)
    return np.asarray(np.sqrt(1.0 / np.where(total > 0, total, np.nan)))


@dataclass(frozen=True, eq=False)
class _WeightedSolution:
    """The solution for given weights."""

    parameters: NDArray[np.float64]
    residual: NDArray[np.float64]
    sources: FittedSources
    unknowns: SourceUnknowns
    border: Border | None


class _Problem:
    """What is the same for all weights."""

    def __init__(
        self,
        measured: Measurements,
        center: NDArray[np.float64],
        n_terms: int,
        prior: PointingPrior | None,
    ) -> None:
        self.measured = measured
        self.center = center
        self.design = Design(measured, center, n_terms)
        self._system = NormalSystem(measured, self.design, prior)
        self._by_places = None if measured.mounted is None else measured.mounted.matrix()

    def solve(
        self, weight: NDArray[np.float64], prior: PointingPrior | None, motions: SourceMotions | None
    ) -> tuple[_WeightedSolution, NormalEquations]:
        """Solve for given weights of x and y, (M, 2), arcsec^-2."""
        unknowns = SourceUnknowns(self.measured, weight, motions)
        equations = self._system.equations(unknowns, prior)
        parameters = equations.parameters()
        corrected = self.measured.xy + (self.design.matrix @ parameters).reshape(2, -1).T
        mounted, by_places, border = self.measured.mounted, self._by_places, None
        if mounted is not None and by_places is not None:
            border = border_of(mounted, by_places, self.design, unknowns, (equations, corrected))
            followed = border.following @ border.step
            parameters = parameters + followed
            corrected += (self.design.matrix @ followed + by_places @ border.step).reshape(2, -1).T
        sources = unknowns.fitted(corrected)
        return _WeightedSolution(parameters, corrected - sources.at, sources, unknowns, border), equations


def group_centers(measured: Measurements) -> NDArray[np.float64]:
    """Return, for each group, the mean position (G, 2), arcsec, of the measurements of its acquisition."""
    own = measured.pointing != REFERENCE
    acquisition = measured.acquisitions[measured.pointing[own]]
    count = np.maximum(np.bincount(acquisition, minlength=measured.acquisitions.max() + 1), 1)
    xy = measured.xy[own].T
    center = np.column_stack([np.bincount(acquisition, axis, len(count)) / count for axis in xy])
    _, first = np.unique(measured.group, return_index=True)
    return np.asarray(center[measured.acquisitions[first]])


def redundancy(
    measured: Measurements, weight: NDArray[np.float64], motions: SourceMotions | None = None
) -> NDArray[np.float64]:
    """Return the expected residuals (M, 2) in units of the errors: source and pointing take up part of them.

    Parameters
    ----------
    measured : Measurements
        M measurements.
    weight : (M, 2) ndarray
        Inverse squares of their errors, times the robust weights.
    motions : SourceMotions, optional
        What was expected of the sources' motions, where these were fitted.

    Notes
    -----
    The share that the source's position and motion take up is exact; that of the pointing's shift is what the
    shift would take up if the other pointings stood still, as is that of a detector's place. Rolls, common to
    many pointings, take up little.
    """
    return np.asarray(np.sqrt(np.clip(_expected_squares(measured, weight, motions), 1e-3, 1.0)))


def _expected_squares(
    measured: Measurements, weight: NDArray[np.float64], motions: SourceMotions | None
) -> NDArray[np.float64]:
    """Return the expected squared residuals (M, 2) in units of the squared errors."""
    left = 1.0 - SourceUnknowns(measured, weight, motions).shares()
    own = measured.pointing != REFERENCE
    tells = np.where(own[:, None], weight * left, 0.0)
    pointing, n = measured.pointing[own], measured.n_pointings
    by_pointing = np.column_stack([np.bincount(pointing, axis, n) for axis in tells[own].T])
    of_pointing = np.where(by_pointing > 0, by_pointing, 1.0)[np.where(own, measured.pointing, 0)]
    left = left * (1.0 - tells / of_pointing)
    return np.asarray(left if measured.mounted is None else left * measured.mounted.left(tells))


def _class_scatter(
    measured: Measurements,
    residual: NDArray[np.float64],
    used: NDArray[np.bool_],
    before: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Find the scatter of each class beyond the errors; a class with too few measurements keeps its own."""
    scatter = before.copy()
    for number in range(len(before)):
        own = used & (measured.noise_class == number)
        if own.sum() >= _FEWEST_OF_CLASS:
            scatter[number] = estimate_floor(residual[own], measured.error[own], 0.0)
    return scatter
