"""Where the sources of a reference catalog are seen at other times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.sphere import tangent_axes, vector_to_sky

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.catalog import ReferenceCatalog


_MAS_PER_RADIAN = float(np.degrees(1) * 3.6e6)
# One astronomical unit a Julian year, km/s.
_AU_PER_YEAR = 4.740470446
_DAYS_PER_YEAR = 365.25
_J2000 = 2451545.0


def positions_at(catalog: ReferenceCatalog, years: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Find where the observer of a catalog sees its sources.

    Parameters
    ----------
    catalog : ReferenceCatalog
        N sources.
    years : float or (N,) ndarray
        Julian years, one for all or each its own.

    Returns
    -------
    (N, 2) ndarray, deg
        RA and Dec (ICRS), free of aberration. Sources of unknown proper motion, or of unknown epoch, stay
        where they are.

    Notes
    -----
    Uniform motion in space, with the radial velocity where it and a positive parallax are known, and the
    parallax by the Earth's barycentric position (van Leeuwen 2007, ESA SP-1200 vol. 1, 1.5.5; Earth by ERFA's
    epv00, good to 1e-7 au), times `ReferenceCatalog.observer`. Of a telescope in a low orbit the parallax
    differs from that of the Earth by less than 5e-5 of itself. The time that light takes across the Earth's
    orbit is left out: 0.02 mas of a star of 1"/yr.
    """
    east, north, out, time, observer = _geometry(catalog, years)
    motion = np.nan_to_num(catalog.motion) / _MAS_PER_RADIAN
    outward = catalog.radial_velocity * np.maximum(catalog.parallax, 0.0) / _AU_PER_YEAR / _MAS_PER_RADIAN
    moved = out * (1.0 + outward * time)[:, None]
    moved += time[:, None] * (motion[:, :1] * east + motion[:, 1:] * north)
    return vector_to_sky(moved - (catalog.parallax / _MAS_PER_RADIAN)[:, None] * observer)


def covariance_at(catalog: ReferenceCatalog, years: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariances of the positions of `positions_at`, by that of all five parameters.

    Parameters
    ----------
    catalog : ReferenceCatalog
        N sources.
    years : float or (N,) ndarray
        Julian years.

    Returns
    -------
    (N, 2, 2) ndarray, mas^2
        East and north. An unknown proper motion adds nothing.

    Notes
    -----
    To first order in the angle that a source moves: that of a star of 1"/yr over 20 years is right to 1e-4.
    """
    east, north, _, time, observer = _geometry(catalog, years)
    derivative = np.zeros((len(catalog), 2, 5))
    for axis, (direction, motion) in enumerate(((east, 3), (north, 4))):
        derivative[:, axis, axis] = 1.0
        derivative[:, axis, 2] = -(direction * observer).sum(axis=1)
        derivative[:, axis, motion] = time
    return np.asarray(derivative @ catalog.covariance @ derivative.swapaxes(1, 2))


def errors_at(catalog: ReferenceCatalog, years: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard errors of the positions of `positions_at`, of one axis.

    Parameters
    ----------
    catalog : ReferenceCatalog
        N sources.
    years : float or (N,) ndarray
        Julian years.

    Returns
    -------
    (N,) ndarray, mas
        Root of the mean variance of the two axes of `covariance_at`.
    """
    variance = covariance_at(catalog, years)
    return np.sqrt(np.maximum((variance[:, 0, 0] + variance[:, 1, 1]) / 2, 0.0))


def _geometry(
    catalog: ReferenceCatalog, years: float | NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Return east, north, outward unit vectors (N, 3), years since the epoch (N,), observer (N, 3) in au."""
    then = np.asarray(years, dtype=float)
    time = np.nan_to_num(then - catalog.epoch)
    east, north, out = np.moveaxis(tangent_axes(*catalog.sky.T), 1, 0)
    return east, north, out, time, np.broadcast_to(catalog.observer * _earth(then), out.shape)


def _earth(years: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return barycentric positions of the Earth, (..., 3), au, at Julian years (TDB; UTC is near enough)."""
    import erfa

    unique, inverse = np.unique(years, return_inverse=True)
    _, barycentric = erfa.epv00(_J2000, (unique - 2000.0) * _DAYS_PER_YEAR)
    positions = np.asarray(barycentric["p"], dtype=float).reshape(-1, 3)
    return positions[inverse.ravel()].reshape(*years.shape, 3)
