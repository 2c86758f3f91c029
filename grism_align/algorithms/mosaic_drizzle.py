"""Chips onto the tiles of a mosaic, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.mosaic import Tile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from grism_align.algorithms.mosaic_map import PixelMap

__all__ = ["ChipImage", "Drop", "TileSum", "noise_correlation"]

# Around a tile, pixels of the mosaic; the share of it that a block of a chip may fill, whatever its
# orientation; how far a kernel reaches.
_MARGIN = 512
_BLOCK_SHARE = 0.6
_REACH = 8


@dataclass(frozen=True, eq=False)
class ChipImage:
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
class Drop:
    """How a pixel's flux falls.

    Parameters
    ----------
    kernel : str
        Form of the drop.
    pixfrac : float
        Its side, in pixels of the exposure.
    is_variance : bool
        Whether weights are inverse variances, which are then brought to pixels of the mosaic.
    """

    kernel: str
    pixfrac: float
    is_variance: bool


class TileSum:
    """Weighted mean of all chips that fall on a tile.

    Parameters
    ----------
    tile : Tile
        Of the mosaic.
    drop : Drop
        How.
    whole : bool, optional
        Whether all chips lie within the tile. Where they don't, they are drizzled in blocks onto a tile with
        a margin: `drizzle` takes the border between an image and pixels outside the output for straight,
        which with distortion would lose some.

    References
    ----------
    Fruchter & Hook 2002, PASP 114, 144; the `drizzle` package does the work.
    """

    def __init__(self, tile: Tile, drop: Drop, *, whole: bool = True) -> None:
        from drizzle.resample import Drizzle

        self._tile, self._drop = tile, drop
        self._margin = 0 if whole else _MARGIN
        ny, nx = tile.shape
        shape = ny + 2 * self._margin, nx + 2 * self._margin
        self._sum = Drizzle(kernel=drop.kernel, fillval="0", out_shape=shape, disable_ctx=True)

    def add(self, chip: ChipImage) -> bool:
        """Add what of a chip falls on the tile; whether anything does.

        Fluxes are per pixel of the mosaic. Inverse variances come to be such that the variance of a sum over
        many pixels is the sum of theirs, as if noise were not correlated.
        """
        part = chip.to_grid.part_on(self._tile)
        if part is None:
            return False
        weight = chip.weight[part.slices]
        pixels = chip.to_grid.of(part)
        pixels -= self._tile.corner - self._margin
        ratio = chip.to_grid.grid.scale / chip.native_scale
        blocks = self._blocks(pixels, ratio) if self._margin else [Tile(0, part.shape[0], 0, part.shape[1])]
        blocks = [block for block in blocks if weight[block.slices].any()]
        for block in blocks:
            # drizzle looks through all it is given; it wants the neighbours' places too
            wide = block.grown(2, part.shape)
            self._sum.add_image(
                np.ascontiguousarray(chip.image[part.slices][wide.slices]),
                exptime=1.0,
                pixmap=np.ascontiguousarray(pixels[wide.slices]),
                weight_map=np.ascontiguousarray(weight[wide.slices]),
                wht_scale=ratio**-4 if self._drop.is_variance else 1.0,
                iscale=ratio**2,
                pixel_scale_ratio=ratio,
                pixfrac=self._drop.pixfrac,
                in_units="cps",
                xmin=block.left - wide.left,
                xmax=block.right - wide.left - 1,
                ymin=block.bottom - wide.bottom,
                ymax=block.top - wide.bottom - 1,
            )
        return bool(blocks)

    def _blocks(self, pixels: NDArray[np.float64], ratio: float) -> Iterator[Tile]:
        """Blocks of a chip that touch the tile; each fits onto it with its margin."""
        side = max(8, int(_BLOCK_SHARE * self._margin * ratio))
        ny, nx = self._tile.shape
        high = np.array([nx, ny]) + self._margin + _REACH
        # equal ones: drizzle wants more than a row or a column
        rows, columns = (np.linspace(0, n, -(-n // side) + 1).astype(int).tolist() for n in pixels.shape[:2])
        for bottom, top in pairwise(rows):
            for left, right in pairwise(columns):
                block = pixels[bottom:top, left:right]
                edges = (block[[0, -1]].reshape(-1, 2), block[:, [0, -1]].reshape(-1, 2))
                outline = np.concatenate(edges)
                if (outline.max(axis=0) > self._margin - _REACH).all() and (outline.min(axis=0) < high).all():
                    yield Tile(bottom, top, left, right)

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


def noise_correlation(pixfrac: float, ratio: float) -> float:
    """How much the noise of a sum over many pixels exceeds that of pixels taken as independent.

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
