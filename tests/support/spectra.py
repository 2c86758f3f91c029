"""Spectra of sources that several exposures sample at offsets that are known."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from grism_align.algorithms.spectra.offsets import Spectrum
from grism_align.algorithms.spectra.shifts import ExpectedStretch, SpectralShifts
from grism_align.algorithms.spectra.template import SpectrumCutout

LENGTH, FIRST = 90, -8
_START, _END = 0.0, 70.0
_HALF = 6  # rows
_SLOPE = 0.01
UNCALIBRATED = ExpectedStretch(np.zeros(2), 0.05**2 * np.eye(2))


def shifts(offsets):
    """Return shifts of exposures that have their sources at the same places."""
    offsets = np.asarray(offsets, dtype=float)
    return SpectralShifts(offsets, np.zeros_like(offsets), np.zeros(2))


def _edge(x, sigma):
    """A step that a pixel sees, which the point-spread function has smeared."""
    return 0.5 * (1.0 + erf(x / (np.sqrt(2.0) * np.hypot(sigma, 0.29))))


def _pixel(x, sigma):
    """The share of a point source's light in a pixel at a distance."""
    return _edge(x + 0.5, sigma) - _edge(x - 0.5, sigma)


def spectra(rng, offsets, n=14, height=100.0, lines=0.5, noise=1.0, *, sigma=0.55):
    """Return spectra of sources anywhere on the pixels, exposures by their true offsets (E, 2).

    `sigma`: of the point-spread function, pixels.

    A third column of the offsets is what more there is for each pixel from the source.
    """
    return [
        _spectrum(
            number,
            rng,
            np.asarray(offsets),
            (height * 10 ** rng.uniform(-1, 0), noise, sigma),
            rng.random() < lines,
        )
        for number in range(n)
    ]


def _spectrum(number, rng, offsets, strength, has_line):
    height, noise, sigma = strength
    tilt, line = rng.normal(0, 0.3), rng.uniform(10, 60)
    cutouts = []
    for exposure, (dx, dy, *stretch) in enumerate(offsets):
        place = rng.uniform(0, 1, 2)
        along = np.arange(LENGTH) + FIRST + 1.0 - place[0]
        rows = np.arange(-_HALF, _HALF + 1)
        across = rows[:, None] - (place[1] + _SLOPE * along)
        u, v = along - dx, across - dy + _SLOPE * dx
        if stretch:
            u = u - stretch[0] * along
        light = (1 + tilt * u / 70) * _edge(u - _START, sigma) * _edge(_END - u, sigma)
        if has_line:
            light = light + 4.0 * _pixel(u - line, sigma)
        image = height * light * _pixel(v, sigma)
        data = image + noise * rng.standard_normal(image.shape)
        near = np.abs(across) <= 4.5
        weight = np.where(near, noise**-2, 0.0)
        cutouts.append(
            SpectrumCutout(
                exposure, np.where(near, data, 0.0), weight, along, across, np.full(LENGTH, _SLOPE)
            )
        )
    return Spectrum(number, 1, tuple(cutouts), FIRST, LENGTH, np.zeros(2))
