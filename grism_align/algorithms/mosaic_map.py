"""Where each pixel of a chip falls on a mosaic, by splines through few exact positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.mosaic import Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.interpolate import RectBivariateSpline

    from grism_align.values.mosaic import MosaicGrid
    from grism_align.values.pixel_sky import PixelSky
    from grism_align.values.transform import TangentPlane

__all__ = ["PixelMap", "PlaneMap"]

# Distance of exact positions, first for a smooth distortion, then for one with lookup tables.
_STEPS = (16, 8, 4)
# Largest error at test positions with which the coarser step is kept, in pixels of the chip.
_TOLERANCE = 1e-4
_N_TESTS = 400
# Pixels of the chip between those at which it is asked whether they fall on a tile.
_COARSE = 8


class PlaneMap:
    """Pixels of a chip to a tangent plane.

    Exact positions on a grid of 16 pixels, or finer where lookup tables (D2IM, NPOL) want it, and a cubic
    spline between them.

    Parameters
    ----------
    wcs : PixelSky
        Of the chip.
    shape : (ny, nx)
        Of the chip.
    plane : TangentPlane
        The plane.
    """

    def __init__(self, wcs: PixelSky, shape: tuple[int, int], plane: TangentPlane) -> None:
        self.shape, self.plane, self.pixel_scale = shape, plane, wcs.pixel_scale
        tests = np.random.default_rng(1).random((_N_TESTS, 2)) * (np.array(shape[::-1]) - 1)
        exact = plane.to_plane(wcs.to_sky(tests))
        for step in _STEPS:
            self.splines = _splines(wcs, shape, plane, step)
            found = np.column_stack([spline.ev(tests[:, 1], tests[:, 0]) for spline in self.splines])
            self.step, self.error = step, float(np.abs(found - exact).max()) / wcs.pixel_scale
            if self.error <= _TOLERANCE:
                break


class PixelMap:
    """Pixels of a chip to pixels of a mosaic.

    Parameters
    ----------
    to_plane : PlaneMap
        From the chip to the plane of the mosaic.
    grid : MosaicGrid
        The mosaic.
    """

    def __init__(self, to_plane: PlaneMap, grid: MosaicGrid) -> None:
        self._to_plane, self.grid = to_plane, grid
        self._inverse = np.linalg.inv(grid.matrix)

    def whole(self) -> NDArray[np.float64]:
        """Pixels (x, y) on the mosaic of all pixels of the chip, (ny, nx, 2)."""
        ny, nx = self._to_plane.shape
        return self.of(Tile(0, ny, 0, nx))

    def of(self, part: Tile) -> NDArray[np.float64]:
        """Pixels (x, y) on the mosaic of the pixels of a part of the chip, (ny, nx, 2)."""
        return self._at(np.arange(part.bottom, part.top), np.arange(part.left, part.right))

    def _at(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
        xi, eta = (spline(rows, columns) for spline in self._to_plane.splines)
        out = np.empty((len(rows), len(columns), 2))
        for axis in (0, 1):
            np.multiply(xi, self._inverse[axis, 0], out=out[..., axis])
            out[..., axis] += self._inverse[axis, 1] * eta
            out[..., axis] += self.grid.origin[axis]
        return out

    def part_on(self, tile: Tile, margin: float = 3.0) -> Tile | None:
        """The rectangle of the chip whose pixels can fall on a tile of the mosaic; None where none can.

        Parameters
        ----------
        tile : Tile
            Of the mosaic.
        margin : float
            How far a kernel reaches, in pixels of the chip.
        """
        rows, columns = (np.unique(np.r_[0:side:_COARSE, side - 1]) for side in self._to_plane.shape)
        reach = (margin + _COARSE) * self._to_plane.pixel_scale / self.grid.scale
        x, y = np.moveaxis(self._at(rows, columns), -1, 0)
        near = (x > tile.left - reach) & (x < tile.right + reach)
        near &= (y > tile.bottom - reach) & (y < tile.top + reach)
        if not near.any():
            return None
        (bottom, top), (left, right) = (_span(near.any(axis=1 - i), (rows, columns)[i]) for i in (0, 1))
        return Tile(bottom, top, left, right)


def _span(near: NDArray[np.bool_], places: NDArray[np.int64]) -> tuple[int, int]:
    """From the place before the first that is near to that after the last."""
    found = np.flatnonzero(near)
    return int(places[max(found[0] - 1, 0)]), int(places[min(found[-1] + 1, len(places) - 1)]) + 1


def _splines(
    wcs: PixelSky, shape: tuple[int, int], plane: TangentPlane, step: int
) -> tuple[RectBivariateSpline, RectBivariateSpline]:
    """Splines of xi and eta, arcsec, over rows and columns of the chip."""
    from scipy.interpolate import RectBivariateSpline

    rows, columns = (np.linspace(0, side - 1, max(4, -(-(side - 1) // step) + 1)) for side in shape)
    x, y = np.meshgrid(columns, rows)
    sky = wcs.to_sky(np.column_stack([x.ravel(), y.ravel()]))
    xi, eta = np.moveaxis(plane.to_plane(sky).reshape(*x.shape, 2), -1, 0)
    return RectBivariateSpline(rows, columns, xi), RectBivariateSpline(rows, columns, eta)
