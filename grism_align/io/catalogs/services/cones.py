"""The cones that services are asked for."""

from __future__ import annotations

import math

import numpy as np

from grism_align.values.region import Cone
from grism_align.values.sphere import separation, sky_to_vector, tangent_axes, vector_to_sky

#: Of the centres of rounded cones, deg.
CENTRE_DECIMALS = 4

_STEPS_OF_RADIUS = 100.0

# Seven discs of half the radius cover a disc: one in the middle, six at this many radii from it. On the
# sphere, for radii of a few degrees, with a little to spare.
_RING, _SPARE = math.sqrt(0.75), 1.005


def rounded_cone(cone: Cone) -> Cone:
    """Return the cone that is asked for instead of one that differs in the last digits from run to run.

    Its centre is rounded to 1e-4 deg, its radius up to 0.01 deg, so that it holds the other.
    """
    ra, dec = round(cone.ra % 360.0, CENTRE_DECIMALS) % 360.0, round(cone.dec, CENTRE_DECIMALS)
    needed = cone.radius + float(separation([ra, dec], [cone.ra, cone.dec]))
    # Less a rounding error, that 0.05 does not become 0.06.
    return Cone(ra, dec, math.ceil(needed * _STEPS_OF_RADIUS - 1e-9) / _STEPS_OF_RADIUS)


def covering_cones(cone: Cone, largest: float | None) -> tuple[Cone, ...]:
    """Return cones of at most a radius (deg) that together hold a cone; itself where it is small enough."""
    if largest is None or cone.radius <= largest:
        return (cone,)
    east, north, out = tangent_axes(cone.ra, cone.dec)
    bearings = np.radians(np.arange(0, 360, 60))
    away = math.tan(math.radians(_RING * cone.radius))
    ring = out + away * (np.sin(bearings)[:, None] * east + np.cos(bearings)[:, None] * north)
    centres = vector_to_sky(np.vstack([sky_to_vector([cone.ra, cone.dec]), ring]))
    halves = [Cone(float(ra), float(dec), 0.5 * _SPARE * cone.radius) for ra, dec in centres]
    return tuple(part for half in halves for part in covering_cones(half, largest))
