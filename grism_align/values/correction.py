"""A correction in units, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from astropy import units

if TYPE_CHECKING:
    from astropy.units import Quantity

    from grism_align.values.record import Displacement


@dataclass(frozen=True, eq=False)
class Correction:
    """What a correction is at the reference point of its exposure.

    Parameters
    ----------
    east, north : Quantity
        How far sky positions move, mas.
    roll : Quantity
        Growth of position angles, north through east, deg.
    scale : float
        Growth of distances.
    error : Quantity
        Standard error of the shift, of one axis, mas; NaN where unknown.
    """

    east: Quantity
    north: Quantity
    roll: Quantity
    scale: float
    error: Quantity

    @classmethod
    def of(cls, displacement: Displacement) -> Correction:
        """Give numbers their units."""
        east, north = displacement.shift * units.mas
        return cls(
            east, north, displacement.roll * units.deg, displacement.scale, displacement.error * units.mas
        )

    def __repr__(self) -> str:
        error = f" +- {self.error.value:.2f}"
        moved = f"east {self.east.value:+.2f}, north {self.north.value:+.2f}{error} mas"
        return f"<Correction {moved}, roll {self.roll.value:+.5f} deg, scale {self.scale:.7f}>"
