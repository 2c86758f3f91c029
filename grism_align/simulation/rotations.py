"""Rotations of the celestial sphere.

A pointing error turns the whole sky as a rigid body, so it is one 3x3 matrix for all pixels of all chips of
an exposure: ``written = M @ true``, for unit vectors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grism_align.values.sphere import ARCSEC_PER_RADIAN, sky_to_vector, tangent_axes, vector_to_sky

Floats = NDArray[np.float64]


class Aim(NamedTuple):
    """Where an instrument's centre looks.

    Parameters
    ----------
    ra, dec : float, deg
        The place.
    angle : float, deg
        Position angle of the instrument, north through east.
    """

    ra: float
    dec: float
    angle: float


def frame_at(ra: float, dec: float, angle: float) -> Floats:
    """Return the rotation that brings RA = Dec = 0 to a pointing, and its north to a position angle.

    Parameters
    ----------
    ra, dec : float, deg
        Pointing.
    angle : float, deg
        Position angle, north through east.

    Returns
    -------
    (3, 3) ndarray
    """
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    roll = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray((roll @ tangent_axes(ra, dec)).T @ tangent_axes(0.0, 0.0))


def pointing_rotation(ra: float, dec: float, shift: Floats, roll: float = 0.0) -> Floats:
    """Return the rotation that turns the sky about a point and then moves that point.

    Parameters
    ----------
    ra, dec : float, deg
        The point.
    shift : (2,) ndarray, arcsec
        How it moves, east and north, along a great circle.
    roll : float, deg
        Growth of position angles.

    Returns
    -------
    (3, 3) ndarray
    """
    turn = frame_at(ra, dec, roll) @ frame_at(ra, dec, 0.0).T
    size = float(np.hypot(*shift)) / ARCSEC_PER_RADIAN
    if size == 0.0:
        return turn
    east, north, out = tangent_axes(ra, dec)
    along = (shift[0] * east + shift[1] * north) / np.hypot(*shift)
    across = np.cross(out, along)
    before = np.stack([out, along, across])
    after = np.stack(
        [np.cos(size) * out + np.sin(size) * along, np.cos(size) * along - np.sin(size) * out, across]
    )
    return np.asarray(after.T @ before @ turn)


def linearised(rotation: Floats, ra: float, dec: float) -> tuple[Floats, Floats]:
    """Return a rotation as the affine map that it is close to a point, in the tangent plane there.

    Parameters
    ----------
    rotation : (3, 3) ndarray
        A small one: the point stays on its own hemisphere.
    ra, dec : float, deg
        Tangent point.

    Returns
    -------
    matrix : (2, 2) ndarray
    shift : (2,) ndarray, arcsec
    """
    axes = tangent_axes(ra, dec)
    # in homogeneous plane coordinates (xi, eta, 1) a rotation is a projective map; its derivative at 0
    h = axes @ rotation @ axes.T
    shift = h[:2, 2] / h[2, 2]
    return (h[:2, :2] - np.outer(shift, h[2, :2])) / h[2, 2], shift * ARCSEC_PER_RADIAN


def turned(rotation: Floats, aim: Aim) -> Aim:
    """Return an aim under a (3, 3) rotation of the sky."""
    ra, dec = vector_to_sky(rotation @ sky_to_vector(aim[:2]))
    north = rotation @ frame_at(*aim) @ tangent_axes(0.0, 0.0)[1]
    east_part, north_part, _ = tangent_axes(ra, dec) @ north
    return Aim(float(ra), float(dec), float(np.degrees(np.arctan2(east_part, north_part))) % 360.0)
