"""Residuals of all exposures together, against what they might depend on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.report.formatting import count, utc
from grism_align.io.report.plots.carried import LOOKS, LOOKS_IN_WORDS, classes_of, share_of
from grism_align.io.report.plots.figures import (
    EAST,
    FAINT,
    INK,
    NORTH,
    Plot,
    dots,
    new_axes,
    new_figure,
    style,
)
from grism_align.io.report.plots.residual_plots import draw_components, round_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from grism_align.io.report.contents import Contents, Entry
    from grism_align.values.solution import Residuals

    Floats = NDArray[np.float64]

# More measurements are thinned out, and fewer are no trend.
_MOST, _FEWEST = 1200, 8
_BINS = 8
_MOST_DAYS = 3
# Longer gaps in time, in hours, are drawn as long as this share of what is observed.
_GAP, _GAP_DRAWN = 6.0, 0.15
#: What is against which: name and label.
_AGAINST = (("x", "x [px]"), ("y", "y [px]"), ("mag", "AB magnitude"), ("time", "UTC; gaps are cut short"))
_TITLES = {"x": "by column", "y": "by row", "mag": "by brightness", "time": "by time"}


@dataclass(frozen=True, eq=False)
class _Measured:
    """The residuals of all exposures' fits of one step.

    Parameters
    ----------
    offset : (N, 2) ndarray, mas
        East and north.
    share : (N,) ndarray
        What each carries.
    places : mapping of str to (N,) ndarray
        What they may depend on; NaN where unknown.
    """

    offset: Floats
    share: Floats
    places: dict[str, Floats]

    def thinned(self) -> _Measured:
        """Leave out the lightest of many."""
        rows = np.sort(np.argsort(-self.share, kind="stable")[:_MOST])
        return _Measured(
            self.offset[rows], self.share[rows], {name: one[rows] for name, one in self.places.items()}
        )


@dataclass(frozen=True, eq=False)
class _Clock:
    """An axis of time without the gaps between visits.

    Parameters
    ----------
    times, places : (K,) ndarray
        Mid times of exposures, MJD, in order, and where they are on the axis, hours.
    starts : list of int
        The first exposure after each gap.
    """

    times: Floats
    places: Floats
    starts: list[int]

    @classmethod
    def of(cls, times: Floats) -> _Clock:
        times = np.unique(times)
        steps = 24 * np.diff(times)
        is_gap = steps > _GAP
        observed = steps[~is_gap].sum()
        steps[is_gap] = max(_GAP_DRAWN * observed, 0.5)
        starts = [0, *(np.flatnonzero(is_gap) + 1).tolist()]
        return cls(times, np.concatenate([[0.0], np.cumsum(steps)]), starts)

    def label(self, axes: Axes) -> None:
        """Write the days under an axis, of all visits or of some."""
        some = self.starts[:: -(-len(self.starts) // _MOST_DAYS)]
        last = len(self.times) - 1
        form = slice(0, 10)
        if len(self.starts) == 1:
            some, form = [0, last], slice(0, 16)
        axes.set_xticks(self.places[some], labels=[utc(self.times[at])[form] for at in some], ha="left")


def trend_plots(contents: Contents, step: str) -> list[Plot]:
    """Plot residuals of one step against x, y, magnitude and time, and against each other.

    Parameters
    ----------
    contents : Contents
        A record.
    step : str
        ``relative`` or ``absolute``.
    """
    found = _measured(contents, step)
    if found is None:
        return []
    shown, limit = found.thinned(), _limit(found)
    prefix, of = (
        ("", "Between exposures") if step == "relative" else ("catalog_", f"Against {contents.catalogs}")
    )
    plots = [_components(shown, limit, (f"{prefix}residuals", of), len(found.share))]
    for name, label in _AGAINST:
        is_known = np.isfinite(found.places[name]) & (found.share > 0)
        if np.unique(found.places[name][is_known]).size > 1 and is_known.sum() >= _FEWEST:
            plots.append(_trend((found, shown), (name, label), limit, (f"{prefix}residuals_{name}", of)))
    return plots


def _measured(contents: Contents, step: str) -> _Measured | None:
    """Gather the residuals of the direct exposures; None where there are hardly any."""
    fits = [(entry, getattr(entry.record, step)) for entry in contents.direct]
    known = [(entry, fit.residuals) for entry, fit in fits if fit is not None and fit.residuals is not None]
    parts = [_of_exposure(entry, matches, step) for entry, matches in known]
    if sum(len(one.share) for one in parts) < _FEWEST:
        return None
    names = [name for name, _ in _AGAINST]
    return _Measured(
        np.concatenate([one.offset for one in parts]),
        np.concatenate([one.share for one in parts]),
        {name: np.concatenate([one.places[name] for one in parts]) for name in names},
    )


def _of_exposure(entry: Entry, matches: Residuals, step: str) -> _Measured:
    number = np.asarray(matches.matched if step == "relative" else matches.source, dtype=np.int64)
    places = {name: np.full(len(number), np.nan) for name in ("x", "y", "mag")}
    seen = entry.record.detections
    if seen is not None and len(seen.source):
        at = np.searchsorted(seen.source, number).clip(max=len(seen.source) - 1)
        is_seen = seen.source[at] == number
        for name, values in places.items():
            values[is_seen] = getattr(seen, name)[at[is_seen]]
    places["time"] = np.full(len(number), entry.mid)
    return _Measured(matches.offset, share_of(matches), places)


def _limit(found: _Measured) -> float:
    """Half the range of the axes, mas: what carries most is well within, and nearly all the rest."""
    used = found.share > 0
    size, share = np.abs(found.offset[used]).max(axis=1), found.share[used]
    if not used.any():
        return 1.0
    order = np.argsort(size)
    heavy = size[order][np.searchsorted(np.cumsum(share[order]), 0.9 * share.sum()).clip(max=len(size) - 1)]
    return round_up(max(2.0 * float(heavy), float(np.quantile(size, 0.8))))


def _components(shown: _Measured, limit: float, titled: tuple[str, str], n: int) -> Plot:
    with style():
        figure = new_figure(330, 270)
        draw_components(new_axes(figure, (72, 40, 212, 212)), shown.offset, shown.share, limit)
    caption = f"{_number(shown, n)}. {LOOKS_IN_WORDS}; red ones were clipped."
    name, of = titled
    return Plot(name, f"{of}: both axes", caption, figure, f"{count(n, 'residual')}, north against east")


def _number(shown: _Measured, n: int) -> str:
    less = len(shown.share)
    return count(n, "measurement") if less == n else f"The heaviest {less} of {n} measurements"


def _trend(
    found: tuple[_Measured, _Measured], against: tuple[str, str], limit: float, titled: tuple[str, str]
) -> Plot:
    """Plot both components, those to be shown as dots and the means of all."""
    (every, shown), (name, of) = found, titled
    key, label = against
    clock, beyond = None, 0
    if key == "time":
        clock = _Clock.of(every.places[key])
        every, shown = (_placed(one, clock) for one in found)
    low, high = _range(every.places[key][every.share > 0])
    with style():
        figure = new_figure(330, 270)
        rows = [new_axes(figure, (52, bottom, 268, 100)) for bottom in (154, 42)]
        for axis, axes in enumerate(rows):
            axes.set(xlim=(low, high), ylim=(-limit, limit))
            beyond += _draw_dots(axes, shown, key, axis)
            _draw_means(axes, every, key, axis)
        if clock:
            for axes in rows:
                clock.label(axes)
        rows[0].tick_params(labelbottom=False)
        rows[1].set_xlabel(label)
    text = f"Residuals east and north against {label}, with means"
    more = f"; {count(beyond, 'residual')} beyond the axes" if beyond else ""
    caption = f"Means with their errors, by weight{more}."
    return Plot(name, f"{of}, {_TITLES[key]}", caption, figure, text)


def _placed(found: _Measured, clock: _Clock) -> _Measured:
    place = np.interp(found.places["time"], clock.times, clock.places)
    return replace(found, places={**found.places, "time": place})


def _range(values: Floats) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _draw_dots(axes: Axes, shown: _Measured, key: str, axis: int) -> int:
    """Draw the used measurements; how many lie beyond."""
    place, value = shown.places[key], shown.offset[:, axis]
    found = np.where(np.isfinite(place), classes_of(shown.share), -1)
    is_within = np.abs(value) <= axes.get_ylim()[1]
    for look in (2, 1, 0):
        alpha, size = LOOKS[look]
        rows = (found == look) & is_within
        dots(axes, np.column_stack([place[rows], value[rows]]), INK, 0.85 * size, 0.7 * alpha)
    axes.axhline(0, color=FAINT, lw=0.6, zorder=0)
    return int(((found >= 0) & ~is_within).sum())


def _draw_means(axes: Axes, every: _Measured, key: str, axis: int) -> None:
    color, mark, name = ((EAST, "o", "east"), (NORTH, "s", "north"))[axis]
    used = (every.share > 0) & np.isfinite(every.places[key])
    place, value, share = every.places[key][used], every.offset[used, axis], every.share[used]
    options: dict[str, Any] = {"color": color, "zorder": 5}
    found = []
    for rows in _bins(place):
        total = share[rows].sum()
        at, mean = (float((share[rows] * one[rows]).sum() / total) for one in (place, value))
        # of the measurements' own scatter
        error = float(np.sqrt((share[rows] ** 2 * (value[rows] - mean) ** 2).sum())) / total
        found.append((at, mean, error))
    places, means, errors = np.reshape(found, (-1, 3)).T
    axes.vlines(places, means - errors, means + errors, lw=1.6, **options)
    axes.plot(places, means, mark, ms=5.5, **options)
    axes.set_ylabel(f"{name} [mas]")


def _bins(place: Floats) -> Sequence[NDArray[np.int64]]:
    """Rows of equally many measurements each; of each place where there are few."""
    places, row = np.unique(place, return_inverse=True)
    if len(places) > _BINS:
        edges = np.quantile(place, np.linspace(0, 1, _BINS + 1)[1:-1])
        row = np.searchsorted(edges, place, side="right")
    found = [np.flatnonzero(row == number) for number in range(int(row.max()) + 1)]
    return [rows for rows in found if len(rows) > 1]
