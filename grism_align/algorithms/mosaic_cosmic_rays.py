"""Cosmic rays: by comparison with the median of the exposures, and by a Laplacian filter in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.values.mosaic import Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.mosaic_map import PixelMap
    from grism_align.values.settings import MosaicSettings

__all__ = ["Median", "Model", "blotted", "combined_median", "compared", "laplacian_rays"]

# Sigma of the Laplacian image, its share beside another ray, and the least contrast with fine structure.
_LAPLACE_SNR = 4.5
_LAPLACE_SHARE = 0.3
_LAPLACE_CONTRAST = 5.0
_LAPLACE_ROUNDS = 4
# Rows of a chip that are blotted at a time.
_BAND = 256
# Up to so many exposures are sorted pair by pair.
_FEW = 6


@dataclass(frozen=True, eq=False)
class Median:
    """The median of exposures, (my, mx) each.

    Parameters
    ----------
    image : ndarray
        Zero where there is none.
    shared : ndarray of bool
        Where it, and all that is next to it, was made of two exposures or more.
    """

    image: NDArray[np.float32]
    shared: NDArray[np.bool_]

    @classmethod
    def of(cls, image: NDArray[np.float32], number: NDArray[np.integer[Any]]) -> Median:
        """From what `combined_median` returns."""
        alone = number < 2
        # so that what lies beyond the edges is not known either
        alone[[0, -1]] = alone[:, [0, -1]] = True
        return cls(np.where(number > 0, image, np.float32(0)), ~_grown(alone))


@dataclass(frozen=True, eq=False)
class Model:
    """What a chip would show without cosmic rays, (ny, nx) each.

    Parameters
    ----------
    image : ndarray
        The median of the exposures, on the chip's pixels.
    gradient : ndarray
        Largest difference of it to one of the four neighbours.
    known : ndarray of bool
        Where it was made of two exposures or more.
    """

    image: NDArray[np.float32]
    gradient: NDArray[np.float32]
    known: NDArray[np.bool_]


def combined_median(stack: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Median of exposures that are NaN where they show nothing, and how many show something.

    Of two values the lower one is taken, as one of them may be a cosmic ray.

    Parameters
    ----------
    stack : (n, ny, nx) ndarray
        The exposures on one grid, at one level of the sky.
    """
    number = np.isfinite(stack).sum(axis=0, dtype=np.uint8)
    if len(stack) == 2:
        return np.fmin(stack[0], stack[1]).astype(np.float32), number
    ordered = _sorted(stack)
    low, high = (np.maximum(number, 1) - 1) // 2, number // 2
    high = np.where(number == 2, low, high)
    pair = [np.take_along_axis(ordered, place[None], axis=0)[0] for place in (low, high)]
    return (0.5 * (pair[0] + pair[1])).astype(np.float32), number


def _sorted(stack: NDArray[Any]) -> NDArray[Any]:
    """Sorted along the first axis, NaN last; whole images at a time where there are few."""
    n = len(stack)
    if n > _FEW:
        return np.sort(stack, axis=0)
    out = np.where(np.isnan(stack), np.inf, stack)
    for end in range(n - 1, 0, -1):
        for one in range(end):
            low = np.minimum(out[one], out[one + 1])
            np.maximum(out[one], out[one + 1], out=out[one + 1])
            out[one] = low
    return np.where(np.isinf(out), np.nan, out)


def blotted(median: Median, to_grid: PixelMap, ratio: float) -> Model:
    """The median as a chip shows it.

    Parameters
    ----------
    median : Median
        On the grid of `to_grid`.
    to_grid : PixelMap
        From the chip to that grid.
    ratio : float
        Pixels of the chip in one of the grid, by area: of a flux in a pixel, which the median holds.
    """
    from drizzle.resample import blot_image

    ny, nx = to_grid.shape
    image, known = np.empty((ny, nx), np.float32), np.empty((ny, nx), bool)
    for bottom in range(0, ny, _BAND):
        band = slice(bottom, min(bottom + _BAND, ny))
        pixels = to_grid.of(Tile(band.start, band.stop, 0, nx))
        blot_image(median.image, pixels, iscale=1.0 / ratio, interp="poly5", fillval=0.0, out_img=image[band])
        known[band] = _nearest(median.shared, pixels)
    return Model(image, _gradient(image), known)


def _nearest(mask: NDArray[np.bool_], pixels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Values of a mask at the pixels nearest to positions (ny, nx, 2), or nearest to these at its edges."""
    places = (pixels + 0.5).astype(np.int32)
    np.clip(places, 0, np.array(mask.shape[::-1]) - 1, out=places)
    return mask[places[..., 1], places[..., 0]]


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask and the eight around each."""
    tall = mask.copy()
    tall[1:] |= mask[:-1]
    tall[:-1] |= mask[1:]
    out = tall.copy()
    out[:, 1:] |= tall[:, :-1]
    out[:, :-1] |= tall[:, 1:]
    return out


def _gradient(image: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.zeros_like(image)
    for axis in (0, 1):
        step = np.diff(image, axis=axis)
        np.abs(step, out=step)
        ahead = [slice(None), slice(None)]
        behind = [slice(None), slice(None)]
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        for part in (tuple(ahead), tuple(behind)):
            np.maximum(out[part], step, out=out[part])
    return out


def compared(
    image: NDArray[Any], good: NDArray[np.bool_], model: Model, noise: NDArray[Any], settings: MosaicSettings
) -> NDArray[np.bool_]:
    """Pixels that differ from the model by more than noise and a blurred or shifted source explain.

    Parameters
    ----------
    image : (ny, nx) ndarray
        One chip, without its sky.
    good : (ny, nx) ndarray of bool
        Usable pixels.
    model : Model
        What it should show.
    noise : (ny, nx) ndarray
        Standard error of a pixel that shows the model.
    settings : MosaicSettings
        The limits: ``cr_snr`` noise plus ``cr_scale`` gradients; beside a pixel beyond these the lower limits
        ``cr_snr_beside`` and ``cr_scale_beside``.

    References
    ----------
    Fruchter & Hook 2002, PASP 114, 144, section 6; the form of the limits is that of drizzlepac's driz_cr.
    """
    difference = np.abs(image - model.image)
    usable = good & model.known
    sure = usable & (difference > settings.cr_scale * model.gradient + settings.cr_snr * noise)
    beside = _grown(sure)
    likely = difference > settings.cr_scale_beside * model.gradient + settings.cr_snr_beside * noise
    return np.asarray(sure | (beside & likely & usable))


def laplacian_rays(image: NDArray[Any], good: NDArray[np.bool_], noise: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels with edges sharper than the optics make, of one exposure.

    Parameters
    ----------
    image : (ny, nx) ndarray
        One chip, without its sky.
    good : (ny, nx) ndarray of bool
        Usable pixels; others are taken from their neighbours.
    noise : (ny, nx) ndarray
        Standard error of a pixel.

    References
    ----------
    van Dokkum 2001, PASP 113, 1420 (L.A.Cosmic).
    """
    from scipy.ndimage import median_filter

    clean = np.where(good, image, 0).astype(np.float32)
    found = np.zeros(image.shape, bool)
    for _ in range(_LAPLACE_ROUNDS):
        clean = _patched(clean, ~good | found)
        ratio = _sharpness(clean) / (2 * noise)
        ratio -= median_filter(ratio, 5)
        smooth = median_filter(clean, 3)
        fine = np.clip((smooth - median_filter(smooth, 7)) / noise, 0.01, None)
        sure = (ratio > _LAPLACE_SNR) & (ratio / fine > _LAPLACE_CONTRAST)
        grown = _grown(sure) & (ratio > _LAPLACE_SNR)
        rays = _grown(grown) & (ratio > _LAPLACE_SHARE * _LAPLACE_SNR)
        if not (rays & good & ~found).any():
            break
        found |= rays & good
    return found


def _sharpness(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Positive part of the Laplacian on half pixels, averaged over each pixel.

    Of the four half pixels each has two neighbours in the same pixel, so its Laplacian is that of the pixel
    with its two nearest neighbours on that side.
    """
    padded = np.pad(image, 1, mode="edge")
    up, down = padded[2:, 1:-1], padded[:-2, 1:-1]
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    total = np.zeros_like(image)
    for vertical in (up, down):
        for horizontal in (left, right):
            total += np.clip(2 * image - vertical - horizontal, 0, None)
    return np.asarray(total / 4, dtype=np.float32)


def _patched(image: NDArray[np.float32], bad: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Bad pixels replaced by the median of the good ones around them."""
    rows, columns = np.nonzero(bad)
    if len(rows) == 0:
        return image
    padded = np.pad(np.where(bad, np.nan, image), 2, constant_values=np.nan)
    out = image.copy()
    around = np.stack([padded[rows + i, columns + j] for i in range(5) for j in range(5)], axis=-1)
    ordered = np.sort(around, axis=-1)
    number = np.isfinite(around).sum(axis=-1)
    middle = np.take_along_axis(ordered, np.maximum((number - 1) // 2, 0)[:, None], axis=-1)[:, 0]
    out[rows, columns] = np.where(number > 0, middle, 0.0)
    return out
