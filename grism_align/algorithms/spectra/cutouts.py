"""Predicted spectra, cut out of the chips of grism exposures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    def of(cls, model: TraceModel, xy: NDArray[np.float64]) -> SpectralRange:
        """Return the range that has the spectra of sources, (N, 2), whole."""
        dx, _ = model.offsets(xy)
        first = int(np.floor(dx.min())) - _MARGIN
        return cls(first, int(np.ceil(dx.max())) + _MARGIN - first)


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
    """
    thin = thinned(image.data.size)
    level, _ = clipped_level(image.data[thin][image.good[thin]])
    level = level if np.isfinite(level) else 0.0
    rows = np.flatnonzero(np.isfinite(view.xy).all(axis=1))
    dx, dy = view.window.offsets(model, view.xy[rows], view.band)
    for row, along, up in zip(rows.tolist(), dx, dy, strict=True):
        cutout = _cut(image, view.xy[row], (along, up), span)
        if cutout is not None:
            yield CutSource(row, _as_rates(cutout, level, scale, number), view.xy[row])


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Values, variances, and the rest as in `SpectrumCutout`."""

    data: NDArray[Any]
    variance: NDArray[Any]
    usable: NDArray[np.bool_]
    along: NDArray[np.float64]
    across: NDArray[np.float64]
    slope: NDArray[np.float64]


def _cut(
    image: GrismImage,
    place: NDArray[np.float64],
    trace: tuple[NDArray[np.float64], NDArray[np.float64]],
    span: SpectralRange,
) -> _Pixels | None:
    """Cut the pixels near a trace; None where too few are on the chip or usable."""
    ny, nx = image.data.shape
    start = int(np.ceil(place[0] + span.first))
    columns = np.arange(max(start, 0), min(start + span.length, nx))
    if len(columns) < _FEWEST:
        return None
    along = columns - place[0]
    height = np.interp(along, *trace)
    low = int(np.floor(place[1] + height.min() - HALF_WIDTH))
    high = int(np.ceil(place[1] + height.max() + HALF_WIDTH))
    if low < 0 or high >= ny:
        return None
    part = slice(low, high + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    across = np.arange(low, high + 1)[:, None] - place[1] - height
    near = np.abs(across) <= HALF_WIDTH
    usable = image.good[part] & (image.variance[part] > 0) & near
    if usable.sum() < _LEAST_USABLE * near.sum():
        return None
    slope = np.gradient(height)
    return _Pixels(image.data[part], image.variance[part], usable, along, across, slope)


def _as_rates(pixels: _Pixels, level: float, scale: float, number: int) -> SpectrumCutout:
    usable = pixels.usable
    data = np.where(usable, scale * (pixels.data.astype(float) - level), 0.0)
    variance = np.where(usable, scale**2 * pixels.variance.astype(float), 1.0)
    weight = np.where(usable, 1.0 / variance, 0.0)
    return SpectrumCutout(number, data, weight, pixels.along, pixels.across, pixels.slope)
