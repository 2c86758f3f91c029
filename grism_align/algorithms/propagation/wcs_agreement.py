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
    from grism_align.values.pixel_sky import PixelSky


# Pairs of the same filter and grism differ by less than a mas among each other; arcsec.
_AMONG_PAIRS = 0.01
# How well that which filters differ by is known by another pair; arcsec.
_KNOWN = 0.005
# Part of a disagreement that may be left when it has been taken off: it may not have been of the sky alone.
_LEFT = 0.05
# Beyond this, arcsec, the headers are damaged, and nobody knows which part of them.
_BELIEVED = 60.0
# What distortions of a filter and a grism differ by at most, with a margin; arcsec.
_LARGEST_DISTORTION = 0.02
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
        Of the linear map, in the detector's frame, at the middle of the chip.
    distortion : float, arcsec
        What no linear map explains, at most.
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
        if not np.isfinite(difference.size):
            return Disagreement(LinearTransform.identity(plane), np.inf, np.inf, np.inf)
        alike = self._known.get(pair.kind, [difference])
        limit = max(one.original.error for one in (pair.grism, pair.direct) if one.original)
        usual, doubt = _usual(alike, limit)
        known = 0.5 * limit
        if len(alike) > 1 and usual is not _NONE:
            limit, known = _AMONG_PAIRS, _KNOWN
        moved = _taken_off(usual, pair, plane, _changes(pair, plane))
        size = _largest(pair.grism.chips[0], pair.start.mine, moved)
        distortion = max(difference.distortion - _LARGEST_DISTORTION, 0.0)
        if size <= limit and not doubt and not distortion:
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


def _difference(pair: WcsPair) -> _Difference | None:
    """Compare the two; None where they are not of one chip, or the pointing of one is not known."""
    grism, direct = pair.grism.chips[0], pair.direct.chips[0]
    if grism.window.chip != direct.window.chip or not pair.grism.original or not pair.direct.original:
        return None
    place = _middle(pair)
    here = place.to_plane(_sky_of_grid(replace(grism, wcs=pair.start.mine), grism))
    target = place.to_plane(_sky_of_grid(replace(direct, wcs=pair.start.theirs), grism))
    if not (np.isfinite(here).all() and np.isfinite(target).all()):
        return replace(_NONE, size=np.inf)
    change = _changes(pair, place)
    turn = _turn(pair.grism.original, place)
    fitted = weighted_transform(here, target, np.ones(len(here)), place, "general")
    return _Difference(
        turn.T @ change.matrix @ turn,
        turn.T @ change.shift,
        float(np.hypot(*(fitted.apply(here) - target).T).max()),
        _largest(grism, pair.start.mine, change),
    )


def _middle(pair: WcsPair) -> TangentPlane:
    """Return the tangent plane in the middle of the grism exposure's chip."""
    ny, nx = pair.grism.chips[0].shape
    ra, dec = pair.start.mine.to_sky([[0.5 * (nx - 1), 0.5 * (ny - 1)]])[0]
    return TangentPlane(float(ra), float(dec))


def _changes(pair: WcsPair, plane: TangentPlane) -> LinearTransform:
    """Return what takes the grism exposure's WCS as far off its pointing as the direct one's is."""
    mine, theirs = pair.grism.original, pair.direct.original
    assert mine is not None
    assert theirs is not None
    return _off(mine, pair.start.mine, plane).inverted().then(_off(theirs, pair.start.theirs, plane))


def _off(original: OriginalPointing, wcs: PixelSky, plane: TangentPlane) -> LinearTransform:
    """Return the map of the sky from an original pointing to a WCS, where the former holds."""
    steps = _STEP * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    xy = np.array(original.pixel) + steps
    source, target = plane.to_plane(original.wcs.to_sky(xy)), plane.to_plane(wcs.to_sky(xy))
    fitted = weighted_transform(source, target, np.ones(len(xy)), plane, "general")
    return LinearTransform(fitted.matrix, fitted.shift, plane)


def _taken_off(
    usual: _Difference, pair: WcsPair, plane: TangentPlane, change: LinearTransform
) -> LinearTransform:
    """Return a change without what is usual for its kind, which is known in the detector's frame."""
    if usual is _NONE or pair.grism.original is None:
        return change
    place = _middle(pair)
    turn = _turn(pair.grism.original, place)
    there = LinearTransform(turn @ usual.matrix @ turn.T, turn @ usual.shift, place)
    return change.then(there.at(plane).inverted())


def _turn(original: OriginalPointing, place: TangentPlane) -> NDArray[np.float64]:
    """Return the axes of a detector that is pointed so, (2, 2) as columns."""
    x, y = original.pixel
    below, above = place.to_plane(original.wcs.to_sky([[x, y - _STEP], [x, y + _STEP]]))
    x, y = (above - below) / np.hypot(*(above - below))
    return np.array([[y, x], [-x, y]])


# Each grism exposure is compared with all direct ones of its acquisition.
@lru_cache(maxsize=512)
def _sky_of_grid(chip: Chip, grid: Chip) -> NDArray[np.float64]:
    """Return where a chip has the pixels of the detector that are on the grid of another, (N, 2) deg."""
    ny, nx = grid.shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, _GRID), np.linspace(0, ny - 1, _GRID))
    xy = np.column_stack([x.ravel(), y.ravel()])
    return chip.wcs.to_sky(chip.window.from_chip(grid.window.to_chip(xy)))


def _largest(chip: Chip, wcs: PixelSky, moved: LinearTransform) -> float:
    """Return how far a map moves a pixel of a chip at most, arcsec."""
    there = moved.plane.to_plane(_sky_of_grid(replace(chip, wcs=wcs), chip))
    return float(np.hypot(*(moved.apply(there) - there).T).max())
