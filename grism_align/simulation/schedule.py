"""From a plan to the pointings of its exposures, true and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from grism_align.simulation.rotations import Aim, pointing_rotation, turned
from grism_align.values.sphere import unproject

if TYPE_CHECKING:
    from grism_align.simulation.plan import SimulatedExposure, SimulatedVisit, Simulation


Floats = NDArray[np.float64]

_OVERHEAD = 90.0  # s between exposures


@dataclass(frozen=True, eq=False)
class PlannedExposure:
    """One exposure, ready to be rendered and written: all detectors at one instant.

    Parameters
    ----------
    plan : SimulatedExposure
        What was asked for.
    visit : SimulatedVisit
        Its visit.
    number : int
        Which exposure of the visit it is, from 0.
    start : float, MJD
        Of the exposure.
    aim : Aim
        Where the instrument's centre truly looks.
    rotation : (3, 3) ndarray
        ``written = rotation @ true``.
    governor : int or None
        Number of the direct exposure that shares it.
    """

    plan: SimulatedExposure
    visit: SimulatedVisit
    number: int
    start: float
    aim: Aim
    rotation: Floats
    governor: int | None

    @property
    def written_aim(self) -> Aim:
        """Where the headers say that it looks."""
        return turned(self.rotation, self.aim)

    @property
    def mid(self) -> float:
        """Middle of the exposure, MJD."""
        return self.start + 0.5 * self.plan.exposure_time / 86400

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
    governors = [_governor(simulation, visit, number) for number in range(len(visit.exposures))]
    rotations = _rotations(simulation, visit, aims, governors, rng)
    return [
        PlannedExposure(
            exposure, visit, number, float(starts[number]), aims[number], rotations[number], governors[number]
        )
        for number, exposure in enumerate(visit.exposures)
    ]


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
