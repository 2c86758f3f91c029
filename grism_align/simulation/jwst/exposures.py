"""The files of one exposure of JWST, one a detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from grism_align.simulation.camera import ExposureFile
from grism_align.simulation.gwcs.sky import DetectorSky, attitude_at
from grism_align.simulation.jwst.transforms import disperser
from grism_align.simulation.psf import JWST, Band
from grism_align.values.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grism_align.simulation.detector import Pixels
    from grism_align.simulation.elements import Element
    from grism_align.simulation.jwst.camera import JwstCamera, JwstDetector
    from grism_align.simulation.plan import Simulation
    from grism_align.simulation.schedule import PlannedExposure

_YEAR = 365.25  # days
_NEEDED = "stdatamodels"


@dataclass(frozen=True, eq=False)
class DetectorExposure:
    """What one detector takes in one exposure.

    Parameters
    ----------
    camera : JwstCamera
        The camera.
    simulation : Simulation
        What is simulated.
    exposure : PlannedExposure
        The exposure.
    detector : JwstDetector
        The detector.
    element : Element
        Filter or grism in front of it.
    """

    camera: JwstCamera
    simulation: Simulation
    exposure: PlannedExposure
    detector: JwstDetector
    element: Element

    @property
    def group(self) -> str:
        """Name of the instant, as jwst's ``group_id`` has it."""
        return group_name(self.simulation, self.exposure.visit.name, self.exposure.number)

    @property
    def key(self) -> str:
        """Root name."""
        return f"{self.group}_{self.detector.name.lower()}"

    @property
    def filename(self) -> str:
        """Name of the file: calibrated images, and what assign_wcs saves of dispersed exposures."""
        return f"{self.key}_{'assignwcsstep' if self.element.is_grism else 'cal'}.fits"

    @property
    def true_sky(self) -> DetectorSky:
        """Where it truly looks."""
        start = self.exposure.start
        return DetectorSky(
            self.detector.aperture,
            attitude_at(self.camera.detector.aperture, self.exposure.aim),
            1.0 + 9e-5 * float(np.sin(2 * np.pi * start / _YEAR)),
            corner(self.camera, self.detector, self.simulation.shape),
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
        from grism_align.simulation.jwst.files import write_model

        write_model(self, pixels[0], path)


def group_name(simulation: Simulation, visit: str, number: int) -> str:
    """Return the name of the exposure of a number in its visit, without the detector."""
    return f"jw{simulation.program_name}{visit.zfill(3)}001_021{number + 1:02d}_00001"


def corner(camera: JwstCamera, detector: JwstDetector, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the zero-based first pixel (x, y) of a detector's cut, the nearest to the field's centre."""
    (full_y, full_x), (ny, nx) = camera.shape, shape
    if detector is camera.detector:
        return (full_x - nx) // 2, (full_y - ny) // 2
    center = np.array([camera.detector.aperture.v2, camera.detector.aperture.v3])
    corners = [(x, y) for x in (0, full_x - nx) for y in (0, full_y - ny)]
    middles = detector.aperture.to_telescope(np.add(corners, [0.5 * nx, 0.5 * ny]))
    return corners[int(np.argmin(np.linalg.norm(middles - center, axis=1)))]


def exposure_files(
    camera: JwstCamera, simulation: Simulation, exposure: PlannedExposure
) -> tuple[ExposureFile, ...]:
    """Return the files of an exposure.

    Raises
    ------
    SettingsError
        If the package that writes them is not installed.
    """
    if find_spec(_NEEDED) is None:
        problem = f"needs {_NEEDED}, which is not installed: pip install 'grism_align[jwst]'"
        raise SettingsError(name="instrument", value=camera.name, allowed=problem)
    found = []
    for detector in camera.taking_part(simulation):
        element = simulation.element(exposure.plan) if detector is camera.detector else camera.other_element
        if element is not None:
            found.append(_file(DetectorExposure(camera, simulation, exposure, detector, element)))
    return tuple(found)


def _file(taken: DetectorExposure) -> ExposureFile:
    element, detector = taken.element, taken.detector
    pixel = detector.aperture.pixel
    return ExposureFile(
        key=taken.key,
        name=taken.filename,
        pointing=taken.group,
        governor=_governor(taken),
        element=element,
        element_name=disperser(element) or next(name for name in element.wheels if name != "CLEAR"),
        band=Band(element.pivot, element.width, pixel, detector.readout.diffusion, JWST),
        readout=detector.readout,
        chips={1: taken.true_sky},
        detectors=(detector.name,),
        write=taken.write,
    )


def _governor(taken: DetectorExposure) -> str | None:
    """Return the key of an image of the same instant, else of the direct exposure with the same error."""
    if not taken.element.is_grism:
        return None
    others = taken.camera.taking_part(taken.simulation)[1:]
    if others:
        return f"{taken.group}_{others[0].name.lower()}"
    number, visit = taken.exposure.governor, taken.exposure.visit.name
    if number is None:
        return None
    return f"{group_name(taken.simulation, visit, number)}_{taken.detector.name.lower()}"
