"""Detections that keep their place on the detector while the sky moves: hot pixels, columns, persistence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import pdtrc

from grism_align.algorithms.matching.match import match_lists
from grism_align.algorithms.relative.dithers import acquisition_of, least_dither
from grism_align.values.catalog import SourceCatalog, SourceFlag
from grism_align.values.errors import AlignmentError
from grism_align.values.plane_list import PlaneList
from grism_align.values.settings import MatchSettings
from grism_align.values.sphere import ARCSEC_PER_RADIAN, mean_direction, sky_to_vector, vector_to_sky
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import PointingSettings


# Detections nearer than this, in pixels of the detector, are at one place of it.
_SAME_PLACE = 0.7
# Annulus around a place, in pixels, in which the density of detections is counted.
_AROUND = (4.0, 32.0)
# Largest share of the flagged detections that chance may have brought to their places.
_CHANCE_SHARE = 0.1
# What this share of the exposures that look at a detection's place on the sky see there is of the sky.
_SEEN_SHARE = 0.5
# Where more than this share of a list is in place in an exposure of another acquisition, the two may look at
# one place of the sky.
_MOSTLY = 0.5
# Largest roll, deg, between WCSs of two acquisitions; error of a detection, arcsec.
_LARGEST_ROLL, _ERROR = 0.5, 0.02
# Exposures that are compared with each other at most: with the square of their number grows what it takes.
_MOST_COMPARED = 400
# Detections are not looked for nearer to the edge of a chip, in pixels.
_EDGE = 5.0


@dataclass(frozen=True, eq=False)
class _Field:
    """The detections of all exposures, one after the other.

    Parameters
    ----------
    exposures : sequence of Exposure
        E of them.
    number : (N,) ndarray of int
        The exposure of each detection.
    detector : (N,) ndarray of int
        Its detector.
    pixel : (N, 2) ndarray
        Where it lies there, in pixels of the whole detector.
    sky : (N, 3) ndarray
        Where the a priori WCS puts it, as a unit vector.
    acquisition : (E,) ndarray of int
        Guide-star acquisition of each exposure.
    scale : (E,) ndarray, arcsec
        Side of a pixel of each.
    errors : PointingSettings
        How well dithers are known.
    """

    exposures: Sequence[Exposure]
    number: NDArray[np.int64]
    detector: NDArray[np.int64]
    pixel: NDArray[np.float64]
    sky: NDArray[np.float64]
    acquisition: NDArray[np.int64]
    scale: NDArray[np.float64]
    errors: PointingSettings

    def same(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell whether exposures are of one acquisition."""
        return np.asarray(self.acquisition[i] == self.acquisition[j])

    def apart(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how far exposures must be apart to be surely dithered, arcsec."""
        return least_dither(self.same(i, j), self.scale[i], self.errors)

    def rows_of(self, exposure: int) -> slice:
        """Return the detections of an exposure."""
        low, high = np.searchsorted(self.number, [exposure, exposure + 1])
        return slice(int(low), int(high))


def flag_fixed_detections(
    exposures: Sequence[Exposure], catalogs: Mapping[str, SourceCatalog], errors: PointingSettings
) -> dict[str, SourceCatalog]:
    """Flag what lies on the same pixels in exposures between which the sky moved.

    The density of detections tells how often chance does that; of what is flagged, it explains a tenth at
    most. What other exposures of the acquisition see at its place on the sky is not flagged: stars whose
    distance is that of a dither, and those that left an afterglow behind.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    catalogs : mapping of str to SourceCatalog
        By exposure key.
    errors : PointingSettings
        How well dithers are known.

    Returns
    -------
    dict of str to SourceCatalog
        The catalogs with `SourceFlag.FIXED` set anew, and counted in the meta as ``flagged_fixed``.
    """
    field = _field(exposures, catalogs, errors)
    fixed = np.zeros(len(field.number), dtype=bool)
    for detector in range(field.detector.max(initial=-1) + 1):
        of_detector = np.flatnonzero(field.detector == detector)
        for rows in _together(field, of_detector):
            fixed[rows[_in_place(field, rows)]] = True
    rows = np.flatnonzero(fixed)
    fixed[rows[_seen_on_sky(field, rows)]] = False
    return {e.key: _flagged(catalogs[e.key], fixed[field.rows_of(n)]) for n, e in enumerate(exposures)}


def _field(
    exposures: Sequence[Exposure], catalogs: Mapping[str, SourceCatalog], errors: PointingSettings
) -> _Field:
    detectors: dict[tuple[str, int], int] = {}
    number = np.repeat(np.arange(len(exposures)), [len(catalogs[e.key]) for e in exposures])
    n = len(number)
    detector, pixel, sky = np.full(n, -1), np.full((n, 2), np.nan), np.full((n, 3), np.nan)
    for place, exposure in enumerate(exposures):
        catalog, start = catalogs[exposure.key], int(np.searchsorted(number, place))
        for chip in exposure.chips:
            rows = np.flatnonzero((catalog.chip == chip.number) & np.isfinite(catalog.xy).all(axis=1))
            name = exposure.instrument, chip.window.chip
            detector[start + rows] = detectors.setdefault(name, len(detectors))
            pixel[start + rows] = chip.window.to_chip(catalog.xy[rows])
            sky[start + rows] = sky_to_vector(chip.wcs.to_sky(catalog.xy[rows]))
    labels: dict[tuple[str, str, str], int] = {}
    acquisition = [labels.setdefault(acquisition_of(exposure), len(labels)) for exposure in exposures]
    scale = np.array([exposure.pixel_scale for exposure in exposures])
    return _Field(
        exposures, number, detector, pixel, sky, np.array(acquisition, dtype=np.int64), scale, errors
    )


def _together(field: _Field, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Part the detections of one detector where its exposures are too many to be compared with each other."""
    exposures = np.unique(field.number[rows])
    parts = np.array_split(exposures, -(-len(exposures) // _MOST_COMPARED)) if len(exposures) else []
    return np.split(rows, np.searchsorted(field.number[rows], [part[0] for part in parts[1:]]))


def _in_place(field: _Field, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find which detections of one detector are in place in more exposures than chance brings there."""
    pixel, number = field.pixel[rows], field.number[rows]
    tree = cKDTree(pixel)
    pairs = _dithered_pairs(field, rows, tree.query_pairs(_SAME_PLACE, output_type="ndarray"))
    first, exposure = np.concatenate([pairs, pairs[:, ::-1]]).T
    where = np.unique(np.column_stack([first, number[exposure]]), axis=0)[:, 0]
    found, times = np.unique(where, return_counts=True)
    if len(found) == 0:
        return found
    others = 1.0 - 1.0 / len(np.unique(number))
    inner, outer = (tree.query_ball_point(pixel[found], r, return_length=True) for r in _AROUND)
    around = (outer - inner) / (np.pi * (_AROUND[1] ** 2 - _AROUND[0] ** 2))
    mean = len(rows) / np.prod(np.maximum(np.ptp(pixel, axis=0), 1.0))
    by_chance = others * np.maximum(around, mean) * np.pi * _SAME_PLACE**2
    probability = pdtrc(times - 1, by_chance)
    # Benjamini and Hochberg (1995): as many of the least probable ones as keep to the share of chance.
    ranked = np.sort(probability)
    kept = np.flatnonzero(ranked <= _CHANCE_SHARE * np.arange(1, len(ranked) + 1) / len(rows))
    return found[probability <= ranked[kept[-1]]] if len(kept) else found[:0]


def _dithered_pairs(field: _Field, rows: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Keep the pairs of detections at one place between whose exposures the sky moved."""
    a, b = rows[pairs].T
    i, j = field.number[a], field.number[b]
    moved = ARCSEC_PER_RADIAN * np.linalg.norm(field.sky[a] - field.sky[b], axis=1)
    pairs = pairs[(i != j) & (moved > field.apart(i, j))]
    couples, which, shared = np.unique(
        np.sort(field.number[rows[pairs]], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    length = np.bincount(field.number[rows], minlength=len(field.exposures))
    mostly = shared > _MOSTLY * length[couples].min(axis=1)
    kept = np.ones(len(pairs), dtype=bool)
    for couple in np.flatnonzero(mostly & ~field.same(*couples.T)):
        own = which.ravel() == couple
        kept &= ~own | _moved_apart(field, rows, rows[pairs[own]])
    return np.asarray(pairs[kept])


def _moved_apart(field: _Field, rows: NDArray[np.int64], shared: NDArray[np.int64]) -> bool:
    """Tell whether what two exposures have besides shared places matches on the sky, where WCSs put it.

    If not, they may share their places because they look at one place of the sky, and the WCSs are wrong.
    """
    numbers = field.number[shared[0]]
    first, second = (np.setdiff1d(rows[field.number[rows] == number], shared) for number in numbers)
    plane = TangentPlane(*mean_direction(vector_to_sky(field.sky[shared.ravel()])))
    near = MatchSettings(search_radius=float(field.apart(*numbers)), max_roll=_LARGEST_ROLL)
    try:
        match_lists(_on_plane(field, first, plane), _on_plane(field, second, plane), plane, near)
    except AlignmentError:
        return False
    return True


def _on_plane(field: _Field, rows: NDArray[np.int64], plane: TangentPlane) -> PlaneList:
    """Return the places of detections on the sky, all with one error."""
    n = len(rows)
    xy = plane.to_plane(vector_to_sky(field.sky[rows]))
    return PlaneList(xy, np.full(n, _ERROR), np.full(n, np.nan), np.zeros(n))


def _seen_on_sky(field: _Field, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell of some detections whether the other exposures of their acquisition see them on the sky."""
    possible, seen = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    members = [np.flatnonzero(field.acquisition == n) for n in range(field.acquisition.max(initial=-1) + 1)]
    trees: dict[int, cKDTree] = {}
    for number in np.unique(field.number[rows]).tolist():
        own = np.arange(*np.searchsorted(field.number[rows], [number, number + 1]))
        for other in members[field.acquisition[number]].tolist():
            looks = _looks_there(field, rows[own], other)
            if other not in trees:
                there = field.rows_of(other)
                trees[other] = cKDTree(field.sky[there][field.detector[there] >= 0])
            reach = float(field.apart(np.array(number), np.array(other))) / ARCSEC_PER_RADIAN
            near = np.isfinite(trees[other].query(field.sky[rows[own]], distance_upper_bound=reach)[0])
            possible[own] += looks
            seen[own] += looks & near
    return (seen > 0) & (seen >= _SEEN_SHARE * possible)


def _looks_there(field: _Field, rows: NDArray[np.int64], other: int) -> NDArray[np.bool_]:
    """Tell whether another exposure sees the places of detections on the sky, with other pixels."""
    looks = np.zeros(len(rows), dtype=bool)
    for chip in field.exposures[other].chips:
        xy = chip.wcs.to_pixel(vector_to_sky(field.sky[rows]))
        moved = np.hypot(*(chip.window.to_chip(xy) - field.pixel[rows]).T) * chip.wcs.pixel_scale
        ny, nx = chip.shape
        inside = ((xy >= _EDGE) & (xy < np.array([nx, ny]) - _EDGE)).all(axis=1)
        looks |= inside & (moved > field.apart(field.number[rows], np.array(other)))
    return looks


def _flagged(catalog: SourceCatalog, fixed: NDArray[np.bool_]) -> SourceCatalog:
    """Set the flag of some sources of a catalog, and of no other."""
    table = catalog.table.copy()
    table["flags"] = np.where(fixed, catalog.flags | SourceFlag.FIXED, catalog.flags & ~SourceFlag.FIXED)
    table.meta["counts"] = {**table.meta.get("counts", {}), "flagged_fixed": int(fixed.sum())}
    return SourceCatalog(table)
