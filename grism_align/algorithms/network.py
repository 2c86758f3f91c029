"""Align all exposures of a field with each other: rough frames, common sources, one joint solution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from grism_align.algorithms.chance import false_match_probability
from grism_align.algorithms.cluster import Cluster, merge_all, merged_sources
from grism_align.algorithms.fit import weighted_rms
from grism_align.algorithms.joint import JointSolution, Measurements, solve_joint
from grism_align.algorithms.match import PlaneList, mutual_nearest
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.values.settings import MatchSettings, RelativeSettings
    from grism_align.values.transform import TangentPlane

__all__ = ["AlignedFrame", "MemberFit", "NetworkInput", "align_network"]

_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """What is aligned.

    Parameters
    ----------
    lists : sequence of PlaneList
        Sources of each exposure in the common plane, by its a priori WCS.
    visits, groups : sequence of str
        Visit and guide-star acquisition of each exposure.
    pixel_scales : sequence of float, arcsec
        Of each exposure.
    fixed : sequence of bool
        Exposures that fix the frame.
    plane : TangentPlane
        The common plane.
    """

    lists: Sequence[PlaneList]
    visits: Sequence[str]
    groups: Sequence[str]
    pixel_scales: Sequence[float]
    fixed: Sequence[bool]
    plane: TangentPlane


@dataclass(frozen=True, eq=False)
class MemberFit:
    """The result for one exposure.

    Parameters
    ----------
    transform : LinearTransform
        From the a priori positions to the frame, in the common plane, with covariance.
    rows : (N,) ndarray of int
        Matched rows of the exposure's list.
    sources : (N,) ndarray of int
        The frame's sources that they are.
    residual : (N, 2) ndarray, arcsec
        Corrected position minus the source's.
    weight : (N,) ndarray
        Robust weight, 0 to 1.
    probability : float
        That an exposure without a common source matches as well.
    """

    transform: LinearTransform
    rows: NDArray[np.int64]
    sources: NDArray[np.int64]
    residual: NDArray[np.float64]
    weight: NDArray[np.float64]
    probability: float

    @property
    def n_used(self) -> int:
        """Sources that kept weight."""
        return int((self.weight > 0).sum())

    @property
    def rms(self) -> float:
        """Weighted rms residual of one axis, arcsec."""
        return weighted_rms(self.residual, self.weight)


@dataclass(frozen=True, eq=False)
class AlignedFrame:
    """Exposures that overlap, on one frame.

    Parameters
    ----------
    members : dict of int to MemberFit
        By number of the exposure.
    fixed : tuple of int
        The exposures that fix the frame.
    sources : PlaneList
        The frame's sources, in the common plane.
    count : (S,) ndarray of int
        Exposures that saw each.
    rejected : dict of int to str
        Exposures that were matched but whose fit was not acceptable, and why.
    """

    members: dict[int, MemberFit]
    fixed: tuple[int, ...]
    sources: PlaneList
    count: NDArray[np.int64]
    rejected: dict[int, str]


@dataclass(frozen=True, eq=False)
class _Solved:
    """A joint solution and where its measurements come from: rows of the lists, sources of the frame."""

    measured: Measurements
    rows: NDArray[np.int64]
    sources: NDArray[np.int64]
    solution: JointSolution
    radius: float


def align_network(
    field: NetworkInput, relative: RelativeSettings, match: MatchSettings
) -> tuple[list[AlignedFrame], dict[int, str]]:
    """Align exposures with each other.

    Parameters
    ----------
    field : NetworkInput
        The exposures.
    relative : RelativeSettings
        Frame and geometry.
    match : MatchSettings
        Matching and acceptance.

    Returns
    -------
    frames : list of AlignedFrame
        One for each set of exposures that overlap; that of the fixed exposures first.
    reasons : dict of int to str
        For exposures in a frame of their own, why they matched no other.
    """
    clusters, reasons = merge_all(field.lists, field.visits, field.plane, match)
    clusters.sort(key=lambda cluster: _frame_order(field, cluster))
    frames = [f for cluster in clusters for f in _solved_frames(field, cluster, relative, match)]
    alone = {next(iter(c.members)) for c in clusters if len(c.members) == 1}
    return frames, {number: reason for number, reason in reasons.items() if number in alone}


def _solved_frames(
    field: NetworkInput, cluster: Cluster, relative: RelativeSettings, match: MatchSettings
) -> list[AlignedFrame]:
    """Joint solution of one cluster, leaving out exposures that turn out not to fit.

    What only such an exposure tied together falls apart, that of the fixed exposures first.
    """
    rejected: dict[int, str] = {}
    while len(cluster.members) > 1:
        numbers = sorted(cluster.members)
        fixed = _fixed_members(field, numbers)
        frame = _joint_frame(field, cluster, fixed, relative, match)
        bad = {n: reason for n, fit in frame.members.items() if (reason := _refusal(field, n, fit, match))}
        if not bad:
            parts = _tied_parts(field, cluster, frame, match.min_matches)
            if len(parts) == 1:
                return [replace(frame, rejected=rejected)]
            first, *others = (f for part in parts for f in _solved_frames(field, part, relative, match))
            return [replace(first, rejected=rejected | first.rejected), *others]
        worst = min(bad, key=lambda n: frame.members[n].n_used)
        rejected[worst] = bad[worst]
        cluster = cluster.part(n for n in numbers if n != worst)
    return [replace(_single_frame(field, next(iter(cluster.members))), rejected=rejected)]


def _tied_parts(field: NetworkInput, cluster: Cluster, frame: AlignedFrame, least: int) -> list[Cluster]:
    """The exposures of a frame, apart where too few sources that kept weight tie them.

    Matches with neighbours say nothing of a tie that rests on a handful of chance pairs.
    """
    numbers = sorted(frame.members)
    used = [fit.sources[fit.weight > 0] for fit in (frame.members[n] for n in numbers)]
    rows = np.repeat(np.arange(len(numbers)), [len(sources) for sources in used])
    shape = (len(numbers), len(frame.sources))
    seen = sparse.csr_matrix((np.ones(len(rows)), (rows, np.concatenate(used))), shape=shape)
    label, before = np.arange(len(numbers)), 0
    # Parts grow: what too few sources tie to each exposure, enough may tie to all of them.
    while before != label.max() + 1:
        before = label.max() + 1
        part = sparse.csr_matrix((np.ones(len(label)), (label, np.arange(len(label)))))
        seen_by_part = ((part @ seen) > 0).astype(float)
        _, joined = connected_components((seen_by_part @ seen_by_part.T) >= least, directed=False)
        label = joined[label]
    parts = [cluster.part(np.array(numbers)[label == own].tolist()) for own in np.unique(label)]
    return sorted(parts, key=lambda part: _frame_order(field, part))


def _frame_order(field: NetworkInput, cluster: Cluster) -> tuple[bool, int, int]:
    """Sorts frames: that of the fixed exposures first, then the largest, then the earliest."""
    members = cluster.members
    return not any(field.fixed[n] for n in members), -len(members), min(members)


def _fixed_members(field: NetworkInput, numbers: list[int]) -> list[int]:
    """The exposures that fix a frame: the chosen ones, else the first that has sources."""
    return [n for n in numbers if field.fixed[n]] or numbers[:1]


def _refusal(field: NetworkInput, number: int, fit: MemberFit, match: MatchSettings) -> str:
    """Why the fit of an exposure is not acceptable; empty if it is."""
    rms = fit.rms / field.pixel_scales[number]
    if fit.n_used < match.min_matches:
        return f"{fit.n_used} matched sources kept their weight, {match.min_matches} required"
    if not rms <= match.max_rms:
        return f"rms residual {rms:.2f} px, limit {match.max_rms:g}"
    if fit.probability > match.max_false_match:
        return f"false-match probability {fit.probability:.1e}, limit {match.max_false_match:.1e}"
    return ""


def _single_frame(field: NetworkInput, number: int) -> AlignedFrame:
    """An exposure that nothing else overlaps: its own sources are the frame."""
    own = field.lists[number]
    rows = np.arange(len(own))
    fit = MemberFit(
        LinearTransform.identity(field.plane), rows, rows, np.zeros((len(own), 2)), np.ones(len(own)), np.nan
    )
    return AlignedFrame({number: fit}, (number,), own, np.ones(len(own), np.int64), {})


def _joint_frame(
    field: NetworkInput,
    cluster: Cluster,
    fixed: list[int],
    relative: RelativeSettings,
    match: MatchSettings,
) -> AlignedFrame:
    numbers = sorted(cluster.members)
    rough = {n: cluster.members[n] for n in numbers}
    transforms = _on_fixed_frame(field, _shared_rolls(field, rough, relative.fitgeometry), fixed)
    radius = match.tolerance
    floor = relative.centroid_floor * min(field.pixel_scales[n] for n in numbers)
    for _ in range(_ROUNDS):
        merged, count, assigned = _associate(field, transforms, numbers, radius)
        measured, rows, sources = _measurements(field, transforms, numbers, assigned, count, fixed)
        solution = solve_joint(measured, relative.fitgeometry, match.clip, floor)
        transforms = _updated(transforms, numbers, measured, solution, field.plane)
        typical = float(np.median(np.hypot(measured.error, solution.scatter)))
        radius = float(np.clip(match.clip * 2 * typical, 0.05, radius))
    solved = _Solved(measured, rows, sources, solution, radius)
    members = {
        number: _member(field.lists[number], index, transforms[number], solved, match)
        for index, number in enumerate(numbers)
    }
    return AlignedFrame(members, tuple(fixed), _frame_sources(merged, solved), count, {})


def _shared_rolls(
    field: NetworkInput, transforms: dict[int, LinearTransform], geometry: str
) -> dict[int, LinearTransform]:
    """The rough transforms with the mean roll of each group; every exposure's centre stays where it was."""
    rolls: dict[str, list[float]] = {}
    for number, transform in transforms.items():
        rolls.setdefault(field.groups[number], []).append(transform.roll)
    mean = {group: 0.0 if geometry == "shift" else float(np.mean(own)) for group, own in rolls.items()}
    shared = {}
    for number, transform in transforms.items():
        center = field.lists[number].xy.mean(axis=0)
        shift = transform.apply(center) - center
        roll = mean[field.groups[number]]
        shared[number] = LinearTransform.from_parameters(field.plane, shift, roll, center=center)
    return shared


def _on_fixed_frame(
    field: NetworkInput, transforms: dict[int, LinearTransform], fixed: list[int]
) -> dict[int, LinearTransform]:
    """The transforms followed by what brings the mean of the fixed exposures back to the identity."""
    centers = np.array([field.lists[n].xy.mean(axis=0) for n in fixed])
    moved = np.array([transforms[n].apply(center) for n, center in zip(fixed, centers, strict=True)])
    back = LinearTransform.from_parameters(
        field.plane,
        shift=(centers - moved).mean(axis=0),
        roll=-float(np.mean([transforms[n].roll for n in fixed])),
        center=moved.mean(axis=0),
    )
    return {n: transform.then(back) for n, transform in transforms.items()}


def _associate(
    field: NetworkInput, transforms: dict[int, LinearTransform], numbers: list[int], radius: float
) -> tuple[PlaneList, NDArray[np.int64], dict[int, NDArray[np.int64]]]:
    """Common sources of the exposures: merged list, counts, and each row's source."""
    moved = {n: field.lists[n].moved(transforms[n]) for n in numbers}
    first = moved[numbers[0]]
    merged, count = first, np.ones(len(first), np.int64)
    for n in numbers[1:]:
        merged, count = merged_sources((merged, count), (moved[n], np.ones(len(moved[n]), np.int64)), radius)
    # Assigned at the end, so that early exposures profit from the mean positions of all.
    assigned = {}
    for n in numbers:
        pairs = mutual_nearest(moved[n].xy, merged.xy, radius)
        assigned[n] = np.full(len(moved[n]), -1, dtype=np.int64)
        assigned[n][pairs[:, 0]] = pairs[:, 1]
    count = np.bincount(np.concatenate([a[a >= 0] for a in assigned.values()]), minlength=len(merged))
    return merged, count, assigned


def _measurements(
    field: NetworkInput,
    transforms: dict[int, LinearTransform],
    numbers: list[int],
    assigned: dict[int, NDArray[np.int64]],
    count: NDArray[np.int64],
    fixed: list[int],
) -> tuple[Measurements, NDArray[np.int64], NDArray[np.int64]]:
    """Measurements of sources seen twice or more; and each one's row in its list and source in the frame."""
    rows = [np.flatnonzero((assigned[n] >= 0) & (count[np.maximum(assigned[n], 0)] > 1)) for n in numbers]
    frame_source = np.concatenate([assigned[n][r] for n, r in zip(numbers, rows, strict=True)])
    _, source = np.unique(frame_source, return_inverse=True)
    _, group = np.unique([field.groups[n] for n in numbers], return_inverse=True)
    measured = Measurements(
        exposure=np.repeat(np.arange(len(numbers)), [len(r) for r in rows]),
        source=source.ravel(),
        xy=np.concatenate(
            [transforms[n].apply(field.lists[n].xy[r]) for n, r in zip(numbers, rows, strict=True)]
        ),
        error=np.concatenate([field.lists[n].error[r] for n, r in zip(numbers, rows, strict=True)]),
        group=group.ravel(),
        fixed=np.isin(numbers, fixed),
    )
    return measured, np.concatenate(rows), frame_source


def _updated(
    transforms: dict[int, LinearTransform],
    numbers: list[int],
    measured: Measurements,
    solution: JointSolution,
    plane: TangentPlane,
) -> dict[int, LinearTransform]:
    """Each exposure's transform followed by what the joint solution adds, with its covariance."""
    updated = {}
    for index, number in enumerate(numbers):
        group = measured.group[index]
        step = LinearTransform.from_parameters(
            plane,
            shift=solution.shift[index],
            roll=float(np.degrees(np.arctan(solution.roll[group]))),
            scale=1.0 + float(solution.scale[group]),
            center=solution.center[group],
        )
        total = transforms[number].then(step)
        covariance = _linear_covariance(solution.covariance[index], solution.center[group])
        updated[number] = LinearTransform(total.matrix, total.shift, plane, covariance)
    return updated


def _linear_covariance(covariance: NDArray[np.float64], center: NDArray[np.float64]) -> NDArray[np.float64]:
    """From (shift at the centre, roll, scale) to (shift, m00, m01, m10, m11)."""
    jacobian = np.zeros((6, 4))
    jacobian[:2, :2] = np.eye(2)
    jacobian[2:, 2] = [0, 1, -1, 0]
    jacobian[2:, 3] = [1, 0, 0, 1]
    jacobian[:2, 2:] = -np.kron(np.eye(2), center) @ jacobian[2:, 2:]
    return np.asarray(jacobian @ covariance @ jacobian.T)


def _member(
    own: PlaneList, index: int, transform: LinearTransform, solved: _Solved, match: MatchSettings
) -> MemberFit:
    mine = solved.measured.exposure == index
    weight = solved.solution.weight[mine]
    return MemberFit(
        transform=transform,
        rows=solved.rows[mine],
        sources=solved.sources[mine],
        residual=solved.solution.residual[mine],
        weight=weight,
        probability=false_match_probability(
            (own.moved(transform).xy, solved.solution.source_xy),
            solved.rows[mine],
            int((weight > 0).sum()),
            solved.radius,
            match,
            with_roll=False,
        ),
    )


def _frame_sources(merged: PlaneList, solved: _Solved) -> PlaneList:
    """The frame's sources at the joint solution's positions; those seen once keep their own."""
    xy, error = merged.xy.copy(), np.hypot(merged.error, solved.solution.scatter)
    seen = np.unique(solved.sources)
    known = np.isfinite(solved.solution.source_error)
    xy[seen[known]] = solved.solution.source_xy[known]
    error[seen[known]] = solved.solution.source_error[known]
    return replace(merged, xy=xy, error=error)
