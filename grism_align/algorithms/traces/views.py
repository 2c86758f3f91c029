"""A chip of a grism exposure and the places of its spectra."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.traces.cutouts import WIDTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.traces.sources import TraceSources
    from grism_align.values.exposure import Chip
    from grism_align.values.settings import TraceSettings
    from grism_align.values.trace import TraceModel
    from grism_align.values.transform import LinearTransform

from grism_align.values.detector import DetectorWindow


@dataclass(frozen=True, eq=False)
class ChipView:
    """The sources of a frame as one chip of a grism exposure would see them without its grism.

    Parameters
    ----------
    xy : (N, 2) ndarray, zero-based pixels
        By the corrected WCS; NaN far from the chip.
    mag : (N,) ndarray
        Magnitudes, ascending.
    is_target : (N,) ndarray of bool
        Clean and compact.
    shape : (ny, nx)
        Of the chip.
    band : str
        Filter that the positions were measured in.
    window : DetectorWindow
        Which part of the detector the array is.
    """

    xy: NDArray[np.float64]
    mag: NDArray[np.float64]
    is_target: NDArray[np.bool_]
    shape: tuple[int, int]
    band: str = ""
    window: DetectorWindow = field(default_factory=DetectorWindow)

    def transposed(self) -> ChipView:
        """Return the view of the chip with its columns as rows."""
        shape = self.shape[1], self.shape[0]
        return replace(self, xy=self.xy[:, ::-1], shape=shape, window=self.window.transposed())


@dataclass(frozen=True, eq=False)
class Layout:
    """Pieces of the traces of some sources, S sources of K pieces each.

    `first` (S, K): first column of each piece; `trace` (S, K, WIDTH): rows; `slope` (S, K); `fits` (S, K):
    whether it lies on the chip.
    """

    first: NDArray[np.int64]
    trace: NDArray[np.float64]
    slope: NDArray[np.float64]
    fits: NDArray[np.bool_]


def chip_view(
    chip: Chip, transform: LinearTransform, sources: TraceSources, settings: TraceSettings
) -> ChipView:
    """Return where sources lie on a chip with its corrected WCS.

    Parameters
    ----------
    chip : Chip
        Of a grism exposure.
    transform : LinearTransform
        The total correction.
    sources : TraceSources
        Of the frame.
    settings : TraceSettings
        The parameters.
    """
    moved = transform.inverted().apply_to_sky(sources.sky) if len(sources) else sources.sky
    target = sources.is_clean & (sources.fwhm <= settings.trace_fwhm)
    return ChipView(chip.wcs.to_pixel(moved), sources.mag, target, chip.shape, window=chip.window)


def layout_of(view: ChipView, rows: NDArray[np.int64], model: TraceModel) -> Layout:
    """Return where the pieces of the traces of sources lie."""
    ny, nx = view.shape
    xy = view.xy[rows]
    dx, dy = view.window.offsets(model, xy, view.band)
    n_pieces = max(int((np.median(dx[:, -1] - dx[:, 0]) if len(rows) else 0.0) // WIDTH), 0)
    low = float(np.median(dx[:, 0])) if len(rows) else 0.0
    first = np.rint(xy[:, 0, None] + low + WIDTH * np.arange(n_pieces)).astype(np.int64)
    columns = first[:, :, None] + np.arange(WIDTH)
    trace = np.empty(columns.shape)
    for source in range(len(rows)):
        along = columns[source] - xy[source, 0]
        trace[source] = xy[source, 1] + np.interp(along, dx[source], dy[source])
    inside = (columns >= 0).all(axis=2) & (columns < nx).all(axis=2)
    inside &= (trace > 4).all(axis=2) & (trace < ny - 5).all(axis=2)
    slope = (trace[:, :, -1] - trace[:, :, 0]) / (WIDTH - 1)
    return Layout(first, trace, slope, np.asarray(inside))


def disturbed_pieces(
    view: ChipView, rows: NDArray[np.int64], layout: Layout, settings: TraceSettings
) -> NDArray[np.bool_]:
    """Return whether another source's trace passes near a piece, (S, K)."""
    n, n_pieces = layout.first.shape
    disturbed = np.zeros((n, n_pieces), dtype=bool)
    if not n_pieces:
        return disturbed
    x, mag = view.xy[rows, 0], view.mag[rows]
    middle = layout.first + 0.5 * (WIDTH - 1)
    height = layout.trace.mean(axis=2)
    for source in np.flatnonzero(view.is_target[rows] & layout.fits.any(axis=1)):
        rivals = np.flatnonzero(mag < mag[source] + settings.trace_contrast)
        rivals = rivals[rivals != source]
        # Where the rival's trace is in the columns of the piece: number of its own piece there
        shift = (x[source] - x[rivals])[:, None] / WIDTH + np.arange(n_pieces)
        overlaps = (shift > -1.0) & (shift < n_pieces)
        nearest = np.clip(np.rint(shift), 0, n_pieces - 1).astype(int)
        there = np.take_along_axis(height[rivals], nearest, axis=1)
        there += np.take_along_axis(layout.slope[rivals], nearest, axis=1) * (
            middle[source] - np.take_along_axis(middle[rivals], nearest, axis=1)
        )
        close = np.abs(there - height[source]) < settings.trace_isolation
        disturbed[source] = (overlaps & close).any(axis=0)
    return disturbed
