"""A camera of JWST."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grism_align.simulation.jwst.exposures import exposure_files

if TYPE_CHECKING:
    from grism_align.simulation.camera import ExposureFile, UsualProgram
    from grism_align.simulation.detector import Readout
    from grism_align.simulation.elements import Element
    from grism_align.simulation.gwcs.apertures import Aperture
    from grism_align.simulation.plan import Simulation
    from grism_align.simulation.schedule import PlannedExposure


@dataclass(frozen=True)
class JwstDetector:
    """One detector.

    Parameters
    ----------
    name : str
        DETECTOR.
    aperture : Aperture
        Where it lies.
    readout : Readout
        Noise.
    gain : float, electron/DN
        Its gain.
    group_time : float, s
        From the reset to the first group: what saturates by then has no rate.
    channel : str
        CHANNEL, ``LONG`` or ``SHORT``; empty for none.
    aperture_name : str
        APERNAME; empty for that of `aperture`.
    """

    name: str
    aperture: Aperture
    readout: Readout
    gain: float
    group_time: float
    channel: str = ""
    aperture_name: str = ""


@dataclass(frozen=True)
class JwstCamera:
    """One camera.

    Parameters
    ----------
    name : str
        ``niriss`` or ``nircam``.
    instrume : str
        INSTRUME.
    detector : JwstDetector
        The one that takes spectra and images through `elements`.
    kinds : (str, str)
        EXP_TYPE of images and of spectra.
    elements : mapping of str to Element
        Filters and grisms of that detector.
    usual : UsualProgram
        What observers take.
    others : tuple of JwstDetector
        Detectors that take images at the same instants.
    other_element : Element, optional
        The filter that those look through.
    """

    name: str
    instrume: str
    detector: JwstDetector
    kinds: tuple[str, str]
    elements: dict[str, Element] = field(hash=False)
    usual: UsualProgram
    others: tuple[JwstDetector, ...] = ()
    other_element: Element | None = None
    shape: tuple[int, int] = (2048, 2048)
    program: str = "09900"
    n_chips: int = 1

    @property
    def pixel(self) -> float:
        """Side of a pixel, arcsec, where there are spectra."""
        return self.detector.aperture.pixel

    @property
    def companions(self) -> tuple[str, ...]:
        """Detectors with images of the same instants, which a simulation may leave out."""
        return tuple(detector.name for detector in self.others)

    def root(self, program: str) -> str:
        """Return what the names of all files of a program begin with."""
        return f"jw{program}"

    def taking_part(self, simulation: Simulation) -> tuple[JwstDetector, ...]:
        """Return the detectors of a simulation, the one with spectra first."""
        others = (detector for detector in self.others if detector.name in simulation.taking_part)
        return self.detector, *others

    def detectors(self, simulation: Simulation) -> dict[str, Readout]:
        """Return the detectors that take part, with their noise."""
        return {detector.name: detector.readout for detector in self.taking_part(simulation)}

    def files(self, simulation: Simulation, exposure: PlannedExposure) -> tuple[ExposureFile, ...]:
        """Return the files of an exposure, one a detector."""
        return exposure_files(self, simulation, exposure)
