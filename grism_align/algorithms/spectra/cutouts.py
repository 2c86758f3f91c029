"""Predicted spectra, cut out of the chips of grism exposures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.measuring.background import clipped_level, thinned
from grism_align.algorithms.spectra.template import HALF_WIDTH, SpectrumCutout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from grism_align.algorithms.traces.cutouts import GrismImage
    from grism_align.algorithms.traces.views import ChipView
    from grism_align.values.trace import TraceModel

# Pixels before and after the order, so that its edges are seen whole, and fewest that tell anything.
_MARGIN, _FEWEST = 8, 30
_LEAST_USABLE = 0.5  # of the pixels near the trace


@dataclass(frozen=True)
class SpectralRange:
    """Where spectra of an order lie along the dispersion.

    Parameters
    ----------
    first : int, pixels
        From the place of a source to their first column.
    length : int, pixels
        Number of columns.
    """

    first: int
    length: int

    @classmethod
    def on_chip(cls, model: TraceModel, shape: tuple[int, int]) -> SpectralRange:
        """Return the range that has all spectra of a chip of (ny, nx) pixels whole."""
        ny, nx = shape
        corners = np.array([[0.0, 0.0], [nx, 0.0], [0.0, ny], [nx, ny]])
        ends = model.span if model.tells_light else model.offsets(corners)[0]
        first = int(np.floor(np.min(ends))) - _MARGIN
        return cls(first, int(np.ceil(np.max(ends))) + _MARGIN - first)


@dataclass(frozen=True, eq=False)
class CutSource:
    """A spectrum in one exposure: `row` of its source in the view, its pixels, the `place` of the source."""

    row: int
    cutout: SpectrumCutout
    place: NDArray[np.float64]


def cut_spectra(
    image: GrismImage, view: ChipView, model: TraceModel, span: SpectralRange, scale: float, number: int
) -> Iterator[CutSource]:
    """Yield the spectra of the sources of a chip, the brightest first.

    Parameters
    ----------
    image : GrismImage
        The chip.
    view : ChipView
        Where the sources are.
    model : TraceModel
        Where their spectra lie from there.
    span : SpectralRange
        What of them is cut out.
    scale : float
        Factor from the unit of the image to rates.
    number : int
        Of the exposure.

    Notes
    -----
    Where spectra overlap, pixels are the brighter source's alone: so each counts once.
    """
    thin = thinned(image.data.size)
    level, _ = clipped_level(image.data[thin][image.good[thin]])
    level = level if np.isfinite(level) else 0.0
    is_taken = np.zeros(image.data.shape, dtype=bool)
    for row, place in places_of_spectra(view, model, span):
        is_free = ~is_taken[place.part]
        is_taken[place.part] |= place.near
        usable = image.good[place.part] & (image.variance[place.part] > 0) & place.near & is_free
        if place.is_whole and usable.sum() >= _LEAST_USABLE * place.near.sum():
            yield CutSource(row, _as_rates(image, place, usable, (level, scale), number), view.xy[row])


def places_of_spectra(
    view: ChipView, model: TraceModel, span: SpectralRange
) -> Iterator[tuple[int, SpectrumPlace]]:
    """Yield the rows of the sources whose spectra lie on a chip, and where these lie, the brightest first.

    Parameters
    ----------
    view, model, span
        As for `cut_spectra`.
    """
    rows = np.flatnonzero(np.isfinite(view.xy).all(axis=1))
    places = view.xy[rows]
    traces = zip(
        *view.window.offsets(model, places, view.band), view.window.ahead(model, places), strict=True
    )
    for row, trace in zip(rows.tolist(), traces, strict=True):
        place = _placed(view.shape, view.xy[row], trace, span)
        if place is not None:
            yield row, place


@dataclass(frozen=True, eq=False)
class SpectrumPlace:
    """Where a spectrum lies on a chip, R rows of C columns of it.

    Parameters
    ----------
    part : (rows, columns)
        Slices of the chip.
    near : (R, C) ndarray of bool
        Pixels near the trace.
    along, across, slope
        As of `SpectrumCutout`.
    is_whole : bool
        Whether no row of it is off the chip.
    """

    part: tuple[slice, slice]
    near: NDArray[np.bool_]
    along: NDArray[np.float64]
    across: NDArray[np.float64]
    slope: NDArray[np.float64]
    is_whole: bool


def _placed(
    shape: tuple[int, int],
    place: NDArray[np.float64],
    trace: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    span: SpectralRange,
) -> SpectrumPlace | None:
    """Tell where a spectrum lies; None where too little of it is on the chip.

    `trace` (K,): offsets along and across the dispersion, and what light is ahead by.
    """
    ny, nx = shape
    distance = np.arange(nx) - place[0]
    along = distance - np.interp(distance, trace[0], trace[2])
    columns = np.flatnonzero((along >= span.first) & (along < span.first + span.length))
    if len(columns) < _FEWEST:
        return None
    along, height = along[columns], np.interp(distance[columns], trace[0], trace[1])
    low = int(np.floor(place[1] + height.min() - HALF_WIDTH))
    high = int(np.ceil(place[1] + height.max() + HALF_WIDTH))
    is_whole = low >= 0 and high < ny
    rows = np.arange(max(low, 0), min(high, ny - 1) + 1)
    if not len(rows):
        return None
    across = rows[:, None] - place[1] - height
    part = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return SpectrumPlace(part, np.abs(across) <= HALF_WIDTH, along, across, np.gradient(height), is_whole)


def _as_rates(
    image: GrismImage, place: SpectrumPlace, usable: NDArray[np.bool_], unit: tuple[float, float], number: int
) -> SpectrumCutout:
    """Return the pixels less the level of the sky, times a factor."""
    level, scale = unit
    data = np.where(usable, scale * (image.data[place.part].astype(float) - level), 0.0)
    variance = np.where(usable, scale**2 * image.variance[place.part].astype(float), 1.0)
    weight = np.where(usable, 1.0 / variance, 0.0)
    return SpectrumCutout(number, data, weight, place.along, place.across, place.slope)
