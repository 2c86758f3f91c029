"""Images of Gaussian sources, integrated over the pixels, with known noise."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

Floats = np.ndarray


def gaussian_sources(xy: Floats, flux: Floats, sigma: float | tuple[float, float], shape: tuple[int, int]):
    """The noiseless image (ny, nx) of sources at (N, 2) zero-based pixels.

    Parameters
    ----------
    xy : (N, 2) ndarray, pix
        Positions.
    flux : (N,) ndarray
        Totals.
    sigma : float or (x, y), pix
        Widths before the integration over the pixels.
    shape : (ny, nx)
        Size.
    """
    across = [
        np.diff(erf((np.arange(n + 1) - 0.5 - at[:, None]) / (s * np.sqrt(2))), axis=1) / 2
        for n, at, s in zip(shape[::-1], np.transpose(xy), np.broadcast_to(sigma, 2), strict=True)
    ]
    return np.einsum("n,ny,nx->yx", flux, across[1], across[0], optimize=True)


def lattice(n: int, spacing: int, rng: np.random.Generator) -> tuple[Floats, tuple[int, int]]:
    """Positions of n by n sources, each anywhere in its pixel, and the shape of an image that holds them."""
    x, y = np.meshgrid(np.arange(n), np.arange(n))
    start = np.column_stack([x.ravel(), y.ravel()]) * spacing + spacing // 2 + 6
    side = n * spacing + 12
    return start + rng.uniform(-0.5, 0.5, start.shape), (side, side)


def noisy(image: Floats, sky: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The image with the noise of its own and the sky's counts, and the standard errors."""
    error = np.sqrt(image + sky)
    return image + error * rng.normal(size=image.shape), error
