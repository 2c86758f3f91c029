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
    blotted_median,
    combined_median,
    cosmic_rays_against_median,
    half_gap,
    has_astroscrappy,
    laplacian_cosmic_rays,
    nearest,
)
from grism_align.algorithms.mosaics.drizzle import DrizzleKernel, TileSum
from grism_align.io.files.space import reserve
from grism_align.values.mosaic import ChipMask, Tile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.algorithms.mosaics.map import PixelMap
    from grism_align.values.exposure import Exposure
    from grism_align.values.mosaic import MosaicGrid
    from grism_align.workflows.mosaics.chips import ChipRates, ChipStatistics, ExposureStack


logger = logging.getLogger(__name__)

# Rows of all exposures together that are in memory for the median.
_ROWS = 2048
# Drops along the grid's axes are good enough to find cosmic rays, and quick.
_KERNEL = DrizzleKernel("turbo", 1.0, is_variance=False)
_MARGIN = 4
# Fewest pixels of the sky that tell a level.
_LEAST_QUIET = 100
# Least share of a pixel that is covered. Where pixels are as wide as stars, what lies beside a bad one in a
# core tells nothing of it. CCDs sample better, and are hit so often that wider gaps would hide the next ray.
_COVERED, _COVERED_CCD = 0.7, 0.05


def find_cosmic_rays(stack: ExposureStack, keys: Sequence[str], grid: MosaicGrid, folder: Path) -> str:
    """Find the cosmic rays of exposures of one visit and filter; the stack takes them, and levels.

    Parameters
    ----------
    stack : ExposureStack
        Reads the exposures; takes the masks.
    keys : sequence of str
        The exposures.
    grid : MosaicGrid
        A mosaic that they go into; its plane and orientation are used, with pixels of the exposures' size.
    folder : Path
        For a temporary file with the exposures on that grid.

    Returns
    -------
    str
        How they were found: ``median``, ``laplacian`` or ``none``.
    """
    exposures = [stack.exposures[key] for key in keys]
    method = _method(stack.settings.cosmic_rays, exposures)
    if method == "median":
        scale = exposures[0].chips[0].native_scale
        coarse = grid.coarser(scale).around(stack.footprint(keys), _MARGIN)
        with tempfile.TemporaryFile(dir=folder) as stream:
            images = _ImageFile(stream, coarse.shape)
            reserve(stream, len(keys) * images.size)
            believes_flags = _believes_flags(exposures)
            median, gap = _median(stack, keys, coarse, images, believes_flags=believes_flags)
            for index, key in enumerate(keys):
                others = median.by_others(images.shows(index))
                _compare(stack, key, coarse, _Reference(median, gap, others, believes_flags))
    elif method == "laplacian":
        for key in keys:
            _filter(stack, key)
    return method


def _method(wanted: str, exposures: Sequence[Exposure]) -> str:
    """Return how the cosmic rays of some exposures can be found."""
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
    """Return whether pixels that the files flag as cosmic rays are taken for that, whatever is compared.

    Two exposures of a CCD are hit at one place so often that each may hide what hit the other.
    """
    return len(exposures) == 2 and not exposures[0].rejects_cosmic_rays


@dataclass(frozen=True)
class _ImageFile:
    """Images of one shape (ny, nx) in a file, of which only parts are in memory."""

    stream: Any
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        """Bytes of an image."""
        return 4 * self.shape[0] * self.shape[1]

    def append(self, image: NDArray[np.float32]) -> None:
        """Write an image after the others."""
        self.stream.write(np.ascontiguousarray(image).data)

    def rows(self, number: int, rows: slice) -> NDArray[np.float32]:
        """Return some rows of each image, (number, rows, nx)."""
        ny, nx = self.shape
        out = np.empty((number, rows.stop - rows.start, nx), np.float32)
        for index in range(number):
            self.stream.seek(4 * nx * (index * ny + rows.start))
            out[index] = np.fromfile(self.stream, np.float32, out[index].size).reshape(-1, nx)
        return out

    def shows(self, index: int) -> NDArray[np.bool_]:
        """Return where an image has a value."""
        ny, nx = self.shape
        self.stream.seek(4 * nx * ny * index)
        bands = [slice(bottom, min(bottom + _ROWS, ny)) for bottom in range(0, ny, _ROWS)]
        parts = (np.fromfile(self.stream, np.float32, nx * (band.stop - band.start)) for band in bands)
        return np.concatenate([np.isfinite(part) for part in parts]).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class _Reference:
    """What an exposure is compared with.

    Parameters
    ----------
    median : Median
        Of all exposures.
    gap : (my, mx) ndarray
        What is to be added to it for levels, as `half_gap` tells.
    others : (my, mx) ndarray of bool
        Where other exposures show something.
    believes_flags : bool
        Whether what the exposure's file has flagged stays flagged.
    """

    median: Median
    gap: NDArray[np.float16]
    others: NDArray[np.bool_]
    believes_flags: bool


def _median(
    stack: ExposureStack, keys: Sequence[str], grid: MosaicGrid, images: _ImageFile, *, believes_flags: bool
) -> tuple[Median, NDArray[np.float16]]:
    """Return the median of exposures on a grid, and `half_gap`; each is put there alone, in a file."""
    whole = Tile(0, grid.shape[0], 0, grid.shape[1])
    first = stack.exposures[keys[0]]
    covered = _COVERED if first.rejects_cosmic_rays else _COVERED_CCD
    for key in keys:
        total = TileSum(whole, _KERNEL)
        for rates in stack.rates(key):
            chip = stack.image(key, rates, grid, first.ab_zero_point)
            clean = rates.good & ~rates.flagged if believes_flags else rates.good
            total.add(replace(chip, weight=clean.astype(np.float32)))
        images.append(np.where(total.weight > covered, total.image, np.float32(np.nan)))
    median = np.empty(grid.shape, np.float32)
    number = np.empty(grid.shape, np.uint16)
    gap = np.empty(grid.shape, np.float16)
    step = max(1, _ROWS // len(keys))
    for bottom in range(0, grid.shape[0], step):
        rows = slice(bottom, min(bottom + step, grid.shape[0]))
        values = images.rows(len(keys), rows)
        median[rows], number[rows] = combined_median(values)
        gap[rows] = half_gap(values, number[rows])
    return Median.of(median, number), gap


def _compare(stack: ExposureStack, key: str, grid: MosaicGrid, reference: _Reference) -> None:
    """Level an exposure with the median and mark what exceeds it."""
    exposure = stack.exposures[key]
    for rates in stack.rates(key):
        known = stack.statistics[key, rates.chip.number]
        to_grid = stack.to_grid(key, rates.chip, grid)
        ratio = (grid.scale / rates.chip.native_scale) ** 2
        model = blotted_median(reference.median, to_grid, ratio, reference.others)
        level = known.level
        if stack.settings.level_background:
            level += _offset(rates, known, to_grid, reference, ratio)
        shot = np.clip(model.image, 0, None) / max(exposure.exposure_time, 1e-6)
        noise = np.sqrt(np.float32(known.variance) + shot)
        image = rates.image - np.float32(level)
        found = cosmic_rays_against_median(image, rates.good, model, noise, stack.settings)
        # where nothing can be told, what is flagged stays so
        found |= rates.flagged if reference.believes_flags else rates.flagged & ~model.is_testable
        stack.statistics[key, rates.chip.number] = replace(known, level=level, cosmic_rays=ChipMask.of(found))


def _offset(
    rates: ChipRates, known: ChipStatistics, to_grid: PixelMap, reference: _Reference, ratio: float
) -> float:
    """Return how much higher a chip is than the middle of the exposures, where that is nothing but sky.

    The middle is the median, of two values their mean: the lower of the two would be under both of them.
    """
    step = 2 * (thinned(rates.image.size)[0].step or 1)
    part = slice(None, None, step), slice(None, None, step)
    places = to_grid.every(step)
    wanted = reference.median.image, reference.median.number, reference.gap
    median, number, gap = nearest(wanted, places)
    middle = (median + gap.astype(np.float32)) / np.float32(ratio)
    difference = rates.image[part] - np.float32(known.level) - middle
    limit = 3 * float(np.sqrt(known.variance))
    quiet = rates.good[part] & (number > 1)
    quiet &= (np.abs(difference) < limit) & (np.abs(middle) < limit)
    return float(np.median(difference[quiet])) if quiet.sum() > _LEAST_QUIET else 0.0


def _filter(stack: ExposureStack, key: str) -> None:
    """Mark what is sharper than the optics make, in one exposure."""
    for rates in stack.rates(key):
        known = stack.statistics[key, rates.chip.number]
        found = laplacian_cosmic_rays(rates.image - np.float32(known.level), rates.good, rates.error)
        stack.statistics[key, rates.chip.number] = replace(known, cosmic_rays=ChipMask.of(found))
