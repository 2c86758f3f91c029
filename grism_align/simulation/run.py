"""Simulate a plan: render, read out and write every exposure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from grism_align.simulation.detector import Detector, Flag, Pixels, draw_detector, expose
from grism_align.simulation.plan import Special
from grism_align.simulation.render import LightSources, Optics, direct_image, grism_image
from grism_align.simulation.scene import Scene, draw_scene, reference_catalog
from grism_align.simulation.schedule import PlannedExposure, planned_exposures
from grism_align.simulation.truth import TrueExposure, Truth
from grism_align.values.sphere import project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grism_align.simulation.camera import ExposureFile
    from grism_align.simulation.plan import Simulation
    from grism_align.simulation.sky import ChipSky


Floats = NDArray[np.float64]

_MARGIN = 64.0  # pixels around a chip from which a source's wings reach it


def simulate(
    simulation: Simulation,
    output_dir: Path,
    rng: np.random.Generator,
    progress: Callable[[int, int, str], None] | None = None,
) -> Truth:
    """Write the exposures of a simulation; the same seed gives the same pixels.

    Parameters
    ----------
    simulation : Simulation
        What to simulate.
    output_dir : Path
        Where to; made if missing, files of the same names are replaced.
    rng : numpy.random.Generator
        Source of chance.
    progress : callable, optional
        Called after each exposure with how many are done, how many there are, and the file's name.

    Returns
    -------
    Truth

    Raises
    ------
    SettingsError
        If the instrument's files need a package that isn't installed.
    """
    errors_rng, scene_rng, catalog_rng, detector_rng, noise_rng = rng.spawn(5)
    planned = [
        (exposure, file)
        for exposure in planned_exposures(simulation, errors_rng)
        for file in simulation.camera.files(simulation, exposure)
    ]
    scene = _scene(simulation, planned, scene_rng)
    detectors = _detectors(simulation, detector_rng)
    output_dir.mkdir(parents=True, exist_ok=True)
    exposures: dict[str, TrueExposure] = {}
    for (exposure, file), file_rng in zip(planned, noise_rng.spawn(len(planned)), strict=True):
        truth = _true_exposure(exposure, file, output_dir)
        file.write(_pixels(exposure, file, scene, detectors, file_rng), truth.path)
        exposures[truth.key] = truth
        if progress is not None:
            progress(len(exposures), len(planned), truth.path.name)
    return Truth(exposures, reference_catalog(scene, simulation.scene, catalog_rng), scene)


def _detectors(simulation: Simulation, rng: np.random.Generator) -> dict[str, Detector]:
    readouts = simulation.camera.detectors(simulation)
    return {
        name: draw_detector(simulation.shape, readout, its_rng)
        for (name, readout), its_rng in zip(readouts.items(), rng.spawn(len(readouts)), strict=True)
    }


def _scene(
    simulation: Simulation, planned: list[tuple[PlannedExposure, ExposureFile]], rng: np.random.Generator
) -> Scene:
    """Return sources of a square that holds all chips and what can disperse into them."""
    center = (simulation.ra, simulation.dec)
    corners = np.concatenate([chip.footprint() for _, file in planned for chip in file.chips.values()])
    reach = max(_margins(file).max() * file.band.pixel for _, file in planned)
    half_side = float(np.abs(project(corners, *center)).max() + reach)
    epoch = min(exposure.epoch for exposure, _ in planned)
    return draw_scene(simulation.scene, center, half_side, epoch, rng)


def _margins(file: ExposureFile) -> Floats:
    """Return pixels (x, y) around a chip from which light can reach it."""
    return _MARGIN + np.array(file.element.reach)


def _true_exposure(exposure: PlannedExposure, file: ExposureFile, output_dir: Path) -> TrueExposure:
    return TrueExposure(
        key=file.key,
        kind=file.kind,
        visit=exposure.visit.name,
        element=file.element_name,
        governor=file.governor,
        pointing=file.pointing,
        rotation=exposure.rotation,
        chips=file.chips,
        path=output_dir / file.name,
        special=exposure.plan.special,
        mid=exposure.mid,
    )


def _pixels(
    exposure: PlannedExposure,
    file: ExposureFile,
    scene: Scene,
    detectors: dict[str, Detector],
    rng: np.random.Generator,
) -> list[Pixels]:
    """Return what each chip reads out."""
    level = file.element.sky * rng.uniform(0.9, 1.15)
    noise = file.readout.noise[int(file.element.is_grism)]
    result = []
    for chip, name in zip(file.chips.values(), file.detectors, strict=True):
        light = _light(exposure, file, chip, scene)
        light += level * (1 + 0.03 * np.linspace(-0.5, 0.5, light.shape[1]))
        time = exposure.plan.exposure_time
        pixels = expose(light, time, detectors[name], file.readout, noise, rng)
        result.append(_spoiled(pixels, exposure.plan.special, rng))
    return result


def _light(exposure: PlannedExposure, file: ExposureFile, chip: ChipSky, scene: Scene) -> Floats:
    """Return the light of the sources on one chip, (ny, nx) electron/s."""
    plan, element = exposure.plan, file.element
    if plan.special is Special.EMPTY:
        return np.zeros(chip.shape)
    trail = plan.trail if plan.special is Special.TRAILED else (0.0, 0.0)
    optics = Optics(file.band, chip.jacobian(), chip.shape, plan.exposure_time, trail)
    xy = chip.to_pixel(scene.sky_at(exposure.epoch))
    margins = _margins(file)
    near = np.flatnonzero(((xy > -margins) & (xy < margins + chip.shape[::-1])).all(axis=1))
    shapes = tuple(scene.shapes[i] for i in near)
    sources = LightSources(xy[near], scene.rates(element)[near], shapes, near)
    return grism_image(sources, optics, element) if element.is_grism else direct_image(sources, optics)


def _spoiled(pixels: Pixels, special: Special, rng: np.random.Generator) -> Pixels:
    """Return the pixels of an exposure with something wrong."""
    if special is Special.FLAGGED:
        return replace(pixels, dq=pixels.dq | np.int16(Flag.BAD))
    if special is not Special.NAN:
        return pixels
    missing = rng.random(pixels.sci.shape) < 0.03
    ny, nx = missing.shape
    missing[ny // 3 : ny // 2, nx // 3 : nx // 2] = True
    gone = np.float32(np.nan)
    return replace(pixels, sci=np.where(missing, gone, pixels.sci), err=np.where(missing, gone, pixels.err))
