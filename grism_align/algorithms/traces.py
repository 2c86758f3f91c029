"""Verify corrections on spectra: how far traces lie, across the dispersion, from where WCSs put them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.trace_fit import Heights
from grism_align.algorithms.trace_pieces import WIDTH, cut_pieces, measure_pieces, stacked_profile
from grism_align.algorithms.trace_place import NEAR, STANDS_OUT, common_place
from grism_align.values.trace import TraceModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.trace_pieces import ChipImage
    from grism_align.algorithms.trace_sources import TraceSources
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.settings import TraceSettings
    from grism_align.values.solution import ExposureFit
    from grism_align.values.transform import LinearTransform

__all__ = [
    "COARSE_TRACES",
    "ChipView",
    "DetectorWindow",
    "carried_error",
    "chip_heights",
    "chip_view",
    "found_trace",
    "has_partner",
    "refinement",
    "rows_moved",
]

#: Where the brightest order of a grism lies, coarsely, and half the rows around it in which it is looked for.
#: As functions of the place on the chip for G141 (aXe configuration G141.F140W V4.31 of STScI) and G102 (from
#: the GRISMCONF configuration made of G102.F105W V4.32). G280: the trace is 175 to 185 pixels above the
#: direct image (GRISMCONF configuration of CCD1, 2021). G800L: 0 to 150 pixels in configurations of aXe.
COARSE_TRACES: dict[str, tuple[TraceModel, int]] = {
    "G141": (
        TraceModel(
            np.array([[0.0], [1.0]]),
            np.array(
                [
                    [2.08196, -1.97521e-4, -2.202067e-3, 3.14351e-8, 4.32128e-7, 1.21044e-7],
                    [0.0102053, -6.06057e-6, -3.24856e-6, 4.23639e-10, 1.23096e-8, 1.61231e-9],
                ]
            ),
            (15.0, 196.0),
        ),
        12,
    ),
    "G102": (
        TraceModel(
            np.array([[0.0], [1.0]]),
            np.array(
                [
                    [-0.171937, -2.23217e-4, -1.882425e-3, -6.92919e-9, 4.76437e-7, 1.88677e-7],
                    [0.0141057, -6.53048e-6, -1.48870e-6, -7.38786e-10, 1.31026e-8, -3.95976e-10],
                ]
            ),
            (36.0, 236.0),
        ),
        12,
    ),
    "G800L": (TraceModel.straight(5.0, 150.0, 0.0), 16),
    "G280": (TraceModel.straight(-360.0, -165.0, 0.0), 220),
}

_HALF = 12  # rows of a piece to either side, a third of them for the background
_LOCATE_SOURCES = 40
_LEAST_PEAK = 3.0  # scatters by which the peak of the stacked profile of one piece stands out
_AGREE = 4.0  # pixels between a piece of a coarse trace and the smooth curve through all
_FEWEST_PIECES = 2


@dataclass(frozen=True)
class DetectorWindow:
    """The part of a detector that an array is: a whole chip, a subarray of it, or either one binned.

    Parameters
    ----------
    chip : int
        CCDCHIP; 1 for a detector of one chip.
    ltm : (x, y)
        Pixels of the array in a pixel of the detector: 0.5 where it is binned by two.
    ltv : (x, y), pixels
        An array's pixel, counted from one, is ltm times the detector's plus this.
    """

    chip: int = 1
    ltm: tuple[float, float] = (1.0, 1.0)
    ltv: tuple[float, float] = (0.0, 0.0)

    def to_chip(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Zero-based pixels (N, 2) of the detector of those of the array."""
        return np.asarray((xy + 1.0 - np.array(self.ltv)) / np.array(self.ltm) - 1.0)

    def offsets(
        self, model: TraceModel, xy: NDArray[np.float64], band: str = ""
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What `TraceModel.offsets` gives, from and to pixels of the array."""
        dx, dy = model.offsets(self.to_chip(xy), band)
        return dx * self.ltm[0], dy * self.ltm[1]


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
    window: DetectorWindow = DetectorWindow()


@dataclass(frozen=True, eq=False)
class _Layout:
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
    """Where sources lie on a chip with its corrected WCS.

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
    return ChipView(chip.wcs.to_pixel(moved), sources.mag, target, chip.shape)


def found_trace(image: ChipImage, view: ChipView, grism: str) -> TraceModel | None:
    """Find by itself where a grism's brightest order lies: the same for all sources, to a pixel or two.

    Parameters
    ----------
    image : ChipImage
        A chip of a grism exposure.
    view : ChipView
        Where the sources are.
    grism : str
        Name of the grism.

    Returns
    -------
    TraceModel or None
        None for an unknown grism or where no trace stands out.

    Notes
    -----
    Profiles of all sources across the dispersion are added up, each in units of its own noise, for every
    piece along the dispersion. What they have in common is the trace; a smooth curve through the peaks is
    added to the coarse model.
    """
    if grism not in COARSE_TRACES:
        return None
    model, search = COARSE_TRACES[grism]
    rows = np.flatnonzero(view.is_target & np.isfinite(view.xy).all(axis=1))
    layout = _laid_out(view, rows, model)
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
    dy = np.zeros((max(len(curve), len(model.dy)), model.dy.shape[1]))
    dy[: len(model.dy)] = model.dy
    dy[: len(curve), 0] += curve
    return replace(model, dy=dy)


def _peaks(
    image: ChipImage, layout: _Layout, chosen: NDArray[np.int64], search: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Height of the highest peak of the stacked profile of each piece, (K,), and how far it stands out."""
    from scipy.ndimage import gaussian_filter1d

    fits = layout.fits[chosen]
    number = np.broadcast_to(np.arange(fits.shape[1]), fits.shape)[fits]
    pieces = cut_pieces(image, layout.first[chosen][fits], layout.trace[chosen][fits], search)
    stack = gaussian_filter1d(stacked_profile(pieces, number, fits.shape[1]), 1.0, axis=1)
    level = np.median(stack, axis=1, keepdims=True)
    scatter = 1.4826 * np.median(np.abs(stack - level), axis=1)
    signal = (stack.max(axis=1) - level[:, 0]) / np.where(scatter > 0, scatter, np.inf)
    return stack.argmax(axis=1) - float(search), signal


def _smooth_curve(
    height: NDArray[np.float64], signal: NDArray[np.float64]
) -> np.polynomial.Polynomial | None:
    """A parabola at most through the heights of peaks that agree with each other; None where none do."""
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


def _laid_out(view: ChipView, rows: NDArray[np.int64], model: TraceModel) -> _Layout:
    """Where the pieces of the traces of sources lie."""
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
    return _Layout(first, trace, slope, np.asarray(inside))


def chip_heights(
    image: ChipImage, view: ChipView, model: TraceModel, settings: TraceSettings
) -> tuple[Heights | None, str]:
    """Measure the traces of bright, isolated sources on one chip.

    Parameters
    ----------
    image : ChipImage
        The chip of a grism exposure.
    view : ChipView
        Where the sources are.
    model : TraceModel
        Where traces lie from there.
    settings : TraceSettings
        The parameters.

    Returns
    -------
    heights : Heights or None
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
    layout = _laid_out(view, rows, model)
    usable = layout.fits & view.is_target[rows][:, None]
    usable &= ~_disturbed(view, rows, layout, settings)
    chosen = np.flatnonzero(usable.sum(axis=1) >= _FEWEST_PIECES)[: settings.trace_sources]
    source, piece = np.nonzero(usable[chosen])
    if not len(source):
        return None, none
    index = (chosen[source], piece)
    pieces = cut_pieces(image, layout.first[index], layout.trace[index], _HALF)
    start = common_place(pieces, source)
    if start is None:
        where = f"{model.name} has it" if model.name else "the others have it"
        return None, f"no trace within {NEAR:g} px of where {where}"
    found = measure_pieces(pieces, start, settings.trace_window)
    keep = np.flatnonzero(found.is_measured & (found.snr >= settings.trace_snr))
    if not len(keep):
        return None, none
    row, piece = rows[index[0][keep]], piece[keep]
    ny, nx = view.shape
    along = 2.0 * (piece + 0.5) / usable.shape[1] - 1.0
    zero = np.zeros(len(keep), np.int64)
    heights = Heights(
        height=found.height[keep],
        error=found.error[keep],
        exposure=zero,
        source=row,
        piece=piece,
        visit=zero,
        chip=zero,
        field=np.column_stack([2 * view.xy[row] / np.array([nx, ny]) - 1.0, along]),
    )
    return heights, ""


def _disturbed(
    view: ChipView, rows: NDArray[np.int64], layout: _Layout, settings: TraceSettings
) -> NDArray[np.bool_]:
    """Whether another source's trace passes near a piece, (S, K)."""
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


def refinement(
    exposure: Exposure,
    fit: ExposureFit,
    drift: tuple[float, float],
    settings: TraceSettings,
    reference_error: float = 0.0,
) -> tuple[LinearTransform | None, str]:
    """Correct a measured drift across the dispersion.

    Parameters
    ----------
    exposure : Exposure
        A grism exposure without a direct partner in time.
    fit : ExposureFit
        Its correction.
    drift : (value, error), pixels
        Measured minus predicted row of its traces.
    settings : TraceSettings
        What is significant and what is believed.
    reference_error : float, arcsec
        Standard error across the dispersion of what the drift is relative to.

    Returns
    -------
    transform : LinearTransform or None
        The correction with a further shift across the dispersion, in the same plane. None where nothing is
        to be corrected.
    reason : str
        What was done, or why nothing was.

    Notes
    -----
    The measurement takes the place of what was carried across the dispersion at the centre of the chip, in
    the value and in the covariance: with the parameters p, the carried displacement across there, a.p, and
    the shift g that makes it one, the covariance C becomes (1 - g a) C (1 - g a)^T + v g g^T, where v is
    the variance of the measurement and of what it is relative to.
    """
    value, error = drift
    text = f"cross-dispersion drift of {value:+.3f} +- {error:.3f} px"
    if fit.transform is None or not np.isfinite([value, error]).all():
        return None, "there are too few other exposures to tell a drift by"
    if abs(value) < settings.refine_significance * error:
        return None, f"{text} is not significant"
    if abs(value) > settings.refine_limit:
        return None, f"{text} is larger than {settings.refine_limit:g} px, and not believed"
    step, across = _across_dispersion(exposure, fit.transform)
    size = float(np.hypot(*step))
    along_shift = np.append(step / size, np.zeros(4))
    kept = np.eye(6) - np.outer(along_shift, across)
    variance = (error * size) ** 2 + reference_error**2
    covariance = kept @ fit.transform.covariance @ kept.T + variance * np.outer(along_shift, along_shift)
    # The source predicted at a row is seen `value` rows above, where the sky must therefore be.
    shift = fit.transform.shift + value * step
    return replace(fit.transform, shift=shift, covariance=covariance), f"corrected by the {text}"


def carried_error(exposure: Exposure, transform: LinearTransform) -> float:
    """Standard error of a correction across the dispersion, at the centre of the first chip, arcsec.

    Parameters
    ----------
    exposure : Exposure
        Grism or direct.
    transform : LinearTransform
        Its total correction.
    """
    _, across = _across_dispersion(exposure, transform)
    return float(np.sqrt(across @ transform.covariance @ across))


def _across_dispersion(
    exposure: Exposure, transform: LinearTransform
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A step of one row down at the centre of the first chip, (2,) arcsec in the plane of a correction.

    And derivatives of the displacement of the centre along it by the six parameters of the correction, (6,).
    """
    chip = exposure.chips[0]
    ny, nx = chip.shape
    place = np.array([(nx - 1) / 2, (ny - 1) / 2])
    sky = chip.wcs.to_sky(np.stack([place, place + np.array([0.0, 1.0])]))
    low, high = transform.plane.to_plane(transform.apply_to_sky(sky))
    step = low - high
    along = step / np.hypot(*step)
    return step, np.append(along, np.outer(along, transform.plane.to_plane(sky[0])).ravel())


def rows_moved(
    chip: Chip, transform: LinearTransform, model: TraceModel, window: DetectorWindow | None = None
) -> float:
    """By how many pixels a correction moves the predicted traces up, at the centre of the chip.

    Parameters
    ----------
    chip : Chip
        Of a grism exposure.
    transform : LinearTransform
        The total correction.
    model : TraceModel
        Where traces lie; a move along a sloping trace moves it across too.
    window : DetectorWindow, optional
        Which part of the detector the array is; a whole chip by default.
    """
    ny, nx = chip.shape
    center = np.array([[(nx - 1) / 2, (ny - 1) / 2]])
    before = chip.wcs.to_pixel(transform.apply_to_sky(chip.wcs.to_sky(center)))
    dx, dy = (window or DetectorWindow()).offsets(model, center)
    slope = (dy[0, -1] - dy[0, 0]) / (dx[0, -1] - dx[0, 0])
    x, y = (center - before)[0]
    return float(y - slope * x)


def has_partner(exposure: Exposure, directs: Sequence[Exposure], settings: TraceSettings) -> bool:
    """Whether one of the direct exposures that govern a grism exposure was taken next to it in time."""
    limit = settings.partner_gap / 86400.0
    return any(
        max(direct.start - exposure.end, exposure.start - direct.end, 0.0) <= limit for direct in directs
    )
