"""Lists of one star field as exposures with errors of pointing see it."""

from __future__ import annotations

import numpy as np

from grism_align.values.plane_list import PlaneList
from grism_align.values.transform import LinearTransform, TangentPlane

PLANE = TangentPlane(150.0, 2.2)
NOISE = 0.005  # arcsec, one axis


def field(rng: np.random.Generator, n: int = 120, side: float = 120.0):
    """Positions (n, 2) in arcsec and magnitudes of stars."""
    return rng.uniform(-side / 2, side / 2, (n, 2)), np.sort(rng.uniform(18, 25, n))


def plane_list(xy, mag, noise: float = NOISE, epoch: float = 2016.0) -> PlaneList:
    """A list with one error for all."""
    return PlaneList(
        np.asarray(xy, dtype=float), np.full(len(xy), noise), np.asarray(mag, float), np.full(len(xy), epoch)
    )


def random_list(rng: np.random.Generator, n: int, side: float = 120.0) -> PlaneList:
    """Stars of no common field."""
    xy, mag = field(rng, n, side)
    return plane_list(xy, mag)


def seen(
    stars,
    error: LinearTransform,
    rng: np.random.Generator,
    *,
    center=(0.0, 0.0),
    side: float = 120.0,
    spurious: int = 0,
    found: float = 0.9,
    noise: float = NOISE,
) -> tuple[PlaneList, np.ndarray]:
    """What an exposure lists whose pointing is wrong by `error`, and which star each row is (-1: none)."""
    xy, mag = stars
    inside = (np.abs(xy - center) < side / 2).all(axis=1) & (rng.uniform(size=len(xy)) < found)
    number = np.concatenate([np.flatnonzero(inside), np.full(spurious, -1)])
    false = rng.uniform(-side / 2, side / 2, (spurious, 2)) + center
    at = np.concatenate([xy[inside], false])
    measured = error.apply(at + noise * rng.normal(size=at.shape))
    brightness = np.concatenate([mag[inside], rng.uniform(18, 25, spurious)])
    order = rng.permutation(len(at))
    return plane_list(measured[order], brightness[order], noise), number[order]
