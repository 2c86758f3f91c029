"""Align all pointings of a field with each other: rough frames, common sources, one joint solution."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from grism_align.algorithms.relative.cluster import Cluster, merge_all
from grism_align.algorithms.relative.frame import joint_frame, single_frame
from grism_align.algorithms.relative.zero import Zero, zero_of
from grism_align.values.errors import TooFewMatchesError
from grism_align.values.failure import ChanceMatch, LargeRms, Remark, TooFewKept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.algorithms.relative.members import AlignedFrame, MemberFit, NetworkInput
    from grism_align.values.executor import Executor
    from grism_align.values.settings import MatchSettings, RelativeSettings
    from grism_align.values.transform import LinearTransform


_BENEFIT_OF_FIXED = 0.7


def align_network(
    field: NetworkInput,
    relative: RelativeSettings,
    match: MatchSettings,
    executor: Executor | None = None,
) -> tuple[list[AlignedFrame], dict[int, Remark]]:
    """Align pointings with each other.

    Parameters
    ----------
    field : NetworkInput
        The pointings.
    relative : RelativeSettings
        Frame and geometry.
    match : MatchSettings
        Matching and acceptance.
    executor : Executor, optional
        Who matches the pointings of visits, where they are many.

    Returns
    -------
    frames : list of AlignedFrame
        One for each set of pointings that overlap; that of the fixed pointings first.
    remarks : dict of int to Remark
        For pointings in a frame of their own, why they matched no other.
    """
    clusters, remarks = merge_all(field, match, executor)
    clusters.sort(key=lambda cluster: _frame_order(field, cluster))
    frames = [f for cluster in clusters for f in _solved_frames(field, cluster, relative, match)]
    alone = {next(iter(c.members)) for c in clusters if len(c.members) == 1}
    return frames, {number: remark for number, remark in remarks.items() if number in alone}


def _solved_frames(
    field: NetworkInput, cluster: Cluster, relative: RelativeSettings, match: MatchSettings
) -> list[AlignedFrame]:
    """Solve one cluster, leaving out pointings that turn out not to fit.

    What only such a pointing tied together falls apart, that of the fixed pointings first.
    """
    rejected: dict[int, Remark] = {}
    while len(cluster.members) > 1:
        numbers = sorted(cluster.members)
        fixed = _fixed_members(field, cluster)
        try:
            frame = joint_frame(field, cluster.members, fixed, relative, match)
        except TooFewMatchesError as error:
            rejected |= {n: error.remark for n in numbers if n != fixed[0]}
            return [replace(single_frame(field, fixed[0], relative), rejected=rejected)]
        bad = {n: why for n, fit in frame.members.items() if (why := _refusal(field, n, fit, match))}
        if not bad:
            parts = _tied_parts(field, cluster, frame, match.min_matches)
            if len(parts) == 1:
                return [replace(frame, rejected=rejected)]
            first, *others = (f for part in parts for f in _solved_frames(field, part, relative, match))
            return [replace(first, rejected=rejected | first.rejected), *others]
        # Of two that contradict each other the one that fixes the frame stays.
        beyond = {n: far * (_BENEFIT_OF_FIXED if n in fixed else 1.0) for n, (far, _) in bad.items()}
        worst = _worst(frame, beyond)
        rejected |= {n: bad[n][1] for n in worst}
        cluster = cluster.part(n for n in numbers if n not in worst)
    return [replace(single_frame(field, next(iter(cluster.members)), relative), rejected=rejected)]


def _worst(frame: AlignedFrame, beyond: Mapping[int, float]) -> set[int]:
    """Choose pointings to leave out: those that have no source in common with one that is worse."""
    seen: set[int] = set()
    chosen = set()
    for number in sorted(beyond, key=lambda n: -beyond[n]):
        own = set(frame.members[number].sources.tolist())
        if own.isdisjoint(seen):
            chosen.add(number)
        seen |= own
    return chosen


def _tied_parts(field: NetworkInput, cluster: Cluster, frame: AlignedFrame, least: int) -> list[Cluster]:
    """Part the pointings of a frame where too few sources that kept weight tie them.

    Matches with neighbours say nothing of a tie that rests on a handful of chance pairs.
    """
    numbers = sorted(frame.members)
    used = [fit.sources[fit.weight > 0] for fit in (frame.members[n] for n in numbers)]
    rows = np.repeat(np.arange(len(numbers)), [len(sources) for sources in used])
    shape = (len(numbers), len(frame.seen.count))
    seen = sparse.csr_matrix((np.ones(len(rows)), (rows, np.concatenate(used))), shape=shape)
    label, before = np.arange(len(numbers)), 0
    # Parts grow: what too few sources tie to each pointing, enough may tie to all of them.
    while before != label.max() + 1:
        before = label.max() + 1
        part = sparse.csr_matrix((np.ones(len(label)), (label, np.arange(len(label)))))
        seen_by_part = ((part @ seen) > 0).astype(float)
        _, joined = connected_components((seen_by_part @ seen_by_part.T) >= least, directed=False)
        label = joined[label]
    parts = [cluster.part(np.array(numbers)[label == own].tolist()) for own in np.unique(label)]
    return sorted(parts, key=lambda part: _frame_order(field, part))


def _frame_order(field: NetworkInput, cluster: Cluster) -> tuple[bool, int, int]:
    """Sort frames: that of the fixed pointings or of the first one, then the largest, then the earliest."""
    members = cluster.members
    fixed = {n for n, one in enumerate(field.pointings) if one.is_fixed} or {0}
    return fixed.isdisjoint(members), -len(members), min(members)


def _fixed_members(field: NetworkInput, cluster: Cluster) -> list[int]:
    """Find the pointings that fix a frame: the chosen ones, else the first that is where most visits are."""
    numbers = sorted(cluster.members)
    chosen = [n for n in numbers if field.pointings[n].is_fixed]
    return chosen or [numbers[zero(field, cluster.members).row]]


def zero(field: NetworkInput, transforms: Mapping[int, LinearTransform]) -> Zero:
    """Choose what fixes the frame of some pointings, in their order.

    Parameters
    ----------
    field : NetworkInput
        The pointings.
    transforms : mapping of int to LinearTransform
        What brings them onto a frame, by number.
    """
    own = [(field.pointings[n], transforms[n]) for n in sorted(transforms)]
    shifts = np.array([transform.apply(one.center) - one.center for one, transform in own])
    return zero_of(shifts, [one.visit for one, _ in own], field.errors.visit_error)


def _refusal(
    field: NetworkInput, number: int, fit: MemberFit, match: MatchSettings
) -> tuple[float, Remark] | None:
    """Tell why the fit of a pointing is not acceptable, with how far it is beyond the limit."""
    n_used = fit.n_sources_used
    rms = fit.rms / field.pointings[number].pixel_scale if n_used else np.inf
    found: list[tuple[float, Remark]] = []
    if n_used < match.min_matches:
        beyond = match.min_matches / max(n_used, 0.5)
        found.append((beyond, TooFewKept(n_used, match.min_matches)))
    if rms > match.max_rms:
        found.append((rms / match.max_rms, LargeRms(rms, match.max_rms)))
    if fit.probability > match.max_false_match:
        beyond = 1.0 + np.log10(fit.probability / max(match.max_false_match, 1e-300))
        found.append((beyond, ChanceMatch(n_used, fit.probability, match.max_false_match)))
    return max(found, key=lambda one: one[0], default=None)
