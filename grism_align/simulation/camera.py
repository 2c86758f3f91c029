"""What the simulation asks of a camera, whatever telescope it is on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from grism_align.values.exposure import ExposureKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from grism_align.simulation.detector import Pixels, Readout
    from grism_align.simulation.elements import Element
    from grism_align.simulation.plan import Simulation
    from grism_align.simulation.psf import Band
    from grism_align.simulation.schedule import PlannedExposure
    from grism_align.simulation.sky import ChipSky


@dataclass(frozen=True)
class UsualProgram:
    """What observers take with a camera.

    Parameters
    ----------
    visits : tuple of (filter, grisms)
        Of the first visit and of the second one; several grisms take turns.
    times : (direct, grism), s
        Exposure times.
    starts : (float, float), MJD
        Of the two visits.
    """

    visits: tuple[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]]
    times: tuple[float, float]
    starts: tuple[float, float]


@dataclass(frozen=True, eq=False)
class ExposureFile:
    """One file that an exposure makes: all its chips in one, or a detector each.

    Parameters
    ----------
    key, name : str
        Root name, and the name of the file.
    pointing : str
        Name of the instant that all files of an exposure have in common.
    governor : str or None
        Key of the direct exposure that shares a grism exposure's pointing error.
    element, element_name : Element, str
        Filter or grism.
    band : Band
        The PSF.
    readout : Readout
        Noise.
    chips : mapping of int to ChipSky
        True WCSs, by the number of the chip.
    detectors : tuple of str
        Whose flaws the chips have, in the order of `chips`.
    write : callable
        Writes the file from the pixels of its chips.
    """

    key: str
    name: str
    pointing: str
    governor: str | None
    element: Element
    element_name: str
    band: Band
    readout: Readout
    chips: Mapping[int, ChipSky]
    detectors: tuple[str, ...]
    write: Callable[[Sequence[Pixels], Path], None]

    @property
    def kind(self) -> ExposureKind:
        """DIRECT or GRISM."""
        return ExposureKind.GRISM if self.element.is_grism else ExposureKind.DIRECT


class Camera(Protocol):
    """A camera's numbers, and the files that it makes of an exposure."""

    @property
    def name(self) -> str:
        """As parameter files and the demo know it."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (ny, nx) of a whole chip."""
        ...

    @property
    def pixel(self) -> float:
        """Side of a pixel, arcsec, where there are spectra."""
        ...

    @property
    def n_chips(self) -> int:
        """How many chips of that pixel size lie side by side."""
        ...

    @property
    def elements(self) -> Mapping[str, Element]:
        """Filters and grisms."""
        ...

    @property
    def usual(self) -> UsualProgram:
        """What observers take."""
        ...

    @property
    def companions(self) -> tuple[str, ...]:
        """Detectors with images of the same instants, which a simulation may leave out."""
        ...

    @property
    def program(self) -> str:
        """Program in file names, where a simulation names none."""
        ...

    def root(self, program: str) -> str:
        """Return what the names of all files of a program begin with."""
        ...

    def detectors(self, simulation: Simulation) -> dict[str, Readout]:
        """Return the detectors that take part, with their noise."""
        ...

    def files(self, simulation: Simulation, exposure: PlannedExposure) -> tuple[ExposureFile, ...]:
        """Return the files of an exposure."""
        ...
