"""Pixels and sky by a gwcs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.gwcs.attitude_plane import AttitudePlane, PlaneAffine
from grism_align.io.gwcs.lean import mapped
from grism_align.values.sphere import sky_to_vector
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from grism_align.io.gwcs.parts import GwcsParts
    from grism_align.values.transform import LinearTransform


# Grid of points on a chip, a side, on which a correction is fitted.
_GRID = 5
# Where an inverse solution may lie outside the chip, in units of its size: polynomials diverge far outside.
_MARGIN = 0.5
# Pixels: where an inverse is good enough, and where it was not found.
_POLISHED, _LOST = 1e-7, 1e-4
_MOST_TURNS = 12


@dataclass(frozen=True, eq=False)
class GwcsSky:
    """Pixels of one detector to the sky and back, of a dispersed exposure as if it was not. Immutable.

    Parameters
    ----------
    parts : GwcsParts
        The gwcs.
    attitude_plane : AttitudePlane
        Where its correction is made.
    affine : PlaneAffine or None
        The correction; that of `parts` at first.
    shape : (ny, nx)
        Size of the array.
    """

    parts: GwcsParts
    attitude_plane: AttitudePlane
    affine: PlaneAffine | None
    shape: tuple[int, int]

    @cached_property
    def _center(self) -> NDArray[np.float64]:
        """The middle of the array, (2,) zero-based pixels."""
        return 0.5 * (np.array(self.shape[::-1], dtype=float) - 1.0)

    @cached_property
    def plane(self) -> TangentPlane:
        """The tangent plane at the middle of the array."""
        ra, dec = self.to_sky(self._center)[0].tolist()
        return TangentPlane(ra, dec)

    @cached_property
    def axes(self) -> NDArray[np.float64]:
        """East and north of a step of one pixel along x and along y, (2, 2) arcsec, in the middle."""
        steps = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
        ends = self.plane.to_plane(self.to_sky(self._center + steps))
        return np.column_stack([ends[0] - ends[1], ends[2] - ends[3]]) / 2

    @property
    def pixel_scale(self) -> float:
        """Mean side of a pixel in the middle, arcsec."""
        return float(np.sqrt(abs(np.linalg.det(self.axes))))

    @cached_property
    def attitude(self) -> NDArray[np.float64]:
        """Directions of V1, V2 and V3 on the sky, as columns (3, 3), without any correction."""
        field = np.array([[0.0, 0.0], [600.0, 0.0], [0.0, 600.0]])
        before, after = sky_to_vector(field / 3600.0), sky_to_vector(mapped(self.parts.to_sky, field))
        return np.asarray(after.T @ np.linalg.inv(before.T))

    def to_field(self, xy: ArrayLike) -> NDArray[np.float64]:
        """V2 and V3 (N, 2), arcsec, of (N, 2) zero-based pixels, without any correction."""
        return _through(self.parts.to_field, np.asarray(xy, dtype=float).reshape(-1, 2))

    def to_sky(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Sky positions (N, 2) in deg of (N, 2) zero-based pixels."""
        field = self.to_field(xy)
        if self.affine is not None and len(field):
            field = self.attitude_plane.corrected(field, self.affine)
        return mapped(self.parts.to_sky, field)

    def to_pixel(self, sky: ArrayLike) -> NDArray[np.float64]:
        """Zero-based pixels (N, 2) of (N, 2) sky positions in deg.

        NaN farther than half the array's size outside, where the distortion has no inverse.
        """
        positions = np.asarray(sky, dtype=float).reshape(-1, 2)
        pixels = np.full(positions.shape, np.nan)
        offset = self.plane.to_plane(positions)
        rough = self._center + offset @ np.linalg.inv(self.axes).T
        near = self._inside(rough, _MARGIN)
        if near.any():
            field = mapped(self.parts.from_sky, positions[near])
            field[:, 0] -= 1.296e6 * (field[:, 0] > 6.48e5)  # around V2 = 0, not within a turn
            if self.affine is not None:
                field = self.attitude_plane.uncorrected(field, self.affine)
            found = self._pixels_in(field)
            found[~self._inside(found, 1.5 * _MARGIN)] = np.nan
            pixels[near] = found
        return pixels

    def _pixels_in(self, field: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pixels of V2 and V3: the inverse that comes with the WCS, polished."""
        found = _through(self.parts.from_field, field)
        off = np.full(found.shape, np.inf)
        for _ in range(_MOST_TURNS):
            off = (self.to_field(found) - field) @ self._pixels_per_arcsec.T
            found = found - off
            if not np.nanmax(np.abs(off), initial=0.0) > _POLISHED:
                break
        found[~(np.abs(off).max(axis=1) < _LOST)] = np.nan
        return found

    @cached_property
    def _pixels_per_arcsec(self) -> NDArray[np.float64]:
        steps = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
        ends = self.to_field(self._center + steps)
        return np.asarray(np.linalg.inv(np.column_stack([ends[0] - ends[1], ends[2] - ends[3]]) / 2))

    def _inside(self, pixels: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
        size = np.array(self.shape[::-1])
        with np.errstate(invalid="ignore"):
            inside = (pixels > -margin * size) & (pixels < (1 + margin) * size)
        return np.asarray(inside.all(axis=1))

    def corrected(self, transform: LinearTransform) -> GwcsSky:
        """Return the WCS whose sky positions are those of this one moved by `transform`."""
        xy = self.grid()
        field, moved = (
            self.to_field(xy),
            mapped(self.parts.from_sky, transform.apply_to_sky(self.to_sky(xy))),
        )
        before, after = (self.attitude_plane.to_plane(one) for one in (field, moved))
        return self.with_affine(_fitted(before, after))

    def with_affine(self, affine: PlaneAffine | None) -> GwcsSky:
        """Return the WCS with another correction, or with none."""
        return GwcsSky(self.parts, self.attitude_plane, affine, self.shape)

    def grid(self) -> NDArray[np.float64]:
        """Pixels (N, 2) spread over the array, its corners included."""
        ny, nx = self.shape
        x, y = np.meshgrid(np.linspace(0, nx - 1, _GRID), np.linspace(0, ny - 1, _GRID))
        return np.column_stack([x.ravel(), y.ravel()])

    def footprint(self) -> NDArray[np.float64]:
        """Outline of the array on the sky, (4, 2) deg: the outer corners of the corner pixels."""
        ny, nx = self.shape
        low, right, top = -0.5, nx - 0.5, ny - 0.5
        return self.to_sky([[low, low], [right, low], [right, top], [low, top]])


def _through(models: Sequence[Any], xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map positions (N, 2) by models, one after the other."""
    for model in models:
        xy = mapped(model, xy)
    return xy


def _fitted(before: NDArray[np.float64], after: NDArray[np.float64]) -> PlaneAffine:
    """Return the affine map that agrees best with positions (N, 2), rad, before and after."""
    middle = before.mean(axis=0)
    design = np.column_stack([before - middle, np.ones(len(before))])
    # of what is added, not to lose digits
    added, *_ = np.linalg.lstsq(design, after - before, rcond=None)
    matrix = np.eye(2) + added[:2].T
    return PlaneAffine.of(matrix, added[2] + middle - matrix @ middle)
