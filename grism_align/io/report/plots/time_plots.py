"""Offsets against time within each visit, direct and grism exposures on one axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.report.formatting import count, fixed
from grism_align.io.report.plots.figures import CLIPPED, EAST, FAINT, NORTH
from grism_align.io.report.plots.residual_plots import Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from grism_align.io.report.contents import Contents, Entry
    from grism_align.io.report.plots.figures import Plotter


_MAS_PER_ARCSEC = 1e3


def time_panels(contents: Contents, plotter: Plotter) -> list[Panel]:
    """One plot a visit: how far each exposure's shift is from the visit's median."""
    panels = []
    for visit, entries in contents.visits.items():
        fitted = [entry for entry in entries if entry.transform]
        if fitted:
            panels.append(_visit_panel(visit, entries, fitted, plotter))
    return panels


def _visit_panel(visit: str, entries: Sequence[Entry], fitted: Sequence[Entry], plotter: Plotter) -> Panel:
    shifts = np.array([entry.shift for entry in fitted])
    is_direct = np.array([entry.is_direct for entry in fitted])
    middle = np.median(shifts[is_direct] if is_direct.any() else shifts, axis=0)
    start = min(entry.record.start for entry in entries)
    with plotter.style():
        figure = plotter.figure(330, 240)
        top = plotter.axes(figure, (50, 138, 270, 94))
        rows = (top, plotter.axes(figure, (50, 36, 270, 94), sharex=top))
        top.tick_params(labelbottom=False)
        for axis, axes in enumerate(rows):
            _draw_axis(axes, fitted, (start, middle[axis]), axis)
            _draw_failed(axes, entries, start)
        rows[1].set_xlabel("time since the visit's start [min]")
        text = f"Shifts of {count(len(fitted), 'exposure')} of visit {visit} against time, east and north"
        image = plotter.svg(figure, text)
    east, north = (fixed(float(value) / _MAS_PER_ARCSEC, 3, sign=True) for value in middle)
    roll = fixed(float(np.median([entry.roll for entry in fitted])), 4, sign=True)
    return Panel(visit, f"From the median shift E {east}″, N {north}″; roll {roll}°.", image)


def _draw_axis(axes: Axes, fitted: Sequence[Entry], zero: tuple[float, float], axis: int) -> None:
    color, name = ((EAST, "east"), (NORTH, "north"))[axis]
    times = np.array([(entry.record.start, entry.record.end) for entry in fitted])
    begin, end = 1440 * (times.T - zero[0])
    value = np.array([entry.shift[axis] for entry in fitted]) - zero[1]
    error = np.nan_to_num([entry.error for entry in fitted])
    is_direct = np.array([entry.is_direct for entry in fitted])
    axes.hlines(value, begin, end, color=color, lw=1.0, alpha=0.7)
    axes.vlines(0.5 * (begin + end), value - error, value + error, color=color, lw=0.9)
    for rows, mark, face in ((is_direct, "o", color), (~is_direct, "s", "none")):
        axes.plot(0.5 * (begin + end)[rows], value[rows], mark, color=color, mfc=face, ms=5.5)
    axes.axhline(0, color=FAINT, lw=0.6, zorder=0)
    axes.set_ylabel(f"{name} [mas]")
    low, high = axes.get_ylim()
    if high - low < 4:
        axes.set_ylim(min(low, -2), max(high, 2))


def _draw_failed(axes: Axes, entries: Sequence[Entry], start: float) -> None:
    for entry in entries:
        if entry.transform is None:
            time = 1440 * (entry.mid - start)
            axes.plot(time, 0.06, "x", color=CLIPPED, ms=7, mew=1.8, transform=axes.get_xaxis_transform())
