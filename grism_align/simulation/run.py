"""Simulate a plan: render, read out and write every exposure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from grism_align.simulation.detector import Detector, Flag, Pixels, draw_detector, expose
from grism_align.simulation.headers import constant_header, plain_header, primary_header, science_header
from grism_align.simulation.plan import Special
from grism_align.simulation.psf import Band
from grism_align.simulation.render import LightSources, Optics, direct_image, grism_image
from grism_align.simulation.scene import Scene, draw_scene, reference_catalog
from grism_align.simulation.schedule import PlannedExposure, chip_wcs, planned_exposures, shared_tables
from grism_align.simulation.truth import TrueExposure, Truth
from grism_align.values.exposure import ExposureKind
from grism_align.values.sphere import project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grism_align.simulation.chips import ChipWcs
    from grism_align.simulation.plan import Simulation


Floats = NDArray[np.float64]

_MARGIN = 64.0  # pixels around a chip from which a source's wings reach it
_SAMPLE_TIME = 100.0  # s, of the SPARS100 sequence


def simulate(
    simulation: Simulation,
    output_dir: Path,
    rng: np.random.Generator,
    progress: Callable[[int, int, str], None] | None = None,
) -> Truth:
    """Write the exposures of a simulation; the same seed gives the same bytes.

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
    """
    errors_rng, scene_rng, catalog_rng, detector_rng, noise_rng = rng.spawn(5)
    planned = planned_exposures(simulation, errors_rng)
    tables = shared_tables(simulation)
    scene = _scene(simulation, planned, tables, scene_rng)
    detectors = [
        draw_detector(simulation.shape, simulation.camera.readout, chip_rng)
        for chip_rng in detector_rng.spawn(len(simulation.camera.direct))
    ]
    output_dir.mkdir(parents=True, exist_ok=True)
    exposures: dict[str, TrueExposure] = {}
    for exposure, exposure_rng in zip(planned, noise_rng.spawn(len(planned)), strict=True):
        truth = _true_exposure(exposure, tables, output_dir)
        pixels = _pixels(exposure, truth, scene, detectors, exposure_rng)
        _hdus(exposure, pixels, tables).writeto(truth.path, overwrite=True)
        exposures[truth.key] = truth
        if progress is not None:
            progress(len(exposures), len(planned), truth.path.name)
    return Truth(exposures, reference_catalog(scene, simulation.scene, catalog_rng), scene)


def _scene(
    simulation: Simulation,
    planned: list[PlannedExposure],
    tables: list[fits.ImageHDU],
    rng: np.random.Generator,
) -> Scene:
    """Return sources of a square that holds all chips and what can disperse into them."""
    center = (simulation.ra, simulation.dec)
    corners = np.concatenate(
        [chip_wcs(chip, tables).footprint() for exposure in planned for chip in exposure.chips]
    )
    reach = max(_margins(exposure)[0] for exposure in planned) * simulation.camera.pixel
    half_side = float(np.abs(project(corners, *center)).max()) + reach
    epoch = min(exposure.epoch for exposure in planned)
    return draw_scene(simulation.scene, center, half_side, epoch, rng)


def _margins(exposure: PlannedExposure) -> Floats:
    """Return pixels (x, y) around a chip from which light can reach it."""
    orders = exposure.facts.element.orders
    reach = max((max(abs(order.start), abs(order.end)) for order in orders), default=0.0)
    return np.array([_MARGIN + reach, _MARGIN])


def _true_exposure(exposure: PlannedExposure, tables: list[fits.ImageHDU], output_dir: Path) -> TrueExposure:
    facts = exposure.facts
    return TrueExposure(
        key=facts.rootname,
        kind=ExposureKind.GRISM if facts.element.is_grism else ExposureKind.DIRECT,
        visit=exposure.visit,
        element=facts.element_name,
        governor=exposure.governor,
        rotation=exposure.rotation,
        chips={chip.extver: chip_wcs(chip, tables) for chip in exposure.chips},
        path=output_dir / facts.filename,
        special=exposure.plan.special,
        mid=exposure.mid,
    )


def _pixels(
    exposure: PlannedExposure,
    truth: TrueExposure,
    scene: Scene,
    detectors: list[Detector],
    rng: np.random.Generator,
) -> list[Pixels]:
    """Return what each chip reads out."""
    facts, readout = exposure.facts, exposure.facts.camera.readout
    level = facts.element.sky * rng.uniform(0.9, 1.15)
    result = []
    for chip, detector in zip(truth.chips.values(), detectors, strict=True):
        light = _light(exposure, chip, scene)
        light += level * (1 + 0.03 * np.linspace(-0.5, 0.5, light.shape[1]))
        noise = readout.noise[int(facts.element.is_grism)]
        pixels = expose(light, facts.exposure_time, detector, readout, noise, rng)
        result.append(_spoiled(pixels, exposure.plan.special, rng))
    return result


def _light(exposure: PlannedExposure, chip: ChipWcs, scene: Scene) -> Floats:
    """Return the light of the sources on one chip, (ny, nx) electron/s."""
    facts, plan = exposure.facts, exposure.plan
    if plan.special is Special.EMPTY:
        return np.zeros(chip.shape)
    camera, element = facts.camera, facts.element
    optics = Optics(
        Band(element.pivot, element.width, camera.pixel, camera.readout.diffusion),
        chip.jacobian(),
        chip.shape,
        facts.exposure_time,
        plan.trail if plan.special is Special.TRAILED else (0.0, 0.0),
    )
    xy = chip.to_pixel(scene.sky_at(exposure.epoch))
    margins = _margins(exposure)
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


def _hdus(exposure: PlannedExposure, pixels: list[Pixels], tables: list[fits.ImageHDU]) -> fits.HDUList:
    """Return the file, with the WCSs that its pointing error makes wrong."""
    facts = exposure.facts
    hdus = fits.HDUList([fits.PrimaryHDU(header=primary_header(facts))])
    for true_chip, data in zip(exposure.chips, pixels, strict=True):
        chip = replace(true_chip, linear=true_chip.linear.rotated(exposure.rotation))
        science = science_header(facts, chip, chip_wcs(chip, tables))
        hdus.append(fits.ImageHDU(data.sci, science))
        hdus.append(fits.ImageHDU(data.err, plain_header(facts, chip, "ERR")))
        hdus.append(fits.ImageHDU(data.dq, plain_header(facts, chip, "DQ")))
        if facts.camera.readout.rates:
            samples = float(np.ceil(facts.exposure_time / _SAMPLE_TIME) + 1)
            for name, value in (("SAMP", samples), ("TIME", facts.exposure_time)):
                hdus.append(fits.ImageHDU(header=constant_header(facts, chip, name, value)))
    hdus.extend(table.copy() for table in tables)
    return hdus
