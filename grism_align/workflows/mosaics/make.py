"""Make mosaics and their catalogs, in a folder where they wait to be saved with other results."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.mosaics.drizzle import DrizzleKernel, TileSum
from grism_align.algorithms.mosaics.grid import frame_note, plan_mosaics
from grism_align.algorithms.mosaics.picture import binned, picture_side, stretched
from grism_align.io.files.checksums import sha256_of
from grism_align.io.files.staging import output_errors
from grism_align.io.mosaics.files import (
    metadata_of,
    mosaic_header,
    opened_image,
    tiled_image,
    weight_header,
)
from grism_align.values.mosaic import StagedMosaic, Tile
from grism_align.values.solution import FitStatus
from grism_align.workflows.mosaics.chips import ExposureStack
from grism_align.workflows.mosaics.cosmic_rays import find_cosmic_rays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.mosaic import ChipMask, MosaicPlan
    from grism_align.values.settings import MosaicSettings
    from grism_align.workflows.mosaics.chips import ChipStatistics

from grism_align.workflows.mosaics.checks import SUFFIXES, given_grid

logger = logging.getLogger(__name__)
_STANDINGS = ("not aligned", "not aligned by their own sources (PRIOR_ONLY)")


@dataclass(frozen=True, eq=False)
class MosaicOutcome:
    """What came of the mosaics.

    Parameters
    ----------
    products : tuple of StagedMosaic
        The mosaics.
    cosmic_rays : mapping of str to mapping of int to ChipMask
        Pixels to be flagged as hit, and only those, by exposure and chip; empty unless asked for.
    counts : mapping of str to int
        For the record.
    """

    products: tuple[StagedMosaic, ...]
    cosmic_rays: Mapping[str, Mapping[int, ChipMask]]
    counts: Mapping[str, int]


def make_mosaics(
    exposures: ExposureSet,
    settings: MosaicSettings,
    good_bits: Mapping[str, int],
    folder: Path,
    executor: Executor,
) -> MosaicOutcome:
    """Make mosaics of the direct exposures with their total corrections.

    Parameters
    ----------
    exposures : ExposureSet
        With all corrections found.
    settings : MosaicSettings
        The parameters.
    good_bits : mapping of str to int
        By instrument, the DQ bits that leave a pixel usable.
    folder : Path
        Where to.
    executor : Executor
        Does the work.

    Raises
    ------
    InputError
        If a file can't be read, or the image that gives the pixels can't be used.
    OutputError
        If a file can't be written.
    """
    stacked = _stacked(exposures)
    grid = given_grid(settings, stacked)
    stack = ExposureStack({exposure.key: exposure for exposure in stacked}, settings, good_bits)
    plans = tuple(plan_mosaics(stacked, exposures.product, settings, grid))
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        plans = _with_pixels(stack, plans, executor)
        for plan in plans:
            logger.info("%s", frame_note(plan, settings))
        _find_cosmic_rays(stack, plans, folder, executor)
        jobs = {
            plan.name: _Job(stack.part(plan.keys), plan, folder, _correction_errors(exposures, plan))
            for plan in plans
        }
        products = tuple(executor.map(_made, jobs, "Drizzling"))
    cosmic_rays = _to_be_flagged(exposures, stack) if settings.flag_exposures else {}
    return MosaicOutcome(products, cosmic_rays, _counts(products, stack, cosmic_rays))


@dataclass(frozen=True, eq=False)
class _Job:
    """What it takes to work on the exposures of a mosaic, wherever that is done.

    Parameters
    ----------
    stack : ExposureStack
        The exposures.
    plan : MosaicPlan
        The mosaic.
    folder : Path
        Where its files go.
    correction_error : (exposures, 2) ndarray, mas
        Standard errors of the exposures' shifts; zero where they have no correction.
    """

    stack: ExposureStack
    plan: MosaicPlan
    folder: Path
    correction_error: NDArray[np.float64]


def _correction_errors(exposures: ExposureSet, plan: MosaicPlan) -> NDArray[np.float64]:
    """Return the standard errors of the total shifts, (N, 2) mas; zero without a correction."""
    fits = {key: exposures.fit(key) for key in plan.keys}
    return np.array(
        [
            np.zeros(2) if fit.transform is None else 1e3 * fit.transform.at(exposures[key].plane).shift_error
            for key, fit in fits.items()
        ]
    )


def _made(job: _Job) -> StagedMosaic:
    """Drizzle a mosaic and find its sources."""
    plan, folder = job.plan, job.folder
    _drizzle(job.stack, plan, folder)
    n_sources = None
    if job.stack.settings.make_catalog:
        from grism_align.workflows.mosaics.catalogs import write_catalog

        n_sources = write_catalog(plan, job.stack, job.correction_error, folder)
    names = [f"{plan.name}_{suffix}" for suffix in SUFFIXES[: 2 if n_sources is None else None]]
    digests = {name: sha256_of(folder / name) for name in names}
    return StagedMosaic(plan, digests, n_sources, _picture(plan, folder), folder=str(folder))


def _picture(plan: MosaicPlan, folder: Path) -> NDArray[np.uint8]:
    """Return what a mosaic shows, for the report; it is read in bands."""
    science, weight = (opened_image(folder / f"{plan.name}_{suffix}") for suffix in SUFFIXES[:2])
    (ny, nx), side = plan.grid.shape, picture_side(plan.grid.shape)
    picture = np.empty((ny // side, nx // side))
    for row, _ in enumerate(picture):
        band = Tile(row * side, (row + 1) * side, 0, nx)
        picture[row] = binned(science.read(band), weight.read(band), side)[0]
    return stretched(picture)


def _counts(
    products: Sequence[StagedMosaic],
    stack: ExposureStack,
    flagged: Mapping[str, Mapping[int, ChipMask]],
) -> dict[str, int]:
    masks = [known.cosmic_rays for known in stack.statistics.values()]
    counts = {"mosaics": len(products)}
    counts["cosmic_ray_pixels"] = sum(mask.number for mask in masks if mask is not None)
    if stack.settings.flag_exposures:
        counts["flagged_pixels"] = sum(mask.number for own in flagged.values() for mask in own.values())
    if stack.settings.make_catalog:
        counts["sources"] = sum(product.n_sources or 0 for product in products)
    return counts


def _to_be_flagged(exposures: ExposureSet, stack: ExposureStack) -> dict[str, dict[int, ChipMask]]:
    """Return the masks of the exposures that are written and whose cosmic rays were looked for."""
    out: dict[str, dict[int, ChipMask]] = {}
    for (key, number), known in stack.statistics.items():
        if known.cosmic_rays is not None:
            out.setdefault(key, {})[number] = known.cosmic_rays
    unwritten = [key for key in out if not exposures.fit(key).is_fitted]
    if unwritten:
        text = "Not written, as nothing is known of their WCSs, so cosmic rays are not flagged: %s"
        logger.warning(text, ", ".join(unwritten))
    return {key: own for key, own in out.items() if key not in unwritten}


def _stacked(exposures: ExposureSet) -> list[Exposure]:
    """Return the direct exposures that are stacked, with their corrected WCSs.

    In each filter those whose own sources give their correction; where there are none, those that have any;
    where no exposure of the set has one, all. An exposure that was merely corrected like its neighbours may
    show nothing at all, or may have moved without anyone knowing.
    """
    out: list[Exposure] = []
    left: dict[str, list[str]] = {}
    standings = {exposure.key: _standing(exposures, exposure.key) for exposure in exposures.direct}
    wanted: dict[str, int] = {}
    for exposure in exposures.direct:
        wanted[exposure.filter] = max(wanted.get(exposure.filter, 0), standings[exposure.key])
    any_corrected = any(standings.values())
    for exposure in exposures.direct:
        standing, fit = standings[exposure.key], exposures.fit(exposure.key)
        if standing < wanted[exposure.filter] or (any_corrected and standing == 0):
            left.setdefault(_STANDINGS[standing], []).append(exposure.key)
            continue
        out.append(exposure.corrected(fit.transform) if fit.transform else exposure)
    for why, keys in left.items():
        logger.warning("Left out of the mosaics, %s: %s", why, ", ".join(keys))
    return out


def _standing(exposures: ExposureSet, key: str) -> int:
    """Rank an exposure: 2 if its own sources tie it to the others, 1 if it is corrected like them, else 0."""
    total = exposures.fit(key)
    if total.transform is None:
        return 0
    # one that has no stars of the catalog is still where the others are
    fit = exposures.relative.fits.get(key, total)
    return 2 if fit.status in (FitStatus.ALIGNED, FitStatus.REFERENCE) else 1


def _with_pixels(
    stack: ExposureStack, plans: Sequence[MosaicPlan], executor: Executor
) -> tuple[MosaicPlan, ...]:
    """Return the plans with the exposures that add pixels to them; as they are where none does."""
    parts = {key: stack.part([key]) for key in stack.exposures}
    shown: dict[str, frozenset[str]] = {}
    found = executor.map(partial(_surveyed, plans=plans), parts, "Surveying")
    for key, survey in zip(parts, found, strict=True):
        stack.statistics |= survey.statistics
        shown[key] = survey.names
    return tuple(_without(plan, [key for key in plan.keys if plan.name not in shown[key]]) for plan in plans)


@dataclass(frozen=True, eq=False)
class _Survey:
    """What there is to know of the chips of an exposure, and the names of mosaics that it has pixels on."""

    statistics: Mapping[tuple[str, int], ChipStatistics]
    names: frozenset[str]


def _surveyed(stack: ExposureStack, plans: Sequence[MosaicPlan]) -> _Survey:
    """Survey the only exposure of a stack."""
    [key] = stack.exposures
    names = (plan.name for plan in plans if key in plan.keys and stack.has_pixels_on(key, plan.grid))
    return _Survey(stack.statistics, frozenset(names))


def _without(plan: MosaicPlan, lacking: Sequence[str]) -> MosaicPlan:
    if not lacking or len(lacking) == len(plan.keys):
        return plan
    text = "%s: without a usable pixel on it, and not counted: %s"
    logger.warning(text, plan.name, ", ".join(lacking))
    return replace(plan, keys=tuple(key for key in plan.keys if key not in lacking))


def _find_cosmic_rays(
    stack: ExposureStack, plans: Sequence[MosaicPlan], folder: Path, executor: Executor
) -> None:
    """Find the cosmic rays of each instrument, visit and filter; the stack takes them."""
    groups = {}
    for keys in _groups(stack):
        if any(not set(keys).isdisjoint(plan.keys) for plan in plans):
            groups[", ".join(keys)] = stack.part(keys)
    found = executor.map(partial(_cleaned, plans=plans, folder=folder), groups, "Finding cosmic rays of")
    for names, cleaned in zip(groups, found, strict=True):
        stack.statistics |= cleaned.statistics
        stack.methods |= cleaned.methods
        logger.info("Cosmic rays of %s: %s", names, ", ".join(dict.fromkeys(cleaned.methods.values())))


def _cleaned(stack: ExposureStack, plans: Sequence[MosaicPlan], folder: Path) -> ExposureStack:
    """Return a stack that knows the cosmic rays of its exposures, which are compared with each other."""
    keys = list(stack.exposures)
    grid = next(plan.grid for plan in plans if not set(keys).isdisjoint(plan.keys))
    method = find_cosmic_rays(stack, keys, grid, folder)
    stack.methods.update(dict.fromkeys(keys, method))
    return stack


def _groups(stack: ExposureStack) -> list[list[str]]:
    """Return the keys of the exposures of each instrument, visit and filter."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for key, exposure in stack.exposures.items():
        groups.setdefault((exposure.instrument, exposure.visit, exposure.filter), []).append(key)
    return list(groups.values())


def _drizzle(stack: ExposureStack, plan: MosaicPlan, folder: Path) -> None:
    """Drizzle one mosaic, tile by tile; each exposure is opened for each tile that it falls on."""
    settings, grid = stack.settings, plan.grid
    exposures = [stack.exposures[key] for key in plan.keys]
    metadata = metadata_of(exposures)
    methods = dict.fromkeys(stack.methods.get(key, "none") for key in plan.keys)
    header = mosaic_header(plan, metadata, exposures, settings, ", ".join(methods))
    kernel = DrizzleKernel(settings.kernel, settings.pixfrac, settings.weights != "exposure")
    science, weight = (folder / f"{plan.name}_{suffix}" for suffix in SUFFIXES[:2])
    with (
        tiled_image(science, header, grid.shape, ">f4") as images,
        tiled_image(weight, weight_header(header, settings), grid.shape, ">f4") as weights,
    ):
        for tile in grid.tiles(settings.tile):
            near, whole = [], True
            for exposure in exposures:
                if maps := stack.near(exposure.key, grid, tile):
                    near.append(exposure)
                    whole &= all(one.lies_within(tile) for one in maps)
            if not near:
                # the file is zero there, and takes no room on most disks
                continue
            total = TileSum(tile, kernel, whole=whole)
            for exposure in near:
                for rates in stack.rates(exposure.key):
                    total.add(stack.image(exposure.key, rates, grid, metadata.ab_zero_point))
            images.write(tile, total.image)
            weights.write(tile, total.weight)
