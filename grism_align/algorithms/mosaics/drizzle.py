"""ExposureStack onto the tiles of a mosaic, one after the other."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.mosaic import Tile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from grism_align.algorithms.mosaics.map import PixelMap


# Around a tile that chips reach beyond, pixels of the mosaic; how far a kernel reaches, pixels of the chip,
# and what rounding adds, pixels of the mosaic.
_MARGIN = 512
_REACH, _ROUNDING = 3.0, 2
# Least side of a block of a chip: drizzle wants more than a row or a column.
_LEAST_BLOCK = 8
# Rows of a chip whose places are in memory; the pixels beside a block whose places it wants too.
_ROWS = 512
_NEIGHBOURS = 2


@dataclass(frozen=True, eq=False)
class DrizzleInput:
    """One chip as it enters a mosaic.

    Parameters
    ----------
    image : (ny, nx) ndarray
        Electrons per second of a pixel, without the sky.
    weight : (ny, nx) ndarray
        Inverse variance of that, or exposure time; zero where not usable.
    to_grid : PixelMap
        Where its pixels fall.
    native_scale : float, arcsec
        Side of the pixel that its fluxes are calibrated for.
    """

    image: NDArray[np.float32]
    weight: NDArray[np.float32]
    to_grid: PixelMap
    native_scale: float


@dataclass(frozen=True)
class DrizzleKernel:
    """How a pixel's flux falls.

    Parameters
    ----------
    kernel : str
        Form of the drop.
    pixfrac : float
        Its side, in pixels of the exposure.
    is_variance : bool
        Whether weights are inverse variances, which are then brought to pixels of the mosaic; else they are
        times, and add up to that of all exposures that show a pixel.
    """

    kernel: str
    pixfrac: float
    is_variance: bool

    def weight_scale(self, ratio: float) -> float:
        """Return the factor of weights for pixels of the mosaic of so many of the exposure's.

        `drizzle` adds up shares of drops, each of which has the weight of a pixel; those of its lanczos3 are
        normalised to pixels of the exposure instead.
        """
        covered = 1.0 if self.kernel == "lanczos3" else ratio**-2
        return covered * (ratio**-2 if self.is_variance else 1.0)


class TileSum:
    """Weighted mean of all chips that fall on a tile.

    Parameters
    ----------
    tile : Tile
        Of the mosaic.
    drop : DrizzleKernel
        How.
    whole : bool, optional
        Whether all chips lie within the tile. Where they don't, what falls on it is drizzled in blocks onto a
        tile with a margin: `drizzle` takes the border between an image and pixels outside the output for
        straight, which with distortion would lose some.

    References
    ----------
    Fruchter & Hook 2002, PASP 114, 144; the `drizzle` package does the work.
    """

    def __init__(self, tile: Tile, drop: DrizzleKernel, *, whole: bool = True) -> None:
        from drizzle.resample import Drizzle

        self._tile, self._drop = tile, drop
        self._margin = 0 if whole else _MARGIN
        ny, nx = tile.shape
        # zeros of our own: told of a fill value, drizzle looks through all of the output for every block
        start = np.zeros((ny + 2 * self._margin, nx + 2 * self._margin), np.float32)
        with _no_remarks():
            self._sum = Drizzle(kernel=drop.kernel, fillval=None, out_img=start, disable_ctx=True)

    def add(self, chip: DrizzleInput) -> bool:
        """Add what of a chip falls on the tile; whether anything does.

        Fluxes are per pixel of the mosaic. Inverse variances come to be such that the variance of a sum over
        many pixels is the sum of theirs, as if noise were not correlated.
        """
        part = chip.to_grid.part_on(self._tile)
        if part is None:
            return False
        added = [self._add_band(chip, band) for band in _bands(part)]
        return any(added)

    def _add_band(self, chip: DrizzleInput, band: Tile) -> bool:
        wide = band.grown(_NEIGHBOURS, chip.weight.shape)
        pixels = chip.to_grid.of(wide, self._tile.corner - self._margin)
        # counted in the pixels whose places are known
        own = band.relative_to(wide)
        weight = chip.weight[wide.slices]
        reach = int(np.ceil(_REACH * chip.native_scale / chip.to_grid.grid.scale)) + _ROUNDING
        blocks = self._blocks(pixels, own, reach) if self._margin else [own]
        used = [block for block in blocks if weight[block.slices].any()]
        for block in used:
            self._add_block(chip, wide, pixels, block)
        return bool(used)

    def _add_block(self, chip: DrizzleInput, part: Tile, pixels: NDArray[np.float64], block: Tile) -> None:
        # drizzle looks through all it is given; it wants the neighbours' places too
        wide = block.grown(_NEIGHBOURS, part.shape)
        own = block.relative_to(wide)
        ratio = chip.to_grid.grid.scale / chip.native_scale
        with _no_remarks():
            self._sum.add_image(
                np.ascontiguousarray(chip.image[part.slices][wide.slices]),
                exptime=1.0,
                pixmap=np.ascontiguousarray(pixels[wide.slices]),
                weight_map=np.ascontiguousarray(chip.weight[part.slices][wide.slices]),
                wht_scale=self._drop.weight_scale(ratio),
                iscale=ratio**2,
                pixel_scale_ratio=ratio,
                pixfrac=self._drop.pixfrac,
                in_units="cps",
                xmin=own.left,
                xmax=own.right - 1,
                ymin=own.bottom,
                ymax=own.top - 1,
            )

    def _blocks(self, pixels: NDArray[np.float64], block: Tile, reach: int) -> Iterator[Tile]:
        """Yield the largest blocks that lie on the tile with its margin, but for those that miss the tile."""
        places = pixels[block.slices]
        outline = np.concatenate([places[[0, -1]].reshape(-1, 2), places[:, [0, -1]].reshape(-1, 2)])
        low, high = outline.min(axis=0), outline.max(axis=0)
        ny, nx = self._tile.shape
        inner = np.array([nx, ny]) + self._margin
        if (high < self._margin - reach).any() or (low > inner + reach).any():
            return
        if (low > reach).all() and (high < inner + self._margin - reach).all():
            yield block
            return
        quarters = list(_quarters(block))
        if len(quarters) == 1:
            yield block
            return
        for quarter in quarters:
            yield from self._blocks(pixels, quarter, reach)

    def _inner(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        ny, nx = self._tile.shape
        cut = values[self._margin : self._margin + ny, self._margin : self._margin + nx]
        return np.asarray(cut, dtype=np.float32)

    @property
    def image(self) -> NDArray[np.float32]:
        """Electrons per second of a pixel of the mosaic, (ny, nx); zero where there is none."""
        return self._inner(self._sum.out_img)

    @property
    def weight(self) -> NDArray[np.float32]:
        """Sum of the weights, (ny, nx)."""
        return self._inner(self._sum.out_wht)


def _bands(part: Tile) -> list[Tile]:
    """Divide a part of a chip into bands of about equal height."""
    rows = np.linspace(part.bottom, part.top, -(-part.shape[0] // _ROWS) + 1).astype(int).tolist()
    return [Tile(bottom, top, part.left, part.right) for bottom, top in pairwise(rows)]


def _quarters(block: Tile) -> Iterator[Tile]:
    """Cut a block in half along each side that is long enough."""

    def halves(low: int, high: int) -> list[tuple[int, int]]:
        middle = (low + high) // 2
        return [(low, middle), (middle, high)] if high - low >= 2 * _LEAST_BLOCK else [(low, high)]

    for bottom, top in halves(block.bottom, block.top):
        for left, right in halves(block.left, block.right):
            yield Tile(bottom, top, left, right)


@contextmanager
def _no_remarks() -> Iterator[None]:
    """Let drizzle not tell for every block what a kernel is like; the pages do."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*kernel")
        yield


def noise_correlation(pixfrac: float, ratio: float) -> float:
    """Return how much the noise of a sum over many pixels exceeds that of pixels taken as independent.

    Parameters
    ----------
    pixfrac : float
        Side of a drop, in pixels of the exposure.
    ratio : float
        Side of a pixel of the mosaic, in pixels of the exposure.

    References
    ----------
    Fruchter & Hook 2002, PASP 114, 144, equations 9 and 10: the square kernel, many dithers.
    """
    r = pixfrac / ratio
    return float(r / (1 - 1 / (3 * r)) if r >= 1 else 1 / (1 - r / 3))
