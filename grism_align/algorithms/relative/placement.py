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
from grism_align.algorithms.relative.pointing import roll_groups
from grism_align.values.failure import OutOfPlace
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.catalog import SkySource
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import PointingSettings
    from grism_align.values.solution import AlignmentSolution, ExposureFit


_Name = TypeVar("_Name", bound="Hashable")
# Errors of the pointings here, arcsec: as good as unknown. Rolls are in arcsec at the end of an arm, arcsec.
_FREE, _ARM = 1.0, 1000.0
# Places that are wrong by more than this many of their errors count ever less in the prior.
_USUAL, _TURNS = 3.0, 10
# Places that are wrong by more than so many of the errors that are expected, and of their own, are told of.
_TOLD, _SURE = 3.0, 5.0
# Moves, arcsec, that are worth aligning again, or of so many of their errors where that is less.
_WORTH, _CLEAR = 5e-4, 4.0
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

    @property
    def limit(self) -> float:
        """The largest move, arcsec, that is not worth aligning again."""
        return min(_WORTH, _CLEAR * self.error)

    def transform(self, exposure: Exposure, like: LinearTransform) -> LinearTransform:
        """Return what it does to the sky of an exposure, in the plane of another map."""
        shift = field_axes(exposure, like.plane) @ np.array(self.offset)
        return LinearTransform(np.eye(2), shift, like.plane).with_shift_error(self.error)


_NOMINAL = Placement((0.0, 0.0), 0.0)


def placements(
    exposures: Sequence[Exposure],
    solution: AlignmentSolution,
    sources: Sequence[SkySource],
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
    sources : sequence of SkySource
        Those of the alignment.
    errors : PointingSettings
        How well places are known beforehand.
    before : mapping of Detector to Placement
        Where the detectors were taken to be; at their nominal places where nothing is said.

    Returns
    -------
    dict of Detector to Placement
        Of cameras of which several detectors took a pointing.

    Notes
    -----
    With residuals r of a source in pointing p by detector d, shifts a of pointings and s of sources, rolls t
    of acquisitions, what these do to a source's place x, and the axes R of the field on the sky, the sum of
    w (r + a_p + t x + R_p offset_d - s)^2 is least. Sources are eliminated; the prior of offsets makes up for
    what no source tells. What is common to a camera's detectors is its pointings', and taken off: the median,
    so that one that is far off moves none of the others.
    """
    fitted = [each for each in exposures if each.attitude is not None and solution[each.key].is_aligned]
    several = cameras_with_several(fitted) if errors.detector_error > 0 else set()
    of_cameras = [each for each in fitted if each.mount in several]
    unknown = dict.fromkeys(map(detector_of, of_cameras), Placement((0.0, 0.0), errors.detector_error))
    used = [each for each in of_cameras if solution[each.key].residuals is not None]
    if not used:
        return unknown
    mounts = {detector_of(each): each.mount for each in used}
    detectors = list(mounts)
    taken = np.concatenate([before.get(one, _NOMINAL).offset for one in detectors])
    problem = _Problem(used, detectors, solution, sources)
    offset, covariance = _solved(problem, errors.detector_error, taken)
    offset = from_the_median(offset.reshape(-1, 2), list(mounts.values()))
    apart = _from_the_mean(list(mounts.values()))
    variance = np.diag(apart @ covariance @ apart.T).reshape(-1, 2).mean(axis=1)
    return unknown | {
        detector: Placement((float(xy[0]), float(xy[1])), float(np.sqrt(one)))
        for detector, xy, one in zip(detectors, offset, variance, strict=True)
    }


def moved_places(
    places: Mapping[Detector, Placement], found: Mapping[Detector, Placement], errors: PointingSettings
) -> tuple[dict[Detector, Placement], bool]:
    """Move detectors, but for those of which nothing says that they are not at their nominal places.

    Parameters
    ----------
    places : mapping of Detector to Placement
        Where detectors were taken to be.
    found : mapping of Detector to Placement
        Where they were found then.
    errors : PointingSettings
        How well places are known beforehand.

    Returns
    -------
    dict of Detector to Placement
        Those found, or the old ones where these are as good; that they differ counts as an error.
    bool
        Whether any was moved.

    Notes
    -----
    By the Bayes factor for an offset of the usual size: a nominal place is kept if |offset|^2 / (2 e^2) is no
    more than ln(1 + detector_error^2 / e^2), with the error e of what was found.
    """
    kept, moved = {}, {}
    for key, one in found.items():
        before = places.get(key, _NOMINAL)
        left = np.subtract(one.offset, before.offset)
        kept[key] = Placement(before.offset, float(np.sqrt(one.error**2 + (left**2).mean())))
        against = (left**2).sum() / (2.0 * one.error**2)
        is_nominal = before.offset == _NOMINAL.offset
        if is_nominal and against <= np.log1p((errors.detector_error / one.error) ** 2):
            continue
        moved[key] = one
    largest = max(
        (np.abs(np.subtract(one.offset, kept[key].offset)).max() / one.limit for key, one in moved.items()),
        default=0.0,
    )
    return (kept | moved, True) if largest > 1.0 else (kept, False)


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


def _solved(
    problem: _Problem, error: float, taken: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the offsets (2D,), arcsec, and their covariance, from those that were taken (2D,)."""
    # Shifts and rolls are what they are whatever offsets are: they are eliminated once.
    normal, right = problem.of_offsets()
    offset, covariance = taken, np.zeros_like(normal)
    for _ in range(_TURNS):
        square = (offset.reshape(-1, 2) ** 2).mean(axis=1)
        # Cauchy's weights: some places are wrong for once
        precision = np.repeat(error**-2.0 / (1.0 + square / (_USUAL * error) ** 2), 2)
        covariance = np.linalg.inv(normal + np.diag(precision)).astype(np.float64)
        offset = taken + covariance @ (right - precision * taken)
    return offset, covariance


def from_the_median(offset: NDArray[np.float64], mounts: Sequence[str]) -> NDArray[np.float64]:
    """Return offsets from the median of each camera's detectors.

    Parameters
    ----------
    offset : (D, 2) ndarray
        Of detectors.
    mounts : sequence of str
        The camera of each.
    """
    out = offset.copy()
    for mount in set(mounts):
        own = np.array([one == mount for one in mounts])
        out[own] -= np.median(offset[own], axis=0)
    return out


def _from_the_mean(mounts: Sequence[str]) -> NDArray[np.float64]:
    """Return what takes the mean of each camera off its detectors' offsets (2D,)."""
    same = np.array([[one == other for other in mounts] for one in mounts], dtype=float)
    return np.kron(np.eye(len(mounts)) - same / same.sum(axis=1), np.eye(2))


def cameras_with_several(exposures: Iterable[Exposure]) -> set[str]:
    """Return the cameras of which several detectors took a pointing.

    Parameters
    ----------
    exposures : iterable of Exposure
        Any.

    Returns
    -------
    set of str
        The `mount` of each.
    """
    detectors: dict[tuple[str, str], set[Detector]] = {}
    for one in exposures:
        detectors.setdefault((one.mount, one.pointing), set()).add(detector_of(one))
    return {mount for (mount, _), several in detectors.items() if len(several) > 1}


def _places(names: Iterable[_Name]) -> dict[_Name, int]:
    """Give names numbers, in the order in which they come first."""
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


class _Problem:
    """The residuals of all exposures, and what they depend on: of each pointing a shift, and so on."""

    def __init__(
        self,
        exposures: Sequence[Exposure],
        detectors: Sequence[Detector],
        solution: AlignmentSolution,
        sources: Sequence[SkySource],
    ) -> None:
        plane = solution.plane
        rolls = [
            each.pointing if solution[each.key].roll == "exposure" else group
            for each, group in zip(exposures, roll_groups(exposures, plane), strict=True)
        ]
        pointings, groups = _places(each.pointing for each in exposures), _places(rolls)
        places = _places(detectors)
        n, self._n_moves = len(pointings), 2 * len(pointings) + len(groups)
        self.size = self._n_moves + 2 * len(detectors)
        # Each pointing, and each roll, is a body.
        self._body = np.concatenate([np.repeat(np.arange(n), 2), n + np.arange(len(groups))])
        self._where = np.zeros((n + len(groups), 2))
        self._parts = []
        xy = plane.to_plane(np.array([(one.ra, one.dec) for one in sources]))
        for each, roll in zip(exposures, rolls, strict=True):
            self._where[[pointings[each.pointing], n + groups[roll]]] = plane.to_plane(
                [each.plane.ra, each.plane.dec]
            )
        for each, roll in zip(exposures, rolls, strict=True):
            pointing, fit = pointings[each.pointing], solution[each.key]
            columns = _Columns(
                2 * pointing, 2 * n + groups[roll], self._n_moves + 2 * places[detector_of(each)]
            )
            assert fit.residuals is not None
            # About one point of the pointing, whatever the detector
            arm = (xy[fit.residuals.matched] - self._where[pointing]) / _ARM
            self._parts.append(_Part(columns, field_axes(each, plane), arm, fit))

    def of_offsets(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return normal matrix (2D, 2D) and right side of the offsets, all others eliminated."""
        normal, right = self._normal_equations()
        n = self._n_moves
        own = (normal[:n, :n] + _FREE**-2.0 * sparse.eye(n)).tocoo()
        bodies = len(self._where)
        i, j = self._body[own.row], self._body[own.col]
        tied = sparse.csr_matrix((np.ones(len(i)), (i, j)), shape=(bodies, bodies))
        dissection = dissected(tied, self._where, self._body)
        entries = Entries(np.array([own.row, own.col]), dissection)
        moves = Elimination(dissection, entries.of(own.data, np.ones(n)))
        beside = normal[:n, n:].toarray()
        taken = beside.T @ moves.solve(np.column_stack([beside, right[:n]]))
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
        i, j, values = [], [], []
        for part, low, high in zip(self._parts, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            for column, value in part.derivatives(axis):
                i.append(np.arange(low, high))
                j.append(np.full(high - low, column))
                values.append(np.broadcast_to(value, high - low))
        entries = np.concatenate(values), (np.concatenate(i), np.concatenate(j))
        return sparse.csr_matrix(entries, shape=(n, self.size))


@dataclass(frozen=True)
class _Columns:
    """Numbers of the unknowns of an exposure: the first of its shift and of its detector, and its roll."""

    shift: int
    roll: int
    detector: int


class _Part:
    """The residuals of one exposure, arcsec, their weights, and what they depend on."""

    def __init__(
        self, columns: _Columns, axes: NDArray[np.float64], arm: NDArray[np.float64], fit: ExposureFit
    ) -> None:
        assert fit.residuals is not None
        self._columns, self._axes, self._arm = columns, axes, arm
        self._turns = fit.geometry != "shift"
        self.source = fit.residuals.matched
        self.residual = fit.residuals.offset / _MAS
        scatter = np.fmax(fit.reduced_chi2, 1.0)
        self.weight = fit.residuals.weight * (_MAS / fit.residuals.error) ** 2 / scatter

    def derivatives(self, axis: int) -> Iterator[tuple[int, float | NDArray[np.float64]]]:
        """Yield the unknowns on which the residuals of an axis depend, and the derivatives."""
        columns = self._columns
        yield columns.shift + axis, 1.0
        yield from ((columns.detector + one, float(self._axes[axis, one])) for one in (0, 1))
        if self._turns:
            yield columns.roll, self._arm[:, 1] if axis == 0 else -self._arm[:, 0]


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
