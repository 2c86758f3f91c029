"""Which footprints overlap on the sky."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from grism_align.values.sphere import mean_direction, project, sky_to_vector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike


Floats = NDArray[np.float64]


def footprints_overlap(first: ArrayLike, second: ArrayLike) -> bool:
    """Whether two convex footprints share an area; a common edge is none.

    Parameters
    ----------
    first, second : (N, 2) array_like, deg
        Corners on the sky, in any order, less than a hemisphere across.

    Notes
    -----
    Separating axis theorem, in the tangent plane between the two, where great circles are straight.
    """
    quads = [np.asarray(first, dtype=float), np.asarray(second, dtype=float)]
    ra, dec = mean_direction(np.concatenate(quads))
    planes = [project(quad, ra, dec) for quad in quads]
    if not all(np.isfinite(plane).all() for plane in planes):
        return False  # 90 deg or more apart, or no footprint
    normals = np.concatenate([_normals(plane) for plane in planes])
    a, b = (plane @ normals.T for plane in planes)
    depth = np.minimum(a.max(axis=0), b.max(axis=0)) - np.maximum(a.min(axis=0), b.min(axis=0))
    # A common edge is known to the rounding of positions on the sky, some 1e-9 arcsec.
    return bool((depth > 1e-7).all())


def overlapping(footprints: Mapping[str, Sequence[ArrayLike]]) -> list[tuple[str, str]]:
    """Find what overlaps on the sky.

    Parameters
    ----------
    footprints : mapping of str to sequence of (4, 2) array_like, deg
        By name.

    Returns
    -------
    list of (str, str)
        Names of which a footprint overlaps one of the other, each pair once, in their order.
    """
    names = list(footprints)
    quads = np.array([quad for name in names for quad in footprints[name]], dtype=float).reshape(-1, 4, 2)
    owners = np.repeat(np.arange(len(names)), [len(footprints[name]) for name in names])
    found: set[tuple[int, int]] = set()
    for i, j in near_pairs(quads):
        pair = min(owners[i], owners[j]), max(owners[i], owners[j])
        if pair[0] != pair[1] and pair not in found and footprints_overlap(quads[i], quads[j]):
            found.add(pair)
    return [(names[first], names[second]) for first, second in sorted(found)]


def near_pairs(quads: Floats) -> Iterator[tuple[int, int]]:
    """Yield the pairs of footprints whose surrounding circles touch, the smaller number first.

    Parameters
    ----------
    quads : (N, 4, 2) ndarray, deg
        Corners. Footprints that are nowhere are near none.
    """
    from scipy.spatial import cKDTree

    there = np.flatnonzero(np.isfinite(quads).all(axis=(1, 2)))
    if len(there) == 0:
        return
    vectors = sky_to_vector(quads[there])
    centers = vectors.mean(axis=1)
    radii = np.linalg.norm(vectors - centers[:, None], axis=-1).max(axis=1)
    tree = cKDTree(centers)
    for i, (center, radius) in enumerate(zip(centers, radii, strict=True)):
        near = np.array(tree.query_ball_point(center, radius + radii.max()), dtype=np.int64)
        near = near[near > i]
        near = near[np.linalg.norm(centers[near] - center, axis=1) <= radii[near] + radius]
        yield from ((int(there[i]), int(there[j])) for j in near)


def _normals(points: Floats) -> Floats:
    """Return unit normals, (M, 2), of all lines through two points, the edges of the hull among them."""
    lines = np.array([q - p for p, q in combinations(points, 2)])
    normals = np.column_stack([-lines[:, 1], lines[:, 0]])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals[length[:, 0] > 0] / length[length[:, 0] > 0])
