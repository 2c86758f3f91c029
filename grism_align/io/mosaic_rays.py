"""Levels and cosmic rays of a visit's exposures, found by comparing them with their median."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.mosaic_background import thinned
from grism_align.algorithms.mosaic_cosmic_rays import (
    Median,
    blotted,
    combined_median,
    compared,
    laplacian_rays,
)
from grism_align.algorithms.mosaic_drizzle import Drop, TileSum
from grism_align.values.mosaic import Tile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.algorithms.mosaic_cosmic_rays import Model
    from grism_align.io.mosaic_chips import ChipRates, Chips
    from grism_align.values.mosaic import MosaicGrid

__all__ = ["find_rays"]

_ROWS = 256
# Drops along the grid's axes are good enough to find rays, and quick.
_DROP = Drop("turbo", 1.0, is_variance=False)
_MARGIN = 4


def find_rays(chips: Chips, keys: Sequence[str], grid: MosaicGrid, scratch: Path) -> str:
    """Find the cosmic rays of exposures of one visit and filter, and put them and levels on record.

    Parameters
    ----------
    chips : Chips
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
    method = chips.settings.cosmic_rays
    if method == "auto":
        single = "none" if exposures[0].counts_per_second else "laplacian"
        method = "median" if len(keys) > 1 else single
    if method == "median" and len(keys) > 1:
        scale = chips.native_scale(keys[0], exposures[0].chips[0])
        coarse = grid.coarser(scale).around(chips.footprint(keys), _MARGIN)
        with tempfile.TemporaryFile(dir=scratch) as stream:
            median = _median(chips, keys, coarse, stream)
        for key in keys:
            _compare(chips, key, coarse, median)
    elif method == "laplacian":
        for key in keys:
            _filter(chips, key)
    else:
        method = "none"
    return method


def _median(chips: Chips, keys: Sequence[str], grid: MosaicGrid, stream: Any) -> Median:
    """The median of exposures on a grid; each is put there by itself and kept in a scratch file."""
    whole = Tile(0, grid.shape[0], 0, grid.shape[1])
    for key in keys:
        sum_ = TileSum(whole, _DROP)
        for rates in chips.rates(key):
            chip = chips.image(key, rates, grid, chips.exposures[keys[0]][0].ab_zero_point)
            sum_.add(replace(chip, weight=rates.good.astype(np.float32)))
        np.where(sum_.weight > 0, sum_.image, np.float32(np.nan)).tofile(stream)
    stream.flush()
    median = np.empty(grid.shape, np.float32)
    number = np.empty(grid.shape, np.uint8)
    for bottom in range(0, grid.shape[0], _ROWS):
        rows = slice(bottom, min(bottom + _ROWS, grid.shape[0]))
        median[rows], number[rows] = combined_median(_rows(stream, len(keys), grid.shape, rows))
    return Median.of(median, number)


def _rows(stream: Any, n: int, shape: tuple[int, int], rows: slice) -> NDArray[np.float32]:
    """Some rows of each image in a scratch file, (n, rows, nx)."""
    ny, nx = shape
    out = []
    for index in range(n):
        stream.seek(4 * nx * (index * ny + rows.start))
        out.append(np.fromfile(stream, np.float32, nx * (rows.stop - rows.start)).reshape(-1, nx))
    return np.stack(out)


def _compare(chips: Chips, key: str, grid: MosaicGrid, median: Median) -> None:
    """Level an exposure with the median and mark what exceeds it."""
    exposure, _ = chips.exposures[key]
    for rates in chips.rates(key):
        facts = chips.facts[key, rates.chip.extver]
        to_grid = chips.to_grid(key, rates.chip, grid)
        ratio = (grid.scale / chips.native_scale(key, rates.chip)) ** 2
        model = blotted(median, to_grid, ratio)
        level = facts.level
        if chips.settings.level_background:
            level += _offset(rates, model, facts.level, facts.variance)
        shot = np.clip(model.image, 0, None) / max(exposure.exposure_time, 1e-6)
        noise = np.sqrt(np.float32(facts.variance) + shot)
        rays = compared(rates.image - np.float32(level), rates.good, model, noise, chips.settings)
        chips.facts[key, rates.chip.extver] = replace(facts, level=level, rays=np.packbits(rays))


def _offset(rates: ChipRates, model: Model, level: float, variance: float) -> float:
    """How much higher a chip is than the median, from pixels where that is nothing but sky."""
    part = thinned(rates.image.size)
    difference = rates.image[part] - np.float32(level) - model.image[part]
    limit = 3 * float(np.sqrt(variance))
    quiet = rates.good[part] & model.known[part]
    quiet &= (np.abs(difference) < limit) & (np.abs(model.image[part]) < limit)
    return float(np.median(difference[quiet])) if quiet.sum() > 100 else 0.0


def _filter(chips: Chips, key: str) -> None:
    for rates in chips.rates(key):
        facts = chips.facts[key, rates.chip.extver]
        rays = laplacian_rays(rates.image - np.float32(facts.level), rates.good, rates.error)
        chips.facts[key, rates.chip.extver] = replace(facts, rays=np.packbits(rays))
