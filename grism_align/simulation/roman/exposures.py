"""The files of one exposure of Roman, one a detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from grism_align.simulation.camera import ExposureFile
from grism_align.simulation.gwcs.sky import DetectorSky, attitude_at
from grism_align.simulation.psf import ROMAN, Band
from grism_align.values.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grism_align.simulation.detector import Pixels
    from grism_align.simulation.elements import Element
    from grism_align.simulation.plan import Simulation
    from grism_align.simulation.roman.camera import RomanCamera, RomanDetector
    from grism_align.simulation.schedule import PlannedExposure

_YEAR = 365.25  # days
_NEEDED = "roman_datamodels"


@dataclass(frozen=True, eq=False)
class DetectorExposure:
    """What one detector takes in one exposure.

    Parameters
    ----------
    camera : RomanCamera
        The camera.
    simulation : Simulation
        What is simulated.
    exposure : PlannedExposure
        The exposure.
    detector : RomanDetector
        The detector.
    """

    camera: RomanCamera
    simulation: Simulation
    exposure: PlannedExposure
    detector: RomanDetector

    @property
    def element(self) -> Element:
        """Filter, prism or grism."""
        return self.simulation.element(self.exposure.plan)

    @property
    def visit_id(self) -> str:
        """Program, execution plan, pass, segment, observation and visit."""
        return f"{self.simulation.program_name}01001001001{self.exposure.visit.name.zfill(3)}"

    @property
    def group(self) -> str:
        """Name of the instant, romancal's ``group_id``."""
        return f"{self.visit_id}02101{self.exposure.number + 1:04d}"

    @property
    def key(self) -> str:
        """Root name."""
        return self.key_of(self.exposure.number, self.element)

    def key_of(self, number: int, element: Element) -> str:
        """Return the root name that the detector's file of another exposure of the visit has."""
        name = f"r{self.visit_id}_{number + 1:04d}_{self.detector.name}_{element.wheels[0]}"
        return name.lower()

    @property
    def filename(self) -> str:
        """Name of the file."""
        return f"{self.key}_cal.asdf"

    @property
    def true_sky(self) -> DetectorSky:
        """Where it truly looks."""
        (full_y, full_x), (ny, nx) = self.camera.shape, self.simulation.shape
        return DetectorSky(
            self.detector.aperture,
            attitude_at(self.camera.all_detectors[0].aperture, self.exposure.aim),
            1.0 + 9e-5 * float(np.sin(2 * np.pi * self.exposure.start / _YEAR)),
            ((full_x - nx) // 2, (full_y - ny) // 2),
            self.element.shift,
            self.simulation.shape,
        )

    @property
    def written_sky(self) -> DetectorSky:
        """Where its file says that it looks."""
        true = self.true_sky
        return replace(true, attitude=self.exposure.rotation @ true.attitude)

    def write(self, pixels: Sequence[Pixels], path: Path) -> None:
        """Write the file."""
        from grism_align.simulation.roman.files import write_model

        write_model(self, pixels[0], path)


def exposure_files(
    camera: RomanCamera, simulation: Simulation, exposure: PlannedExposure
) -> tuple[ExposureFile, ...]:
    """Return the files of an exposure.

    Raises
    ------
    SettingsError
        If the package that writes them is not installed.
    """
    if find_spec(_NEEDED) is None:
        problem = f"needs {_NEEDED}, which is not installed: pip install 'grism_align[roman]'"
        raise SettingsError(name="instrument", value=camera.name, allowed=problem)
    detectors = camera.taking_part(simulation)
    taken = (DetectorExposure(camera, simulation, exposure, detector) for detector in detectors)
    return tuple(map(_file, taken))


def _file(taken: DetectorExposure) -> ExposureFile:
    element, readout = taken.element, taken.camera.readout
    pixel = taken.detector.aperture.pixel
    return ExposureFile(
        key=taken.key,
        name=taken.filename,
        pointing=taken.group,
        governor=_governor(taken),
        element=element,
        element_name=element.wheels[0],
        band=Band(element.pivot, element.width, pixel, readout.diffusion, ROMAN),
        readout=readout,
        chips={1: taken.true_sky},
        detectors=(taken.detector.name,),
        write=taken.write,
    )


def _governor(taken: DetectorExposure) -> str | None:
    """Return the key of the image with the same error by the same detector."""
    number = taken.exposure.governor
    if number is None:
        return None
    governor = taken.exposure.visit.exposures[number]
    return taken.key_of(number, taken.simulation.element(governor))
