"""Offsets against time within each visit, direct and grism exposures on one axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.report.formatting import count, fixed, utc
from grism_align.io.report.plots.figures import (
    CLIPPED,
    EAST,
    FAINT,
    INK,
    NORTH,
    Plot,
    new_axes,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from grism_align.io.report.contents import Contents, Entry


_MAS_PER_ARCSEC = 1e3
#: Of more visits, those that differ most are shown.
MOST_VISITS = 40
_WORST_VISITS = 12


def time_plots(contents: Contents) -> list[Plot]:
    """One plot a visit, or of the worst of many: how far each exposure's shift is from the visit's median."""
    found = [
        (visit, entries, fitted)
        for visit, entries in contents.visits.items()
        if (fitted := [entry for entry in entries if entry.transform])
    ]
    if len(contents.visits) > MOST_VISITS:
        found = sorted(found, key=lambda one: (len(one[2]) == len(one[1]), -_spread(one[2])))[:_WORST_VISITS]
    return [_visit_plot(visit, entries, fitted) for visit, entries, fitted in found]


def _spread(fitted: Sequence[Entry]) -> float:
    """Return by how much the shifts of a visit's exposures differ at most, mas."""
    return float(np.ptp([entry.shift for entry in fitted], axis=0).max())


def _visit_plot(visit: str, entries: Sequence[Entry], fitted: Sequence[Entry]) -> Plot:
    shifts = np.array([entry.shift for entry in fitted])
    is_direct = np.array([entry.is_direct for entry in fitted])
    middle = np.median(shifts[is_direct] if is_direct.any() else shifts, axis=0)
    start = min(entry.record.start for entry in entries)
    with style():
        figure = new_figure(330, 252)
        top = new_axes(figure, (50, 138, 270, 94))
        rows = (top, new_axes(figure, (50, 36, 270, 94), sharex=top))
        top.tick_params(labelbottom=False)
        for axis, axes in enumerate(rows):
            _draw_axis(axes, fitted, (start, middle[axis]), axis)
            _draw_failed(axes, entries, start)
        rows[1].set_xlabel(f"minutes since {utc(start)} UTC")
        _legend(rows[0], is_direct)
        text = f"Shifts of {count(len(fitted), 'exposure')} of visit {visit} against time, east and north"
    east, north = (fixed(float(value) / _MAS_PER_ARCSEC, 3, sign=True) for value in middle)
    roll = fixed(float(np.median([entry.roll for entry in fitted])), 4, sign=True)
    return Plot(
        f"offsets_{visit}",
        f"Visit {visit}",
        f"From the median shift E {east}″, N {north}″; roll {roll}°.",
        figure,
        text,
    )


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


def _legend(axes: Axes, is_direct: NDArray[np.bool_]) -> None:
    from matplotlib.lines import Line2D

    kinds = (("direct", INK, is_direct.any()), ("grism", "none", (~is_direct).any()))
    marks = {"direct": "o", "grism": "s"}
    handles = [
        Line2D([], [], ls="", marker=marks[name], color=INK, mfc=face, ms=5, label=name)
        for name, face, is_there in kinds
        if is_there
    ]
    axes.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1, 0.95), ncols=2, fontsize=9, borderpad=0
    )


def _draw_failed(axes: Axes, entries: Sequence[Entry], start: float) -> None:
    for entry in entries:
        if entry.transform is None:
            time = 1440 * (entry.mid - start)
            axes.plot(time, 0.06, "x", color=CLIPPED, ms=7, mew=1.8, transform=axes.get_xaxis_transform())
