"""Whether two WCSs of one name are one solution, told by the pointing as commanded, which nobody corrects.

A name is all that says which solution a WCS is, and tools that move WCSs do not always give them new names.
The original pointing of an exposure stays in its headers. Seen from there, a direct and a grism exposure of
one acquisition have their pixels at the same place, up to what filters and distortion models differ by. Where
they have not, one of the two was moved, and the correction of the grism exposure differs by as much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.fit import weighted_transform
from grism_align.values.transform import LinearTransform, TangentPlane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.propagation.common_start import CommonStart
    from grism_align.values.exposure import Chip, Exposure, OriginalPointing


# Pairs of the same filter and grism differ by a few mas among each other: velocity aberration; arcsec.
_AMONG_PAIRS = 0.015
# How well that which filters differ by is known by another pair; arcsec.
_KNOWN = 0.005
# Part of a disagreement that may be left when it has been taken off: it may not have been of the sky alone.
_LEFT = 0.05
# Beyond this, arcsec, the headers are damaged, and nobody knows which part of them.
_BELIEVED = 60.0
# What distortions of a filter and a grism differ by at most, with a margin; arcsec.
_LARGEST_DISTORTION = 0.02
# Pairs of a kind that are compared with each other.
_MOST_VOTERS = 500
# Points of a chip, a side; from the reference pixel, to take derivatives, pixels.
_GRID, _STEP = 5, 10.0


@dataclass(frozen=True, eq=False)
class WcsPair:
    """A grism exposure, a direct one, and their WCSs of one name.

    Parameters
    ----------
    grism, direct : Exposure
        The two.
    start : CommonStart
        What they have in common.
    """

    grism: Exposure
    direct: Exposure
    start: CommonStart

    @property
    def kind(self) -> tuple[object, ...]:
        """What pairs have in common that should differ alike."""
        grism, direct = self.grism, self.direct
        solution = self.start.solution or grism.wcs_solution
        is_commanded = solution.startswith(grism.telescope.coherence.commanded or ("\0",))
        where = tuple((each.chips[0].shape, each.chips[0].window) for each in (grism, direct))
        names = tuple((each.instrument, each.filter, each.distortion) for each in (grism, direct))
        # alternate O is of other pixels than the aperture is
        known = tuple(each.original and each.original.error for each in (grism, direct))
        return names, where, known, solution, "" if is_commanded else grism.group


@dataclass(frozen=True, eq=False)
class Disagreement:
    """By how much a direct exposure's WCS is another solution than the grism exposure's of the same name.

    Parameters
    ----------
    moved : LinearTransform
        From the grism exposure's WCS to what it would be if it had been moved as the direct exposure's was.
    size : float, arcsec
        The most that this moves a pixel.
    error : float, arcsec
        Of that, of one axis.
    distortion : float, arcsec
        What no linear map explains.
    doubt : float, arcsec
        By how much pairs of its kind differ of which nothing tells which is right; else zero.
    """

    moved: LinearTransform
    size: float
    error: float
    distortion: float
    doubt: float

    @property
    def is_believed(self) -> bool:
        """Whether so much can be the work of somebody who aligned one of the two."""
        return self.size <= _BELIEVED


@dataclass(frozen=True, eq=False)
class _Off:
    """How far a WCS is off the original pointing of its exposure, where that holds.

    Parameters
    ----------
    matrix, shift : (2, 2) and (2,) ndarray, arcsec
        In the frame of the detector.
    turn : (2, 2) ndarray
        The axes of that frame on the sky, as columns.
    before, after : (2,) ndarray, deg
        Where the two have the pixel.
    """

    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    turn: NDArray[np.float64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Difference:
    """By how much more a direct exposure's WCS is off its pointing than the grism exposure's.

    Parameters
    ----------
    matrix, shift : (2, 2) and (2,) ndarray, arcsec
        In the frame of the detector.
    reach : float, arcsec
        From the centre of the chip to its corner.
    distortion : float, arcsec
        What no linear map explains, at most.
    """

    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    reach: float
    distortion: float

    @property
    def size(self) -> float:
        """How far it moves a pixel, at most, arcsec."""
        turned = float(np.linalg.norm(self.matrix - np.eye(2), 2))
        return float(np.hypot(*self.shift)) + self.reach * turned

    def beyond(self, usual: _Difference) -> _Difference:
        """Return what is left of it when what is usual is taken off."""
        matrix = self.matrix @ np.linalg.inv(usual.matrix)
        return replace(self, matrix=matrix, shift=self.shift - usual.shift)


_NONE = _Difference(np.eye(2), np.zeros(2), 0.0, 0.0)


class WcsAgreement:
    """Judges pairs of WCSs of one name, by all pairs of a field.

    Parameters
    ----------
    pairs : sequence of WcsPair
        Of grism exposures and the direct exposures of their acquisitions.
    """

    def __init__(self, pairs: Sequence[WcsPair]) -> None:
        self._known: dict[tuple[object, ...], list[_Difference]] = {}
        for pair in pairs:
            difference = _difference(pair)
            if difference is not None:
                self._known.setdefault(pair.kind, []).append(difference)
        self._usual: dict[tuple[object, ...], tuple[_Difference, float]] = {}

    def disagreement(self, pair: WcsPair, plane: TangentPlane) -> Disagreement | None:
        """Tell how the two WCSs of a pair contradict each other.

        Parameters
        ----------
        pair : WcsPair
            The two.
        plane : TangentPlane
            In which `Disagreement.moved` is written.

        Returns
        -------
        Disagreement or None
            None where they are one solution as far as is known.
        """
        difference = _difference(pair)
        if difference is None:
            return None
        alike = self._known.get(pair.kind, [difference])
        limit = max(one.original.error for one in (pair.grism, pair.direct) if one.original)
        usual, doubt = self._usual.get(pair.kind) or _usual(alike, limit)
        if pair.kind in self._known:
            self._usual[pair.kind] = usual, doubt
        beyond = difference.beyond(usual)
        known = 0.5 * limit
        if len(alike) > 1 and usual is not _NONE:
            limit, known = _AMONG_PAIRS, _KNOWN
        distortion = max(difference.distortion - _LARGEST_DISTORTION, 0.0)
        if beyond.size <= limit and not doubt and not distortion:
            return None
        error = float(np.linalg.norm([known, _LEFT * beyond.size, distortion, doubt]))
        return Disagreement(_on_the_sky(beyond, pair, plane), beyond.size, error, distortion, doubt)


def _usual(alike: Sequence[_Difference], most: float) -> tuple[_Difference, float]:
    """Choose what most pairs of a kind differ by; where as many differ by another amount, the least.

    With it comes how far the other is away, arcsec, if that is no clear choice.
    """
    alike = alike[:: -(-len(alike) // _MOST_VOTERS)]
    gaps = _gaps(alike)
    votes = (gaps < _AMONG_PAIRS).sum(axis=1).tolist()
    order = sorted(range(len(alike)), key=lambda at: (-votes[at], alike[at].size))
    best = alike[order[0]]
    if not best.size < most:
        return _NONE, 0.0
    tied = [at for at in order if votes[at] == votes[order[0]] and alike[at].size < most]
    doubt = float(gaps[tied, order[0]].max())
    return best, doubt if doubt > _AMONG_PAIRS else 0.0


def _gaps(alike: Sequence[_Difference]) -> NDArray[np.float64]:
    """Return by how much each is beyond each other one, (N, N) arcsec."""
    matrix, shift = np.array([one.matrix for one in alike]), np.array([one.shift for one in alike])
    reach = np.array([one.reach for one in alike])
    (a, b), (c, d) = np.moveaxis(matrix[:, None] @ np.linalg.inv(matrix) - np.eye(2), (2, 3), (0, 1))
    turned = 0.5 * (np.hypot(a + d, b - c) + np.hypot(a - d, b + c))  # the larger singular value
    with np.errstate(invalid="ignore"):  # a WCS that has no place for the pixel is infinitely far off
        moved = np.hypot(*np.moveaxis(shift[:, None] - shift, 2, 0))
    return np.asarray(moved + reach[:, None] * turned)


def _difference(pair: WcsPair) -> _Difference | None:
    """Compare the two; None where they are not of one chip, or the pointing of one is not known."""
    grism, direct = pair.grism.chips[0], pair.direct.chips[0]
    offs = _offs(pair)
    if grism.window.chip != direct.window.chip or offs is None:
        return None
    mine, theirs = offs
    reach = 0.5 * float(np.hypot(*grism.shape)) * grism.native_scale
    distortion = _distortion(replace(grism, wcs=pair.start.mine), replace(direct, wcs=pair.start.theirs))
    matrix = theirs.matrix @ np.linalg.inv(mine.matrix)
    return _Difference(matrix, theirs.shift - mine.shift, reach, distortion)


def _offs(pair: WcsPair) -> tuple[_Off, _Off] | None:
    """Return how far each of the two is off its pointing; None where that is not known."""
    mine, theirs = pair.grism.original, pair.direct.original
    if mine is None or theirs is None:
        return None
    grism, direct = pair.grism.chips[0], pair.direct.chips[0]
    return (
        _off(mine, replace(grism, wcs=pair.start.mine)),
        _off(theirs, replace(direct, wcs=pair.start.theirs)),
    )


# Each grism exposure is compared with all direct ones of its acquisition.
@lru_cache(maxsize=512)
def _off(original: OriginalPointing, chip: Chip) -> _Off:
    xy = np.array(original.pixel) + _STEP * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    before, after = original.wcs.to_sky(xy), chip.wcs.to_sky(xy)
    plane = TangentPlane(float(before[0, 0]), float(before[0, 1]))
    source, target = plane.to_plane(before), plane.to_plane(after)
    x, y = (source[3] - source[4]) / np.hypot(*(source[3] - source[4]))
    turn = np.array([[y, x], [-x, y]])
    if not np.isfinite(target).all():
        return _Off(np.eye(2), np.full(2, np.inf), turn, before[0], after[0])
    fitted = weighted_transform(source @ turn, target @ turn, np.ones(len(xy)), plane, "general")
    return _Off(fitted.matrix, fitted.shift, turn, before[0], after[0])


@lru_cache(maxsize=512)
def _distortion(grism: Chip, direct: Chip) -> float:
    """Return what no linear map explains between where two chips have the same pixels, at most, arcsec."""
    ny, nx = grism.shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, _GRID), np.linspace(0, ny - 1, _GRID))
    xy = np.column_stack([x.ravel(), y.ravel()])
    here = grism.wcs.to_sky(xy)
    there = direct.wcs.to_sky(direct.window.from_chip(grism.window.to_chip(xy)))
    middle = len(xy) // 2
    source, target = (TangentPlane(*sky[middle].tolist()).to_plane(sky) for sky in (here, there))
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        return np.inf
    fitted = weighted_transform(source, target, np.ones(len(xy)), TangentPlane(0.0, 0.0), "general")
    return float(np.hypot(*(fitted.apply(source) - target).T).max())


def _on_the_sky(beyond: _Difference, pair: WcsPair, plane: TangentPlane) -> LinearTransform:
    """Take a difference to the sky, about the pixel of the exposure that is farther off its pointing."""
    offs = _offs(pair)
    if offs is None or not np.isfinite(beyond.size):
        return LinearTransform.identity(plane)
    mine, theirs = offs
    sizes = [replace(beyond, matrix=one.matrix, shift=one.shift).size for one in offs]
    one, place = (mine, mine.after) if sizes[0] > sizes[1] else (theirs, theirs.before)
    anchor = TangentPlane(*place.tolist())
    there = LinearTransform(one.turn @ beyond.matrix @ one.turn.T, one.turn @ beyond.shift, anchor)
    return there.at(plane)
