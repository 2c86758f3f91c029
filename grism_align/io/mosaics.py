"""Make the mosaics that were asked for, and their catalogs, where results are written."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.mosaic_drizzle import Drop, TileSum
from grism_align.algorithms.mosaic_grid import corrected_wcss, plan_mosaics
from grism_align.io.atomic import present_path
from grism_align.io.checksums import sha256_of
from grism_align.io.mosaic_chips import Chips
from grism_align.io.mosaic_files import cards_of, mosaic_header, read_grid, tiled_image
from grism_align.io.mosaic_rays import find_rays
from grism_align.values.errors import OutputError
from grism_align.values.field import Activity
from grism_align.values.mosaic import MosaicProduct, MosaicRequest
from grism_align.values.settings import MosaicSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.mosaic import MosaicPlan
    from grism_align.values.pixel_sky import PixelSky

    Progress = Callable[[Iterable[Exposure], str], Iterable[Exposure]]

__all__ = ["MosaicOutcome", "check_products", "product_paths", "requested", "write_mosaics"]

logger = logging.getLogger(__name__)

_SUFFIXES = ("drz_sci.fits", "drz_wht.fits", "seg.fits", "cat.ecsv")


@dataclass(frozen=True, eq=False)
class MosaicOutcome:
    """What came of the mosaics.

    Parameters
    ----------
    exposures : ExposureSet
        The set with the step concluded.
    files : tuple of Path
        What was written.
    rays : mapping of str to mapping of int to (ny, nx) ndarray of bool
        Where DQ bit 4096 is to be set, by exposure and chip; empty unless asked for.
    products : tuple of MosaicProduct
        The mosaics.
    """

    exposures: ExposureSet
    files: tuple[Path, ...] = ()
    rays: Mapping[str, Mapping[int, NDArray[np.bool_]]] = field(default_factory=dict)
    products: tuple[MosaicProduct, ...] = ()


def requested(exposures: ExposureSet) -> MosaicRequest | None:
    """The mosaics that a step asked for and nobody has made yet."""
    return next((one for one in exposures.activities if isinstance(one, MosaicRequest)), None)


def check_products(
    exposures: ExposureSet, settings: MosaicSettings, folder: Path, inputs: Iterable[Path]
) -> None:
    """Refuse, before any work, mosaics that would replace a file that is read.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    settings : MosaicSettings
        The parameters.
    folder : Path
        Where the mosaics would go.
    inputs : iterable of Path
        Files besides the exposures that are read.

    Raises
    ------
    OutputError
        If one would.
    """
    products = product_paths(exposures, settings, folder)
    for path in inputs:
        if path.expanduser().resolve() in products:
            problem = "it is read, and a mosaic's product of that name would replace it"
            raise OutputError(path, problem, "Give another output_dir, or that file under another name")


def product_paths(exposures: ExposureSet, settings: MosaicSettings, folder: Path) -> set[Path]:
    """Absolute paths of all files that mosaics of a set of exposures may have.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    settings : MosaicSettings
        The parameters.
    folder : Path
        Where they go.
    """
    members = [(exposure, corrected_wcss(exposure, None)) for exposure in exposures.direct]
    plans = plan_mosaics(members, exposures.product, settings)
    return {(folder / f"{plan.name}_{suffix}").resolve() for plan in plans for suffix in _SUFFIXES}


def write_mosaics(exposures: ExposureSet, folder: Path, progress: Progress) -> MosaicOutcome:
    """Make the mosaics that a step asked for, with the total corrections; nothing where none did.

    Parameters
    ----------
    exposures : ExposureSet
        With all corrections found.
    folder : Path
        Where to.
    progress : callable
        Wraps loops over exposures.

    Raises
    ------
    GrismAlignError
        If a file can't be read or written, or the image that gives the pixels can't be used.
    """
    request = requested(exposures)
    if request is None:
        return MosaicOutcome(exposures)
    settings = MosaicSettings(**request.settings)
    members = _members(exposures)
    grid = read_grid(Path(settings.grid_image).expanduser()) if settings.grid_image else None
    plans = plan_mosaics(list(members.values()), exposures.product, settings, grid)
    folder.mkdir(parents=True, exist_ok=True)
    rays: dict[str, dict[int, NDArray[np.bool_]]] = {}
    if settings.engine == "astrodrizzle":
        from grism_align.io.mosaic_astrodrizzle import drizzle_with_drizzlepac

        counts = drizzle_with_drizzlepac(exposures, plans, settings, request.good_bits, folder)
    else:
        counts, rays = _drizzle(Chips(members, settings, request.good_bits), plans, folder, progress)
    sources: list[int] = []
    if settings.make_catalog:
        from grism_align.io.mosaic_catalogs import write_catalog

        corrections = {key: exposures.fit(key) for key in members}
        sources = [write_catalog(plan, members, corrections, settings, folder) for plan in plans]
        counts["sources"] = sum(sources)
    products, files = _products(plans, sources, folder)
    note = ", ".join(plan.name for plan in plans)
    done = Activity(request.step, "done", note, request.settings, {"mosaics": len(plans), **counts})
    return MosaicOutcome(exposures.with_activity(done), files, rays, products)


def _products(
    plans: Sequence[MosaicPlan], sources: Sequence[int], folder: Path
) -> tuple[tuple[MosaicProduct, ...], tuple[Path, ...]]:
    """The mosaics that were made, and all their files."""
    suffixes = _SUFFIXES if sources else _SUFFIXES[:2]
    products, files = [], []
    for number, plan in enumerate(plans):
        own = [folder / f"{plan.name}_{suffix}" for suffix in suffixes]
        digests = {path.name: sha256_of(present_path(path)) for path in own}
        products.append(MosaicProduct(plan, digests, sources[number] if sources else None))
        files += own
    return tuple(products), tuple(files)


def _members(exposures: ExposureSet) -> dict[str, tuple[Exposure, Sequence[PixelSky]]]:
    """The direct exposures that can be stacked, with their WCSs: those that are aligned, where any is."""
    fits = {exposure.key: exposures.fit(exposure.key) for exposure in exposures.direct}
    aligned = {key for key, fit in fits.items() if fit is not None and fit.is_aligned}
    out: dict[str, tuple[Exposure, Sequence[PixelSky]]] = {}
    for exposure in exposures.direct:
        fit = fits[exposure.key]
        if aligned and exposure.key not in aligned:
            logger.warning("%s: not aligned, and left out of the mosaics", exposure.key)
            continue
        out[exposure.key] = exposure, corrected_wcss(exposure, fit.transform if fit else None)
    return out


def _drizzle(
    chips: Chips, plans: Sequence[MosaicPlan], folder: Path, progress: Progress
) -> tuple[dict[str, int], dict[str, dict[int, NDArray[np.bool_]]]]:
    """Find the cosmic rays of each visit and filter, then drizzle; counts and masks."""
    for keys in _groups(chips):
        plan = next(plan for plan in plans if keys[0] in plan.keys)
        method = find_rays(chips, keys, plan.grid, folder)
        logger.info("Cosmic rays of %s: %s", ", ".join(keys), method)
    for plan in plans:
        _drizzle_one(chips, plan, folder, progress)
    chips.forget_maps()
    masks = {
        key: {chip.extver: chips.facts[key, chip.extver].mask(chip.shape) for chip in exposure.chips}
        for key, (exposure, _) in chips.exposures.items()
        if chips.settings.flag_exposures
    }
    n_rays = sum(
        int(np.bitwise_count(one.rays).sum()) for one in chips.facts.values() if one.rays is not None
    )
    return {"cosmic_ray_pixels": n_rays}, masks


def _groups(chips: Chips) -> list[list[str]]:
    """The exposures of each instrument, visit and filter."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for key, (exposure, _) in chips.exposures.items():
        groups.setdefault((exposure.instrument, exposure.visit, exposure.filter), []).append(key)
    return list(groups.values())


def _drizzle_one(chips: Chips, plan: MosaicPlan, folder: Path, progress: Progress) -> None:
    """Drizzle one mosaic, tile by tile; each exposure is opened for each tile that it falls on."""
    settings, grid = chips.settings, plan.grid
    exposures = [chips.exposures[key][0] for key in plan.keys]
    cards = cards_of(exposures)
    header = mosaic_header(plan, cards, exposures, settings)
    drop = Drop(settings.kernel, settings.pixfrac, settings.weights != "exposure")
    science, weight = (folder / f"{plan.name}_{suffix}" for suffix in _SUFFIXES[:2])
    weight_header = header.copy()
    weight_header["BUNIT"] = ("s" if settings.weights == "exposure" else "(ELECTRONS/S)^-2", "of a pixel")
    with (
        tiled_image(science, header, grid.shape, ">f4") as images,
        tiled_image(weight, weight_header, grid.shape, ">f4") as weights,
    ):
        for tile in grid.tiles(settings.tile):
            maps = {e.key: [chips.to_grid(e.key, chip, grid) for chip in e.chips] for e in exposures}
            near = [e for e in exposures if any(one.part_on(tile) for one in maps[e.key])]
            if not near:
                # the file is zero there, and takes no room on most disks
                continue
            whole = all(one.lies_within(tile) for e in near for one in maps[e.key])
            sum_ = TileSum(tile, drop, whole=whole)
            for exposure in progress(near, f"Drizzling {plan.name}:"):
                for rates in chips.rates(exposure.key):
                    sum_.add(chips.image(exposure.key, rates, grid, cards.ab_zero_point))
            images.write(tile, sum_.image)
            weights.write(tile, sum_.weight)
