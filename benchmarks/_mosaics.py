"""Mosaics of pointings over ten years, and the steps at their seams: a part of `absolute.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from _reference import MOTION, aligned, made_catalog, rms_of, scattered, settings_of
from astropy.time import Time

from grism_align.algorithms.absolute.align import align_absolute
from grism_align.algorithms.relative.relative import align_relative
from grism_align.io.missions.hst.facts import TELESCOPE
from grism_align.io.missions.hst.wcs import FitsWcs
from grism_align.simulation import SceneSettings, SimulatedExposure, SimulatedVisit, Simulation, simulate
from grism_align.simulation.hst.exposures import chip_wcs, hst_exposure
from grism_align.simulation.hst.instruments import INSTRUMENTS
from grism_align.simulation.scene import draw_scene
from grism_align.simulation.schedule import planned_exposures
from grism_align.values.catalog import ReferenceCatalog, SourceCatalog
from grism_align.values.exposure import Chip, Exposure, ExposureKind
from grism_align.values.field import ExposureSet
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.source import FileSource
from grism_align.values.sphere import sky_to_vector, vector_to_sky
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.simulation import Truth
    from grism_align.simulation.hst.exposures import HstExposure
    from grism_align.simulation.scene import Scene
    from grism_align.simulation.schedule import PlannedExposure

    Floats = NDArray[np.float64]

# Distance of pointings, arcsec; years apart; noise of a list, pixels; error of the catalog, mas; motion that
# most stars share, mas/yr; pixels at the edge of a chip that no list has.
_STEP, _APART, _NOISE, _CATALOG_ERROR = 120.0, 10.0, 0.01, 0.5
_STREAM, _EDGE = (-3.0, -5.0), 5.0
_SEAM = np.linspace(-60.0, 60.0, 5)


def mosaic_plan(stars: float) -> Simulation:
    """Six pointings, every other one ten years later, with so many stars each."""
    dithers = tuple(SimulatedExposure("F140W", 250.0, dither) for dither in ((0.0, 0.0), (3.05, 5.1)))
    start = Time(2010.0, format="jyear").mjd
    visits = tuple(
        SimulatedVisit(
            f"{row}{column}",
            dithers,
            angle=0.0,
            offset=(_STEP * (column - 1), _STEP * (row - 0.5)),
            start=start + 0.2 * (3 * row + column) + 365.25 * _APART * ((row + column) % 2),
        )
        for row in range(2)
        for column in range(3)
    )
    area = (1014 * 0.128 / 60) ** 2
    scene = SceneSettings(
        star_density=stars / area,
        galaxy_density=32.0 / area,
        star_magnitudes=(18.0, 24.0),
        galaxy_magnitudes=(18.0, 24.0),
        motion=MOTION,
    )
    return Simulation("wfc3_ir", visits, scene=scene)


@dataclass(frozen=True, eq=False)
class Mosaic:
    """A mosaic aligned with itself: its pointing errors (``written = rotation @ true``), and its stars."""

    exposures: ExposureSet
    rotations: dict[str, Floats]
    catalog: ReferenceCatalog


def listed_mosaic(stars: float, seed: int) -> Mosaic:
    """A mosaic of lists of positions."""
    plan, rng = mosaic_plan(stars), np.random.default_rng([seed, int(stars)])
    planned = planned_exposures(plan, rng)
    epoch = planned[0].epoch
    scene = draw_scene(plan.scene, (plan.ra, plan.dec), 2.4 * _STEP, epoch, rng)
    scene = replace(scene, motion=scene.motion + np.outer(scene.is_star, _STREAM))
    taken = [hst_exposure(INSTRUMENTS[plan.instrument], plan, one) for one in planned]
    made = [_listed(one, seen, scene, rng) for one, seen in zip(planned, taken, strict=True)]
    exposures, catalogs = [one for one, _ in made], {one.key: seen for one, seen in made}
    relative = align_relative(exposures, catalogs, RelativeSettings(), MatchSettings(), PointingSettings())
    known = ExposureSet(
        "mosaic", tuple(exposures), catalogs=catalogs, sources=relative.sources, relative=relative.solution
    )
    rotations = {one.facts.rootname: one.rotation for one in taken}
    return Mosaic(known, rotations, _star_catalog(scene, rng))


def _listed(
    planned: PlannedExposure, taken: HstExposure, scene: Scene, rng: np.random.Generator
) -> tuple[Exposure, SourceCatalog]:
    """An exposure with a wrong pointing, and what is on it."""
    facts, chip, true = taken.facts, taken.chips[0], taken.true[1]
    written = chip_wcs(taken.written[0], [])
    exposure = Exposure(
        key=facts.rootname,
        source=FileSource(facts.filename),
        kind=ExposureKind.DIRECT,
        telescope=TELESCOPE,
        instrument="wfc3_ir",
        filter=facts.element_name,
        program=facts.rootname[:4],
        visit=facts.rootname[:6],
        group=facts.rootname[:6],
        guide_star=facts.guide_star,
        target="MOSAIC",
        dither_offset=facts.dither,
        start=facts.start,
        end=2 * planned.mid - facts.start,
        exposure_time=facts.exposure_time,
        ab_zero_point=26.0,
        is_rate=True,
        rejects_cosmic_rays=True,
        chips=(Chip(1, chip.shape, FitsWcs(written.wcs, chip.shape)),),
    )
    xy = true.to_pixel(scene.sky_at(planned.epoch))
    rows = np.flatnonzero(((xy > _EDGE) & (xy < np.array(chip.shape[::-1]) - _EDGE)).all(axis=1))
    n = len(rows)
    x, y = (xy[rows] + _NOISE * rng.normal(size=(n, 2))).T
    usual = {"flux_error": 1.0, "mag_error": 0.01, "snr": 100.0, "fwhm": 2.0, "ellipticity": 0.0}
    columns = {name: np.full(n, value) for name, value in usual.items()} | {
        "id": np.arange(n),
        "chip": np.ones(n),
        "x": x,
        "y": y,
        "x_error": np.full(n, _NOISE),
        "y_error": np.full(n, _NOISE),
        "flux": 10 ** (-0.4 * (scene.mag[rows] - 26.0)),
        "mag": scene.mag[rows],
        "flags": np.zeros(n),
    }
    return exposure, SourceCatalog.from_columns(columns)


def _star_catalog(scene: Scene, rng: np.random.Generator) -> ReferenceCatalog:
    stars = np.flatnonzero(scene.is_star)
    errors = np.full((len(stars), 2), _CATALOG_ERROR), np.full((len(stars), 2), 0.05)
    return scattered(made_catalog(scene, stars, *errors), rng)


def imaged_mosaic(stars: float, seed: int, work: Path) -> Mosaic:
    """The same as images, through the whole pipeline; without the stars' common motion."""
    truth: Truth = simulate(mosaic_plan(stars), work / f"mosaic_{seed}", np.random.default_rng(seed))
    rotations = {key: exposure.rotation for key, exposure in truth.exposures.items()}
    catalog = _star_catalog(truth.scene, np.random.default_rng([seed, 7]))
    return Mosaic(aligned(truth.paths), rotations, catalog)


def mosaic_steps(mosaic: Mosaic, plan: Simulation) -> tuple[list[float], list[float]]:
    """Largest step of each seam of two exposures, and rms error of each exposure that was tied; mas."""
    result = align_absolute(mosaic.exposures, mosaic.catalog, settings_of("joint"))
    solution = mosaic.exposures.relative.then(result.solution)
    tied = [key for key, fit in result.solution.fits.items() if fit.is_aligned]
    plane = TangentPlane(plan.ra, plan.dec)

    def error(key: str, points: Floats) -> Floats:
        """Of points of the plane, mas."""
        written = vector_to_sky(sky_to_vector(plane.to_sky(points)) @ mosaic.rotations[key].T)
        return 1e3 * (plane.to_plane(solution[key].transform.apply_to_sky(written)) - points)

    pointing = {visit.name: np.array(visit.offset) for visit in plan.visits}
    where = {key: pointing[key[4:6]] for key in tied}
    square = np.stack(np.meshgrid(_SEAM, _SEAM), axis=-1).reshape(-1, 2)
    rms = [float(np.sqrt((error(key, where[key] + square) ** 2).sum(axis=1).mean())) for key in tied]
    steps = []
    for first, second in combinations(tied, 2):
        apart = where[second] - where[first]
        if 0 < np.hypot(*apart) < 1.1 * _STEP:
            along = np.outer(_SEAM, [-apart[1], apart[0]]) / np.hypot(*apart)
            seam = 0.5 * (where[first] + where[second]) + along
            steps.append(float(np.hypot(*(error(first, seam) - error(second, seam)).T).max()))
    return steps, rms


def report_mosaics(stars: float, made: list[Mosaic], name: str) -> str:
    """A row for mosaics of so many stars a pointing."""
    plan, steps, errors, refused = mosaic_plan(stars), [], [], 0
    for mosaic in made:
        found, rms = mosaic_steps(mosaic, plan)
        refused += len(mosaic.rotations) - len(rms)
        steps += found
        errors += rms
    middle, most, worst = np.percentile(steps, [50, 95, 100]) if steps else (np.nan,) * 3
    over = np.mean(np.array(steps) > 2.0) if steps else np.nan
    return (
        f"| {name} | {stars:g} | {len(made)} | {refused} of {refused + len(errors)} "
        f"| {rms_of(errors):.2f} | {middle:.2f} | {most:.2f} "
        f"| {worst:.2f} | {100 * over:.1f} % |"
    )
