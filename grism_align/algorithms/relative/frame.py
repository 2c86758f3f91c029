"""The joint solution of pointings that overlap: pairing of sources and least squares in turns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.corrections import followed, followed_places, pointing_prior, with_errors
from grism_align.algorithms.fitting.fit import leverage
from grism_align.algorithms.fitting.joint import JointSolution, Measurements, Start, redundancy, solve_joint
from grism_align.algorithms.fitting.places import MountedDetectors
from grism_align.algorithms.matching.chance import PairedLists, Targets, false_match_probability
from grism_align.algorithms.matching.match import mutual_nearest_in_each
from grism_align.algorithms.relative.members import AlignedFrame, MemberFit, NetworkInput, PointingSources
from grism_align.algorithms.relative.model import (
    FrameModel,
    ModelQuestion,
    chosen_model,
    first_model,
    with_rolls,
)
from grism_align.algorithms.relative.united import SeenSources, united
from grism_align.values.errors import TooFewMatchesError
from grism_align.values.failure import TooFewMatches
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.plane_list import PlaneList
    from grism_align.values.settings import MatchSettings, RelativeSettings


# Solutions with sources merged anew, and then with each measurement assigned anew to the sources known.
_MERGED_ROUNDS = 2
_ASSIGNED_ROUNDS = 2
_LEAST_RADIUS = 0.05
# Largest change of a weight in the last iteration of a solution, and of one that another follows.
_SETTLED, _ROUGHLY = 1e-3, 3e-2


@dataclass(frozen=True, eq=False)
class _Task:
    """What a frame is made of: the pointings, which of them fix it, what is fitted, and how."""

    field: NetworkInput
    fixed: list[int]
    model: FrameModel
    match: MatchSettings


@dataclass(frozen=True, eq=False)
class _Associated:
    """The sources of a frame, and which of them each row of each pointing's list is.

    Parameters
    ----------
    seen : SeenSources
        S sources.
    assigned : mapping of int to (N,) ndarray of int
        Number of the source of each row, -1 for none; by number of the pointing.
    """

    seen: SeenSources
    assigned: Mapping[int, NDArray[np.int64]]

    @cached_property
    def is_shared(self) -> NDArray[np.bool_]:
        """Tell of each source whether several pointings saw it, (S,)."""
        n, lengths = len(self.seen.count), [len(own) for own in self.assigned.values()]
        source = np.concatenate(list(self.assigned.values()))
        pointing = np.repeat(np.arange(len(lengths)), lengths)
        first, last = np.full(n + 1, len(lengths)), np.full(n + 1, -1)
        # Rows without a source, of number -1, are counted in the last place.
        np.minimum.at(first, source, pointing)
        np.maximum.at(last, source, pointing)
        return first[:n] < last[:n]


@dataclass(frozen=True, eq=False)
class _Solved:
    """A joint solution, where its measurements come from, and the corrections that it makes.

    Parameters
    ----------
    measured : Measurements
        M measurements.
    rows, sources : (M,) ndarray of int
        Rows of the pointings' lists, sources of the frame.
    solution : JointSolution
        Of those.
    transforms : dict of int to LinearTransform
        The corrections of the pointings with what the solution adds.
    radius : float, arcsec
        In which measurements and sources are to be paired.
    """

    measured: Measurements
    rows: NDArray[np.int64]
    sources: NDArray[np.int64]
    solution: JointSolution
    transforms: dict[int, LinearTransform]
    radius: float


def single_frame(field: NetworkInput, number: int, relative: RelativeSettings) -> AlignedFrame:
    """Make the frame of a pointing that nothing else overlaps: its own sources.

    Parameters
    ----------
    field : NetworkInput
        All pointings.
    number : int
        The one.
    relative : RelativeSettings
        What would be fitted.
    """
    pointing = field.pointings[number]
    own, n = pointing.sources, len(pointing.sources)
    rows = np.arange(n)
    transform = LinearTransform.identity(field.plane)
    fit = MemberFit(transform, rows, rows, np.zeros((n, 2)), np.ones(n), own.error, np.full((n, 2), np.nan))
    model = first_model(relative, [pointing.roll_group])
    return AlignedFrame({number: fit}, (number,), united(pointing.lists, _LEAST_RADIUS), {}, model, 0.0)


def joint_frame(
    field: NetworkInput,
    rough: Mapping[int, LinearTransform],
    fixed: list[int],
    relative: RelativeSettings,
    match: MatchSettings,
) -> AlignedFrame:
    """Solve for the corrections of pointings that are on one rough frame.

    Parameters
    ----------
    field : NetworkInput
        All pointings.
    rough : mapping of int to LinearTransform
        The pointings to solve for, and what takes each onto the rough frame.
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
    acquisitions = [field.pointings[n].roll_group for n in numbers]
    task = _Task(field, fixed, first_model(relative, acquisitions), match)
    shared = _shared_rolls(field, {n: rough[n] for n in numbers}, task.model.geometry)
    transforms = _on_fixed_frame(task, shared)
    known = _merged(field, transforms, match.tolerance)
    solved = _solved(task, transforms, known, match.tolerance, _ROUGHLY)
    for _ in range(1, _MERGED_ROUNDS):
        known = _merged(field, solved.transforms, solved.radius)
        solved = _solved(task, solved.transforms, known, solved.radius, _ROUGHLY)
    known, solved = _reassigned(task, known, solved)
    model = _asked(task, known, solved, relative)
    if not model.fits_like(task.model):
        known, solved = _reassigned(replace(task, model=model), known, solved)
    judge = _Judge(solved, match)
    transforms = dict(
        zip(
            numbers,
            with_errors(list(solved.transforms.values()), solved.measured, solved.solution),
            strict=True,
        )
    )
    members = {
        number: judge.member(_in_place(field.pointings[number], solved.solution), index, transforms[number])
        for index, number in enumerate(numbers)
    }
    seen = replace(known.seen, positions=_frame_sources(known.seen.positions, solved))
    solution, places = solved.solution, followed_places(solved.measured, solved.solution)
    if places is not None:
        members = {
            number: replace(member, followed=one)
            for (number, member), one in zip(members.items(), places, strict=True)
        }
    told = None if solution.border is None else solution.border.equations
    return AlignedFrame(members, tuple(fixed), seen, {}, model, solution.systematic, told)


def _reassigned(task: _Task, known: _Associated, solved: _Solved) -> tuple[_Associated, _Solved]:
    """Solve again, each measurement assigned anew to the sources known."""
    for left in reversed(range(_ASSIGNED_ROUNDS)):
        positions = _frame_sources(known.seen.positions, solved)
        known = _assigned(task.field, solved.transforms, positions, solved.radius)
        solved = _solved(task, solved.transforms, known, solved.radius, _ROUGHLY if left else _SETTLED)
    return known, solved


def _asked(task: _Task, known: _Associated, solved: _Solved, relative: RelativeSettings) -> FrameModel:
    """Choose by what was measured what is fitted."""
    measured, _, _ = _measurements(task, solved.transforms, known)
    groups = [task.field.pointings[n].roll_group for n in solved.transforms]
    names, acquisition = np.unique(groups, return_inverse=True)
    measured = replace(measured, group=acquisition.ravel(), acquisition=None)
    question = ModelQuestion(
        measured=measured,
        transforms=list(solved.transforms.values()),
        errors=task.field.errors,
        clip=task.match.clip,
        weight=solved.solution.weight,
        scatter=solved.solution.scatter,
    )
    return chosen_model(question, names, relative)


def _solved(
    task: _Task,
    transforms: Mapping[int, LinearTransform],
    known: _Associated,
    radius: float,
    tolerance: float,
) -> _Solved:
    """Solve for what is added to the transforms, given which source each measurement is of.

    Weights change by no more than a tolerance in the end. They begin at one, lest what was left out once is
    left out for good.
    """
    match = task.match
    if not known.is_shared.any():
        raise TooFewMatchesError(TooFewMatches(0, match.min_matches))
    measured, rows, sources = _measurements(task, transforms, known)
    if tolerance <= _SETTLED:
        measured = replace(measured, mounted=_mounted(task, transforms, measured.pointing, rows))
    prior = pointing_prior(task.field.errors, measured, list(transforms.values()))
    start = Start(np.zeros(len(_instruments(task, transforms))))
    solution = solve_joint(measured, task.model.geometry, match.clip, prior, start, tolerance)
    if tolerance > _SETTLED:
        # Another follows, and the equations that errors come from are large.
        solution = replace(solution, errors=None)
    steps = followed(measured, solution, task.field.plane)
    total = {n: t.then(step) for (n, t), step in zip(transforms.items(), steps, strict=True)}
    typical = float(np.median(np.hypot(measured.error, solution.scatter[measured.noise_class])))
    radius = float(np.clip(match.clip * 2 * typical, _LEAST_RADIUS, radius))
    return _Solved(measured, rows, sources, solution, total, radius)


def _instruments(task: _Task, numbers: Iterable[int]) -> list[str]:
    """Name the instruments of some pointings, each of which is a noise class."""
    return sorted({name for n in numbers for name in task.field.pointings[n].instruments})


def _shared_rolls(
    field: NetworkInput, transforms: Mapping[int, LinearTransform], geometry: str
) -> dict[int, LinearTransform]:
    """Give the rough transforms the mean roll of each group; every pointing's centre stays where it was."""
    rolls: dict[int, list[float]] = {}
    for number, transform in transforms.items():
        rolls.setdefault(field.pointings[number].roll_group, []).append(transform.roll)
    mean = {group: 0.0 if geometry == "shift" else _mean_angle(own) for group, own in rolls.items()}
    shared = {}
    for number, transform in transforms.items():
        center, roll = field.pointings[number].center, mean[field.pointings[number].roll_group]
        shift = transform.apply(center) - center
        shared[number] = LinearTransform.from_parameters(field.plane, shift, roll, center=center)
    return shared


def _mean_angle(angles: Sequence[float]) -> float:
    """Average angles, deg, that may lie on both sides of 180."""
    return float(np.degrees(np.angle(np.exp(1j * np.radians(angles)).mean())))


def _on_fixed_frame(task: _Task, transforms: dict[int, LinearTransform]) -> dict[int, LinearTransform]:
    """Let the transforms be followed by what brings the mean of the fixed pointings back to the identity."""
    centers = np.array([task.field.pointings[n].center for n in task.fixed])
    moved = np.array([transforms[n].apply(center) for n, center in zip(task.fixed, centers, strict=True)])
    back = LinearTransform.from_parameters(
        task.field.plane,
        shift=(centers - moved).mean(axis=0),
        roll=-_mean_angle([transforms[n].roll for n in task.fixed]),
        center=moved.mean(axis=0),
    )
    return {n: transform.then(back) for n, transform in transforms.items()}


def _merged(field: NetworkInput, transforms: Mapping[int, LinearTransform], radius: float) -> _Associated:
    """Find common sources of the exposures, at the mean positions of their measurements."""
    moved = (own.moved(t) for n, t in transforms.items() for own in field.pointings[n].lists)
    # Assigned at the end, so that early exposures profit from the mean positions of all.
    return _assigned(field, transforms, united(moved, radius).positions, radius)


def _assigned(
    field: NetworkInput, transforms: Mapping[int, LinearTransform], sources: PlaneList, radius: float
) -> _Associated:
    """Tell which source each row of each list is; no source is two rows of one exposure."""
    pointings = {n: field.pointings[n] for n in transforms}
    moved = [transforms[n].apply(own.xy) for n, one in pointings.items() for own in one.lists]
    nearest = iter(mutual_nearest_in_each(moved, sources.xy, radius))
    assigned = {n: np.concatenate([next(nearest) for _ in one.lists]) for n, one in pointings.items()}
    seen = np.concatenate([own[own >= 0] for own in assigned.values()])
    return _Associated(SeenSources(sources, np.bincount(seen, minlength=len(sources))), assigned)


def _measurements(
    task: _Task, transforms: Mapping[int, LinearTransform], known: _Associated
) -> tuple[Measurements, NDArray[np.int64], NDArray[np.int64]]:
    """Collect measurements of shared sources; and each one's row in its list and source in the frame."""
    numbers, is_shared = list(transforms), known.is_shared
    rows = [np.flatnonzero((own >= 0) & is_shared[own]) for own in known.assigned.values()]
    pointings = [task.field.pointings[n] for n in numbers]
    lists = [one.sources.rows(r) for one, r in zip(pointings, rows, strict=True)]
    frame_source = np.concatenate([known.assigned[n][r] for n, r in zip(numbers, rows, strict=True)])
    instrument = np.concatenate([one.instrument[r] for one, r in zip(pointings, rows, strict=True)])
    _, source = np.unique(frame_source, return_inverse=True)
    names, group = np.unique([one.roll_group for one in pointings], return_inverse=True)
    measured = Measurements(
        pointing=np.repeat(np.arange(len(numbers)), [len(r) for r in rows]),
        source=source.ravel(),
        xy=np.concatenate([transforms[n].apply(own.xy) for n, own in zip(numbers, lists, strict=True)]),
        error=np.concatenate([_held_down(own.error, task.match.max_leverage) for own in lists]),
        noise_class=np.searchsorted(_instruments(task, numbers), instrument),
        group=group.ravel(),
        fixed=np.isin(numbers, task.fixed),
        epoch=np.array([one.epoch for one in pointings]),
    )
    measured = with_rolls(measured, np.isin(names, list(task.model.turning)))
    return measured, np.concatenate(rows), frame_source


def _mounted(
    task: _Task, numbers: Collection[int], pointing: NDArray[np.int64], rows: NDArray[np.int64]
) -> MountedDetectors | None:
    """Tell which detector made each measurement, by its pointing and row; None where all places are known."""
    if task.field.places is None:
        return None
    # pointing by pointing, as they were put together
    parts = np.split(rows, np.cumsum(np.bincount(pointing, minlength=len(numbers)))[:-1])
    own = (task.field.pointings[n].mounted(part) for n, part in zip(numbers, parts, strict=True))
    number, axes, arm = (np.concatenate(part) for part in zip(*own, strict=True))
    return MountedDetectors(number, axes, arm, task.field.places)


def _held_down(error: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """Raise errors of a pointing's sources, lest one has more than this share of the weight.

    A star among galaxies would carry the fit, right or wrong, and clip all the others where it moved.
    """
    if len(error) < 2 or most >= 1:
        return error
    weight = error**-2.0
    others = weight.sum() - weight
    return np.asarray(np.maximum(error, (others * most / (1.0 - most)) ** -0.5))


def _in_place(pointing: PointingSources, solution: JointSolution) -> PlaneList:
    """Return the sources of a pointing with its detectors where a solution takes them to be."""
    if solution.border is None:
        return pointing.sources
    number, axes, _ = pointing.mounted(np.arange(len(pointing.sources)))
    step = np.where((number >= 0)[:, None], solution.border.step.reshape(-1, 2)[number], 0.0)
    return replace(pointing.sources, xy=pointing.sources.xy + np.einsum("mij,mj->mi", axes, step))


class _Judge:
    """Tells the quality of each pointing's fit; what all of them need is computed once."""

    def __init__(self, solved: _Solved, match: MatchSettings) -> None:
        self._solved, self._match = solved, match
        measured, solution = solved.measured, solved.solution
        self._weight = solution.weight / (measured.error**2 + solution.scatter[measured.noise_class] ** 2)
        left = redundancy(measured, self._weight[:, None].repeat(2, axis=1), solution.motions)
        self._chi2 = (solution.residual / (left * measured.error[:, None])) ** 2
        self._order = np.argsort(measured.pointing, kind="stable")
        self._targets = Targets(solution.source_xy)
        self._ends = np.searchsorted(measured.pointing[self._order], np.arange(measured.n_pointings + 1))

    def member(self, own: PlaneList, index: int, transform: LinearTransform) -> MemberFit:
        """Judge the fit of one pointing, by its place among those solved."""
        solved, solution = self._solved, self._solved.solution
        mine = self._order[self._ends[index] : self._ends[index + 1]]
        fit = MemberFit(
            transform=transform,
            rows=solved.rows[mine],
            sources=solved.sources[mine],
            residual=solution.residual[mine],
            weight=solution.weight[mine],
            error=solved.measured.error[mine],
            chi2=self._chi2[mine],
            leverage=leverage(self._weight[mine]),
        )
        return replace(fit, probability=self._chance(own.moved(transform), fit))

    def _chance(self, moved: PlaneList, fit: MemberFit) -> float:
        """Return the probability that a pointing without a common source matches as well."""
        # What several of its exposures measured of one source is one agreement.
        _, first = np.unique(fit.sources, return_index=True)
        repeated = np.delete(fit.rows, first)
        kept = np.delete(np.arange(len(moved)), repeated)
        lists = PairedLists(
            moved.xy[kept],
            self._targets,
            np.searchsorted(kept, np.sort(fit.rows[first])),
            fit.n_sources_used,
            self._solved.radius,
        )
        return false_match_probability(lists, self._match, with_roll=False)


def _frame_sources(merged: PlaneList, solved: _Solved) -> PlaneList:
    """Move the frame's sources to the joint solution's positions; those seen once keep their own."""
    xy, error = merged.xy.copy(), np.hypot(merged.error, solved.solution.scatter.max())
    seen = np.unique(solved.sources)
    known = np.isfinite(solved.solution.source_error)
    xy[seen[known]] = solved.solution.source_xy[known]
    error[seen[known]] = solved.solution.source_error[known]
    return replace(merged, xy=xy, error=error)
