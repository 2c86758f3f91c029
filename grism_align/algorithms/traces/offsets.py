"""Offsets of exposures across the dispersion, from the heights of many pieces of traces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.floor import estimate_floor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


_ITERATIONS = 12
_CLIP = 5.0  # sigma, of the biweight
# (E[w] / E[psi'])^2 of normal residuals with that biweight: by so much weights that come from the residuals
# themselves make the variance larger (Huber 1981, Robust Statistics, section 7.6).
_BIWEIGHT_VARIANCE = 1.39
_FREE = 100.0  # pixels: what is not known beforehand
# Pixels by which traces may differ from one end of a chip to the other: without a calibration, and with one.
_FIELD, _CALIBRATED = 2.0, 0.03
_N_TERMS = 9  # of a trace as a function of the place on a chip, the last two of them along the trace alone
_N_FIELD = 5  # the first ones, of the place alone
_UNLIKELY = 1e-3  # probability below which a calibration of the field is not believed
_LEAST_SCATTER = 5e-3  # pixels
_FEWEST_CLUSTERS = 6
_LEAST_SHARE = 0.25  # of the variance that the weights say
_ALIGNED = 0.01  # pixels, by which the offsets of well aligned exposures may differ
_CHIPS = 0.5  # pixels, by which the constants of a configuration may differ from chip to chip
#: Least error that is believed, pixels.
LEAST_ERROR = 0.002


@dataclass(frozen=True, eq=False)
class TraceMeasurements:
    """Measured heights of pieces of traces above the predicted ones, M of each.

    Parameters
    ----------
    height, error : (M,) ndarray, pixels
        Measured minus predicted row, and its error.
    exposure : (M,) ndarray of int
        Number of the exposure.
    source : (M,) ndarray of int
        Number of the source.
    piece : (M,) ndarray of int
        Which piece of the trace: the same number for the same wavelengths.
    visit : (M,) ndarray of int
        Number of the visit: within one the roll is the same, and so is what a source's shape does.
    chip : (M,) ndarray of int
        Number of the chip.
    field : (M, 3) ndarray
        x and y of the source on its chip and the place along the trace, each from -1 to 1.
    """

    height: NDArray[np.float64]
    error: NDArray[np.float64]
    exposure: NDArray[np.int64]
    source: NDArray[np.int64]
    piece: NDArray[np.int64]
    visit: NDArray[np.int64]
    chip: NDArray[np.int64]
    field: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.height)

    @classmethod
    def joined(cls, parts: list[TraceMeasurements]) -> TraceMeasurements:
        """Join measurements into one list."""
        names = tuple(cls.__dataclass_fields__)
        parts = parts or [cls._none()]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @classmethod
    def _none(cls) -> TraceMeasurements:
        real, whole = np.zeros(0), np.zeros(0, np.int64)
        return cls(real, real, whole, whole, whole, whole, whole, np.zeros((0, 3)))


@dataclass(frozen=True, eq=False)
class TraceField:
    """By how much traces rise above the predicted ones over a chip, halfway along them.

    Parameters
    ----------
    terms : (5,) ndarray, pixels
        Coefficients of x, y, x^2, xy and y^2, which are from -1 to 1 over the chip.
    covariance : (5, 5) ndarray, pixels^2
        Of these.
    """

    terms: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def as_predicted(cls) -> TraceField:
        """Return that of traces of which a configuration says where they are."""
        return cls(np.zeros(_N_FIELD), _CALIBRATED**2 * np.eye(_N_FIELD))

    @classmethod
    def unknown(cls) -> TraceField:
        """Return that of traces of which neither a configuration nor a measurement says where they are."""
        return cls(np.zeros(_N_FIELD), _FIELD**2 * np.eye(_N_FIELD))

    @staticmethod
    def design(places: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
        """Return what terms are multiplied by, (N, 5).

        Parameters
        ----------
        places : (N, 2) ndarray, zero-based pixels
            Of the sources.
        shape : (ny, nx)
            Of the chip.
        """
        x, y = (2.0 * places / np.array(shape[::-1]) - 1.0).T
        return np.column_stack([x, y, x * x, x * y, y * y])


@dataclass(frozen=True, eq=False)
class TraceOffsets:
    """Offsets of N exposures.

    Parameters
    ----------
    offset : (N,) ndarray, pixels
        Measured minus predicted row; NaN where there is no measurement.
    covariance : (N, N) ndarray, pixels^2
        Of the offsets.
    n_sources : (N,) ndarray of int
        Sources that kept weight.
    gradient : (2,) ndarray, pixels
        By which traces rise above the predicted ones from the centre of a chip to its edge, along x and y.
    gradient_covariance : (2, 2) ndarray, pixels^2
        Of these.
    fields : mapping of int to TraceField
        By which they rise over each chip; empty where that was not solved for.
    piece_scatter, source_scatter : float, pixels
        What the errors leave unexplained of one piece of a trace, and by how much traces of sources differ
        from what is predicted for them.
    """

    offset: NDArray[np.float64]
    covariance: NDArray[np.float64]
    n_sources: NDArray[np.int64]
    gradient: NDArray[np.float64]
    gradient_covariance: NDArray[np.float64]
    fields: Mapping[int, TraceField]
    piece_scatter: float
    source_scatter: float


@dataclass(frozen=True, eq=False)
class _System:
    """The linear system.

    `design` (M, p), the precisions that its parameters have beforehand, `prior` (p,), and which of them are
    of the field, `is_field` (p,); the numbers of the measurements' groups and clusters, (M,).
    """

    design: NDArray[np.float64]
    prior: NDArray[np.float64]
    is_field: NDArray[np.bool_]
    group: NDArray[np.int64]
    n_groups: int
    cluster: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _State:
    """Robust weights of measurements and of groups, and the two scatters."""

    weight: NDArray[np.float64]
    group_weight: NDArray[np.float64]
    piece_scatter: float
    source_scatter: float


@dataclass(frozen=True, eq=False)
class _Solved:
    """Parameters (p,), residuals (M,), inverse normal matrix, weights (M,) and those of whole groups (G,)."""

    parameters: NDArray[np.float64]
    residual: NDArray[np.float64]
    inverse: NDArray[np.float64]
    weight: NDArray[np.float64]
    own: NDArray[np.float64]


def fit_offsets(measured: TraceMeasurements, n_exposures: int, field: str = "") -> TraceOffsets:
    """Solve for one offset for each exposure.

    Parameters
    ----------
    measured : TraceMeasurements
        Measurements.
    n_exposures : int
        Number of exposures, N.
    field : {'', 'free', 'calibrated'}
        Whether the trace as a function of the place on the chip is to be solved for too, as where no grism
        configuration predicts it. Only differences of the offsets then have a meaning. If calibrated, it is
        to be near what is predicted, unless the data say otherwise.

    Returns
    -------
    TraceOffsets

    Notes
    -----
    A height is the sum of the offset of its exposure, a smooth function of the place on the chip and along
    the trace (`field`), an offset of the piece of the source's trace, and noise. The third is common to the
    exposures of a visit: it holds the error of the source's position, its shape and lasting contamination,
    and is a random variable whose scatter the data give. So exposures of a visit are compared source by
    source, at the noise of the pixels, and visits, or an exposure and a configuration, by means over sources.
    Biweights deal with outliers of both kinds. Errors are those of the jackknife over sources, whatever
    correlates within one (Tukey 1958; Bell & McCaffrey 2002, Survey Methodology 28, 169), where there are
    enough: sums of scores say too little where few sources decide.
    """
    seen = np.isin(np.arange(n_exposures), measured.exposure)
    nan = np.full(n_exposures, np.nan)
    if not len(measured):
        none = np.full((n_exposures, n_exposures), np.nan)
        n_sources, unknown = np.zeros(n_exposures, np.int64), _FIELD**2 * np.eye(2)
        return TraceOffsets(nan, none, n_sources, np.zeros(2), unknown, {}, np.nan, np.nan)
    system = _system(measured, n_exposures, bool(field))
    state, solved = _iterated(measured, system)
    if field == "calibrated" and _is_calibrated(system, solved):
        system = replace(system, prior=np.where(system.is_field, _CALIBRATED**-2, system.prior))
        state, solved = _iterated(measured, system)
    full = _covariance(system, solved)
    gradient = _gradient(system, solved.parameters, full)
    covariance = full[:n_exposures, :n_exposures].copy()
    n_sources = _counted(measured, solved.weight > 0, n_exposures)
    seen &= n_sources > 0
    offset = np.where(seen, solved.parameters[:n_exposures], np.nan)
    covariance[~seen], covariance[:, ~seen] = np.nan, np.nan
    return TraceOffsets(
        offset,
        covariance,
        n_sources,
        *gradient,
        _fields(measured, solved.parameters, full) if field else {},
        state.piece_scatter,
        state.source_scatter,
    )


def _gradient(
    system: _System, parameters: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean over chips of the terms in x and y, and its covariance."""
    if not system.is_field.any():
        return np.zeros(2), _CALIBRATED**2 * np.eye(2)
    n_chips = int(system.is_field.sum()) // (_N_TERMS - 2)
    first = len(parameters) - n_chips * _N_TERMS
    mean = np.zeros((2, len(parameters)))
    for axis in range(2):
        mean[axis, first + axis :: _N_TERMS] = 1.0 / n_chips
    return mean @ parameters, mean @ covariance @ mean.T


def _fields(
    measured: TraceMeasurements, parameters: NDArray[np.float64], covariance: NDArray[np.float64]
) -> dict[int, TraceField]:
    chips = np.unique(measured.chip).tolist()
    first = range(len(parameters) - _N_TERMS * len(chips), len(parameters), _N_TERMS)
    parts = [slice(low, low + _N_FIELD) for low in first]
    return {
        chip: TraceField(parameters[part], covariance[part, part])
        for chip, part in zip(chips, parts, strict=True)
    }


def _counted(measured: TraceMeasurements, used: NDArray[np.bool_], n_exposures: int) -> NDArray[np.int64]:
    """Return sources of each exposure among the measurements used."""
    pairs = np.unique(np.column_stack([measured.exposure, measured.source])[used], axis=0)
    return np.bincount(pairs[:, 0], minlength=n_exposures)


def _system(measured: TraceMeasurements, n_exposures: int, with_field: bool) -> _System:
    columns = [measured.exposure == number for number in range(n_exposures)]
    precision = [_FREE**-2] * n_exposures
    is_field = [False] * n_exposures
    if with_field:
        chips = np.unique(measured.chip)
        # The constant of one chip is that of the exposures.
        columns += [measured.chip == chip for chip in chips[1:]]
        precision += [_FREE**-2] * (len(chips) - 1)
        x, y, d = measured.field.T
        terms = (x, y, x * x, x * y, y * y, x * d, y * d, d, d * d)
        columns += [term * (measured.chip == chip) for chip in chips for term in terms]
        precision += [_FIELD**-2] * (_N_TERMS * len(chips))
        is_field += [False] * (len(chips) - 1) + ([True] * (_N_TERMS - 2) + [False] * 2) * len(chips)
    else:
        # Off by different constants of the chips, exposures that show not the same would seem to differ.
        chips = np.unique(measured.chip)
        share = 1.0 / len(chips)
        columns += [(measured.chip == chip) - share for chip in chips[1:]]
        precision += [_CHIPS**-2] * (len(chips) - 1)
        is_field += [False] * (len(chips) - 1)
    keys = (measured.visit, measured.source, measured.piece, measured.chip)
    groups, group = np.unique(np.column_stack(keys), axis=0, return_inverse=True)
    design = np.column_stack(columns).astype(float)
    return _System(
        design, np.array(precision), np.array(is_field), group.reshape(-1), len(groups), measured.source
    )


def _is_calibrated(system: _System, solved: _Solved) -> bool:
    """Return whether the data agree with a field without any further terms."""
    from scipy.special import chdtrc

    found = solved.parameters[system.is_field]
    covariance = _covariance(system, solved)[np.ix_(system.is_field, system.is_field)]
    covariance = covariance + _CALIBRATED**2 * np.eye(len(found))
    distance = float(found @ np.linalg.solve(covariance, found))
    return bool(chdtrc(len(found), distance) > _UNLIKELY)


def _iterated(measured: TraceMeasurements, system: _System) -> tuple[_State, _Solved]:
    state = _State(np.ones(len(measured)), np.ones(system.n_groups), 0.02, 0.2)
    solved = _solve(measured, system, state)
    for _ in range(_ITERATIONS):
        state = _reweighted(measured, system, state, solved)
        solved = _solve(measured, system, state)
    return state, solved


def _solve(measured: TraceMeasurements, system: _System, state: _State) -> _Solved:
    """Solve by weighted least squares, the groups' offsets eliminated."""
    weight = state.weight / (measured.error**2 + state.piece_scatter**2)
    weighted = weight[:, None] * system.design
    by_group = np.zeros((system.n_groups, system.design.shape[1]))
    np.add.at(by_group, system.group, weighted)
    data = np.bincount(system.group, weight * measured.height, system.n_groups)
    own = np.bincount(system.group, weight, system.n_groups) + state.group_weight / state.source_scatter**2
    normal = system.design.T @ weighted - by_group.T @ (by_group / own[:, None]) + np.diag(system.prior)
    right = weighted.T @ measured.height - by_group.T @ (data / own)
    inverse = np.asarray(np.linalg.inv(normal), dtype=np.float64)
    parameters = inverse @ right
    offsets = (data - by_group @ parameters) / own
    residual = measured.height - system.design @ parameters - offsets[system.group]
    return _Solved(parameters, residual, inverse, weight, own)


def _biweight(pull: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(1.0 - (pull / _CLIP) ** 2, 0.0, None) ** 2


def _scatter(values: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    """Return the robust scatter of values beyond their errors."""
    return estimate_floor(np.column_stack([values, values]), error, _LEAST_SCATTER)


def _reweighted(measured: TraceMeasurements, system: _System, state: _State, solved: _Solved) -> _State:
    """Return new weights and scatters from the residuals."""
    variance = measured.error**2 + state.piece_scatter**2
    # What a group's own offset takes up of a residual's variance
    total = np.bincount(system.group, solved.weight, system.n_groups)
    share = solved.weight / (total + state.group_weight / state.source_scatter**2)[system.group]
    free = np.clip(1.0 - share, 0.05, 1.0)
    shared = np.bincount(system.group, minlength=system.n_groups)[system.group] > 1
    expected = solved.residual / np.sqrt(free)
    piece = _scatter(expected[shared], measured.error[shared])
    mean, error = _group_means(measured, system, solved)
    source = _scatter(mean[error > 0], error[error > 0])
    pull = expected / np.sqrt(variance)
    # A group that lies far off counts no less in differences, but does not say where all lie.
    far = mean / np.sqrt(error**2 + source**2)
    return _State(_biweight(pull), np.maximum(_biweight(far), 1e-6), piece, source)


def _group_means(
    measured: TraceMeasurements, system: _System, solved: _Solved
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each group's mean height above what the parameters say, (G,), and its error; zero if clipped."""
    total = np.bincount(system.group, solved.weight, system.n_groups)
    rest = measured.height - system.design @ solved.parameters
    mean = np.bincount(system.group, solved.weight * rest, system.n_groups) / np.where(
        total > 0, total, np.inf
    )
    return mean, 1.0 / np.sqrt(np.where(total > 0, total, np.inf))


def _covariance(system: _System, solved: _Solved) -> NDArray[np.float64]:
    """Return the covariance of the parameters: how they move without each source, and what holds them."""
    clusters, cluster = np.unique(system.cluster, return_inverse=True)
    if len(clusters) < _FEWEST_CLUSTERS:
        return _BIWEIGHT_VARIANCE * solved.inverse
    normal = np.asarray(np.linalg.inv(solved.inverse), dtype=np.float64)
    moved = np.array([_moved_without(cluster == own, system, solved, normal) for own in range(len(clusters))])
    held = solved.inverse @ (system.prior[:, None] * solved.inverse)
    robust = _BIWEIGHT_VARIANCE * moved.T @ moved + held
    return np.asarray(_no_smaller(robust, _BIWEIGHT_VARIANCE * solved.inverse), dtype=np.float64)


def _moved_without(
    rows: NDArray[np.bool_], system: _System, solved: _Solved, normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return by how much the parameters move without some whole groups of measurements, weights kept."""
    design, weight, group = system.design[rows], solved.weight[rows], system.group[rows]
    of_group = (group[:, None] == np.unique(group)).astype(float)
    weighted = weight[:, None] * design
    by_group = of_group.T @ weighted
    own = design.T @ weighted - by_group.T @ (by_group / solved.own[np.unique(group)][:, None])
    return np.asarray(np.linalg.solve(normal - own, weighted.T @ solved.residual[rows]))


def _no_smaller(covariance: NDArray[np.float64], least: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a covariance, scaled up where its variances are on the whole below those of another one."""
    ratio = float(np.median(np.diag(covariance) / np.diag(least)))
    if not ratio > 0:
        return least
    raised = covariance / min(ratio, 1.0)
    # Nor does any vanish: scores of a few sources may happen to.
    lacking = _LEAST_SHARE * np.diag(least) - np.diag(raised)
    return np.asarray(raised + np.diag(np.clip(lacking, 0.0, None)), dtype=np.float64)


def contrast_with_others(is_known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what takes offsets of N exposures to each one's less the mean of the others.

    Parameters
    ----------
    is_known : (N,) ndarray of bool
        Exposures that have an offset.

    Returns
    -------
    (n, n) ndarray
        For the n known ones alone; empty where there is no other.
    """
    n = int(is_known.sum())
    return (n * np.eye(n) - 1.0) / (n - 1) if n > 1 else np.zeros((0, 0))


def disagreements(
    offsets: TraceOffsets, significance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return offsets of exposures less the mean of those that agree, if that is most of them, else of all.

    Parameters
    ----------
    offsets : TraceOffsets
        Of N exposures.
    significance : float
        Errors by which one has to differ not to be among those that agree.

    Returns
    -------
    value, error : (N,) ndarray, pixels
        Each less the mean of the others; NaN where there is none. An allowance for what well aligned
        exposures differ by is in the error.
    reference : (N,) ndarray of bool
        Those that agree.
    """
    known = np.isfinite(offsets.offset)
    reference = known.copy()
    while 2 * reference.sum() > known.sum() and reference.sum() > 1:
        value, error = _from_others(offsets, reference)
        pull = np.where(reference, np.abs(value) / error, 0.0)
        if reference.sum() == 2 or pull.max() <= significance:
            return value, error, reference
        reference[pull.argmax()] = False
    return *_from_others(offsets, known), known


def _from_others(
    offsets: TraceOffsets, reference: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each offset less the mean of the others in the reference, and its error."""
    n = len(reference)
    value, error = np.full(n, np.nan), np.full(n, np.nan)
    for number in np.flatnonzero(np.isfinite(offsets.offset)):
        others = reference & (np.arange(n) != number)
        rows = np.append(np.flatnonzero(others), number)
        if len(rows) > 1:
            contrast = np.append(np.full(len(rows) - 1, -1.0 / (len(rows) - 1)), 1.0)
            covariance = offsets.covariance[np.ix_(rows, rows)]
            value[number] = contrast @ offsets.offset[rows]
            error[number] = np.sqrt(contrast @ covariance @ contrast + _ALIGNED**2)
    return value, error
