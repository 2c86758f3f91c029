"""Where each pixel of a chip falls on a mosaic, interpolated between few exact positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.values.mosaic import Tile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from grism_align.values.mosaic import MosaicGrid
    from grism_align.values.pixel_sky import PixelSky
    from grism_align.values.transform import TangentPlane


# Distance of exact positions, first for a smooth distortion, then for one with lookup tables.
_STEPS = (32, 16, 8, 4)
#: Largest error at test positions with which the coarser step is kept, in pixels of the chip.
TOLERANCE = 2e-4
_N_TESTS = 2000
# Exact positions that a polynomial goes through, in each direction.
_POINTS = 6
# Side of the blocks that are interpolated at a time: few exact positions each, and enough work for a product.
_SIDE = 128
# Pixels of the chip between those at which it is asked whether they fall on a tile.
_COARSE = 8


class PlaneMap:
    """Pixels of a chip to a tangent plane.

    Exact positions every 32 pixels, or as much finer as lookup tables (D2IM, NPOL) want it, and between them
    the polynomials through the six nearest in each direction, which distortion polynomials up to the fifth
    order are themselves.

    Parameters
    ----------
    wcs : PixelSky
        Of the chip.
    shape : (ny, nx)
        Of the chip.
    plane : TangentPlane
        The plane.

    Attributes
    ----------
    axes : pair
        Rows and columns of the exact positions.
    nodes : (rows, columns, 2) ndarray, arcsec
        Exact xi and eta there.
    error : float, pix
        Largest error found at random places.
    """

    def __init__(self, wcs: PixelSky, shape: tuple[int, int], plane: TangentPlane) -> None:
        self.shape, self.plane, self.pixel_scale = shape, plane, wcs.pixel_scale
        tests = np.random.default_rng(1).random((_N_TESTS, 2)) * (np.array(shape[::-1]) - 1)
        exact = plane.to_plane(wcs.to_sky(tests))
        for step in _STEPS:
            self.axes = _Axis(shape[0], step), _Axis(shape[1], step)
            x, y = np.meshgrid(self.axes[1].nodes, self.axes[0].nodes)
            sky = wcs.to_sky(np.column_stack([x.ravel(), y.ravel()]))
            self.nodes = plane.to_plane(sky).reshape(*x.shape, 2)
            found = self._scattered(tests)
            self.step, self.error = step, float(np.abs(found - exact).max()) / wcs.pixel_scale
            if self.error <= TOLERANCE:
                break

    def _scattered(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return interpolated xi and eta (N, 2) at pixels (N, 2)."""
        (top, down), (left, along) = (axis.counted(xy[:, 1 - i]) for i, axis in enumerate(self.axes))
        near = np.arange(_POINTS)
        nodes = self.nodes[top[:, None, None] + near[:, None], left[:, None, None] + near]
        return np.asarray(np.einsum("nr,nc,nrca->na", down, along, nodes))


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
        # both are linear, so it is enough to do it at the exact positions
        self._nodes = to_plane.nodes @ np.linalg.inv(grid.matrix).T + grid.origin

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (ny, nx) of the chip."""
        return self._to_plane.shape

    def whole(self) -> NDArray[np.float64]:
        """Return pixels (x, y) on the mosaic of all pixels of the chip, (ny, nx, 2)."""
        ny, nx = self._to_plane.shape
        return self.of(Tile(0, ny, 0, nx))

    def of(self, part: Tile, corner: ArrayLike = (0.0, 0.0)) -> NDArray[np.float64]:
        """Return pixels (x, y) of a part of the chip, (ny, nx, 2), counted from one of the mosaic's."""
        return self._at(np.arange(part.bottom, part.top), np.arange(part.left, part.right), corner)

    def _at(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], corner: ArrayLike = (0.0, 0.0)
    ) -> NDArray[np.float64]:
        out = np.empty((len(rows), len(columns), 2))
        nodes = np.moveaxis(self._nodes - np.asarray(corner), -1, 0)
        down, along = self._to_plane.axes
        across = [along.banded(part) for part in _parts(columns)]
        for i, part in enumerate(_parts(rows)):
            reach, weights = down.banded(part)
            own = weights @ nodes[:, reach]
            for j, (span, others) in enumerate(across):
                block = np.s_[i * _SIDE : (i + 1) * _SIDE, j * _SIDE : (j + 1) * _SIDE]
                for axis in (0, 1):
                    out[(*block, axis)] = own[axis][:, span] @ others.T
        return out

    def every(self, step: int) -> NDArray[np.float64]:
        """Return pixels (x, y) of every so many-th pixel of the chip in both directions, (ny, nx, 2)."""
        ny, nx = self._to_plane.shape
        return self._at(np.arange(0, ny, step), np.arange(0, nx, step))

    def lies_within(self, tile: Tile, margin: float = 3.0) -> bool:
        """Return whether all pixels of the chip fall on a tile, and what a kernel makes of them.

        Parameters
        ----------
        tile : Tile
            Of the mosaic.
        margin : float
            How far a kernel reaches, in pixels of the chip.
        """
        rows, columns = self._coarse_places()
        reach = margin * self._to_plane.pixel_scale / self.grid.scale
        places = self._at(rows, columns)
        low, high = places.min(axis=(0, 1)) - tile.corner, places.max(axis=(0, 1)) - tile.corner
        return bool((low > reach).all() and (high < np.array(tile.shape[::-1]) - 1 - reach).all())

    def _coarse_places(self) -> list[NDArray[np.int64]]:
        """Return rows and columns that stand for all, those at the edges among them."""
        return [np.unique(np.r_[0:side:_COARSE, side - 1]) for side in self._to_plane.shape]

    def part_on(self, tile: Tile, margin: float = 3.0) -> Tile | None:
        """Return the rectangle of the chip whose pixels can fall on a tile; None where none can.

        Parameters
        ----------
        tile : Tile
            Of the mosaic.
        margin : float
            How far a kernel reaches, in pixels of the chip.
        """
        rows, columns = self._coarse_places()
        reach = (margin + _COARSE) * self._to_plane.pixel_scale / self.grid.scale
        x, y = np.moveaxis(self._at(rows, columns), -1, 0)
        near = (x > tile.left - reach) & (x < tile.right + reach)
        near &= (y > tile.bottom - reach) & (y < tile.top + reach)
        if not near.any():
            return None
        (bottom, top), (left, right) = (_span(near.any(axis=1 - i), (rows, columns)[i]) for i in (0, 1))
        return Tile(bottom, top, left, right)


def _span(near: NDArray[np.bool_], places: NDArray[np.int64]) -> tuple[int, int]:
    """Return the span from the place before the first that is near to that after the last."""
    found = np.flatnonzero(near)
    return int(places[max(found[0] - 1, 0)]), int(places[min(found[-1] + 1, len(places) - 1)]) + 1


def _parts(places: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [places[start : start + _SIDE] for start in range(0, len(places), _SIDE)]


class _Axis:
    """Evenly spaced exact positions along a side of a chip, and what they count between them."""

    def __init__(self, side: int, step: int) -> None:
        self.nodes = np.linspace(0, side - 1, max(_POINTS, -(-(side - 1) // step) + 1))
        self._first, self._weights = self.counted(np.arange(side))

    def counted(self, places: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the first node that counts at each place, (N,), and the weights of six, (N, 6): Lagrange."""
        at = np.asarray(places) / (self.nodes[1] - self.nodes[0])
        first = np.clip(np.floor(at).astype(int) - (_POINTS // 2 - 1), 0, len(self.nodes) - _POINTS)
        offset = (at - first)[:, None] - np.arange(_POINTS)
        weights = np.empty((len(at), _POINTS))
        for own in range(_POINTS):
            others = [other for other in range(_POINTS) if other != own]
            weights[:, own] = np.prod(offset[:, others] / np.subtract(own, others), axis=1)
        return first, weights

    def banded(self, places: NDArray[np.int64]) -> tuple[slice, NDArray[np.float64]]:
        """Return the nodes that count at pixels (N,) in ascending order, and their weights, (N, nodes)."""
        first = self._first[places]
        start, stop = int(first[0]), int(first[-1]) + _POINTS
        out = np.zeros((len(places), stop - start))
        out[np.arange(len(places))[:, None], (first - start)[:, None] + np.arange(_POINTS)] = self._weights[
            places
        ]
        return slice(start, stop), out
