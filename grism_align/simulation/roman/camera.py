"""The camera of Roman: detectors side by side, of which each writes a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grism_align.simulation.roman.exposures import exposure_files

if TYPE_CHECKING:
    from grism_align.simulation.camera import ExposureFile, UsualProgram
    from grism_align.simulation.detector import Readout
    from grism_align.simulation.elements import Element
    from grism_align.simulation.gwcs.apertures import Aperture
    from grism_align.simulation.plan import Simulation
    from grism_align.simulation.schedule import PlannedExposure


@dataclass(frozen=True)
class RomanDetector:
    """One detector.

    Parameters
    ----------
    name : str
        Such as ``WFI01``.
    aperture : Aperture
        Where it lies.
    """

    name: str
    aperture: Aperture


@dataclass(frozen=True)
class RomanCamera:
    """The Wide Field Instrument.

    Parameters
    ----------
    name : str
        As parameter files are called.
    all_detectors : tuple of RomanDetector
        The first is the one that is aimed with.
    readout : Readout
        Noise of each.
    gain : float, electron/DN
        Of each.
    read_time : float, s
        From the reset to the first read: what saturates by then has no rate.
    elements : mapping of str to Element
        Filters, prism and grism, which are in front of all detectors.
    usual : UsualProgram
        What observers take.
    """

    name: str
    all_detectors: tuple[RomanDetector, ...]
    readout: Readout
    gain: float
    read_time: float
    elements: dict[str, Element] = field(hash=False)
    usual: UsualProgram
    shape: tuple[int, int] = (4088, 4088)
    program: str = "00099"
    n_chips: int = 1

    @property
    def pixel(self) -> float:
        """Side of a pixel, arcsec."""
        return self.all_detectors[0].aperture.pixel

    @property
    def companions(self) -> tuple[str, ...]:
        """Detectors that expose at the same instants, which a simulation may leave out."""
        return tuple(detector.name for detector in self.all_detectors[1:])

    def root(self, program: str) -> str:
        """Return what the names of all files of a program begin with."""
        return f"r{program}"

    def taking_part(self, simulation: Simulation) -> tuple[RomanDetector, ...]:
        """Return the detectors of a simulation."""
        first, *others = self.all_detectors
        return first, *(one for one in others if one.name in simulation.taking_part)

    def detectors(self, simulation: Simulation) -> dict[str, Readout]:
        """Return the detectors that take part, with their noise."""
        return {detector.name: self.readout for detector in self.taking_part(simulation)}

    def files(self, simulation: Simulation, exposure: PlannedExposure) -> tuple[ExposureFile, ...]:
        """Return the files of an exposure, one a detector."""
        return exposure_files(self, simulation, exposure)
