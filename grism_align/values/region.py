"""Regions of the sky that catalogs are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from grism_align.values.sphere import separation


@dataclass(frozen=True)
class Cone:
    """All directions within a radius of a centre.

    Parameters
    ----------
    ra, dec : float, deg
        The centre, ICRS.
    radius : float, deg
        Of the cone.
    """

    ra: float
    dec: float
    radius: float

    def contains(self, other: Cone) -> bool:
        """Whether another cone lies within this one."""
        distance = float(separation([self.ra, self.dec], [other.ra, other.dec]))
        return distance + other.radius <= self.radius * (1 + 1e-9)
