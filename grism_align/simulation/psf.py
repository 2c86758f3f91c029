"""Images of stars and galaxies in Fourier space, where optics, pixel, profile and phase are products.

Every function gives a transform at spatial frequencies in cycles per pixel. A stamp is one inverse transform
of such a product, so a source lies at its exact sub-pixel place and no image is ever interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gamma, kv

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_RADIAN = 206264.806

# Samples per pixel of the transforms' grid. HST's optics pass nothing beyond 1.5 cycles per pixel (WFC3/IR at
# 1 micron), so three samples lose nothing; those of NIRISS pass 2 cycles at 1 micron, weakened to 1 % there.
_SAMPLES = 3

#: Spergel indices to draw from: 0.5 is an exponential disc, -0.6 about a de Vaucouleurs bulge.
SPERGEL_INDICES = (0.5, 0.5, 0.5, 0.0, -0.6)


@dataclass(frozen=True)
class Mirror:
    """A telescope's pupil: a disc with a hole.

    Parameters
    ----------
    diameter : float, m
        Of the disc.
    obstruction : float
        Diameter of the hole, in that of the disc.
    """

    diameter: float
    obstruction: float


HST = Mirror(2.4, 0.33)

#: The disc and hole whose diffraction is about that of the hexagon: a FWHM of 0.065" at 2 micron.
JWST = Mirror(6.3, 0.12)

ROMAN = Mirror(2.36, 0.31)


@dataclass(frozen=True)
class Band:
    """What makes the effective PSF of one filter on one camera.

    Parameters
    ----------
    pivot, width : float, micron
        Of the filter.
    pixel : float, arcsec
        Side of a pixel.
    diffusion : float, pixels
        Sigma of charge diffusion and pointing tremor.
    mirror : Mirror
        Of the telescope.
    """

    pivot: float
    width: float
    pixel: float
    diffusion: float
    mirror: Mirror = HST


@dataclass(frozen=True)
class Shape:
    """A galaxy's profile.

    Parameters
    ----------
    radius : float, arcsec
        Half-light radius of the circle of the same area; zero for a star.
    axis_ratio : float
        Minor to major axis.
    angle : float, deg
        Position angle of the major axis.
    index : float
        Spergel index.
    """

    radius: float
    axis_ratio: float
    angle: float
    index: float


def _lens(x: Floats) -> Floats:
    """Return the overlap of two equal discs whose centres are x diameters apart, as a share of one."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(2 / np.pi * (np.arccos(x) - x * np.sqrt(1 - x * x)))


def _cross_lens(x: Floats, small: float) -> Floats:
    """Return the overlap of a disc of radius 1 with one of radius `small` at a distance 2x, over pi."""
    d = np.clip(2 * x, 1 - small, 1 + small)
    first = np.arccos(np.clip((d * d + 1 - small**2) / (2 * d), -1, 1))
    second = np.arccos(np.clip((d * d + small**2 - 1) / (2 * d * small), -1, 1))
    root = np.sqrt(np.clip((1 + small - d) * (d + 1 - small) * (d - 1 + small) * (d + 1 + small), 0, None))
    return np.asarray((first + small**2 * second - root / 2) / np.pi)


def _optics(frequency: Floats, wavelength: float, band: Band) -> Floats:
    """Return the transfer function of an obstructed mirror: the autocorrelation of its pupil.

    Notes
    -----
    The pupil is a disc less a smaller one, so its autocorrelation is that of both discs less twice their
    cross-correlation (O'Neill 1956, J. Opt. Soc. Am. 46, 285).
    """
    x = frequency * wavelength * 1e-6 * _RADIAN / (band.mirror.diameter * band.pixel)
    e = band.mirror.obstruction
    overlap = _lens(x) + e**2 * _lens(x / e) - 2 * _cross_lens(x, e)
    return np.asarray(overlap / (1 - e**2))


def _psf(kx: Floats, ky: Floats, band: Band) -> Floats:
    """Return the transform of the effective PSF: optics over the band, charge diffusion, pixel; 1 at zero."""
    k = np.hypot(kx, ky)
    waves = np.linspace(band.pivot - band.width / 2, band.pivot + band.width / 2, 5)
    optics = np.mean([_optics(k, wave, band) for wave in waves], axis=0)
    diffusion = np.exp(-2 * (np.pi * band.diffusion * k) ** 2)
    return np.asarray(optics * diffusion * np.sinc(kx) * np.sinc(ky))


def _frequencies(size: int) -> Floats:
    return np.asarray(np.fft.fftfreq(size * _SAMPLES, 1 / _SAMPLES), dtype=np.float64)


def _fine_frequencies(size: int, fine: int) -> Floats:
    return np.asarray(np.fft.rfftfreq(size * fine, 1 / fine), dtype=np.float64)


@lru_cache(maxsize=32)
def _psf_grid(size: int, band: Band) -> Floats:
    k = _frequencies(size)
    return _psf(k[None, :], k[:, None], band)


@lru_cache(maxsize=32)
def _psf_across(size: int, fine: int, band: Band) -> Floats:
    """Return the transform of the effective PSF across the dispersion, as `profile` takes it."""
    return _psf(np.zeros(1), _fine_frequencies(size, fine), band)


@lru_cache(maxsize=16)
def _half_light(index: float) -> float:
    """Return the half-light radius of a Spergel profile (2010, ApJS 191, 58) in its scale length."""

    def excess(u: float) -> float:
        outside = 2 * (1 + index) * (u / 2) ** (index + 1) * kv(index + 1, u) / gamma(index + 2)
        return float(outside - 0.5)

    return float(brentq(excess, 1e-3, 10.0))


def galaxy_transform(kx: Floats, ky: Floats, shape: Shape, jacobian: Floats) -> Floats:
    """Return the transform of a galaxy's profile.

    Parameters
    ----------
    kx, ky : ndarray, cycles/pixel
        Frequencies, of shapes that broadcast.
    shape : Shape
        The galaxy.
    jacobian : (2, 2) ndarray, arcsec/pixel
        Derivative of east and north by x and y.
    """
    if shape.radius == 0.0:
        return np.ones(np.broadcast_shapes(kx.shape, ky.shape))
    angle = np.radians(shape.angle)
    axes = np.array([[np.sin(angle), np.cos(angle)], [np.cos(angle), -np.sin(angle)]])
    lengths = shape.radius / _half_light(shape.index) * np.array([1.0, shape.axis_ratio])
    lengths /= np.sqrt(shape.axis_ratio)
    # lengths along the major and minor axis, seen from frequencies per pixel
    (a, b), (c, d) = 2 * np.pi * (lengths[:, None] * axes) @ np.linalg.inv(jacobian).T
    squared = (a * kx + b * ky) ** 2 + (c * kx + d * ky) ** 2
    return np.asarray((1 + squared) ** -(1 + shape.index))


def streak_transform(kx: Floats, ky: Floats, trail: tuple[float, float]) -> Floats:
    """Return the transform of even motion along a straight line of (dx, dy) pixels."""
    return np.sinc(kx * trail[0] + ky * trail[1])


def stamp(
    size: int, band: Band, shape: Shape, jacobian: Floats, phase: Floats, trail: tuple[float, float] = (0, 0)
) -> Floats:
    """Return a source of one count on a stamp of `size` x `size` pixels.

    Parameters
    ----------
    size : int, even
        Side; the stamp is periodic, so what lies outside comes in at the other side.
    band : Band
        The PSF.
    shape : Shape
        The profile.
    jacobian : (2, 2) ndarray, arcsec/pixel
        See `galaxy_transform`.
    phase : (2,) ndarray, pixels
        Place (x, y) of the source from pixel (size/2, size/2).
    trail : (dx, dy), pixels
        Line that the source is drawn along.
    """
    k = _frequencies(size)
    kx, ky = k[None, :], k[:, None]
    transform = _psf_grid(size, band) * galaxy_transform(kx, ky, shape, jacobian)
    if any(trail):
        transform = transform * streak_transform(kx, ky, trail)
    shifted = transform * _shift(size, phase[0])[None, :] * _shift(size, phase[1])[:, None]
    return np.asarray(np.fft.ifft2(_folded(shifted)).real)


def _shift(size: int, phase: float) -> Complexes:
    """Return, by frequency, what puts a source so many pixels from pixel size/2."""
    return np.asarray(np.exp(-2j * np.pi * _frequencies(size) * (phase + size // 2)))


def _folded(transform: Complexes) -> Complexes:
    """Alias a transform onto the pixel grid: sampling an image is folding its spectrum."""
    n = transform.shape[0] // _SAMPLES
    return np.asarray(transform.reshape(_SAMPLES, n, _SAMPLES, n).sum(axis=(0, 2)))


def row(size: int, band: Band, shape: Shape, jacobian: Floats, phase: float, trail: float = 0.0) -> Floats:
    """Return what a stamp sums to along y: the profile along x of a source of one count.

    Parameters
    ----------
    size, band, shape, jacobian
        As for `stamp`.
    phase : float, pixels
        Place of the source from pixel ``size / 2``.
    trail : float, pixels
        Line along x that the source is drawn along.

    Returns
    -------
    (size,) ndarray, 1/pixel
        Sums to 1.

    Notes
    -----
    A sum along y is the transform at no frequency along y, and at those that sampling folds onto it: whole
    cycles a pixel, where the transform of a pixel is zero.
    """
    k = _frequencies(size)
    transform = _psf_grid(size, band)[0] * galaxy_transform(k, np.zeros(1), shape, jacobian)
    shifted = transform * np.sinc(k * trail) * _shift(size, phase)
    return np.asarray(np.fft.ifft(shifted.reshape(_SAMPLES, size).sum(axis=0)).real)


def profile(size: int, fine: int, band: Band, shape: Shape, jacobian: Floats, trail: float = 0.0) -> Floats:
    """Return the profile across the dispersion of a source of one count, summed along x.

    Parameters
    ----------
    size : int, even
        Length, pixels.
    fine : int
        Samples a pixel.
    band : Band
        The PSF.
    shape : Shape
        The profile of the source.
    jacobian : (2, 2) ndarray, arcsec/pixel
        See `galaxy_transform`.
    trail : float, pixels
        Line along y that the source is drawn along.

    Returns
    -------
    (size * fine,) ndarray, 1/pixel
        `fine` samples a pixel, the source at index ``size * fine // 2``; sums to `fine`.
    """
    k = _fine_frequencies(size, fine)
    across = _psf_across(size, fine, band) * np.sinc(k * trail)
    transform = across * galaxy_transform(np.zeros(1), k, shape, jacobian)
    return np.fft.fftshift(np.fft.irfft(transform, size * fine)) * fine
