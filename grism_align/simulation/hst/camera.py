"""A camera of HST."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grism_align.simulation.hst.exposures import exposure_file

if TYPE_CHECKING:
    from grism_align.simulation.camera import ExposureFile, UsualProgram
    from grism_align.simulation.detector import Readout
    from grism_align.simulation.elements import Element
    from grism_align.simulation.hst.optics import ChipOptics
    from grism_align.simulation.plan import Simulation
    from grism_align.simulation.schedule import PlannedExposure


@dataclass(frozen=True)
class HstCamera:
    """One camera.

    Parameters
    ----------
    name : str
        ``wfc3_ir``, ``wfc3_uvis`` or ``acs_wfc``.
    instrume, detector, aperture : str
        Header values.
    letter, suffix : str
        First letter of root names, last part of file names.
    shape : (ny, nx)
        Pixels of a chip.
    pixel : float, arcsec
        IDCSCALE.
    direct, grism : tuple of ChipOptics
        Chips in order of EXTVER, with a filter and with a grism in the beam.
    readout : Readout
        Noise.
    v3_angle : float, deg
        Position angle of +y minus PA_V3.
    grism_postarg : (x, y), arcsec
        By how much the aperture's reference point differs between a grism and a filter; observers take it
        back by a POSTARG.
    tables : mapping of str to str
        IDCTAB, and D2IMFILE and NPOLFILE if there are such.
    elements : mapping of str to Element
        Filters and grisms.
    usual : UsualProgram
        What observers take.
    """

    name: str
    instrume: str
    detector: str
    aperture: str
    letter: str
    suffix: str
    shape: tuple[int, int]
    pixel: float
    direct: tuple[ChipOptics, ...]
    grism: tuple[ChipOptics, ...]
    readout: Readout
    v3_angle: float
    grism_postarg: tuple[float, float]
    tables: dict[str, str] = field(hash=False)
    elements: dict[str, Element] = field(hash=False)
    usual: UsualProgram
    companions: tuple[str, ...] = ()
    program: str = "dem"

    @property
    def n_chips(self) -> int:
        """How many chips it has."""
        return len(self.direct)

    @property
    def has_lookup_tables(self) -> bool:
        """Whether its distortion has a D2IM and a NPOL part."""
        return "NPOLFILE" in self.tables

    def optics(self, element: Element) -> tuple[ChipOptics, ...]:
        """Return the chips with this element in the beam."""
        return self.grism if element.is_grism else self.direct

    def root(self, program: str) -> str:
        """Return what the names of all files of a program begin with."""
        return self.letter + program

    def detectors(self, simulation: Simulation) -> dict[str, Readout]:
        """Return the detectors that take part, with their noise."""
        return {str(chip.ccdchip): self.readout for chip in self.direct}

    def files(self, simulation: Simulation, exposure: PlannedExposure) -> tuple[ExposureFile, ...]:
        """Return the file of an exposure: all chips are in one."""
        return (exposure_file(self, simulation, exposure),)
