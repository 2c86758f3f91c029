"""Small pictures of stars on a common grid of the sky, stacked over exposures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from grism_align.values.pixel_sky import PixelSky


# A pixel this much above the star's own peak is not the star's.
_SPURIOUS = 1.3
# Radius about the star, arcsec, whose sum its pictures are divided by.
_FLUX_RADIUS = 0.5


@dataclass(frozen=True)
class StampGrid:
    """A square grid about a point of the sky: rows to the north, columns to the west.

    Parameters
    ----------
    size : int
        Points on a side, odd.
    scale : float, arcsec
        From one to the next.
    """

    size: int
    scale: float

    @property
    def half(self) -> float:
        """From the middle to the outermost points, arcsec."""
        return self.scale * (self.size // 2)

    def offsets(self) -> NDArray[np.float64]:
        """Return east and north of the middle, (size, size, 2) arcsec."""
        side = self.scale * (np.arange(self.size) - self.size // 2)
        east, north = np.meshgrid(-side, side)
        return np.stack([east, north], axis=-1)


def sampled(
    image: NDArray[Any], good: NDArray[np.bool_], wcs: PixelSky, sky: ArrayLike, grid: StampGrid
) -> NDArray[np.float32]:
    """Return an image on a grid of the sky, linearly interpolated.

    Within a stamp the WCS is taken as linear, which over 8" of a detector of HST it is to 0.01 pixel.

    Parameters
    ----------
    image, good : (ny, nx) ndarray
        Pixels, and which of them are usable.
    wcs : PixelSky
        Of the image.
    sky : (2,) array_like, deg
        The middle of the grid.
    grid : StampGrid
        Its points.

    Returns
    -------
    (size, size) ndarray
        NaN where pixels are not usable, or off the image.
    """
    from scipy.ndimage import map_coordinates

    plane = TangentPlane(*np.asarray(sky, dtype=float).tolist())
    half = grid.half
    corners = np.array([[0.0, 0.0], [half, 0.0], [-half, 0.0], [0.0, half], [0.0, -half]])
    pixels = wcs.to_pixel(plane.to_sky(corners))
    if not np.isfinite(pixels).all():
        return np.full((grid.size, grid.size), np.nan, dtype=np.float32)
    jacobian = np.stack([pixels[1] - pixels[2], pixels[3] - pixels[4]], axis=1) / (2 * half)
    at = pixels[0] + grid.offsets() @ jacobian.T
    # only what is near, so that chips are neither copied nor searched
    low = np.maximum(np.floor(at.min(axis=(0, 1))).astype(int) - 1, 0)
    high = np.maximum(np.ceil(at.max(axis=(0, 1))).astype(int) + 2, low)
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    near = good[part]
    if near.size == 0:
        return np.full((grid.size, grid.size), np.nan, dtype=np.float32)
    values = np.where(near, image[part], 0.0).astype(float)
    where = np.moveaxis(at - low, -1, 0)[::-1]
    share = map_coordinates(near.astype(float), where, order=1, cval=0.0)
    total = map_coordinates(values, where, order=1, cval=0.0)
    # of a point of which most is masked nothing is known
    known = share > 0.5
    return np.where(known, total / np.where(known, share, 1.0), np.nan).astype(np.float32)


def stacked(before: NDArray[Any], after: NDArray[Any], grid: StampGrid) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return pictures of stars before and after, each star divided by its flux, in the mean.

    Parameters
    ----------
    before, after : (K, size, size) ndarray
        Of K exposures of a star.
    grid : StampGrid
        Theirs.

    Returns
    -------
    (size, size) ndarray, (size, size) ndarray
        The mean before and after; NaN where no exposure has a value.

    Notes
    -----
    The flux and the sky's level of an exposure are those after, where the star is known to be; both pictures
    are treated with the same numbers.
    """
    radius = np.hypot(*np.moveaxis(grid.offsets(), -1, 0))
    core, edge = radius <= _FLUX_RADIUS, radius >= 0.85 * grid.half
    scaled: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for one, other in zip(before, after, strict=True):
        if np.isfinite(other[core]).mean() < 0.9 or not np.isfinite(other[edge]).any():
            continue
        level = np.nanmedian(other[edge])
        flux = np.nansum(other[core] - level)
        if flux > 0:
            peak = np.nanmax(other[core] - level) / flux
            scaled.append((_cleaned((one - level) / flux, peak), _cleaned((other - level) / flux, peak)))
    if not scaled:
        nothing = np.full(radius.shape, np.nan)
        return nothing, nothing
    first, second = (np.array(part) for part in zip(*scaled, strict=True))
    return mean_of_known(first), mean_of_known(second)


def _cleaned(picture: NDArray[Any], peak: float) -> NDArray[Any]:
    """Return a picture without what is brighter than its star."""
    return np.where(picture <= _SPURIOUS * peak, picture, np.nan)


def mean_of_known(pictures: NDArray[Any]) -> NDArray[Any]:
    """Average pictures (K, size, size), NaNs left out; NaN where none has a value."""
    known = np.isfinite(pictures)
    n = known.sum(axis=0)
    total = np.where(known, pictures, 0.0).sum(axis=0)
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.nan))


def light_offset(picture: NDArray[Any], radius: float = np.inf) -> float:
    """Return how far the light of a star is from the middle of its picture, in points of the grid.

    Of all points above a fifth of the peak, by their light.

    Parameters
    ----------
    picture : (size, size) ndarray
        Of the star.
    radius : float, optional
        About the peak, in points of the grid: what is farther away is a neighbour. The peak is looked for
        within twice that from the middle.

    Returns
    -------
    float
        NaN where there is no light.
    """
    light = np.nan_to_num(np.asarray(picture, dtype=float))
    places = np.indices(light.shape) - np.array(light.shape)[:, None, None] // 2
    light = np.where(np.hypot(*places) <= 2 * radius, light, 0.0)
    peak = light.max(initial=0.0)
    if not peak > 0:
        return float("nan")
    top = places[:, *np.unravel_index(light.argmax(), light.shape)]
    is_star = (light >= 0.2 * peak) & (np.hypot(*(places - top[:, None, None])) <= radius)
    light = np.where(is_star, light, 0.0)
    return float(np.hypot(*((places * light).sum(axis=(1, 2)) / light.sum())))
