"""The light of a scene on one chip: noise-free images, direct and dispersed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter1d

from grism_align.simulation.psf import Band, Shape, profile, row, stamp

if TYPE_CHECKING:
    from grism_align.simulation.elements import Element, Order


Floats = NDArray[np.float64]

# What a source adds at the edge of its stamp stays below a fraction of an electron.
_SIZES = ((3e3, 32), (1e5, 64), (np.inf, 128))
_FAINTEST = 3.0  # electrons in the whole exposure
_FAINTEST_GRISM = 40.0
_FINE = 8  # samples a pixel of a cross-dispersion profile
_SHORT = 30.0  # pixels: a shorter order is a streak without structure
_LONG = 250  # pixels: lines of longer orders have no more of a pixel's light than those of one this long


@dataclass(frozen=True)
class Optics:
    """What turns a source into an image on one chip.

    Parameters
    ----------
    band : Band
        The PSF.
    jacobian : (2, 2) ndarray, arcsec/pixel
        Derivative of east and north by x and y at the chip's centre.
    shape : (ny, nx)
        Pixels.
    exposure_time : float, s
        Decides which sources matter.
    trail : (dx, dy), pixels
        Motion of the telescope during the exposure.
    """

    band: Band
    jacobian: Floats
    shape: tuple[int, int]
    exposure_time: float
    trail: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class LightSources:
    """Sources near one chip.

    Parameters
    ----------
    xy : (N, 2) ndarray, zero-based pixels
        Where they are (in a grism exposure: would be without the grism).
    rates : (N,) ndarray, electron/s
        How bright.
    shapes : tuple of Shape
        Their profiles.
    numbers : (N,) ndarray of int
        Their numbers in the scene; a spectrum follows its number.
    """

    xy: Floats
    rates: Floats
    shapes: tuple[Shape, ...]
    numbers: NDArray[np.int64]


def _add(image: Floats, piece: Floats, x: int, y: int) -> None:
    """Add a piece whose first pixel falls on (x, y), where it overlaps the image."""
    ny, nx = image.shape
    left, right = max(0, x), min(nx, x + piece.shape[1])
    low, high = max(0, y), min(ny, y + piece.shape[0])
    if left < right and low < high:
        image[low:high, left:right] += piece[low - y : high - y, left - x : right - x]


def _stamp_size(counts: float, shape: Shape, optics: Optics) -> int:
    size = next(size for limit, size in _SIZES if counts < limit)
    extent = 8 * shape.radius / optics.band.pixel + 2 * max(map(abs, optics.trail))
    return next((s for _, s in _SIZES if s >= max(size, extent)), _SIZES[-1][1])


def _place(
    image: Floats, optics: Optics, shape: Shape, xy: Floats, rate: float, trail: tuple[float, float]
) -> None:
    """Add one source of a rate at (x, y) to an image in place."""
    size = _stamp_size(rate * optics.exposure_time, shape, optics)
    corner = np.round(xy).astype(int) - size // 2
    if (corner + size < 0).any() or (corner >= image.shape[::-1]).any():
        return
    phase = xy - corner - size // 2
    piece = stamp(size, optics.band, shape, optics.jacobian, phase, trail)
    _add(image, rate * piece, int(corner[0]), int(corner[1]))


def direct_image(sources: LightSources, optics: Optics) -> Floats:
    """Return the image of the sources, (ny, nx) electron/s/pixel."""
    image = np.zeros(optics.shape)
    for i in np.flatnonzero(sources.rates * optics.exposure_time > _FAINTEST):
        _place(image, optics, sources.shapes[i], sources.xy[i], float(sources.rates[i]), optics.trail)
    return image


def grism_image(sources: LightSources, optics: Optics, element: Element) -> Floats:
    """Return the image of the sources' spectra, (ny, nx) electron/s/pixel."""
    if element.along_columns:
        return _spectra(_transposed(sources), _transposed_optics(optics), element).T
    return _spectra(sources, optics, element)


def _transposed(sources: LightSources) -> LightSources:
    """Return sources on a detector whose rows are this one's columns."""
    return replace(sources, xy=sources.xy[:, ::-1])


def _transposed_optics(optics: Optics) -> Optics:
    return replace(
        optics, jacobian=optics.jacobian[:, ::-1], shape=optics.shape[::-1], trail=optics.trail[::-1]
    )


def _spectra(sources: LightSources, optics: Optics, element: Element) -> Floats:
    """Return the image of spectra along x."""
    image = np.zeros(optics.shape)
    for i in np.flatnonzero(sources.rates * optics.exposure_time > _FAINTEST_GRISM):
        for order in element.orders:
            rate = float(sources.rates[i]) * order.fraction
            if abs(order.end - order.start) < _SHORT:
                _add_streak(image, optics, sources.shapes[i], sources.xy[i], rate, order)
            else:
                spectrum = rate * _spectrum(order, int(sources.numbers[i]))
                _add_trace(image, optics, sources.shapes[i], sources.xy[i], spectrum, order)
    return image


def _add_streak(image: Floats, optics: Optics, shape: Shape, xy: Floats, rate: float, order: Order) -> None:
    """Add a zeroth order: the source drawn out over a few pixels."""
    middle, length = 0.5 * (order.start + order.end), order.end - order.start
    place = xy + np.array([middle, order.offset + order.slope * middle])
    trail = (optics.trail[0] + length, optics.trail[1] + order.slope * length)
    _place(image, optics, shape, place, rate, trail)


def _spectrum(order: Order, number: int) -> Floats:
    """Return shares of an order's light by pixel along it: throughput times a slope, for some a line."""
    rng = np.random.default_rng(number)
    u = np.linspace(-1, 1, int(abs(order.end - order.start)) + 1)
    light = np.exp(-0.5 * (u / 0.72) ** 6) * (1 + rng.uniform(-0.3, 0.3) * u)
    if rng.random() < 0.25:
        strength = 0.1 * light.sum() * min(_LONG / len(u), 1.0)
        light += strength * np.exp(-0.5 * ((u - rng.uniform(-0.7, 0.7)) * len(u) / 2) ** 2)
    return np.asarray(light / light.sum())


def _add_trace(
    image: Floats, optics: Optics, shape: Shape, xy: Floats, spectrum: Floats, order: Order
) -> None:
    """Add a long order: its spectrum along x, the source's profile across it.

    Traces slope by a few pixels at most, so along a column light goes up and down like the profile that is
    summed along x, at the trace's own sub-pixel height there.
    """
    size = _stamp_size(float(spectrum.max()) * optics.exposure_time, shape, optics)
    start = float(xy[0]) + min(order.start, order.end)
    left = round(start) - size // 2
    columns = np.arange(left, left + len(spectrum) + size - 1)
    height = xy[1] + order.offset + order.slope * (columns - xy[0])
    low = int(np.floor(height.min())) - size // 2
    rows = np.arange(low, int(np.ceil(height.max())) + size // 2)
    ny, nx = image.shape
    keep = (columns >= 0) & (columns < nx)
    rows = rows[(rows >= 0) & (rows < ny)]
    if not keep.any() or not len(rows):
        return
    # a spectrum that starts at a fraction of a pixel, convolved with the source's own extent along it
    extent = row(size, optics.band, shape, optics.jacobian, start - round(start), optics.trail[0])
    along = np.convolve(spectrum, extent)
    across = profile(size, _FINE, optics.band, shape, optics.jacobian, optics.trail[1])
    across = spline_filter1d(across, 3)
    index = (rows[:, None] - height[None, keep]) * _FINE + size * _FINE // 2
    piece = map_coordinates(across, index[None], order=3, prefilter=False) * along[keep]
    _add(image, piece, int(columns[keep][0]), int(rows[0]))
