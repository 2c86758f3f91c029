"""What is fitted to a frame, as far as the data are to tell: by the evidence of models."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.corrections import pointing_prior, term_errors
from grism_align.algorithms.fitting.evidence import log_bayes_factor
from grism_align.algorithms.fitting.first_look import rolls_at_weights
from grism_align.algorithms.fitting.joint import N_TERMS_OF, Start, group_centers, solve_joint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.joint import JointSolution, Measurements
    from grism_align.values.settings import PointingSettings, RelativeSettings
    from grism_align.values.transform import LinearTransform

#: The value of a parameter by which the data choose.
AUTO = "auto"
# Terms that are to be judged are left free: expected within so many times their usual errors.
_FREE = 100.0
# Acquisitions that are judged together: with their number to the power of three grows what it takes.
_MOST_TOGETHER = 128
# Fewest sources that several exposures saw and that tell whether their rolls differ.
_FEWEST = 6
# Largest change of a weight in the last iteration of a solution that is to give a first impression.
_ROUGHLY = 3e-2


@dataclass(frozen=True)
class FrameModel:
    """What is fitted to a frame, and what told so.

    Parameters
    ----------
    geometry : {'shift', 'rshift', 'rscale', 'general'}
        What each acquisition has.
    turning : frozenset of int
        Acquisitions whose pointings have a roll each, and what else the geometry has.
    scale_evidence, shear_evidence : float
        Logarithms of the Bayes factors for scales, and for scales and shears, that differ between
        acquisitions; NaN where nobody asked.
    roll_evidence : mapping of int to float
        Those for a roll of each pointing, by acquisition.
    """

    geometry: str
    turning: frozenset[int] = frozenset()
    scale_evidence: float = float("nan")
    shear_evidence: float = float("nan")
    roll_evidence: Mapping[int, float] = field(default_factory=dict)

    def fits_like(self, other: FrameModel) -> bool:
        """Tell whether both fit the same."""
        return (self.geometry, self.turning) == (other.geometry, other.turning)


@dataclass(frozen=True, eq=False)
class ModelQuestion:
    """What a model is to be chosen for.

    Parameters
    ----------
    measured : Measurements
        With positions as corrected so far; groups are acquisitions.
    transforms : sequence of LinearTransform
        The corrections so far.
    errors : PointingSettings
        What is expected.
    clip : float
        As for `solve_joint`.
    weight : (M,) ndarray
        Robust weights of the solution so far.
    scatter : (K,) ndarray, arcsec
        Scatter of each noise class there.
    """

    measured: Measurements
    transforms: Sequence[LinearTransform]
    errors: PointingSettings
    clip: float
    weight: NDArray[np.float64]
    scatter: NDArray[np.float64]


def first_model(relative: RelativeSettings, acquisitions: Sequence[int]) -> FrameModel:
    """Return what is fitted before the data are asked.

    Parameters
    ----------
    relative : RelativeSettings
        As the user has them.
    acquisitions : sequence of int
        Those of the frame.
    """
    geometry = "rshift" if relative.fitgeometry == AUTO else relative.fitgeometry
    return FrameModel(geometry, frozenset(acquisitions if relative.roll == "exposure" else ()))


def chosen_model(question: ModelQuestion, names: NDArray[np.int64], relative: RelativeSettings) -> FrameModel:
    """Choose what is fitted to a frame.

    Parameters
    ----------
    question : ModelQuestion
        The frame.
    names : (A,) ndarray of int
        What to call its acquisitions.
    relative : RelativeSettings
        What the user leaves to the data, and how clearly they must speak.
    """
    model = first_model(relative, names.tolist())
    if relative.roll == AUTO and model.geometry != "shift":
        evidence = {int(names[n]): found for n, found in _roll_evidence(question).items()}
        turning = frozenset(n for n, found in evidence.items() if found > relative.least_evidence)
        model = replace(model, turning=turning, roll_evidence=evidence)
    if relative.fitgeometry != AUTO:
        return model
    scale, shear = _geometry_evidence(question, np.isin(names, list(model.turning)))
    geometry = "rscale" if scale > relative.least_evidence else "rshift"
    if shear > max(scale, 0.0) + relative.least_evidence:
        geometry = "general"
    return replace(model, geometry=geometry, scale_evidence=scale, shear_evidence=shear)


def _roll_evidence(question: ModelQuestion) -> dict[int, float]:
    """Return the evidence for rolls that differ, by acquisition, from its own exposures alone.

    They share epoch and, dithers being small, distortion; what others saw adds little.
    """
    found = {}
    own, _ = term_errors(question.errors)
    for number, part in enumerate(_parts(question, np.arange(question.measured.n_acquisitions))):
        if part is None:
            continue
        n = part.measured.n_pointings
        each = replace(part.measured, group=np.arange(n), fixed=np.arange(n) == 0)
        # Differences from the first one.
        expected = own[0] ** 2 * (np.eye(n - 1) + 1.0)
        seen = rolls_at_weights(each, part.weight, part.scatter, part.clip)
        found[number] = np.inf if seen is None else log_bayes_factor(*seen, expected)
        # What speaks for them at first sight is looked at with weights that follow them.
        if found[number] > 0:
            solution = _freely_solved(replace(part, measured=each), "rshift")
            covariance = solution.term_covariance[1:, 0, 1:, 0]
            found[number] = log_bayes_factor(solution.terms[1:, 0], covariance, expected)
    return found


def _geometry_evidence(question: ModelQuestion, turns: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the evidence for scales, and for scales and shears, that differ between acquisitions.

    That of a large frame is the sum of what its parts say, each of acquisitions that are next to each other.
    """
    label = _neighbourhoods(question.measured)
    scale, shear = 0.0, 0.0
    # What speaks for them at first sight is looked at with weights that follow them.
    for roughly in (True, False):
        found = [
            _evidence_of_part(part, turns[label == number], roughly=roughly)
            for number, part in enumerate(_parts(question, label) if label.any() else [question])
            if part is not None
        ]
        scale, shear = np.array(found).reshape(-1, 2).sum(axis=0).tolist()
        if max(scale, shear) <= 0:
            break
    return scale, shear


def _neighbourhoods(measured: Measurements) -> NDArray[np.int64]:
    """Label acquisitions (A,) by where they are, where they are too many to be judged together."""
    center = group_centers(replace(measured, group=measured.acquisitions))
    label, left = np.zeros(len(center), dtype=np.int64), [np.arange(len(center))]
    number = 0
    while left:
        own = left.pop()
        if len(own) <= _MOST_TOGETHER:
            label[own] = number
            number += 1
            continue
        axis = int(np.argmax(np.ptp(center[own], axis=0)))
        ordered = own[np.argsort(center[own, axis], kind="stable")]
        left += [ordered[: len(own) // 2], ordered[len(own) // 2 :]]
    return label


def _evidence_of_part(
    question: ModelQuestion, turns: NDArray[np.bool_], *, roughly: bool
) -> tuple[float, float]:
    """Return the evidence of acquisitions that are judged together."""
    measured = with_rolls(question.measured, turns)
    solution = _freely_solved(replace(question, measured=measured), "general", roughly=roughly)
    _, first = np.unique(measured.group, return_index=True)
    acquisition = measured.acquisitions[first]
    fixed = np.zeros(len(first))
    fixed[measured.group[measured.fixed]] = 1.0
    apart = np.eye(len(first)) - fixed / fixed.sum()
    # The terms of the fixed groups have a mean of zero: one follows from the others.
    kept = np.delete(np.arange(len(first)), np.flatnonzero(fixed)[0])
    own, shared = (errors[1] for errors in term_errors(question.errors))
    same = acquisition[:, None] == acquisition
    expected = (apart @ (shared**2 * same + own**2 * np.eye(len(first))) @ apart.T)[np.ix_(kept, kept)]
    found = []
    for n_terms in (N_TERMS_OF["rscale"], N_TERMS_OF["general"]):
        # The roll is fitted anyway.
        terms, n = slice(1, n_terms), len(kept) * (n_terms - 1)
        covariance = solution.term_covariance[kept, terms][:, :, kept, terms].reshape(n, n)
        prior = np.kron(expected, np.eye(n_terms - 1))
        found.append(log_bayes_factor(solution.terms[kept, terms].ravel(), covariance, prior))
    return found[0], found[1]


def with_rolls(measured: Measurements, turns: NDArray[np.bool_]) -> Measurements:
    """Give each pointing of some acquisitions (A,) a group of its own.

    Parameters
    ----------
    measured : Measurements
        What was measured.
    turns : (A,) ndarray of bool
        Which acquisitions.
    """
    acquisition = measured.acquisitions
    own = np.where(turns[acquisition], len(turns) + np.arange(len(acquisition)), acquisition)
    _, group = np.unique(own, return_inverse=True)
    return replace(measured, group=group.ravel(), acquisition=acquisition)


def _parts(question: ModelQuestion, label: NDArray[np.int64]) -> Iterator[ModelQuestion | None]:
    """Yield what the acquisitions of each label, (A,), measured twice; None where that is nothing."""
    measured = question.measured
    of_pointing = label[measured.acquisitions]
    grouped = []
    for one in (of_pointing, of_pointing[measured.pointing]):
        order = np.argsort(one, kind="stable")
        grouped.append(np.split(order, np.searchsorted(one[order], np.arange(1, label.max() + 1))))
    for members, rows in zip(*grouped, strict=True):
        yield _part(question, members, rows)


def _part(
    question: ModelQuestion, members: NDArray[np.int64], rows: NDArray[np.int64]
) -> ModelQuestion | None:
    """Return what some pointings measured twice, by its rows; None where that is nothing, or one pointing."""
    measured = question.measured
    seen = np.unique(np.column_stack([measured.source[rows], measured.pointing[rows]]), axis=0)[:, 0]
    sources, times = np.unique(seen, return_counts=True)
    if len(members) < 2 or (times > 1).sum() < _FEWEST:
        return None
    rows = rows[np.isin(measured.source[rows], sources[times > 1])]
    fixed, classes = measured.fixed[members], measured.noise_class[rows]
    part = replace(
        measured,
        pointing=np.searchsorted(members, measured.pointing[rows]),
        source=_numbered(measured.source[rows]),
        xy=measured.xy[rows],
        error=measured.error[rows],
        noise_class=_numbered(classes),
        group=_numbered(measured.group[members]),
        fixed=fixed if fixed.any() else np.arange(len(members)) == 0,
        acquisition=_numbered(measured.acquisitions[members]),
        epoch=None if measured.epoch is None else measured.epoch[members],
    )
    return replace(
        question,
        measured=part,
        transforms=[question.transforms[n] for n in members.tolist()],
        weight=question.weight[rows],
        scatter=question.scatter[np.unique(classes)],
    )


def _numbered(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give labels numbers from zero, in their order."""
    return np.unique(labels, return_inverse=True)[1].ravel()


def _freely_solved(question: ModelQuestion, geometry: str, *, roughly: bool = False) -> JointSolution:
    """Solve with terms that nothing is known of beforehand; roughly: from the weights so far."""
    prior = pointing_prior(question.errors, question.measured, question.transforms)
    free = tuple(replace(one, own=_FREE * one.own, shared=_FREE * one.shared) for one in prior.of_terms)
    prior = replace(prior, of_terms=free)
    if not roughly:
        return solve_joint(question.measured, geometry, question.clip, prior)
    start = Start(question.scatter, question.weight)
    return solve_joint(question.measured, geometry, question.clip, prior, start, _ROUGHLY)
