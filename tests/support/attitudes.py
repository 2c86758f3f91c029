"""Attitudes of a telescope with a field, V2 and V3, of its own."""

from __future__ import annotations

import numpy as np

from grism_align.values.sphere import tangent_axes, vector_to_sky


def attitude(place: tuple[float, float], ra: float, dec: float, roll: float) -> np.ndarray:
    """Where the telescope's axes point when a place of its field, arcsec, is at a place of the sky, deg."""
    east, north, out = tangent_axes(ra, dec)
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    sky = np.stack([c * east - s * north, s * east + c * north, out], axis=1)
    own = tangent_axes(place[0] / 3600, place[1] / 3600)
    return sky @ own


def reference(attitude: np.ndarray, place: tuple[float, float]) -> tuple[float, float, float]:
    """RA, Dec and position angle of V3 at a place of the field, deg."""
    own = tangent_axes(place[0] / 3600, place[1] / 3600)
    ra, dec = vector_to_sky(attitude @ own[2]).tolist()
    east, north, _ = tangent_axes(ra, dec)
    up = attitude @ own[1]
    return ra, dec, float(np.degrees(np.arctan2(up @ east, up @ north))) % 360


def turned(
    attitude: np.ndarray, shift: tuple[float, float], roll: float, at: tuple[float, float]
) -> np.ndarray:
    """The attitude after a move of the sky, arcsec east and north, and a roll, deg, about a place, deg."""
    east, north, out = tangent_axes(*at)
    vector = (shift[0] * np.cross(out, east) + shift[1] * np.cross(out, north)) / 206264.806
    angle = vector - np.radians(roll) * out
    size = np.linalg.norm(angle)
    if size == 0:
        return attitude
    x, y, z = angle / size
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return (np.eye(3) + np.sin(size) * cross + (1 - np.cos(size)) * cross @ cross) @ attitude
