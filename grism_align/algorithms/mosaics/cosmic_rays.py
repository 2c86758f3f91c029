"""Cosmic rays: by comparison with the median of the exposures, and by a Laplacian filter in one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.values.mosaic import Tile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.mosaics.map import PixelMap
    from grism_align.values.settings import MosaicSettings


#: Why there is no Laplacian filter, and what to do about it.
ASTROSCRAPPY_IS_MISSING = "needs astroscrappy, which is not installed: pip install 'grism_align[cosmicrays]'"
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
    number : ndarray of int
        Of how many it was made.
    """

    image: NDArray[np.float32]
    shared: NDArray[np.bool_]
    number: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, image: NDArray[np.float32], number: NDArray[np.integer[Any]]) -> Median:
        """Make it of what `combined_median` returns."""
        return cls(np.where(number > 0, image, np.float32(0)), _throughout(number >= 2), number)

    def by_others(self, own: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return where exposures other than one tell of a pixel and all next to it.

        Parameters
        ----------
        own : (my, mx) ndarray of bool
            The pixels that the one shows.

        Notes
        -----
        Between its own pixels that are flagged an exposure may show nothing on this grid, and yet have a
        usable pixel there.
        """
        return _throughout(self.number > own)


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
    is_bounded : ndarray of bool, optional
        Where others than this one were there at all. One alone may hold a cosmic ray of its own, so a pixel
        can only exceed it.
    """

    image: NDArray[np.float32]
    gradient: NDArray[np.float32]
    known: NDArray[np.bool_]
    is_bounded: NDArray[np.bool_] | None = None

    @property
    def is_testable(self) -> NDArray[np.bool_]:
        """Where it can be told whether a pixel has a cosmic ray."""
        return self.known if self.is_bounded is None else self.known | self.is_bounded


def combined_median(stack: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Return the median of exposures that are NaN where they show nothing, and how many show something.

    Of two values the lower one is taken, as one of them may be a cosmic ray.

    Parameters
    ----------
    stack : (n, ny, nx) ndarray
        The exposures on one grid, at one level of the sky.
    """
    number = np.isfinite(stack).sum(axis=0, dtype=np.uint16)
    if len(stack) == 2:
        return np.fmin(stack[0], stack[1]).astype(np.float32), number
    ordered = _sorted(stack)
    low, high = (np.maximum(number, 1) - 1) // 2, number // 2
    high = np.where(number == 2, low, high)
    pair = [np.take_along_axis(ordered, place[None], axis=0)[0] for place in (low, high)]
    return (0.5 * (pair[0] + pair[1])).astype(np.float32), number


def _sorted(stack: NDArray[Any]) -> NDArray[Any]:
    """Sort along the first axis, NaN last; whole images at a time where there are few."""
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


def half_gap(stack: NDArray[Any], number: NDArray[np.integer[Any]]) -> NDArray[np.float16]:
    """Return what is to be added to the lower of two values for their mean; zero where there are not two.

    The lower one of two skies lies under both, so levels are told by the mean.

    Parameters
    ----------
    stack : (n, ny, nx) ndarray
        The exposures, as `combined_median` takes them.
    number : (ny, nx) ndarray of int
        How many show something.
    """
    gap = np.fmax.reduce(stack, axis=0) - np.fmin.reduce(stack, axis=0)
    # a ray may be more than the type holds
    gap = np.where(number == 2, np.minimum(0.5 * gap, np.finfo(np.float16).max), 0)
    return gap.astype(np.float16)


def blotted_median(
    median: Median, to_grid: PixelMap, ratio: float, others: NDArray[np.bool_] | None = None
) -> Model:
    """Return the median as a chip shows it.

    Parameters
    ----------
    median : Median
        On the grid of `to_grid`.
    to_grid : PixelMap
        From the chip to that grid.
    ratio : float
        Pixels of the chip in one of the grid, by area: of a flux in a pixel, which the median holds.
    others : ndarray of bool, optional
        Of the grid, as `Median.by_others` tells for this exposure.
    """
    from drizzle.resample import blot_image

    ny, nx = to_grid.shape
    image = np.empty((ny, nx), np.float32)
    wanted = [median.shared] if others is None else [median.shared, others]
    masks = [np.empty((ny, nx), bool) for _ in wanted]
    for bottom in range(0, ny, _BAND):
        band = slice(bottom, min(bottom + _BAND, ny))
        pixels = to_grid.of(Tile(band.start, band.stop, 0, nx))
        blot_image(median.image, pixels, iscale=1.0 / ratio, interp="poly5", fillval=0.0, out_img=image[band])
        for mask, found in zip(masks, nearest(wanted, pixels), strict=True):
            mask[band] = found
    return Model(image, _gradient(image), *masks)


def nearest(values: Sequence[NDArray[Any]], pixels: NDArray[np.float64]) -> list[NDArray[Any]]:
    """Return the values of images (my, mx) at their pixels that are nearest to positions (ny, nx, 2)."""
    places = (pixels + 0.5).astype(np.int32)
    np.clip(places, 0, np.array(values[0].shape[::-1]) - 1, out=places)
    row, column = places[..., 1], places[..., 0]
    return [one[row, column] for one in values]


def _throughout(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where a mask holds for a pixel and the eight around it; never at the edges."""
    lacking = ~mask
    lacking[[0, -1]] = lacking[:, [0, -1]] = True
    return ~_grown(lacking)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask and the eight around each."""
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


def cosmic_rays_against_median(
    image: NDArray[Any], good: NDArray[np.bool_], model: Model, noise: NDArray[Any], settings: MosaicSettings
) -> NDArray[np.bool_]:
    """Return pixels that differ from the model by more than noise and a blurred or shifted source explain.

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
    difference = image - model.image
    np.abs(difference, out=difference, where=model.known)
    usable = good & model.is_testable
    sure = usable & (difference > settings.cr_scale * model.gradient + settings.cr_snr * noise)
    beside = _grown(sure)
    likely = difference > settings.cr_scale_beside * model.gradient + settings.cr_snr_beside * noise
    return np.asarray(sure | (beside & likely & usable))


def has_astroscrappy() -> bool:
    """Return whether what `laplacian_cosmic_rays` stands on is installed."""
    return find_spec("astroscrappy") is not None


def laplacian_cosmic_rays(
    image: NDArray[Any], good: NDArray[np.bool_], noise: NDArray[Any]
) -> NDArray[np.bool_]:
    """Find the pixels of one exposure with edges sharper than the optics make (L.A.Cosmic, by astroscrappy).

    Parameters
    ----------
    image : (ny, nx) ndarray
        One chip, without its sky.
    good : (ny, nx) ndarray of bool
        Usable pixels; nothing is found next to the others.
    noise : (ny, nx) ndarray
        Standard error of a pixel.

    Returns
    -------
    (ny, nx) ndarray of bool

    References
    ----------
    van Dokkum 2001, PASP 113, 1420; McCully et al. 2018, doi:10.5281/zenodo.1482019.
    """
    from astroscrappy import detect_cosmics

    found, _ = detect_cosmics(
        np.asarray(image, dtype=np.float32),
        inmask=~good,
        invar=np.asarray(noise, dtype=np.float32) ** 2,
        sigclip=_LAPLACE_SNR,
        sigfrac=_LAPLACE_SHARE,
        objlim=_LAPLACE_CONTRAST,
        satlevel=np.inf,
        niter=_LAPLACE_ROUNDS,
        cleantype="medmask",
    )
    return np.asarray(found & good)
