"""The file of one exposure of HST."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from grism_align.simulation.camera import ExposureFile
from grism_align.simulation.hst.chips import ChipWcs, linear_wcs, wcs_header
from grism_align.simulation.hst.headers import (
    ChipStatistics,
    ExposureFacts,
    constant_header,
    plain_header,
    primary_header,
    science_header,
)
from grism_align.simulation.hst.lookup import lookup_tables
from grism_align.simulation.psf import Band

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.simulation.detector import Pixels
    from grism_align.simulation.hst.camera import HstCamera
    from grism_align.simulation.plan import Simulation
    from grism_align.simulation.schedule import PlannedExposure

_ORBIT = 96.0 / 1440.0  # days
_SAMPLE_TIME = 100.0  # s, of the SPARS100 sequence


@dataclass(frozen=True, eq=False)
class HstExposure:
    """What is written of an exposure.

    Parameters
    ----------
    facts : ExposureFacts
        What its headers say.
    rotation : (3, 3) ndarray
        ``written = rotation @ true``.
    chips : tuple of ChipStatistics
        The chips with their true WCSs.
    tables : list of ImageHDU
        D2IM and NPOL, of all chips.
    """

    facts: ExposureFacts
    rotation: NDArray[np.float64]
    chips: tuple[ChipStatistics, ...]
    tables: list[fits.ImageHDU]

    @property
    def true(self) -> dict[int, ChipWcs]:
        """True WCSs by EXTVER."""
        return {chip.extver: chip_wcs(chip, self.tables) for chip in self.chips}

    @property
    def written(self) -> tuple[ChipStatistics, ...]:
        """The chips as its pointing error makes them look."""
        return tuple(replace(chip, linear=chip.linear.rotated(self.rotation)) for chip in self.chips)

    def write(self, pixels: Sequence[Pixels], path: Path) -> None:
        """Write the file."""
        hdus = fits.HDUList([fits.PrimaryHDU(header=primary_header(self.facts))])
        for chip, data in zip(self.written, pixels, strict=True):
            for hdu in self._chip_hdus(chip, data):
                hdus.append(hdu)
        hdus.extend(table.copy() for table in self.tables)
        hdus.writeto(path, overwrite=True)

    def _chip_hdus(self, chip: ChipStatistics, data: Pixels) -> list[fits.ImageHDU]:
        facts = self.facts
        science = science_header(facts, chip, chip_wcs(chip, self.tables))
        hdus = [
            fits.ImageHDU(data.sci, science),
            fits.ImageHDU(data.err, plain_header(facts, chip, "ERR")),
            fits.ImageHDU(data.dq, plain_header(facts, chip, "DQ")),
        ]
        if facts.camera.readout.rates:
            samples = float(np.ceil(facts.exposure_time / _SAMPLE_TIME) + 1)
            for name, value in (("SAMP", samples), ("TIME", facts.exposure_time)):
                hdus.append(fits.ImageHDU(header=constant_header(facts, chip, name, value)))
        return hdus


def hst_exposure(camera: HstCamera, simulation: Simulation, exposure: PlannedExposure) -> HstExposure:
    """Return what is written of an exposure."""
    return HstExposure(
        _facts(camera, simulation, exposure),
        exposure.rotation,
        _chips(camera, simulation, exposure),
        shared_tables(camera, simulation),
    )


def exposure_file(camera: HstCamera, simulation: Simulation, exposure: PlannedExposure) -> ExposureFile:
    """Return the file of an exposure."""
    taken = hst_exposure(camera, simulation, exposure)
    facts, element, governor = taken.facts, taken.facts.element, exposure.governor
    return ExposureFile(
        key=facts.rootname,
        name=facts.filename,
        pointing=facts.rootname,
        governor=None if governor is None else _root_name(camera, simulation, exposure, governor),
        element=element,
        element_name=facts.element_name,
        band=Band(element.pivot, element.width, camera.pixel, camera.readout.diffusion),
        readout=camera.readout,
        chips=taken.true,
        detectors=tuple(camera.detectors(simulation)),
        write=taken.write,
    )


def _root_name(camera: HstCamera, simulation: Simulation, exposure: PlannedExposure, number: int) -> str:
    """Return a name of the form ipppssoot."""
    sequence = f"{'abcdefghijklmnopqrstuvwxyz'[number // 9]}{number % 9 + 1}"
    return f"{camera.root(simulation.program_name)}{exposure.visit.name}{sequence}q"


def _aberration(start: float) -> float:
    """Scale factor of velocity aberration, for a velocity that follows HST's orbit."""
    return 1.00002 + 2e-5 * float(np.sin(2 * np.pi * start / _ORBIT))


def _facts(camera: HstCamera, simulation: Simulation, exposure: PlannedExposure) -> ExposureFacts:
    plan, visit = exposure.plan, exposure.visit
    return ExposureFacts(
        camera=camera,
        element=simulation.element(plan),
        element_name=plan.element,
        rootname=_root_name(camera, simulation, exposure, exposure.number),
        line=f"{visit.name}.{exposure.number + 1:03d}",
        target=(simulation.target, simulation.ra, simulation.dec),
        aim=exposure.written_aim,
        dither=plan.dither,
        start=exposure.start,
        exposure_time=plan.exposure_time,
        guide_star=visit.guide_star or f"N8FG0000{visit.name}F1",
        aberration=_aberration(exposure.start),
        is_cut=simulation.shape != camera.shape,
        fine_lock=plan.special.value != "trailed",
    )


def chip_corners(camera: HstCamera, simulation: Simulation) -> list[tuple[int, int]]:
    """Return the zero-based first pixel (x, y) of each chip's cut; two chips are cut at their gap."""
    (full_y, full_x), (ny, nx) = camera.shape, simulation.shape
    x = (full_x - nx) // 2
    if camera.n_chips == 1:
        return [(x, (full_y - ny) // 2)]
    return [(x, full_y - ny), (x, 0)]


def _chips(
    camera: HstCamera, simulation: Simulation, exposure: PlannedExposure
) -> tuple[ChipStatistics, ...]:
    optics = camera.optics(simulation.element(exposure.plan))
    linear = partial(linear_wcs, aim=exposure.aim, aberration=_aberration(exposure.start))
    return tuple(
        ChipStatistics(extver, chip, linear(chip).cut(*corner), corner, simulation.shape)
        for extver, (chip, corner) in enumerate(
            zip(optics, chip_corners(camera, simulation), strict=True), start=1
        )
    )


def shared_tables(camera: HstCamera, simulation: Simulation) -> list[fits.ImageHDU]:
    """Return the D2IM and NPOL tables of all chips; none for an instrument without."""
    if not camera.has_lookup_tables:
        return []
    return lookup_tables(camera.n_chips, chip_corners(camera, simulation))


def chip_wcs(chip: ChipStatistics, tables: list[fits.ImageHDU]) -> ChipWcs:
    """Return the WCS of a chip."""
    return ChipWcs(wcs_header(chip.linear, chip.optics, chip.extver if tables else None), tables, chip.shape)
