"""The joint solution of exposures that overlap: pairing of sources and least squares in turns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.fit import leverage
from grism_align.algorithms.fitting.joint import (
    JointSolution,
    Measurements,
    group_centers,
    redundancy,
    solve_joint,
)
from grism_align.algorithms.fitting.prior import GENERATORS, N_TERMS, PointingPrior
from grism_align.algorithms.matching.chance import false_match_probability
from grism_align.algorithms.matching.match import mutual_nearest
from grism_align.algorithms.relative.cluster import merged_sources
from grism_align.algorithms.relative.members import AlignedFrame, MemberFit, NetworkInput
from grism_align.values.errors import TooFewMatchesError
from grism_align.values.failure import TooFewMatches
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.plane_list import PlaneList
    from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
    from grism_align.values.transform import TangentPlane

__all__ = [
    "followed",
    "joint_frame",
    "pointing_prior",
    "single_frame",
]

# Solutions with sources merged anew, and then with each measurement assigned anew to the sources known.
_MERGED_ROUNDS = 2
_ASSIGNED_ROUNDS = 2
_LEAST_RADIUS = 0.05


@dataclass(frozen=True, eq=False)
class _Associated:
    """The sources of a frame and which of them each row of each list is, -1 for none."""

    sources: PlaneList
    count: NDArray[np.int64]
    assigned: Mapping[int, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class _Solved:
    """A joint solution and where its measurements come from: rows of the lists, sources of the frame."""

    measured: Measurements
    rows: NDArray[np.int64]
    sources: NDArray[np.int64]
    solution: JointSolution
    radius: float


def single_frame(field: NetworkInput, number: int) -> AlignedFrame:
    """The frame of an exposure that nothing else overlaps: its own sources.

    Parameters
    ----------
    field : NetworkInput
        All exposures.
    number : int
        The one.
    """
    own = field.lists[number]
    rows = np.arange(len(own))
    fit = MemberFit(
        LinearTransform.identity(field.plane),
        rows,
        rows,
        np.zeros((len(own), 2)),
        np.ones(len(own)),
        own.error,
        np.nan,
    )
    return AlignedFrame({number: fit}, (number,), own, np.ones(len(own), np.int64), {})


def joint_frame(
    field: NetworkInput,
    rough: Mapping[int, LinearTransform],
    fixed: list[int],
    relative: RelativeSettings,
    match: MatchSettings,
) -> AlignedFrame:
    """Solve for the corrections of exposures that are on one rough frame.

    Parameters
    ----------
    field : NetworkInput
        All exposures.
    rough : mapping of int to LinearTransform
        The exposures to solve for, and what takes each onto the rough frame.
    fixed : list of int
        Those of them that fix the frame.
    relative : RelativeSettings
        Frame and geometry.
    match : MatchSettings
        Matching.

    Raises
    ------
    TooFewMatchesError
        If no source is common to two of them.
    """
    numbers = sorted(rough)
    shared = _shared_rolls(field, {n: rough[n] for n in numbers}, relative.fitgeometry)
    transforms = _on_fixed_frame(field, shared, fixed)
    known = _merged(field, transforms, match.tolerance)
    solved, transforms = _solved(field, transforms, known, fixed, (relative, match, match.tolerance))
    for turn in range(1, _MERGED_ROUNDS + _ASSIGNED_ROUNDS):
        if turn < _MERGED_ROUNDS:
            known = _merged(field, transforms, solved.radius)
        else:
            known = _assigned(field, transforms, _frame_sources(known.sources, solved), solved.radius)
        solved, transforms = _solved(field, transforms, known, fixed, (relative, match, solved.radius))
    frame_sources = _frame_sources(known.sources, solved)
    judge = _Judge(solved, match)
    members = {
        number: judge.member(field.lists[number], index, transforms[number])
        for index, number in enumerate(numbers)
    }
    return AlignedFrame(members, tuple(fixed), frame_sources, known.count, {})


def _solved(
    field: NetworkInput,
    transforms: Mapping[int, LinearTransform],
    known: _Associated,
    fixed: list[int],
    settings: tuple[RelativeSettings, MatchSettings, float],
) -> tuple[_Solved, dict[int, LinearTransform]]:
    """The joint solution of associated sources, and the transforms with what it adds."""
    relative, match, radius = settings
    if (known.count > 1).sum() == 0:
        raise TooFewMatchesError(TooFewMatches(0, match.min_matches))
    measured, rows, sources = _measurements(field, transforms, known, fixed, match.max_leverage)
    prior = pointing_prior(field.pointing, measured, list(transforms.values()))
    solution = solve_joint(measured, relative.fitgeometry, match.clip, prior)
    steps = followed(measured, solution, field.plane)
    total = {n: _stepped(t, step) for (n, t), step in zip(transforms.items(), steps, strict=True)}
    typical = float(np.median(np.hypot(measured.error, solution.scatter[measured.noise_class])))
    radius = float(np.clip(match.clip * 2 * typical, _LEAST_RADIUS, radius))
    return _Solved(measured, rows, sources, solution, radius), total


def _shared_rolls(
    field: NetworkInput, transforms: Mapping[int, LinearTransform], geometry: str
) -> dict[int, LinearTransform]:
    """The rough transforms with the mean roll of each group; every exposure's centre stays where it was."""
    rolls: dict[str, list[float]] = {}
    for number, transform in transforms.items():
        rolls.setdefault(field.groups[number], []).append(transform.roll)
    mean = {group: 0.0 if geometry == "shift" else _mean_angle(own) for group, own in rolls.items()}
    shared = {}
    for number, transform in transforms.items():
        center = field.lists[number].xy.mean(axis=0)
        shift = transform.apply(center) - center
        roll = mean[field.groups[number]]
        shared[number] = LinearTransform.from_parameters(field.plane, shift, roll, center=center)
    return shared


def _mean_angle(angles: Sequence[float]) -> float:
    """Mean of angles, deg, that may lie on both sides of 180."""
    return float(np.degrees(np.angle(np.exp(1j * np.radians(angles)).mean())))


def _on_fixed_frame(
    field: NetworkInput, transforms: dict[int, LinearTransform], fixed: list[int]
) -> dict[int, LinearTransform]:
    """The transforms followed by what brings the mean of the fixed exposures back to the identity."""
    centers = np.array([field.lists[n].xy.mean(axis=0) for n in fixed])
    moved = np.array([transforms[n].apply(center) for n, center in zip(fixed, centers, strict=True)])
    back = LinearTransform.from_parameters(
        field.plane,
        shift=(centers - moved).mean(axis=0),
        roll=-_mean_angle([transforms[n].roll for n in fixed]),
        center=moved.mean(axis=0),
    )
    return {n: transform.then(back) for n, transform in transforms.items()}


def _merged(field: NetworkInput, transforms: Mapping[int, LinearTransform], radius: float) -> _Associated:
    """Common sources of the exposures, at the mean positions of their measurements."""
    moved = {n: field.lists[n].moved(transform) for n, transform in transforms.items()}
    merged, *others = ((sources, np.ones(len(sources), np.int64)) for sources in moved.values())
    for own in others:
        merged = merged_sources(merged, own, radius)
    # Assigned at the end, so that early exposures profit from the mean positions of all.
    return _assigned(field, transforms, merged[0], radius)


def _assigned(
    field: NetworkInput, transforms: Mapping[int, LinearTransform], sources: PlaneList, radius: float
) -> _Associated:
    """Which source each row of each list is."""
    assigned = {}
    for n, transform in transforms.items():
        own = transform.apply(field.lists[n].xy)
        pairs = mutual_nearest(own, sources.xy, radius)
        assigned[n] = np.full(len(own), -1, dtype=np.int64)
        assigned[n][pairs[:, 0]] = pairs[:, 1]
    seen = np.concatenate([a[a >= 0] for a in assigned.values()])
    return _Associated(sources, np.bincount(seen, minlength=len(sources)), assigned)


def _measurements(
    field: NetworkInput,
    transforms: Mapping[int, LinearTransform],
    known: _Associated,
    fixed: list[int],
    max_leverage: float,
) -> tuple[Measurements, NDArray[np.int64], NDArray[np.int64]]:
    """Measurements of sources seen twice or more; and each one's row in its list and source in the frame."""
    numbers, twice = list(transforms), known.count > 1
    rows = [np.flatnonzero((own >= 0) & twice[own]) for own in known.assigned.values()]
    lists = [field.lists[n].rows(r) for n, r in zip(numbers, rows, strict=True)]
    frame_source = np.concatenate([known.assigned[n][r] for n, r in zip(numbers, rows, strict=True)])
    exposure = np.repeat(np.arange(len(numbers)), [len(r) for r in rows])
    _, source = np.unique(frame_source, return_inverse=True)
    _, group = np.unique([field.groups[n] for n in numbers], return_inverse=True)
    _, kind = np.unique([field.kinds[n] for n in numbers], return_inverse=True)
    measured = Measurements(
        pointing=exposure,
        source=source.ravel(),
        xy=np.concatenate([transforms[n].apply(own.xy) for n, own in zip(numbers, lists, strict=True)]),
        error=np.concatenate([_held_down(own.error, max_leverage) for own in lists]),
        noise_class=kind.ravel()[exposure],
        group=group.ravel(),
        fixed=np.isin(numbers, fixed),
    )
    return measured, np.concatenate(rows), frame_source


def _held_down(error: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """Errors of an exposure's sources, none of which has more than this share of the weight.

    A star among galaxies would carry the fit, right or wrong, and clip all the others where it moved.
    """
    if len(error) < 2 or most >= 1:
        return error
    weight = error**-2.0
    others = weight.sum() - weight
    return np.asarray(np.maximum(error, (others * most / (1.0 - most)) ** -0.5))


def pointing_prior(
    pointing: PointingSettings, measured: Measurements, transforms: Sequence[LinearTransform]
) -> PointingPrior:
    """What the pointing tells, given the corrections that the measured positions already have.

    Parameters
    ----------
    pointing : PointingSettings
        Errors of the pointing.
    measured : Measurements
        With positions as corrected so far.
    transforms : sequence of LinearTransform
        The corrections so far, of the E exposures.
    """
    center = group_centers(measured)
    group = measured.group
    at = center[group]
    before = np.array([t.inverted().apply(c) for t, c in zip(transforms, at, strict=True)])
    e, g = len(group), len(center)
    terms = np.zeros((g, N_TERMS))
    # Projections on roll, scale and shears, which are orthogonal.
    change = np.array([t.matrix - np.eye(2) for t in transforms])
    np.add.at(terms, group, 0.5 * np.einsum("eij,kij->ek", change, GENERATORS))
    return PointingPrior(
        shift=at - before,
        terms=terms / np.maximum(np.bincount(group, minlength=g), 1)[:, None],
        center=center,
        group=group,
        dither=pointing.dither_error,
        offset=pointing.visit_error,
        term_errors=np.array([np.radians(pointing.roll_error), *[pointing.scale_error] * (N_TERMS - 1)]),
        shift_weight=np.ones(e),
        offset_weight=np.ones(g),
        term_weight=np.ones((g, N_TERMS)),
    )


def followed(measured: Measurements, solution: JointSolution, plane: TangentPlane) -> list[LinearTransform]:
    """What a joint solution adds to the correction of each exposure, with the covariance of the total.

    Parameters
    ----------
    measured : Measurements
        What was solved.
    solution : JointSolution
        Its solution.
    plane : TangentPlane
        The common plane.
    """
    matrices = solution.matrices()
    steps = []
    for index, group in enumerate(measured.group):
        center, matrix = solution.center[group], matrices[group]
        shift = solution.shift[index] + center - matrix @ center
        covariance = _linear_covariance(solution.covariance[index], center)
        steps.append(LinearTransform(matrix, shift, plane, covariance))
    return steps


def _stepped(before: LinearTransform, step: LinearTransform) -> LinearTransform:
    """A transform followed by another, with the covariance of that: each solution is one of the whole."""
    total = before.then(step)
    return replace(total, covariance=step.covariance)


def _linear_covariance(covariance: NDArray[np.float64], center: NDArray[np.float64]) -> NDArray[np.float64]:
    """From (shift at the centre, terms) to (shift, m00, m01, m10, m11)."""
    jacobian = np.zeros((6, 2 + N_TERMS))
    jacobian[:2, :2] = np.eye(2)
    jacobian[2:, 2:] = GENERATORS.reshape(N_TERMS, 4).T
    jacobian[:2, 2:] = -np.kron(np.eye(2), center) @ jacobian[2:, 2:]
    return np.asarray(jacobian @ covariance @ jacobian.T)


class _Judge:
    """Tells the quality of each exposure's fit; what all of them need is computed once."""

    def __init__(self, solved: _Solved, match: MatchSettings) -> None:
        self._solved, self._match = solved, match
        measured, solution = solved.measured, solved.solution
        self._weight = solution.weight / (measured.error**2 + solution.scatter[measured.noise_class] ** 2)
        free = redundancy(measured, self._weight)
        self._pull2 = (solution.residual / (free * measured.error)[:, None]) ** 2
        self._order = np.argsort(measured.pointing, kind="stable")
        self._ends = np.searchsorted(measured.pointing[self._order], np.arange(measured.n_pointings + 1))

    def member(self, own: PlaneList, index: int, transform: LinearTransform) -> MemberFit:
        """The fit of one exposure, by its place among those solved."""
        solved, solution = self._solved, self._solved.solution
        mine = self._order[self._ends[index] : self._ends[index + 1]]
        weight, used = solution.weight[mine], solution.weight[mine] > 0
        return MemberFit(
            transform=transform,
            rows=solved.rows[mine],
            sources=solved.sources[mine],
            residual=solution.residual[mine],
            weight=weight,
            error=solved.measured.error[mine],
            probability=false_match_probability(
                (own.moved(transform).xy, solution.source_xy),
                solved.rows[mine],
                int(used.sum()),
                solved.radius,
                self._match,
                with_roll=False,
            ),
            reduced_chi2=float(self._pull2[mine][used].mean()) if used.any() else float("nan"),
            leverage=leverage(self._weight[mine]),
        )


def _frame_sources(merged: PlaneList, solved: _Solved) -> PlaneList:
    """The frame's sources at the joint solution's positions; those seen once keep their own."""
    xy, error = merged.xy.copy(), np.hypot(merged.error, solved.solution.scatter.max())
    seen = np.unique(solved.sources)
    known = np.isfinite(solved.solution.source_error)
    xy[seen[known]] = solved.solution.source_xy[known]
    error[seen[known]] = solved.solution.source_error[known]
    return replace(merged, xy=xy, error=error)
