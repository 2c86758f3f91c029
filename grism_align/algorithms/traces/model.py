"""Verify corrections on spectra: how far traces lie, across the dispersion, from where WCSs put them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.traces.cutouts import WIDTH, cut_traces, measure_cutouts, stacked_profile
from grism_align.algorithms.traces.detection import NEAR, STANDS_OUT, common_height
from grism_align.algorithms.traces.offsets import TraceMeasurements

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.algorithms.traces.cutouts import GrismImage
    from grism_align.values.settings import TraceSettings
    from grism_align.values.trace import CoarseTrace, TraceModel

from grism_align.algorithms.traces.views import ChipView, Layout, disturbed_pieces, layout_of

_HALF = 12  # rows of a piece to either side, a third of them for the background
_LOCATE_SOURCES = 40
_LEAST_PEAK = 3.0  # scatters by which the peak of the stacked profile of one piece stands out
_AGREE = 4.0  # pixels between a piece of a coarse trace and the smooth curve through all
_FEWEST_PIECES = 2
#: What the reason begins with where sources are bright enough and no trace is near.
NO_TRACE = f"no trace within {NEAR:g} px"


def find_trace(image: GrismImage, view: ChipView, coarse: CoarseTrace) -> TraceModel | None:
    """Find by itself where a grism's brightest order lies: the same for all sources, to a pixel or two.

    Parameters
    ----------
    image : GrismImage
        A chip of a grism exposure.
    view : ChipView
        Where the sources are.
    coarse : CoarseTrace
        Where it roughly lies.

    Returns
    -------
    TraceModel or None
        None where no trace stands out.

    Notes
    -----
    Profiles of all sources across the dispersion are added up, each in units of its own noise, for every
    piece along the dispersion. What they have in common is the trace; a smooth curve through the peaks is
    the model's.
    """
    model, search = coarse.model, coarse.search
    rows = np.flatnonzero(view.is_target & np.isfinite(view.xy).all(axis=1))
    layout = layout_of(view, rows, model)
    chosen = np.flatnonzero(layout.fits.sum(axis=1) >= _FEWEST_PIECES)[:_LOCATE_SOURCES]
    if not len(chosen):
        return None
    along, up = view.window.ltm
    height, signal = _peaks(image, layout, chosen, int(np.ceil(search * up)))
    fitted = _smooth_curve(height, signal)
    if fitted is None:
        return None
    # From the number of a piece to pixels of the detector along x
    middle = np.polynomial.Polynomial([-model.span[0] * along / WIDTH - 0.5, along / WIDTH])
    curve = np.asarray(fitted(middle).coef, dtype=np.float64) / up
    return replace(model, curve=curve)


def _peaks(
    image: GrismImage, layout: Layout, chosen: NDArray[np.int64], search: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the height of each piece's highest peak in the stack, (K,), and how far it stands out."""
    from scipy.ndimage import gaussian_filter1d

    fits = layout.fits[chosen]
    number = np.broadcast_to(np.arange(fits.shape[1]), fits.shape)[fits]
    cutouts = cut_traces(image, layout.first[chosen][fits], layout.trace[chosen][fits], search)
    stack = gaussian_filter1d(stacked_profile(cutouts, number, fits.shape[1]), 1.0, axis=1)
    level = np.median(stack, axis=1, keepdims=True)
    scatter = 1.4826 * np.median(np.abs(stack - level), axis=1)
    signal = (stack.max(axis=1) - level[:, 0]) / np.where(scatter > 0, scatter, np.inf)
    return stack.argmax(axis=1) - float(search), signal


def _smooth_curve(
    height: NDArray[np.float64], signal: NDArray[np.float64]
) -> np.polynomial.Polynomial | None:
    """Fit a parabola at most to the heights of peaks that agree with each other; None where none do."""
    known = np.flatnonzero(signal > _LEAST_PEAK)
    if len(known) < _FEWEST_PIECES:
        return None
    # The peak that most others agree with, slope left free to a pixel in five pieces
    apart = np.abs(height[known][:, None] - height[known][None, :])
    near = apart <= _AGREE + 0.2 * np.abs(known[:, None] - known[None, :])
    good = known[near[np.argmax(near.sum(axis=1))]]
    together = signal[good].sum() / np.sqrt(len(good))
    if len(good) < max(_FEWEST_PIECES, len(known) // 2) or together < STANDS_OUT:
        return None
    degree = min(2, len(good) - 1) if len(good) > 3 else 0
    return np.polynomial.Polynomial.fit(good, height[good], degree).convert()


def measure_chip(
    image: GrismImage, view: ChipView, model: TraceModel, settings: TraceSettings
) -> tuple[TraceMeasurements | None, str]:
    """Measure the traces of bright, isolated sources on one chip.

    Parameters
    ----------
    image : GrismImage
        The chip of a grism exposure.
    view : ChipView
        Where the sources are.
    model : TraceModel
        Where traces lie from there.
    settings : TraceSettings
        The parameters.

    Returns
    -------
    measured : TraceMeasurements or None
        ``exposure``, ``visit`` and ``chip`` are left zero; None where no trace can be measured.
    reason : str
        Why none can.

    Notes
    -----
    What is measured is a trace only if one stands out near the predicted place, in what all sources have in
    common: a centroid settles somewhere on anything, on the traces of other sources above all.
    """
    none = "no trace bright and isolated enough"
    rows = np.flatnonzero(np.isfinite(view.xy).all(axis=1))
    layout = layout_of(view, rows, model)
    usable = layout.fits & view.is_target[rows][:, None]
    usable &= ~disturbed_pieces(view, rows, layout, settings)
    chosen = np.flatnonzero(usable.sum(axis=1) >= _FEWEST_PIECES)[: settings.trace_sources]
    source, piece = np.nonzero(usable[chosen])
    if not len(source):
        return None, none
    index = (chosen[source], piece)
    cutouts = cut_traces(image, layout.first[index], layout.trace[index], _HALF)
    start = common_height(cutouts, source)
    if start is None:
        where = f"{model.name} has it" if model.name else "the others have it"
        return None, f"{NO_TRACE} of where {where}"
    found = measure_cutouts(cutouts, start, settings.trace_window)
    keep = np.flatnonzero(found.is_measured & (found.snr >= settings.trace_snr))
    if not len(keep):
        return None, none
    row, piece = rows[index[0][keep]], piece[keep]
    ny, nx = view.shape
    along = 2.0 * (piece + 0.5) / usable.shape[1] - 1.0
    zero = np.zeros(len(keep), np.int64)
    measured = TraceMeasurements(
        height=found.height[keep],
        error=found.error[keep],
        exposure=zero,
        source=row,
        piece=piece,
        visit=zero,
        chip=zero,
        field=np.column_stack([2 * view.xy[row] / np.array([nx, ny]) - 1.0, along]),
    )
    return measured, ""
