"""Mosaics: what is to be drizzled, and onto which pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from grism_align.values.declaration import declared, derived, recorded
from grism_align.values.sphere import separation
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


# What lies farther from the tangent point, in deg, is on no mosaic; the plane ends at 90.
_FARTHEST = 60.0


@dataclass(frozen=True)
class Tile:
    """A rectangle of a grid: rows ``bottom`` to ``top - 1``, columns ``left`` to ``right - 1``."""

    bottom: int
    top: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (ny, nx)."""
        return self.top - self.bottom, self.right - self.left

    @property
    def corner(self) -> NDArray[np.float64]:
        """Pixel (x, y) of the grid that is the tile's first, (2,)."""
        return np.array([self.left, self.bottom], dtype=float)

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts it from an array of the whole grid."""
        return slice(self.bottom, self.top), slice(self.left, self.right)

    def holds(self, xy: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which positions (N, 2) in pixels of the grid lie on it."""
        x, y = np.rint(xy).T
        return np.asarray(
            (x >= self.left) & (x < self.right) & (y >= self.bottom) & (y < self.top), dtype=bool
        )

    def relative_to(self, other: Tile) -> Tile:
        """Return the same pixels, counted from the first of another."""
        down, across = other.bottom, other.left
        return Tile(self.bottom - down, self.top - down, self.left - across, self.right - across)

    def grown(self, margin: int, shape: tuple[int, int]) -> Tile:
        """Return the tile with a margin, within a grid of (ny, nx) pixels."""
        return Tile(
            max(self.bottom - margin, 0),
            min(self.top + margin, shape[0]),
            max(self.left - margin, 0),
            min(self.right + margin, shape[1]),
        )


@dataclass(frozen=True, eq=False)
class ChipMask:
    """Pixels of a chip, one bit each.

    Parameters
    ----------
    bits : ndarray of uint8
        Row by row, packed.
    shape : (ny, nx)
        Of the chip.
    """

    bits: NDArray[np.uint8]
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> ChipMask:
        """Of an (ny, nx) array."""
        ny, nx = mask.shape
        return cls(np.packbits(mask), (ny, nx))

    @property
    def number(self) -> int:
        """How many pixels it has."""
        return int(np.bitwise_count(self.bits).sum())

    def unpacked(self) -> NDArray[np.bool_]:
        """Return the (ny, nx) array."""
        bits = np.unpackbits(self.bits, count=self.shape[0] * self.shape[1])
        return bits.reshape(self.shape).view(bool)


@declared(eq=False)
class MosaicGrid:
    """Square or oblong pixels of a tangent plane, without distortion."""

    plane: TangentPlane = recorded("The plane; its tangent point is CRVAL.")
    origin: NDArray[np.float64] = recorded("Zero-based pixel (x, y) of the tangent point.", shape=(2,))
    matrix: NDArray[np.float64] = recorded(
        "From pixels to xi (east) and eta (north).", unit="arcsec per pixel", shape=(2, 2)
    )
    shape: tuple[int, int] = recorded("Rows and columns.")

    @property
    @derived(unit="arcsec")
    def scale(self) -> float:
        """Side of a pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    def to_pixel(self, sky: ArrayLike) -> NDArray[np.float64]:
        """Zero-based pixels (N, 2) of (N, 2) sky positions in deg."""
        return np.asarray(self.plane.to_plane(sky) @ np.linalg.inv(self.matrix).T + self.origin)

    def to_sky(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Sky positions (N, 2) in deg of (N, 2) zero-based pixels."""
        return self.plane.to_sky((np.asarray(xy, dtype=float) - self.origin) @ self.matrix.T)

    def shows(self, sky: ArrayLike, margin: float = 0.0) -> bool:
        """Whether what has (N, 2) corners on the sky, in deg, falls on the pixels.

        Parameters
        ----------
        sky : (N, 2) array_like, deg
            The corners.
        margin : float, arcsec
            So far beside the pixels counts too.
        """
        if (separation(sky, (self.plane.ra, self.plane.dec)) > _FARTHEST).any():
            return False
        xy, beside = self.to_pixel(sky), margin / self.scale
        size = np.array(self.shape[::-1])
        return bool((xy.max(axis=0) > -beside).all() and (xy.min(axis=0) < size - 1 + beside).all())

    def coarser(self, scale: float) -> MosaicGrid:
        """Return the same area with pixels of another size, in arcsec."""
        ratio = scale / self.scale
        shape = (int(np.ceil(self.shape[0] / ratio)), int(np.ceil(self.shape[1] / ratio)))
        # the outer corner of the first pixel stays where it is
        return MosaicGrid(self.plane, (self.origin + 0.5) / ratio - 0.5, self.matrix * ratio, shape)

    def around(self, sky: ArrayLike, margin: int) -> MosaicGrid:
        """Return the same pixels, only those around (N, 2) sky positions in deg."""
        xy = self.to_pixel(sky)
        low, high = np.floor(xy.min(axis=0)) - margin, np.ceil(xy.max(axis=0)) + margin
        nx, ny = (high - low + 1).astype(int).tolist()
        return MosaicGrid(self.plane, self.origin - low, self.matrix, (ny, nx))

    def tiles(self, side: int) -> tuple[Tile, ...]:
        """Rectangles of at most `side` x `side` pixels that cover the grid, row by row."""
        ny, nx = self.shape
        return tuple(
            Tile(bottom, min(bottom + side, ny), left, min(left + side, nx))
            for bottom in range(0, ny, side)
            for left in range(0, nx, side)
        )

    def even_tiles(self, largest: int) -> tuple[Tile, ...]:
        """Cover the grid with the fewest rectangles of at most `largest` x `largest` pixels, nearly alike."""
        rows, columns = (
            [size * k // parts for k in range(parts + 1)]
            for size, parts in ((size, -(-size // largest)) for size in self.shape)
        )
        return tuple(
            Tile(bottom, top, left, right)
            for bottom, top in pairwise(rows)
            for left, right in pairwise(columns)
        )


@declared(eq=False)
class MosaicPlan:
    """One mosaic to be made."""

    name: str = recorded("What its files begin with: visit, or product of the whole field, and filter.")
    filter: str = recorded("The filter.")
    keys: tuple[str, ...] = recorded("The exposures that are in it, in time order.")
    grid: MosaicGrid = recorded("The pixels.")


@declared(eq=False)
class MosaicProduct:
    """One mosaic that was made."""

    plan: MosaicPlan = recorded("What it shows, and its pixels.")
    files: Mapping[str, str] = recorded("SHA-256 of each of its files, by name.")
    n_sources: int | None = recorded("Sources of its catalog; null without one.", default=None)
    picture: NDArray[np.uint8] = recorded(
        "What it shows, in few pixels, for the report: rows from the bottom, 0 to 255.",
        shape=("ny", "nx"),
        default_factory=partial(np.zeros, (0, 0), dtype=np.uint8),
    )


@dataclass(frozen=True, eq=False)
class StagedMosaic(MosaicProduct):
    """One mosaic whose files wait to be saved with the other results.

    Parameters
    ----------
    folder : str
        Where they lie.
    """

    folder: str = field(kw_only=True)


@dataclass(frozen=True)
class MosaicMetadata:
    """What a mosaic's header says of its exposures.

    Parameters
    ----------
    exposure_time : float, s
        Sum of the exposures'.
    start, end : float, MJD (UTC)
        Of the first and the last exposure.
    epoch : float, Julian year
        Mean mid time, weighted by exposure time.
    ab_zero_point : float
        AB magnitude of one electron per second.
    keywords : mapping
        Further keywords, which the first exposure has, with values and comments.
    """

    exposure_time: float
    start: float
    end: float
    epoch: float
    ab_zero_point: float
    keywords: Mapping[str, tuple[object, str]] = field(default_factory=dict)
