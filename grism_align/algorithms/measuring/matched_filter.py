"""The signal-to-noise ratio that a point source would have at every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def matched_filter(
    image: NDArray[Any], error: NDArray[Any], good: NDArray[np.bool_], sigma: float
) -> NDArray[np.float32]:
    """Return the signal-to-noise ratio of a Gaussian source at every pixel, with inverse-variance weights.

    Parameters
    ----------
    image, error : (ny, nx) ndarray
        Values without background and their standard errors, of independent pixels or as if they were.
    good : (ny, nx) ndarray of bool
        Usable pixels.
    sigma : float, pix
        Width of the source.

    Returns
    -------
    (ny, nx) ndarray

    References
    ----------
    Turin 1960, IRE Trans. Inf. Theory 6, 311.
    """
    from scipy.ndimage import gaussian_filter

    inverse = np.zeros(image.shape, np.float32)
    np.divide(1.0, np.square(error), out=inverse, where=good, casting="unsafe")
    signal = image * inverse
    # in place: of a mosaic, each copy counts
    gaussian_filter(signal, sigma, output=signal)
    # The square of a Gaussian is a Gaussian, narrower by sqrt(2) and 4 pi sigma^2 times weaker.
    noise = gaussian_filter(inverse, sigma / np.sqrt(2), output=inverse)
    noise /= np.float32(4 * np.pi * sigma**2)
    has_noise = noise > 0
    np.sqrt(noise, out=noise, where=has_noise)
    ratio = np.zeros(image.shape, np.float32)
    np.divide(signal, noise, out=ratio, where=has_noise)
    return ratio
