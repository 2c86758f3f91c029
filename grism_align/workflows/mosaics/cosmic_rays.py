"""Levels and cosmic rays of a visit's exposures, found by comparing them with their median."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.measuring.background import thinned
from grism_align.algorithms.mosaics.cosmic_rays import (
    ASTROSCRAPPY_IS_MISSING,
    Median,
    blotted,
    combined_median,
    compared,
    half_gap,
    has_astroscrappy,
    laplacian_rays,
    nearest,
)
from grism_align.algorithms.mosaics.drizzle import DrizzleKernel, TileSum
from grism_align.values.mosaic import ChipMask, Tile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.algorithms.mosaics.map import PixelMap
    from grism_align.values.exposure import Exposure
    from grism_align.values.mosaic import MosaicGrid
    from grism_align.workflows.mosaics.chips import ChipRates, ChipStatistics, ExposureStack

__all__ = ["find_rays"]

logger = logging.getLogger(__name__)

# Rows of all exposures together that are in memory for the median.
_ROWS = 2048
# Drops along the grid's axes are good enough to find rays, and quick.
_DROP = DrizzleKernel("turbo", 1.0, is_variance=False)
_MARGIN = 4
# Fewest pixels of the sky that tell a level.
_LEAST_QUIET = 100
# Least share of a pixel that is covered. Where pixels are as wide as stars, what lies beside a bad one in a
# core tells nothing of it. CCDs sample better, and have so many rays that wider gaps would hide the next.
_COVERED, _COVERED_CCD = 0.7, 0.05


def find_rays(chips: ExposureStack, keys: Sequence[str], grid: MosaicGrid, scratch: Path) -> str:
    """Find the cosmic rays of exposures of one visit and filter, and put them and levels on record.

    Parameters
    ----------
    chips : ExposureStack
        Opens the exposures; takes the masks.
    keys : sequence of str
        The exposures.
    grid : MosaicGrid
        A mosaic that they go into; its plane and orientation are used, with pixels of the exposures' size.
    scratch : Path
        Folder for the exposures on that grid.

    Returns
    -------
    str
        How they were found: ``median``, ``laplacian`` or ``none``.
    """
    exposures = [chips.exposures[key][0] for key in keys]
    method = _method(chips.settings.cosmic_rays, exposures)
    if method == "median":
        scale = exposures[0].chips[0].native_scale
        coarse = grid.coarser(scale).around(chips.footprint(keys), _MARGIN)
        with tempfile.TemporaryFile(dir=scratch) as stream:
            believes_flags = _believes_flags(exposures)
            median, gap = _median(chips, keys, coarse, stream, believes_flags=believes_flags)
            for index, key in enumerate(keys):
                others = median.by_others(_shown(stream, index, coarse.shape))
                _compare(chips, key, coarse, _Compared(median, gap, others, believes_flags))
    elif method == "laplacian":
        for key in keys:
            _filter(chips, key)
    return method


def _method(wanted: str, exposures: Sequence[Exposure]) -> str:
    """Return how the rays of some exposures can be found."""
    if wanted in ("none", "laplacian"):
        return wanted
    if len(exposures) > 1:
        return "median"
    if wanted == "median" or exposures[0].rejects_cosmic_rays:
        return "none"
    if not has_astroscrappy():
        text = "%s: cosmic rays are not looked for; to find those of a single exposure %s"
        logger.warning(text, exposures[0].key, ASTROSCRAPPY_IS_MISSING)
        return "none"
    return "laplacian"


def _believes_flags(exposures: Sequence[Exposure]) -> bool:
    """Whether pixels that the files have flagged as cosmic rays are taken for that, whatever is compared.

    Two exposures of a CCD are hit at one place so often that each may hide what hit the other.
    """
    return len(exposures) == 2 and not exposures[0].rejects_cosmic_rays


@dataclass(frozen=True, eq=False)
class _Compared:
    """What an exposure is compared with: the median, what is to be added for levels, and where others are.

    And whether what its file has flagged stays flagged.
    """

    median: Median
    gap: NDArray[np.float16]
    others: NDArray[np.bool_]
    believes_flags: bool


def _median(
    chips: ExposureStack, keys: Sequence[str], grid: MosaicGrid, stream: Any, *, believes_flags: bool
) -> tuple[Median, NDArray[np.float16]]:
    """The median of exposures on a grid, and `half_gap`; each is put there alone, in a scratch file."""
    whole = Tile(0, grid.shape[0], 0, grid.shape[1])
    first = chips.exposures[keys[0]][0]
    covered = _COVERED if first.rejects_cosmic_rays else _COVERED_CCD
    for key in keys:
        sum_ = TileSum(whole, _DROP)
        for rates in chips.rates(key):
            chip = chips.image(key, rates, grid, first.ab_zero_point)
            clean = rates.good & ~rates.hit if believes_flags else rates.good
            sum_.add(replace(chip, weight=clean.astype(np.float32)))
        np.where(sum_.weight > covered, sum_.image, np.float32(np.nan)).tofile(stream)
    stream.flush()
    median = np.empty(grid.shape, np.float32)
    number = np.empty(grid.shape, np.uint16)
    gap = np.empty(grid.shape, np.float16)
    step = max(1, _ROWS // len(keys))
    for bottom in range(0, grid.shape[0], step):
        rows = slice(bottom, min(bottom + step, grid.shape[0]))
        stack = _rows(stream, len(keys), grid.shape, rows)
        median[rows], number[rows] = combined_median(stack)
        gap[rows] = half_gap(stack, number[rows])
    return Median.of(median, number), gap


def _rows(stream: Any, n: int, shape: tuple[int, int], rows: slice) -> NDArray[np.float32]:
    """Some rows of each image in a scratch file, (n, rows, nx)."""
    ny, nx = shape
    out = np.empty((n, rows.stop - rows.start, nx), np.float32)
    for index in range(n):
        stream.seek(4 * nx * (index * ny + rows.start))
        out[index] = np.fromfile(stream, np.float32, out[index].size).reshape(-1, nx)
    return out


def _shown(stream: Any, index: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where an image in the scratch file shows something."""
    stream.seek(4 * shape[0] * shape[1] * index)
    bands = [slice(bottom, min(bottom + _ROWS, shape[0])) for bottom in range(0, shape[0], _ROWS)]
    parts = (np.fromfile(stream, np.float32, shape[1] * (band.stop - band.start)) for band in bands)
    return np.concatenate([np.isfinite(part) for part in parts]).reshape(shape)


def _compare(chips: ExposureStack, key: str, grid: MosaicGrid, other: _Compared) -> None:
    """Level an exposure with the median and mark what exceeds it."""
    exposure, _ = chips.exposures[key]
    for rates in chips.rates(key):
        facts = chips.facts[key, rates.chip.number]
        to_grid = chips.to_grid(key, rates.chip, grid)
        ratio = (grid.scale / rates.chip.native_scale) ** 2
        model = blotted(other.median, to_grid, ratio, other.others)
        level = facts.level
        if chips.settings.level_background:
            level += _offset(rates, facts, to_grid, other, ratio)
        shot = np.clip(model.image, 0, None) / max(exposure.exposure_time, 1e-6)
        noise = np.sqrt(np.float32(facts.variance) + shot)
        image = rates.image - np.float32(level)
        rays = compared(image, rates.good, model, noise, chips.settings)
        # where nothing can be told, what is flagged stays so
        rays |= rates.hit if other.believes_flags else rates.hit & ~model.told
        chips.facts[key, rates.chip.number] = replace(facts, level=level, rays=ChipMask.of(rays))


def _offset(
    rates: ChipRates, facts: ChipStatistics, to_grid: PixelMap, other: _Compared, ratio: float
) -> float:
    """How much higher a chip is than the middle of the exposures, from pixels where that is nothing but sky.

    The middle is the median, of two values their mean: the lower of the two would be under both of them.
    """
    step = 2 * (thinned(rates.image.size)[0].step or 1)
    part = slice(None, None, step), slice(None, None, step)
    places = to_grid.every(step)
    wanted = other.median.image, other.median.number, other.gap
    median, number, gap = (nearest(one, places) for one in wanted)
    middle = (median + gap.astype(np.float32)) / np.float32(ratio)
    difference = rates.image[part] - np.float32(facts.level) - middle
    limit = 3 * float(np.sqrt(facts.variance))
    quiet = rates.good[part] & (number > 1)
    quiet &= (np.abs(difference) < limit) & (np.abs(middle) < limit)
    return float(np.median(difference[quiet])) if quiet.sum() > _LEAST_QUIET else 0.0


def _filter(chips: ExposureStack, key: str) -> None:
    for rates in chips.rates(key):
        facts = chips.facts[key, rates.chip.number]
        rays = laplacian_rays(rates.image - np.float32(facts.level), rates.good, rates.error)
        chips.facts[key, rates.chip.number] = replace(facts, rays=ChipMask.of(rays))
