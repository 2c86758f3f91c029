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
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.pixel_sky import PixelSky


# Pairs of the same filter and grism differ by less than a mas among each other; arcsec.
_AMONG_PAIRS = 0.01
# How well that which filters differ by is known by another pair; arcsec.
_KNOWN = 0.005
# Part of a disagreement that may be left when it has been taken off: it may not have been of the sky alone.
_LEFT = 0.05
# A WCS without a pointing to tell it by: scale and distortion of a filter and a grism alone; arcsec.
_BETWEEN_FILTERS = 0.1
# Beyond this, arcsec, the headers are damaged, and nobody knows which part of them.
_BELIEVED = 60.0
# Points of a chip, a side.
_GRID = 5


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
        return names, where, solution, "" if is_commanded else grism.group


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
    """

    moved: LinearTransform
    size: float
    error: float
    distortion: float

    @property
    def is_believed(self) -> bool:
        """Whether so much can be the work of somebody who aligned one of the two."""
        return self.size <= _BELIEVED


@dataclass(frozen=True, eq=False)
class _Difference:
    """From where a grism exposure has its pixels to where a direct one has them, by the pointing of each.

    Parameters
    ----------
    matrix, shift : (2, 2) and (2,) ndarray, arcsec
        Of the linear map.
    distortion : float, arcsec
        What it leaves, at most.
    size : float, arcsec
        How far it moves a pixel, at most.
    """

    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    distortion: float
    size: float

    def gap(self, other: _Difference) -> float:
        """Return by how much two pairs differ otherwise, arcsec."""
        turned = np.linalg.norm(self.matrix - other.matrix) * _REACH
        return float(np.hypot(*(self.shift - other.shift)) + turned)


# From the centre to the corner of a chip, arcsec.
_REACH = 100.0
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
        limit = _tolerance(pair)
        usual, doubt = _usual(alike, limit)
        known = 0.5 * limit
        if len(alike) > 1 and usual is not _NONE:
            limit, known = _AMONG_PAIRS, _KNOWN
        if not np.isfinite(difference.size):
            return Disagreement(LinearTransform.identity(plane), np.inf, np.inf, np.inf)
        matrix = difference.matrix @ np.linalg.inv(usual.matrix)
        shift = difference.shift - matrix @ usual.shift
        moved = _moved(pair, LinearTransform(matrix, shift, plane), plane)
        distortion = max(difference.distortion - usual.distortion, 0.0)
        size = _largest(pair, moved)
        if max(size, distortion) <= limit and not doubt:
            return None
        error = float(np.linalg.norm([known, _LEFT * size, distortion, doubt]))
        return Disagreement(moved, size, error, distortion)


def _usual(alike: Sequence[_Difference], most: float) -> tuple[_Difference, float]:
    """Choose what most pairs of a kind differ by; where as many differ by another amount, the least.

    With it comes how far the other is away, arcsec, if that is no clear choice.
    """
    votes = [sum(one.gap(other) < _AMONG_PAIRS for other in alike) for one in alike]
    order = sorted(range(len(alike)), key=lambda at: (-votes[at], alike[at].size))
    best = alike[order[0]]
    if not best.size < most:
        return _NONE, 0.0
    tied = [alike[at] for at in order if votes[at] == votes[order[0]] and alike[at].size < most]
    doubt = max(one.gap(best) for one in tied)
    return best, doubt if doubt > _AMONG_PAIRS else 0.0


def _tolerance(pair: WcsPair) -> float:
    """Return what a filter and a grism may differ by, arcsec."""
    mine, theirs = pair.grism.original, pair.direct.original
    return max(mine.error, theirs.error) if mine and theirs else _BETWEEN_FILTERS


def _difference(pair: WcsPair) -> _Difference | None:
    """Compare pixel by pixel; None where the two are not of one chip."""
    grism, direct = pair.grism.chips[0], pair.direct.chips[0]
    if grism.window.chip != direct.window.chip:
        return None
    mine, theirs = _originals(pair)
    here = _seen(replace(grism, wcs=mine), replace(grism, wcs=pair.start.mine), grism)
    target = _seen(replace(direct, wcs=theirs), replace(direct, wcs=pair.start.theirs), grism)
    if not (np.isfinite(here).all() and np.isfinite(target).all()):
        return replace(_NONE, size=np.inf)
    plane = TangentPlane(0.0, 0.0)
    fitted = weighted_transform(here, target, np.ones(len(here)), plane, "general")
    moved = fitted.apply(here)
    rest, size = (float(np.hypot(*(moved - end).T).max()) for end in (target, here))
    return _Difference(fitted.matrix, fitted.shift, rest, size)


@dataclass(frozen=True, eq=False)
class _Frame:
    """A tangent plane that is turned like a detector, by the pointing as commanded."""

    plane: TangentPlane
    turn: NDArray[np.float64]

    def seen(self, wcs: PixelSky, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where a WCS has pixels (N, 2) in this frame, arcsec."""
        return np.asarray(self.plane.to_plane(wcs.to_sky(xy)) @ self.turn)

    def to_sky(self, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return positions (N, 2) of the sky, deg, of some in this frame."""
        return self.plane.to_sky(seen @ self.turn.T)


def _originals(pair: WcsPair) -> tuple[PixelSky, PixelSky]:
    """Return what tells the two pointings; if nothing does, the WCSs, which leaves scale and distortion."""
    mine, theirs = pair.grism.original, pair.direct.original
    return (mine.wcs, theirs.wcs) if mine and theirs else (pair.start.mine, pair.start.theirs)


def _frame(original: PixelSky, xy: NDArray[np.float64]) -> _Frame:
    """Place a frame in the middle of some pixels."""
    middle, low, high = xy.mean(axis=0), xy[0], xy[-_GRID]
    center = original.to_sky([middle])[0]
    plane = TangentPlane(float(center[0]), float(center[1]))
    below, above = plane.to_plane(original.to_sky([low, high]))
    x, y = (above - below) / np.hypot(*(above - below))
    return _Frame(plane, np.array([[y, x], [-x, y]]))


# Each grism exposure is compared with all direct ones of its acquisition.
@lru_cache(maxsize=512)
def _seen(original: Chip, chip: Chip, grid: Chip) -> NDArray[np.float64]:
    """Return where a chip has the pixels of the detector that are on the grid of another, arcsec."""
    xy = chip.window.from_chip(grid.window.to_chip(_grid(grid.shape)))
    return _frame(original.wcs, xy).seen(chip.wcs, xy)


@lru_cache(maxsize=8)
def _grid(shape: tuple[int, int]) -> NDArray[np.float64]:
    ny, nx = shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, _GRID), np.linspace(0, ny - 1, _GRID))
    return np.column_stack([x.ravel(), y.ravel()])


def _moved(pair: WcsPair, difference: LinearTransform, plane: TangentPlane) -> LinearTransform:
    """Take a map of the detector's frame to the sky of the grism exposure."""
    xy = _grid(pair.grism.chips[0].shape)
    frame = _frame(_originals(pair)[0], xy)
    here = frame.seen(pair.start.mine, xy)
    source, target = (plane.to_plane(frame.to_sky(seen)) for seen in (here, difference.apply(here)))
    return replace(
        weighted_transform(source, target, np.ones(len(xy)), plane, "general"), covariance=np.zeros((6, 6))
    )


def _largest(pair: WcsPair, moved: LinearTransform) -> float:
    """Return how far a map moves a pixel of the grism exposure at most, arcsec."""
    there = moved.plane.to_plane(pair.start.mine.to_sky(_grid(pair.grism.chips[0].shape)))
    return float(np.hypot(*(moved.apply(there) - there).T).max())
