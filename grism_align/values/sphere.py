"""Directions on the sky and their gnomonic projection, without trigonometric singularities.

Everything passes through unit vectors, so RA = 0/360 and the poles need no special case.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ARCSEC_PER_RADIAN = float(np.degrees(1) * 3600)


def sky_to_vector(sky: ArrayLike) -> Floats:
    """Return unit vectors of sky positions.

    Parameters
    ----------
    sky : (..., 2) array_like, deg
        Right ascension and declination.

    Returns
    -------
    (..., 3) ndarray
    """
    ra, dec = np.moveaxis(np.radians(np.asarray(sky, dtype=float)), -1, 0)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def vector_to_sky(vector: ArrayLike) -> Floats:
    """Sky positions of directions, RA in [0, 360).

    Parameters
    ----------
    vector : (..., 3) array_like
        Directions of any length.

    Returns
    -------
    (..., 2) ndarray, deg
    """
    x, y, z = np.moveaxis(np.asarray(vector, dtype=float), -1, 0)
    ra = np.degrees(np.arctan2(y, x)) % 360.0
    ra = np.where(ra < 360.0, ra, ra - 360.0)  # the remainder of -1e-20 rounds to 360
    return np.stack([ra, np.degrees(np.arctan2(z, np.hypot(x, y)))], axis=-1)


def tangent_axes(ra: ArrayLike, dec: ArrayLike) -> Floats:
    """East, north and outward unit vectors at sky positions given in deg.

    Parameters
    ----------
    ra, dec : (...) array_like, deg
        Positions.

    Returns
    -------
    (..., 3, 3) ndarray
        Rows: east, north, outward.
    """
    a, d = np.radians(np.asarray(ra, dtype=float)), np.radians(np.asarray(dec, dtype=float))
    zero = np.zeros_like(a)
    east = np.stack([-np.sin(a), np.cos(a), zero], axis=-1)
    north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)], axis=-1)
    out = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)
    return np.stack([east, north, out], axis=-2)


def project(sky: ArrayLike, ra: float, dec: float) -> Floats:
    """Gnomonic projection onto the plane that touches the sphere at (ra, dec).

    Parameters
    ----------
    sky : (..., 2) array_like, deg
        Positions to project.
    ra, dec : float, deg
        Tangent point.

    Returns
    -------
    (..., 2) ndarray, arcsec
        xi (east) and eta (north); NaN for positions 90 deg or more away.

    References
    ----------
    Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.3 (TAN).
    """
    east, north, out = np.moveaxis(sky_to_vector(sky) @ tangent_axes(ra, dec).T, -1, 0)
    out = np.where(out > 0, out, np.nan)
    return np.stack([east / out, north / out], axis=-1) * ARCSEC_PER_RADIAN


def unproject(xy: ArrayLike, ra: float, dec: float) -> Floats:
    """Sky positions of points of a tangent plane; the inverse of `project`.

    Parameters
    ----------
    xy : (..., 2) array_like, arcsec
        xi (east) and eta (north).
    ra, dec : float, deg
        Tangent point.

    Returns
    -------
    (..., 2) ndarray, deg
    """
    plane = np.asarray(xy, dtype=float) / ARCSEC_PER_RADIAN
    ones = np.ones((*plane.shape[:-1], 1))
    return vector_to_sky(np.concatenate([plane, ones], axis=-1) @ tangent_axes(ra, dec))


def mean_direction(sky: ArrayLike) -> tuple[float, float]:
    """Direction of the mean unit vector of (N, 2) sky positions in deg."""
    ra, dec = vector_to_sky(sky_to_vector(sky).reshape(-1, 3).mean(axis=0))
    return float(ra), float(dec)


def separation(first: ArrayLike, second: ArrayLike) -> Floats:
    """Angle between (..., 2) sky positions in deg; (...,), deg, exact for small angles and opposite ones."""
    one, other = sky_to_vector(first), sky_to_vector(second)
    across = np.linalg.norm(np.cross(one, other), axis=-1)
    return np.asarray(np.degrees(np.arctan2(across, (one * other).sum(axis=-1))))
