"""Where the spectra of a dispersed exposure lie, by the dispersion in its gwcs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.values.trace import CoarseTrace, TraceModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.detector import DetectorWindow

_DISPERSED, _UNDISPERSED = "grism_detector", "detector"
_BRIGHTEST, _ZEROTH = 1, 0  # orders
_GRID, _WAVES = 7, 33  # places a side of the array, wavelengths
_SEARCH = 12  # pixels to either side of the trace: calibrations are good to a few
_AROUND = 3.0  # pixels about the zeroth order
_SHORTEST = 20.0  # pixels, of an order that is a spectrum
# Degrees in the place and in the offset, the first that is exact enough, pixels, is taken.
_DEGREES, _EXACT = ((1, 1), (2, 2), (2, 3), (3, 4), (4, 5)), 1e-3
_KILO = 1000.0


@dataclass(frozen=True, eq=False)
class _Traces:
    """Points of the traces of sources at (P, 2) places of the detector, x along the dispersion.

    `dx`, `dy` (P, W): offsets by wavelength.
    """

    places: NDArray[np.float64]
    dx: NDArray[np.float64]
    dy: NDArray[np.float64]

    @property
    def middle(self) -> NDArray[np.float64]:
        """Offsets along the dispersion in the middle of the detector, (W,)."""
        return np.asarray(self.dx[len(self.places) // 2])

    def transposed(self) -> _Traces:
        """Return the same with x and y exchanged."""
        return _Traces(self.places[:, ::-1], self.dy, self.dx)


def trace_of(
    wcs: Any, shape: tuple[int, int], window: DetectorWindow, passband: tuple[float, float] | None
) -> CoarseTrace | None:
    """Return where the spectra of an exposure lie.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of a dispersed exposure.
    shape : (ny, nx)
        Of the array.
    window : DetectorWindow
        Which part of the detector it is.
    passband : (low, high), micron, or None
        Wavelengths that the spectra have; None where that isn't known.

    Returns
    -------
    CoarseTrace or None
        None where the WCS has no first order, or says nothing that is a spectrum.
    """
    if passband is None or _DISPERSED not in wcs.available_frames:
        return None
    traces = _traces(wcs, shape, window, passband, _BRIGHTEST)
    if traces is None:
        return None
    along_columns = float(np.ptp(traces.dy[len(traces.dy) // 2])) > float(np.ptp(traces.middle))
    traces = traces.transposed() if along_columns else traces
    if np.ptp(traces.middle) < _SHORTEST:
        return None
    zeroth = _traces(wcs, shape, window, passband, _ZEROTH)
    if zeroth is not None and along_columns:
        zeroth = zeroth.transposed()
    return CoarseTrace(_model(traces), _SEARCH, _about(zeroth), (0.0, 0.0), along_columns)


def _about(zeroth: _Traces | None) -> tuple[float, float] | None:
    """Return between which offsets the zeroth order lies."""
    return None if zeroth is None else (float(zeroth.dx.min()) - _AROUND, float(zeroth.dx.max()) + _AROUND)


def _traces(
    wcs: Any, shape: tuple[int, int], window: DetectorWindow, passband: tuple[float, float], order: int
) -> _Traces | None:
    """Return the traces of sources all over the array; None where the order isn't known."""
    ny, nx = shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, _GRID), np.linspace(0, ny - 1, _GRID))
    places = np.column_stack([x.ravel(), y.ravel()])
    # as jwst's models take grids: one wavelength a row, one place a column
    waves = np.broadcast_to(np.linspace(*passband, _WAVES)[:, None], (_WAVES, len(places)))
    sources = [np.broadcast_to(one, waves.shape) for one in places.T]
    try:
        dispersed = wcs.get_transform(_UNDISPERSED, _DISPERSED)
        found = dispersed(*sources, waves, np.full(waves.shape, order))
    except (NotImplementedError, ValueError, TypeError):
        # without an inverse, or without this order
        return None
    dx, dy = (np.asarray(one, dtype=float) - source for one, source in zip(found[:2], sources, strict=True))
    if not (np.isfinite(dx).all() and np.isfinite(dy).all()):
        return None
    return _Traces(window.to_chip(places), dx.T, dy.T)


def _model(traces: _Traces) -> TraceModel:
    """Fit polynomials of the place and of the offset that light has in the middle of the detector."""
    along = traces.middle
    for in_place, in_along in _DEGREES:
        powers = [(total - up, up) for total in range(in_place + 1) for up in range(total + 1)]
        x, y = traces.places.T / _KILO
        field = np.column_stack([x**p * y**q for p, q in powers])
        steps = np.vander(along / _KILO, in_along + 1, increasing=True)
        dx, dy = (np.linalg.pinv(steps) @ one.T @ np.linalg.pinv(field).T for one in (traces.dx, traces.dy))
        missed = max(
            float(np.abs(steps @ terms @ field.T - one.T).max())
            for terms, one in ((dx, traces.dx), (dy, traces.dy))
        )
        if missed < _EXACT:
            break
    scale = _KILO ** -(np.arange(in_along + 1.0)[:, None] + np.array([p + q for p, q in powers]))
    span = float(along.min()), float(along.max())
    return TraceModel(dx * scale, dy * scale, span, tells_light=True)
