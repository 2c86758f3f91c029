"""From a plan to the pointings of its exposures, true and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from grism_align.simulation.chips import ChipWcs, linear_wcs, wcs_header
from grism_align.simulation.headers import ChipStatistics, ExposureFacts
from grism_align.simulation.lookup import lookup_tables
from grism_align.simulation.rotations import Aim, frame_at, pointing_rotation
from grism_align.values.sphere import sky_to_vector, tangent_axes, unproject, vector_to_sky

if TYPE_CHECKING:
    from astropy.io import fits

    from grism_align.simulation.instruments import ChipOptics
    from grism_align.simulation.plan import SimulatedExposure, SimulatedVisit, Simulation


Floats = NDArray[np.float64]

_OVERHEAD = 90.0  # s between exposures
_ORBIT = 96.0 / 1440.0  # days


@dataclass(frozen=True, eq=False)
class PlannedExposure:
    """One exposure, ready to be rendered and written.

    Parameters
    ----------
    plan : SimulatedExposure
        What was asked for.
    visit : str
        Name of its visit.
    facts : ExposureFacts
        What its headers say.
    rotation : (3, 3) ndarray
        ``written = rotation @ true``.
    governor : str or None
        Key of the direct exposure that shares it.
    chips : tuple of ChipStatistics
        The chips with their true WCSs.
    """

    plan: SimulatedExposure
    visit: str
    facts: ExposureFacts
    rotation: Floats
    governor: str | None
    chips: tuple[ChipStatistics, ...]

    @property
    def mid(self) -> float:
        """Middle of the exposure, MJD."""
        return self.facts.start + 0.5 * self.facts.exposure_time / 86400

    @property
    def epoch(self) -> float:
        """Middle of the exposure, Julian year."""
        return 2000.0 + (self.mid - 51544.5) / 365.25


def planned_exposures(simulation: Simulation, rng: np.random.Generator) -> list[PlannedExposure]:
    """Return all exposures of a simulation in the order of its visits, with pointing errors drawn."""
    return [
        exposure
        for visit, visit_rng in zip(simulation.visits, rng.spawn(len(simulation.visits)), strict=True)
        for exposure in _planned_visit(simulation, visit, visit_rng)
    ]


def _planned_visit(
    simulation: Simulation, visit: SimulatedVisit, rng: np.random.Generator
) -> list[PlannedExposure]:
    aims = [_aim(simulation, visit, number) for number in range(len(visit.exposures))]
    starts = visit.start + np.cumsum([0.0] + [(e.exposure_time + _OVERHEAD) / 86400 for e in visit.exposures])
    keys = [_root_name(simulation, visit, number) for number in range(len(visit.exposures))]
    governors = [_governor(simulation, visit, number) for number in range(len(visit.exposures))]
    rotations = _rotations(simulation, visit, aims, governors, rng)
    return [
        PlannedExposure(
            exposure,
            visit.name,
            _facts(simulation, visit, number, keys[number], float(starts[number]), rotations[number]),
            rotations[number],
            None if governor is None else keys[governor],
            _chips(simulation, exposure, aims[number], _aberration(float(starts[number]))),
        )
        for number, (exposure, governor) in enumerate(zip(visit.exposures, governors, strict=True))
    ]


def _root_name(simulation: Simulation, visit: SimulatedVisit, number: int) -> str:
    """Return a name of the form ipppssoot."""
    sequence = f"{'abcdefghijklmnopqrstuvwxyz'[number // 9]}{number % 9 + 1}"
    return f"{simulation.camera.letter}{simulation.program}{visit.name}{sequence}q"


def _aim(simulation: Simulation, visit: SimulatedVisit, number: int) -> Aim:
    """Return where the instrument's centre truly looks."""
    exposure = visit.exposures[number]
    cos, sin = np.cos(np.radians(visit.angle)), np.sin(np.radians(visit.angle))
    x_axis, y_axis = np.array([-cos, sin]), np.array([sin, cos])
    move = np.array(visit.offset) - exposure.dither[0] * x_axis - exposure.dither[1] * y_axis
    ra, dec = unproject(move, simulation.ra, simulation.dec)
    # Headers have the roll as commanded, and it is the telescope that turns away from it.
    return Aim(float(ra), float(dec), visit.angle - _turned_away(simulation, visit)[number])


def _governor(simulation: Simulation, visit: SimulatedVisit, number: int) -> int | None:
    """Return which exposure of the visit governs a grism exposure; None for others and grisms alone."""
    exposure = visit.exposures[number]
    if not simulation.element(exposure).is_grism:
        return None
    if exposure.governor is not None:
        return exposure.governor
    direct = [i for i, e in enumerate(visit.exposures) if not simulation.element(e).is_grism]
    before = [i for i in direct if i < number]
    return before[-1] if before else next(iter(direct), None)


def _rotations(
    simulation: Simulation,
    visit: SimulatedVisit,
    aims: list[Aim],
    governors: list[int | None],
    rng: np.random.Generator,
) -> list[Floats]:
    """Return the pointing errors of a visit's exposures: the visit's, each pointing's own, and drift."""
    errors, pixel = simulation.errors, simulation.camera.pixel
    common = _visit_rotation(simulation, visit, rng)
    grism_drift = _direction(rng) * errors.grism_drift * pixel
    own = rng.normal(0, 1, (len(aims), 2)) * pixel
    drifts = _drifts(simulation, visit, rng)
    offsets = _stays(visit, governors, errors.jitter_of_grisms)
    rotations = []
    for number, governor in enumerate(governors):
        ra, dec = aims[number][:2]
        shared, shift = common, drifts[number]
        if governor is None and simulation.element(visit.exposures[number]).is_grism:
            shift = shift + own[number] * errors.grism_jitter
        elif governor is None or errors.jitter_of_grisms:
            shift = shift + own[offsets[number]] * errors.jitter
        else:
            there = aims[governor][:2]
            shared = common @ pointing_rotation(*there, own[offsets[governor]] * errors.jitter)
            hours = _hours(visit)[number] - _hours(visit)[governor]
            shift = shift + own[number] * errors.grism_jitter + grism_drift * hours
        roll = float(_turned_away(simulation, visit)[number])
        rotations.append(shared @ pointing_rotation(ra, dec, shift, roll))
    return rotations


def _stays(visit: SimulatedVisit, governors: list[int | None], count_grisms: bool) -> list[int]:
    """Return for each exposure the first (direct) one of those between which the telescope did not move."""
    first: list[int] = []
    tells = [count_grisms or governor is None for governor in governors]
    for number, exposure in enumerate(visit.exposures):
        last = next((i for i in range(number - 1, -1, -1) if tells[i]), None)
        stayed = last is not None and all(e.dither == exposure.dither for e in visit.exposures[last:number])
        first.append(first[last] if last is not None and stayed else number)
    return first


def _drifts(simulation: Simulation, visit: SimulatedVisit, rng: np.random.Generator) -> Floats:
    """Return how far the pointing has drifted by the middle of each exposure, (N, 2) arcsec."""
    errors, hours = simulation.errors, _hours(visit)
    length = errors.drift * hours + 0.5 * errors.drift_change * hours**2
    return simulation.camera.pixel * length[:, None] * _direction(rng)


def _hours(visit: SimulatedVisit) -> Floats:
    """Return hours from the start of a visit to the middle of each of its exposures."""
    durations = np.array([exposure.exposure_time for exposure in visit.exposures])
    return np.asarray((np.cumsum(durations + _OVERHEAD) - _OVERHEAD - 0.5 * durations) / 3600)


def _turned_away(simulation: Simulation, visit: SimulatedVisit) -> Floats:
    """Return by how much the roll of each exposure is smaller than that in its header, deg."""
    return simulation.errors.roll_drift * _hours(visit)


def _direction(rng: np.random.Generator) -> Floats:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def _visit_rotation(simulation: Simulation, visit: SimulatedVisit, rng: np.random.Generator) -> Floats:
    """Return the pointing error of a visit: as given, else drawn."""
    errors = simulation.errors
    shift = _direction(rng) * rng.uniform(*errors.shift)
    roll = float(rng.choice([-1.0, 1.0]) * rng.uniform(*errors.roll))
    ra, dec = unproject(visit.offset, simulation.ra, simulation.dec)
    return pointing_rotation(
        float(ra),
        float(dec),
        shift if visit.shift is None else np.array(visit.shift, dtype=float),
        roll if visit.roll is None else visit.roll,
    )


def _aberration(start: float) -> float:
    """Scale factor of velocity aberration, for a velocity that follows HST's orbit."""
    return 1.00002 + 2e-5 * float(np.sin(2 * np.pi * start / _ORBIT))


def _facts(
    simulation: Simulation,
    visit: SimulatedVisit,
    number: int,
    rootname: str,
    start: float,
    rotation: Floats,
) -> ExposureFacts:
    exposure = visit.exposures[number]
    return ExposureFacts(
        camera=simulation.camera,
        element=simulation.element(exposure),
        element_name=exposure.element,
        rootname=rootname,
        line=f"{visit.name}.{number + 1:03d}",
        target=(simulation.target, simulation.ra, simulation.dec),
        aim=_turned(rotation, _aim(simulation, visit, number)),
        dither=exposure.dither,
        start=start,
        exposure_time=exposure.exposure_time,
        guide_star=visit.guide_star or f"N8FG0000{visit.name}F1",
        aberration=_aberration(start),
        is_cut=simulation.shape != simulation.camera.shape,
        fine_lock=exposure.special.value != "trailed",
    )


def _turned(rotation: Floats, aim: Aim) -> Aim:
    """Return an aim under a rotation of the sky."""
    ra, dec = vector_to_sky(rotation @ sky_to_vector(aim[:2]))
    north = rotation @ frame_at(*aim) @ tangent_axes(0.0, 0.0)[1]
    east_part, north_part, _ = tangent_axes(ra, dec) @ north
    return Aim(float(ra), float(dec), float(np.degrees(np.arctan2(east_part, north_part))) % 360.0)


def chip_corners(simulation: Simulation) -> list[tuple[int, int]]:
    """Return the zero-based first pixel (x, y) of each chip's cut; two chips are cut at their gap."""
    (full_y, full_x), (ny, nx) = simulation.camera.shape, simulation.shape
    x = (full_x - nx) // 2
    if len(simulation.camera.direct) == 1:
        return [(x, (full_y - ny) // 2)]
    return [(x, full_y - ny), (x, 0)]


def _chips(
    simulation: Simulation,
    exposure: SimulatedExposure,
    aim: Aim,
    aberration: float,
) -> tuple[ChipStatistics, ...]:
    optics = simulation.camera.optics(simulation.element(exposure))
    return tuple(
        ChipStatistics(extver, chip, linear_wcs(chip, aim, aberration).cut(*corner), corner, simulation.shape)
        for extver, (chip, corner) in enumerate(zip(optics, chip_corners(simulation), strict=True), start=1)
    )


def shared_tables(simulation: Simulation) -> list[fits.ImageHDU]:
    """Return the D2IM and NPOL tables of all chips; none for an instrument without."""
    if not simulation.camera.has_lookup_tables:
        return []
    return lookup_tables(len(simulation.camera.direct), chip_corners(simulation))


def chip_wcs(chip: ChipStatistics, tables: list[fits.ImageHDU], rotation: Floats | None = None) -> ChipWcs:
    """Return the WCS of a chip: the true one, or the written one if a rotation is given."""
    linear = chip.linear if rotation is None else chip.linear.rotated(rotation)
    optics: ChipOptics = chip.optics
    return ChipWcs(wcs_header(linear, optics, chip.extver if tables else None), tables, chip.shape)
