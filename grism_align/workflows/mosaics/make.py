"""Make mosaics and their catalogs, in a folder where they wait to be saved with other results."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grism_align.algorithms.mosaics.drizzle import DrizzleKernel, TileSum
from grism_align.algorithms.mosaics.grid import frame_note, plan_mosaics
from grism_align.io.files.checksums import sha256_of
from grism_align.io.mosaics.files import metadata_of, mosaic_header, tiled_image, weight_header
from grism_align.values.mosaic import MosaicProduct
from grism_align.values.solution import FitStatus
from grism_align.workflows.mosaics.chips import ExposureStack
from grism_align.workflows.mosaics.cosmic_rays import find_cosmic_rays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.mosaic import ChipMask, MosaicPlan
    from grism_align.values.settings import MosaicSettings

from grism_align.workflows.mosaics.checks import SUFFIXES, given_grid

__all__ = ["MosaicOutcome", "make_mosaics"]

logger = logging.getLogger(__name__)
_STANDINGS = ("not aligned", "not aligned by their own sources (PRIOR_ONLY)")


@dataclass(frozen=True, eq=False)
class MosaicOutcome:
    """What came of the mosaics.

    Parameters
    ----------
    products : tuple of MosaicProduct
        The mosaics.
    cosmic_rays : mapping of str to mapping of int to ChipMask
        Pixels to be flagged as hit, and only those, by exposure and chip; empty unless asked for.
    counts : mapping of str to int
        For the record.
    """

    products: tuple[MosaicProduct, ...]
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
    plans = tuple(
        _with_pixels(plan, stack) for plan in plan_mosaics(stacked, exposures.product, settings, grid)
    )
    for plan in plans:
        logger.info("%s", frame_note(plan, settings))
    folder.mkdir(parents=True, exist_ok=True)
    counts = _drizzle(stack, plans, folder, executor)
    cosmic_rays = _to_be_flagged(exposures, stack) if settings.flag_exposures else {}
    if settings.flag_exposures:
        counts["flagged_pixels"] = sum(mask.number for own in cosmic_rays.values() for mask in own.values())
    sources: list[int] = []
    if settings.make_catalog:
        from grism_align.workflows.mosaics.catalogs import write_catalog

        sources = [write_catalog(plan, exposures, stack, folder) for plan in plans]
        counts["sources"] = sum(sources)
    products = _products(plans, sources, folder)
    return MosaicOutcome(products, cosmic_rays, {"mosaics": len(plans), **counts})


def _to_be_flagged(exposures: ExposureSet, stack: ExposureStack) -> dict[str, dict[int, ChipMask]]:
    """Return the masks of the exposures that are written and whose cosmic rays were looked for."""
    out: dict[str, dict[int, ChipMask]] = {}
    for (key, number), known in stack.statistics.items():
        if known.cosmic_rays is not None:
            out.setdefault(key, {})[number] = known.cosmic_rays
    unwritten = [key for key in out if exposures.fit(key) is None]
    if unwritten:
        text = "Not written, as nothing is known of their WCSs, so cosmic rays are not flagged: %s"
        logger.warning(text, ", ".join(unwritten))
    return {key: own for key, own in out.items() if key not in unwritten}


def _products(plans: Sequence[MosaicPlan], sources: Sequence[int], folder: Path) -> tuple[MosaicProduct, ...]:
    """Return the mosaics that were made, with their files."""
    suffixes = SUFFIXES if sources else SUFFIXES[:2]
    products = []
    for number, plan in enumerate(plans):
        names = [f"{plan.name}_{suffix}" for suffix in suffixes]
        digests = {name: sha256_of(folder / name) for name in names}
        products.append(MosaicProduct(plan, folder, digests, sources[number] if sources else None))
    return tuple(products)


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
        out.append(exposure.corrected(fit.transform) if fit and fit.transform else exposure)
    for why, keys in left.items():
        logger.warning("Left out of the mosaics, %s: %s", why, ", ".join(keys))
    return out


def _standing(exposures: ExposureSet, key: str) -> int:
    """Rank an exposure: 2 if its own sources tie it to the others, 1 if it is corrected like them, else 0."""
    total = exposures.fit(key)
    if total is None or total.transform is None:
        return 0
    # one that has no stars of the catalog is still where the others are
    fit = exposures.relative.fits.get(key, total)
    return 2 if fit.status in (FitStatus.ALIGNED, FitStatus.REFERENCE) else 1


def _with_pixels(plan: MosaicPlan, stack: ExposureStack) -> MosaicPlan:
    """Return the plan with the exposures that add pixels to it; as it is where none does."""
    keys = tuple(key for key in plan.keys if stack.has_pixels_on(key, plan.grid))
    if not keys or keys == plan.keys:
        return plan
    rest = ", ".join(key for key in plan.keys if key not in keys)
    logger.warning("%s: without a usable pixel on it, and not counted: %s", plan.name, rest)
    return replace(plan, keys=keys)


def _drizzle(
    stack: ExposureStack, plans: Sequence[MosaicPlan], folder: Path, executor: Executor
) -> dict[str, int]:
    """Find the cosmic rays of each visit and filter, then drizzle; return counts."""
    for keys in _groups(stack):
        plan = next((plan for plan in plans if not set(keys).isdisjoint(plan.keys)), None)
        if plan is None:
            continue
        method = find_cosmic_rays(stack, keys, plan.grid, folder)
        stack.methods.update(dict.fromkeys(keys, method))
        logger.info("Cosmic rays of %s: %s", ", ".join(keys), method)

    def drizzle(plan: MosaicPlan) -> None:
        _drizzle_one(stack, plan, folder)

    for _ in executor.map(drizzle, {plan.name: plan for plan in plans}, "Drizzling"):
        pass
    stack.forget_maps()
    masks = [known.cosmic_rays for known in stack.statistics.values()]
    return {"cosmic_ray_pixels": sum(mask.number for mask in masks if mask is not None)}


def _groups(stack: ExposureStack) -> list[list[str]]:
    """Return the keys of the exposures of each instrument, visit and filter."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for key, exposure in stack.exposures.items():
        groups.setdefault((exposure.instrument, exposure.visit, exposure.filter), []).append(key)
    return list(groups.values())


def _drizzle_one(stack: ExposureStack, plan: MosaicPlan, folder: Path) -> None:
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
