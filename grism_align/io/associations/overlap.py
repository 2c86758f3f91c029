"""Which footprints overlap on the sky."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from grism_align.values.sphere import mean_direction, project, sky_to_vector

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def any_overlap(first: Iterable[ArrayLike], second: Iterable[ArrayLike]) -> bool:
    """Whether a footprint of the first set overlaps one of the second.

    Parameters
    ----------
    first, second : iterable of (4, 2) array_like, deg
        Footprints of equal numbers of corners.
    """
    a, b = (np.asarray(list(quads), dtype=float).reshape(-1, 4, 2) for quads in (first, second))
    near = _within_reach(a, b)
    return any(footprints_overlap(a[i], b[j]) for i, j in np.argwhere(near))


def _normals(points: Floats) -> Floats:
    """Return unit normals, (M, 2), of all lines through two points, the edges of the hull among them."""
    lines = np.array([q - p for p, q in combinations(points, 2)])
    normals = np.column_stack([-lines[:, 1], lines[:, 0]])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals[length[:, 0] > 0] / length[length[:, 0] > 0])


def _within_reach(first: Floats, second: Floats) -> NDArray[np.bool_]:
    """Whether the circles around the footprints touch, (N, M): cheap, and false for most."""
    vectors = [sky_to_vector(quads) for quads in (first, second)]
    centers = [v.mean(axis=1) for v in vectors]
    radii = [
        np.linalg.norm(v - c[:, None], axis=-1).max(axis=1) for v, c in zip(vectors, centers, strict=True)
    ]
    distance = np.linalg.norm(centers[0][:, None] - centers[1][None], axis=-1)
    return np.asarray(distance <= radii[0][:, None] + radii[1][None])
