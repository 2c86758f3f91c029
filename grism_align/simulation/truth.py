"""What is known of a simulation and what a pipeline has to find out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from grism_align.simulation.rotations import linearised
from grism_align.values.exposure import ExposureKind
from grism_align.values.transform import LinearTransform, TangentPlane

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grism_align.simulation.plan import Special
    from grism_align.simulation.scene import Scene
    from grism_align.simulation.sky import ChipSky


Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrueExposure:
    """The truth of one exposure.

    Parameters
    ----------
    key : str
        Root name.
    kind : ExposureKind
        DIRECT or GRISM.
    visit : str
        Name of the visit, two characters.
    element : str
        Filter or grism.
    governor : str or None
        Key of the direct exposure whose pointing error a grism exposure shares.
    pointing : str
        Name of the instant, which exposures of other detectors may share.
    rotation : (3, 3) ndarray
        Pointing error: ``written = rotation @ true`` for unit vectors.
    chips : mapping of int to ChipSky
        True WCS by the number of the chip: EXTVER for HST.
    path : Path
        The file.
    special : Special
        What is wrong with the exposure.
    mid : float, MJD
        Middle of the exposure.
    """

    key: str
    kind: ExposureKind
    visit: str
    element: str
    governor: str | None
    pointing: str
    rotation: Floats
    chips: Mapping[int, ChipSky] = field(repr=False)
    path: Path
    special: Special
    mid: float

    @property
    def is_direct(self) -> bool:
        """Whether it shows the sky."""
        return self.kind is ExposureKind.DIRECT

    @property
    def is_usable(self) -> bool:
        """Whether its pixels can be aligned."""
        return self.special.value in {"", "nan"}

    def correction(self, plane: TangentPlane) -> LinearTransform:
        """Return the affine map that takes the written sky to the true one.

        Parameters
        ----------
        plane : TangentPlane
            Where to write it. Exact at its tangent point, and to 0.01 mas within 2' for errors of 15".
        """
        matrix, shift = linearised(self.rotation.T, plane.ra, plane.dec)
        return LinearTransform(matrix, shift, plane)

    def offset(self) -> tuple[Floats, float]:
        """Return the pointing error at the first chip's reference point: shift (2,), arcsec, roll, deg."""
        plane = next(iter(self.chips.values())).plane
        matrix, shift = linearised(self.rotation, plane.ra, plane.dec)
        return shift, LinearTransform(matrix, shift, plane).roll


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of a simulation.

    Parameters
    ----------
    exposures : mapping of str to TrueExposure
        By root name, in the order of time.
    catalog : astropy.table.Table
        Reference catalog in the true frame: see `grism_align.simulation.scene.reference_catalog`.
    scene : Scene
        All sources.
    """

    exposures: dict[str, TrueExposure]
    catalog: Table = field(repr=False)
    scene: Scene = field(repr=False)

    def __getitem__(self, key: str) -> TrueExposure:
        return self.exposures[key]

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [exposure.path for exposure in self.exposures.values()]

    def table(self) -> Table:
        """Return the pointing errors, a row for each exposure."""
        rows = []
        for exposure in self.exposures.values():
            shift, roll = exposure.offset()
            words = (exposure.key, exposure.kind.value, exposure.visit, exposure.element)
            rows.append((*words, exposure.governor or "", *shift, roll, exposure.special.value))
        names = ("key", "kind", "visit", "element", "governor", "east", "north", "roll", "special")
        units = {"east": "arcsec", "north": "arcsec", "roll": "deg"}
        return Table(rows=rows, names=names, units=units)
