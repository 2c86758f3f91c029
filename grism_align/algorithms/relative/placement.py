"""Where the detectors of a camera lie against each other, as far as sources tell that several of them saw.

All detectors of a pointing share its error, and each is off its nominal place in the telescope's field by the
same amount in all pointings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy import sparse

from grism_align.algorithms.fitting.assembly import Entries
from grism_align.algorithms.fitting.dissection import dissected
from grism_align.algorithms.fitting.elimination import Elimination
from grism_align.algorithms.propagation.poses import Detector, detector_of, field_axes
from grism_align.values.failure import OutOfPlace
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import PointingSettings
    from grism_align.values.solution import AlignmentSolution, ExposureFit


_Name = TypeVar("_Name")
# Errors of the pointings here, arcsec: as good as unknown.
_FREE = 1.0
# Places that are wrong by more than this many of their errors count ever less in the prior.
_USUAL, _TURNS = 3.0, 10
# Places that are wrong by more than so many of the errors that are expected, and of their own, are told of.
_TOLD, _SURE = 3.0, 5.0
_MAS = 1e3


@dataclass(frozen=True)
class Placement:
    """By how much a detector is off its nominal place.

    Parameters
    ----------
    offset : (v2, v3), arcsec
        What is to be added to its positions in the telescope's field.
    error : float, arcsec
        Of one axis.
    """

    offset: tuple[float, float]
    error: float

    def transform(self, exposure: Exposure, like: LinearTransform) -> LinearTransform:
        """Return what it does to the sky of an exposure, in the plane of another map."""
        shift = field_axes(exposure, like.plane) @ np.array(self.offset)
        return LinearTransform(np.eye(2), shift, like.plane)


_NOMINAL = Placement((0.0, 0.0), 0.0)


def placements(
    exposures: Sequence[Exposure],
    solution: AlignmentSolution,
    errors: PointingSettings,
    before: Mapping[Detector, Placement],
) -> dict[Detector, Placement]:
    """Find the places of detectors from the residuals of an alignment that took them to be somewhere.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    solution : AlignmentSolution
        Their relative alignment, with residuals.
    errors : PointingSettings
        How well places are known beforehand.
    before : mapping of Detector to Placement
        Where the detectors were taken to be; at their nominal places where nothing is said.

    Returns
    -------
    dict of Detector to Placement
        Empty where no pointing was seen by several detectors.

    Notes
    -----
    With residuals r of a source in pointing p by detector d, shifts a of pointings and s of sources, and the
    axes R of the field on the sky, the sum of w (r + a_p + R_p offset_d - s)^2 is least. Sources are
    eliminated; the prior of offsets makes up for what no source tells. The mean of a camera's detectors is
    that of its pointings, and taken off.
    """
    used = [each for each in exposures if _tells(each, solution)]
    mounts = {detector_of(each): each.mount for each in used}
    detectors = list(mounts)
    if errors.detector_error <= 0 or not _share_pointings(used):
        return {}
    taken = np.concatenate([before.get(one, _NOMINAL).offset for one in detectors])
    offset, covariance = _solved(_Problem(used, detectors, solution), errors.detector_error, taken)
    apart = _from_the_mean(list(mounts.values()))
    offset = (apart @ offset).reshape(-1, 2)
    variance = np.diag(apart @ covariance @ apart.T).reshape(-1, 2).mean(axis=1)
    return {
        detector: Placement((float(xy[0]), float(xy[1])), float(np.sqrt(one)))
        for detector, xy, one in zip(detectors, offset, variance, strict=True)
    }


def largest_move(places: Mapping[Detector, Placement], before: Mapping[Detector, Placement]) -> float:
    """Return by how much the farthest detector was moved, arcsec."""
    moved = [np.subtract(one.offset, before.get(key, _NOMINAL).offset) for key, one in places.items()]
    return float(np.abs(moved).max(initial=0.0))


def out_of_place(places: Mapping[Detector, Placement], errors: PointingSettings) -> list[OutOfPlace]:
    """Return what is to be known of detectors that are not where they should be, the worst first.

    Parameters
    ----------
    places : mapping of Detector to Placement
        Where they are.
    errors : PointingSettings
        How well places are known beforehand.
    """
    found: list[OutOfPlace] = []
    for (instrument, number), place in places.items():
        off = float(np.hypot(*place.offset))
        if off > max(_TOLD * errors.detector_error, _SURE * place.error):
            found.append(OutOfPlace(instrument, number, _MAS * off, _MAS * place.error))
    return sorted(found, key=lambda one: -one.offset)


def with_errors_of(
    places: Mapping[Detector, Placement], found: Mapping[Detector, Placement]
) -> dict[Detector, Placement]:
    """Return places as they were taken to be, with the errors of others that differ by next to nothing."""
    return {key: replace(places.get(key, _NOMINAL), error=one.error) for key, one in found.items()}


def _solved(
    problem: _Problem, error: float, taken: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the offsets (2D,), arcsec, and their covariance, from those that were taken (2D,)."""
    # Shifts are what they are whatever offsets are: they are eliminated once.
    normal, right = problem.without_shifts()
    offset, covariance = taken, np.zeros_like(normal)
    for _ in range(_TURNS):
        square = (offset.reshape(-1, 2) ** 2).mean(axis=1)
        # Cauchy's weights: some places are wrong for once
        precision = np.repeat(error**-2.0 / (1.0 + square / (_USUAL * error) ** 2), 2)
        covariance = np.linalg.inv(normal + np.diag(precision)).astype(np.float64)
        offset = taken + covariance @ (right - precision * taken)
    return offset, covariance


def _from_the_mean(mounts: Sequence[str]) -> NDArray[np.float64]:
    """Return what takes the mean of each camera off its detectors' offsets (2D,): pointings have that."""
    same = np.array([[one == other for other in mounts] for one in mounts], dtype=float)
    return np.kron(np.eye(len(mounts)) - same / same.sum(axis=1), np.eye(2))


def _tells(exposure: Exposure, solution: AlignmentSolution) -> bool:
    fit = solution.fits.get(exposure.key)
    return exposure.attitude is not None and fit is not None and fit.is_aligned and fit.residuals is not None


def _share_pointings(exposures: Sequence[Exposure]) -> bool:
    found: dict[str, set[Detector]] = {}
    for each in exposures:
        found.setdefault(each.pointing, set()).add(detector_of(each))
    return any(len(detectors) > 1 for detectors in found.values())


def _places(names: Iterable[_Name]) -> dict[_Name, int]:
    """Give names numbers, in the order in which they come first."""
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


class _Problem:
    """The residuals of all exposures, and what they depend on."""

    def __init__(
        self, exposures: Sequence[Exposure], detectors: Sequence[Detector], solution: AlignmentSolution
    ) -> None:
        pointings = _places(each.pointing for each in exposures)
        places = _places(detectors)
        self.n_pointings = len(pointings)
        self.size = 2 * (len(pointings) + len(detectors))
        self._where = np.zeros((len(pointings), 2))
        for each in exposures:
            self._where[pointings[each.pointing]] = solution.plane.to_plane([each.plane.ra, each.plane.dec])
        self._parts = [
            _Part(
                pointings[each.pointing],
                len(pointings) + places[detector_of(each)],
                field_axes(each, solution.plane),
                solution[each.key],
            )
            for each in exposures
        ]

    def without_shifts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return normal matrix (2D, 2D) and right side of the offsets, shifts and sources eliminated."""
        normal, right = self._normal_equations()
        n = 2 * self.n_pointings
        own = (normal[:n, :n] + _FREE**-2.0 * sparse.eye(n)).tocoo()
        i, j = own.row // 2, own.col // 2
        tied = sparse.csr_matrix((np.ones(len(i)), (i, j)), shape=(self.n_pointings,) * 2)
        dissection = dissected(tied, self._where, np.repeat(np.arange(self.n_pointings), 2))
        entries = Entries(np.array([own.row, own.col]), dissection)
        shifts = Elimination(dissection, entries.of(own.data, np.ones(n)))
        beside = normal[:n, n:].toarray()
        taken = beside.T @ shifts.solve(np.column_stack([beside, right[:n]]))
        return normal[n:, n:].toarray() - taken[:, :-1], right[n:] - taken[:, -1]

    def _normal_equations(self) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
        """Return the normal matrix of shifts and offsets and its right side, the sources eliminated."""
        weight = np.concatenate([part.weight for part in self._parts])
        residual = np.concatenate([part.residual for part in self._parts])
        _, source = np.unique(np.concatenate([part.source for part in self._parts]), return_inverse=True)
        source = source.ravel()
        rows = np.arange(len(source))
        to_source = sparse.csr_matrix((weight, (source, rows)))
        total = np.maximum(np.asarray(to_source.sum(axis=1)).ravel(), np.finfo(float).tiny)
        normal, right = sparse.csr_matrix((self.size, self.size)), np.zeros(self.size)
        for axis in (0, 1):
            design = self._design(axis, len(source))
            weighted = design.multiply(weight[:, None]).tocsr()
            of_sources = to_source @ design
            scaled = of_sources.multiply(1.0 / total[:, None]).tocsr()
            normal = normal + design.T @ weighted - of_sources.T @ scaled
            # what the sources' means leave of the residuals
            left = residual[:, axis] - (to_source @ residual[:, axis] / total)[source]
            right -= weighted.T @ left
        return normal.tocsr(), right

    def _design(self, axis: int, n: int) -> sparse.csr_matrix:
        """Return derivatives of the residuals on one axis, (n, size)."""
        ends = np.cumsum([0, *(len(part.weight) for part in self._parts)])
        entries: list[tuple[NDArray[np.int64], int, float]] = []
        for part, low, high in zip(self._parts, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            rows = np.arange(low, high)
            entries.append((rows, 2 * part.pointing + axis, 1.0))
            entries += [(rows, 2 * part.detector + one, float(part.axes[axis, one])) for one in (0, 1)]
        i = np.concatenate([rows for rows, _, _ in entries])
        j = np.concatenate([np.full(len(rows), column) for rows, column, _ in entries])
        values = np.concatenate([np.full(len(rows), value) for rows, _, value in entries])
        return sparse.csr_matrix((values, (i, j)), shape=(n, self.size))


class _Part:
    """The residuals of one exposure, arcsec, and their weights."""

    def __init__(self, pointing: int, detector: int, axes: NDArray[np.float64], fit: ExposureFit) -> None:
        assert fit.residuals is not None
        self.pointing, self.detector, self.axes = pointing, detector, axes
        self.source = fit.residuals.matched
        self.residual = fit.residuals.offset / _MAS
        scatter = np.fmax(fit.reduced_chi2, 1.0)
        self.weight = fit.residuals.weight * (_MAS / fit.residuals.error) ** 2 / scatter


def placed(
    exposures: Sequence[Exposure], places: Mapping[Detector, Placement], solution: AlignmentSolution
) -> list[Exposure]:
    """Return exposures with their detectors in place.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    places : mapping of Detector to Placement
        Where those are.
    solution : AlignmentSolution
        Any, for its plane.
    """
    like = LinearTransform.identity(solution.plane)
    return [
        each.corrected(places[detector_of(each)].transform(each, like))
        if detector_of(each) in places
        else each
        for each in exposures
    ]


def with_placements(
    solution: AlignmentSolution, exposures: Sequence[Exposure], places: Mapping[Detector, Placement]
) -> AlignmentSolution:
    """Return the alignment of exposures as they are, from that of the same with their detectors in place.

    Parameters
    ----------
    solution : AlignmentSolution
        Of `placed` exposures.
    exposures : sequence of Exposure
        As they are.
    places : mapping of Detector to Placement
        Where their detectors are.
    """
    fits = dict(solution.fits)
    for each in exposures:
        place, fit = places.get(detector_of(each)), fits[each.key]
        if place is None or fit.transform is None:
            continue
        fits[each.key] = replace(
            fit,
            transform=place.transform(each, fit.transform).then(fit.transform),
            placement=(_MAS * place.offset[0], _MAS * place.offset[1]),
            placement_error=_MAS * place.error,
        )
    return replace(solution, fits=fits)
