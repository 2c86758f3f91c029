"""What a detector makes of light: noise, bad pixels, cosmic rays, saturation, and flags that tell of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Flags = NDArray[np.int16]


class Flag(IntFlag):
    """What is flagged, as DQ bits of HST; files of other missions say it in their own."""

    BAD = 4
    HOT = 16
    UNSTABLE = 32
    SATURATED = 256
    BLOB = 512
    COSMIC_RAY = 4096
    RAMP_HIT = 8192


@dataclass(frozen=True)
class Readout:
    """How photons become numbers.

    Parameters
    ----------
    rates : bool
        Pixels hold electrons per second (an up-the-ramp fit); else electrons.
    noise : (direct, grism), electron
        Effective read noise.
    dark : float, electron/s
        Dark current.
    full_well : float, electron
        Where a pixel saturates.
    cosmic_rays : float, 1/s/pixel
        Share of pixels hit in a second, and left in the image.
    flagged : float
        Share of those that DQ tells of.
    diffusion : float, pixels
        Sigma of the charge diffusion and the pointing's tremor, for the PSF.
    has_blobs : bool
        Whether dust dims round patches.
    """

    rates: bool
    noise: tuple[float, float]
    dark: float
    full_well: float
    cosmic_rays: float
    flagged: float
    diffusion: float
    has_blobs: bool = False


@dataclass(frozen=True, eq=False)
class Detector:
    """What stays the same from exposure to exposure on one chip; arrays of (ny, nx).

    Parameters
    ----------
    response : ndarray
        What the flat field leaves uncorrected, blobs included.
    hot : ndarray, electron/s
        Excess dark current.
    flags : ndarray of int16
        DQ of every exposure.
    """

    response: Floats
    hot: Floats
    flags: Flags

    def has(self, flag: Flag) -> Mask:
        """Return which pixels have a flag."""
        return np.asarray((self.flags & int(flag)) != 0)


@dataclass(frozen=True, eq=False)
class Pixels:
    """One chip of one exposure; arrays of (ny, nx).

    Parameters
    ----------
    sci, err : ndarray of float32
        Electrons, or electrons per second for an up-the-ramp fit, and their standard errors.
    dq : ndarray of int16
        Flags.
    """

    sci: NDArray[np.float32]
    err: NDArray[np.float32]
    dq: Flags


def draw_detector(shape: tuple[int, int], readout: Readout, rng: np.random.Generator) -> Detector:
    """Draw the features of one chip; an up-the-ramp detector is an infrared one and has no bad columns."""
    infrared = readout.rates
    response = 1 + 0.003 * _smooth(shape, rng) + 0.004 * rng.standard_normal(shape)
    chance = rng.random(shape)
    share = 0.006 if infrared else 0.002
    flags = np.zeros(shape, dtype=np.int16)
    flags[chance < share] = Flag.BAD
    flags[(chance >= share) & (chance < 1.5 * share)] = Flag.HOT
    flags[(chance >= 1.5 * share) & (chance < 1.8 * share)] = Flag.UNSTABLE
    hot = np.zeros(shape)
    noisy = (flags & int(Flag.HOT | Flag.UNSTABLE)) != 0
    hot[noisy] = rng.lognormal(np.log(0.3 if infrared else 0.05), 1.2, int(noisy.sum()))
    if readout.has_blobs:
        _add_blobs(response, flags, rng)
    if not infrared:
        _add_bad_columns(flags, rng)
    return Detector(response, hot, flags)


def _smooth(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Return a smooth field of unit deviation or so, with structure of a quarter of the chip."""
    coarse = rng.standard_normal((6, 6))
    field = zoom(coarse, (shape[0] / 6, shape[1] / 6), order=3, mode="nearest", grid_mode=True)
    return np.asarray(field, dtype=float)


def _add_blobs(response: Floats, flags: Flags, rng: np.random.Generator) -> None:
    """Dim and flag a few round patches in place: dust on the infrared channel's mirror."""
    ny, nx = response.shape
    for _ in range(max(1, round(24e-6 * nx * ny))):
        x, y, radius = rng.uniform([0, 0, 6], [nx, ny, 12])
        low, left = max(0, int(y) - 20), max(0, int(x) - 20)
        cut = np.s_[low : int(y) + 21, left : int(x) + 21]
        rows, columns = np.indices(response[cut].shape)
        distance = np.hypot(columns + left - x, rows + low - y)
        response[cut] *= 1 - rng.uniform(0.04, 0.12) / (1 + np.exp((distance - radius) / 1.5))
        flags[cut][distance < radius] |= int(Flag.BLOB)


def _add_bad_columns(flags: Flags, rng: np.random.Generator) -> None:
    """Flag some columns, from a row on, in place."""
    ny, nx = flags.shape
    for column in rng.integers(0, nx, max(1, nx // 400)):
        flags[int(rng.integers(0, ny)) :, column] |= int(Flag.BAD)


def expose(
    light: Floats,
    exposure_time: float,
    detector: Detector,
    readout: Readout,
    noise: float,
    rng: np.random.Generator,
) -> Pixels:
    """Read out a chip.

    Parameters
    ----------
    light : (ny, nx) ndarray, electron/s
        Sources and sky.
    exposure_time : float, s
        Exposure time.
    detector : Detector
        The chip.
    readout : Readout
        Noise.
    noise : float, electron
        Read noise.
    rng : numpy.random.Generator
        Source of chance.
    """
    dark = readout.dark * exposure_time
    mean = (light * detector.response + detector.hot) * exposure_time + dark
    electrons = np.asarray(rng.poisson(np.clip(mean, 0, 1e8)) - dark, dtype=np.float64)
    flags = detector.flags.copy()
    if not readout.rates:
        electrons = _bled(electrons, readout.full_well)
    flags[electrons >= readout.full_well] |= int(Flag.SATURATED)
    error = np.sqrt(np.clip(electrons + dark, 0, None) + noise**2)
    electrons += rng.normal(0, noise, light.shape)
    error = np.hypot(error, _add_cosmic_rays(electrons, flags, readout, exposure_time, rng))
    dead = detector.has(Flag.BAD)
    electrons[dead] = rng.normal(0, 3 * noise, int(dead.sum()))
    unit = exposure_time if readout.rates else 1.0
    return Pixels((electrons / unit).astype(np.float32), (error / unit).astype(np.float32), flags)


def _bled(electrons: Floats, full_well: float) -> Floats:
    """Spread charge above the full well up and down its column, half each way."""
    result = electrons.copy()
    for column in np.flatnonzero((electrons > full_well).any(axis=0)):
        values = result[:, column]
        _push_on(values, full_well, 0.5)
        _push_on(values[::-1], full_well, 1.0)
    return result


def _push_on(values: Floats, full_well: float, part: float) -> None:
    """Move a part of the charge above the full well along an array, in place, to where there is room."""
    excess = part * np.clip(values - full_well, 0, None)
    values -= excess
    carried = 0.0
    for row in range(int(np.argmax(excess > 0)), len(values)):
        carried += excess[row]
        taken = min(carried, max(0.0, full_well - values[row]))
        values[row] += taken
        carried -= taken


def _tracks(
    shape: tuple[int, int], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Floats]:
    """Draw straight cosmic-ray tracks over a share of the pixels.

    Returns
    -------
    pixels : (N,) ndarray of int
        Flat indices of the pixels hit.
    track : (N,) ndarray
        A number between 0 and 1 that the pixels of a track have in common.
    """
    ny, nx = shape
    lengths = rng.geometric(0.35, rng.poisson(share * nx * ny / 2.9))
    n = len(lengths)
    start, angle, label = rng.random((n, 2)) * [nx, ny], rng.uniform(0, np.pi, n), rng.random(n)
    track = np.repeat(np.arange(n), lengths)
    step = np.arange(len(track)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    x = (start[track, 0] + step * np.cos(angle[track])).astype(int)
    y = (start[track, 1] + step * np.sin(angle[track])).astype(int)
    inside = (x >= 0) & (x < nx) & (y < ny)
    pixels, first = np.unique(y[inside] * nx + x[inside], return_index=True)
    return pixels, label[track[inside]][first]


def _add_cosmic_rays(
    electrons: Floats, flags: Flags, readout: Readout, exposure_time: float, rng: np.random.Generator
) -> Floats:
    """Add the cosmic rays that the calibration left, and flags, in place; returns extra error by pixel.

    The fit of a ramp removes nearly all hits and flags them, at the price of some noise. A share of what
    remains is flagged, a whole track at a time.
    """
    infrared = readout.rates
    extra = np.zeros(electrons.shape)
    if infrared:
        repaired, _ = _tracks(electrons.shape, 5e-6 * exposure_time, rng)
        flags.flat[repaired] |= int(Flag.RAMP_HIT)
        extra.flat[repaired] = readout.noise[0]
        electrons.flat[repaired] += rng.normal(0, readout.noise[0], len(repaired))
    pixels, track = _tracks(electrons.shape, readout.cosmic_rays * exposure_time, rng)
    electrons.flat[pixels] += rng.lognormal(np.log(120.0 if infrared else 700.0), 1.0, len(pixels))
    flags.flat[pixels[track < readout.flagged]] |= int(Flag.COSMIC_RAY)
    return extra
