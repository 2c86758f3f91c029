"""Where the detectors of a telescope lie in its focal plane, and how they distort."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from pathlib import Path

Floats = NDArray[np.float64]

#: Powers (x, y) of the terms, in the order in which `Aperture` lists their coefficients.
POWERS = tuple((total - q, q) for total in range(6) for q in range(total + 1))

# Each round of the inversion gains two digits at least: the distortion changes by 1 % over a detector.
_ROUNDS = 8
# Pixels from the reference point: far from the detector there is no inverse, and linear terms must do.
_REACH = 6000.0


@dataclass(frozen=True)
class Aperture:
    """An aperture of SIAF, the Science Instrument Aperture File.

    Parameters
    ----------
    name : str
        Such as ``NRCA1_FULL``.
    v2, v3 : float, arcsec
        Its reference point.
    angle : float, deg
        From V3 to the ideal y axis, towards V2.
    parity : int
        -1 where the ideal x axis goes against V2.
    reference : (x, y), pixels, one-based
        The reference point.
    scale : (x, y), arcsec/pixel
        There.
    to_ideal : tuple of two tuples of float
        Polynomials from pixels about the reference point to ideal x and y, arcsec; by `POWERS`.
    from_ideal : tuple of two tuples of float
        Polynomials back, which miss by up to 0.05 pixel, as those of the calibration do.
    """

    name: str
    v2: float
    v3: float
    angle: float
    parity: int
    reference: tuple[float, float]
    scale: tuple[float, float]
    to_ideal: tuple[tuple[float, ...], tuple[float, ...]]
    from_ideal: tuple[tuple[float, ...], tuple[float, ...]]

    @property
    def area(self) -> float:
        """Area of a pixel, arcsec^2."""
        return self.scale[0] * self.scale[1]

    @property
    def pixel(self) -> float:
        """Side of a pixel, arcsec."""
        return float(np.sqrt(self.area))

    @property
    def axes(self) -> Floats:
        """V2 and V3 (2, 2) of steps along ideal x and y."""
        cos, sin = np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))
        return np.array([[self.parity * cos, sin], [-self.parity * sin, cos]])

    def to_telescope(self, xy: ArrayLike) -> Floats:
        """Return V2, V3 (N, 2) in arcsec of zero-based pixels (N, 2) of the whole detector."""
        ideal = self._ideal(np.asarray(xy, dtype=float) + 1 - self.reference)
        return np.asarray(ideal @ self.axes.T + [self.v2, self.v3])

    def from_telescope(self, v: ArrayLike) -> Floats:
        """Return zero-based pixels (N, 2) of V2, V3 (N, 2) in arcsec: the exact inverse, but far outside."""
        ideal = (np.asarray(v, dtype=float) - [self.v2, self.v3]) @ np.linalg.inv(self.axes).T
        inverse = np.linalg.inv(np.array([[terms[1], terms[2]] for terms in self.to_ideal]))
        xy = ideal @ inverse.T
        near = (np.abs(xy) < _REACH).all(axis=1)
        for _ in range(_ROUNDS):
            xy[near] += (ideal[near] - self._ideal(xy[near])) @ inverse.T
        return np.asarray(xy - 1 + self.reference)

    def _ideal(self, xy: Floats) -> Floats:
        terms = np.stack([xy[:, 0] ** p * xy[:, 1] ** q for p, q in POWERS], axis=1)
        return np.asarray(terms @ np.array(self.to_ideal).T)


@cache
def read_apertures(table: Path) -> dict[str, Aperture]:
    """Return the apertures of a table, by name.

    Parameters
    ----------
    table : Path
        As ``docs/siaf_apertures.py`` writes it.
    """
    found = json.loads(table.read_text())["apertures"]
    return {name: Aperture(name=name, **_tuples(entry)) for name, entry in found.items()}


def _tuples(value: Any) -> Any:
    """Return what was read with tuples for lists."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
