"""Pieces of the spectra that tell most, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.trace import SpectrumPiece

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.offsets import Spectrum
    from grism_align.algorithms.spectra.template import SpectrumCutout

_NEAR = 2.5  # pixels from the trace within which light is summed along it
_COLUMNS = 12  # of a piece, to either side of its middle
_CANDIDATES = 25


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A spectrum, the column where it changes most, from the first of the order, and how significantly."""

    spectrum: Spectrum
    middle: float
    significance: float


def telling_pieces(
    spectra: Sequence[Spectrum], offsets: NDArray[np.float64], n: int = 2
) -> list[tuple[SpectrumPiece, ...]]:
    """Cut the same pieces of a few spectra out of all exposures: those that change most along the dispersion.

    Parameters
    ----------
    spectra : sequence of Spectrum
        The brightest first.
    offsets : (E, 2) ndarray, pixels
        Where spectra lie from where they are predicted, along and across the dispersion, by exposure.
    n : int, optional
        Spectra at most.

    Returns
    -------
    list of tuple of SpectrumPiece
        By exposure, at the places where they are predicted.
    """
    most = max((len(each.cutouts) for each in spectra), default=0)
    seen = [each for each in spectra if len(each.cutouts) == most][:_CANDIDATES]
    best = sorted((_candidate(each, offsets) for each in seen), key=lambda one: -one.significance)[:n]
    pieces: list[list[SpectrumPiece]] = [[] for _ in offsets]
    for one in best:
        for cutout in one.spectrum.cutouts:
            piece = _piece(one, cutout, offsets[cutout.exposure])
            if piece is not None:
                pieces[cutout.exposure].append(piece)
    return [tuple(each) for each in pieces]


def _candidate(spectrum: Spectrum, offsets: NDArray[np.float64]) -> _Candidate:
    columns = spectrum.first + np.arange(spectrum.length)
    light, variance = [], []
    for cutout in spectrum.cutouts:
        along, across = offsets[cutout.exposure]
        total, noise = _light(cutout, across)
        known = np.isfinite(total)
        if known.sum() > 1:
            light.append(np.interp(columns, (cutout.along - along)[known], total[known]))
            variance.append(np.median(noise[known]))
    if not light:
        return _Candidate(spectrum, 0.0, 0.0)
    # the median over exposures knows no cosmic rays
    change = np.gradient(np.median(light, axis=0)) ** 2
    nearby = np.convolve(change, np.ones(_COLUMNS), "same")
    at = int(nearby.argmax())
    return _Candidate(spectrum, float(columns[at]), float(nearby[at] / np.mean(variance)))


def _light(cutout: SpectrumCutout, across: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the light near the trace by column, NaN where a pixel is missing, and its variance."""
    near = np.abs(cutout.across - across) < _NEAR
    usable = cutout.weight > 0
    whole = ~(near & ~usable).any(axis=0)
    total = np.where(near, cutout.data, 0.0).sum(axis=0)
    noise = (near / np.where(usable, cutout.weight, np.inf)).sum(axis=0)
    return np.where(whole, total, np.nan), noise


def _piece(one: _Candidate, cutout: SpectrumCutout, offset: NDArray[np.float64]) -> SpectrumPiece | None:
    columns = np.abs(cutout.along - offset[0] - one.middle) <= _COLUMNS
    light, _ = _light(cutout, offset[1])
    columns &= np.isfinite(light)
    if columns.sum() < _COLUMNS:
        return None
    part = np.where(cutout.weight[:, columns] > 0, cutout.data[:, columns], np.nan)
    rows = np.isfinite(part).all(axis=1)
    height = cutout.across[:, columns][rows].mean(axis=1)
    profile = part[rows].sum(axis=1) / light[columns].sum()
    return SpectrumPiece(
        one.spectrum.source, cutout.along[columns], light[columns], np.asarray(height), np.asarray(profile)
    )
