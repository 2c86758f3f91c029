"""Where the spectra of grism exposures lie: what was corrected by them, and what is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.report.formatting import UNKNOWN, count, fixed
from grism_align.io.report.plots.figures import EAST, FAINT, NORTH, Plot, dots, new_axes, new_figure, style
from grism_align.io.report.plots.spectrum_plots import spectrum_plots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from grism_align.io.report.contents import Contents, Entry
    from grism_align.values.trace import SpectralCheck, TraceCheck


_LABELLED = 30
# Of more exposures only dots are drawn; of more rows the worst are shown.
_MANY, _MOST_ROWS, _WORST_ROWS = 400, 200, 60
_MOST_DOTS = 1500

#: Headings of the table, and what they mean.
COLUMNS = (
    ("exposure", "root name"),
    ("sources", "sources whose spectra were used"),
    ("moved along [px]", "by how much spectra put the exposure elsewhere, along the dispersion"),
    ("across [px]", "the same across the dispersion"),
    ("left along [px]", "spectra minus prediction after that, from the mean of the exposures"),
    ("across [px]", "the same across the dispersion"),
    (
        "trace before [px]",
        "measured minus predicted place of traces across the dispersion, by the WCS that the file came with",
    ),
    ("trace after [px]", "the same by the corrected WCS"),
    ("what to know", "what the traces are relative to, or why there is no measurement"),
)


@dataclass(frozen=True)
class Spectra:
    """What is on record of the spectra.

    Parameters
    ----------
    panels : tuple of Plot
        What they say on both axes before and after they were used, and the traces before and after all
        corrections; empty where nothing could be measured.
    pieces : tuple of Plot
        Pieces of some spectra in all exposures, before and after.
    rows : tuple of tuple of str
        As `COLUMNS`; of many exposures those that are farthest off.
    n : int
        How many exposures there are.
    """

    panels: tuple[Plot, ...]
    pieces: tuple[Plot, ...]
    rows: tuple[tuple[str, ...], ...]
    n: int


@dataclass(frozen=True, eq=False)
class _Series:
    """Values and errors of exposures, (N, 2), what they are, and how they are drawn."""

    values: NDArray[np.float64]
    label: str
    color: str
    face: str
    aside: float = 0.0


# Label, colour and filling.
_BEFORE, _AFTER = ("before", NORTH, "none"), ("after", EAST, EAST)


def spectra_of(contents: Contents) -> Spectra | None:
    """Return what spectra say of the grism exposures; None where they were not asked."""
    asked = [e for e in contents.grisms if e.record.traces is not None or e.record.spectra is not None]
    if not asked:
        return None
    panels = (_offsets_panel(asked), _traces_panel(asked))
    measured = {e.key: e.record.spectra for e in asked if e.record.spectra and e.record.spectra.is_measured}
    pieces = spectrum_plots(measured)
    told = asked if len(asked) <= _MOST_ROWS else sorted(asked, key=_agreement)[:_WORST_ROWS]
    return Spectra(tuple(one for one in panels if one), tuple(pieces), tuple(map(_row, told)), len(asked))


def _agreement(entry: Entry) -> float:
    """Return minus the largest of what is left, in units of its error."""
    spectra, traces = entry.record.spectra, entry.record.traces
    left = [*zip(spectra.left_px, spectra.left_error, strict=True)] if spectra else []
    left += [(traces.after_px, traces.after_error)] if traces else []
    return -max(
        (abs(value) / error for value, error in left if error > 0 and np.isfinite(value)), default=0.0
    )


def _row(entry: Entry) -> tuple[str, ...]:
    spectra, traces = entry.record.spectra, entry.record.traces
    moved = _pair(spectra.moved_px, spectra.moved_error) if spectra else (UNKNOWN, UNKNOWN)
    left = _pair(spectra.left_px, spectra.left_error) if spectra else (UNKNOWN, UNKNOWN)
    before = _with_error(traces.before_px, traces.before_error) if traces else UNKNOWN
    after = _with_error(traces.after_px, traces.after_error) if traces else UNKNOWN
    n_sources = max(one.n_sources for one in (spectra, traces) if one)
    notes = "; ".join(dict.fromkeys(one.note for one in (spectra, traces) if one and one.note))
    return (entry.key, str(n_sources), *moved, *left, before, after, notes)


def _pair(values: tuple[float, float], errors: tuple[float, float]) -> tuple[str, str]:
    return _with_error(values[0], errors[0]), _with_error(values[1], errors[1])


def _with_error(value: float, error: float) -> str:
    known = np.isfinite(value)
    return f"{fixed(value, 3, sign=True)} ± {fixed(error, 3)}" if known else UNKNOWN


def _offsets_panel(asked: Sequence[Entry]) -> Plot | None:
    found: dict[str, SpectralCheck] = {
        e.key: check for e in asked if (check := e.record.spectra) is not None and check.is_measured
    }
    if not found:
        return None
    checks = found.values()
    moved, left, errors = (
        np.array([getattr(check, name) for check in checks]) for name in ("moved_px", "left_px", "left_error")
    )
    before, after = (np.stack([values, errors], axis=-1) for values in (left + moved, left))
    rows = [
        (f"{name} [px]", [_Series(before[:, axis], *_BEFORE, -0.12), _Series(after[:, axis], *_AFTER, 0.12)])
        for axis, name in enumerate(("along", "across"))
    ]
    text = f"Offsets of the spectra of {count(len(found), 'grism exposure')}, along and across the dispersion"
    caption = (
        "Where spectra lie from where they are predicted, with the error of the measurement: open by the "
        "direct exposures' correction, filled by the final one. Their common zero is not known."
    )
    return Plot("spectra", "Spectra against each other", caption, _plot(list(found), rows), text)


def _traces_panel(asked: Sequence[Entry]) -> Plot | None:
    found: dict[str, TraceCheck] = {
        e.key: check for e in asked if (check := e.record.traces) is not None and check.is_measured
    }
    if not found:
        return None
    checks = found.values()
    before = np.array([(check.before_px, check.before_error) for check in checks])
    after = np.array([(check.after_px, check.after_error) for check in checks])
    text = f"Residuals across the dispersion of {count(len(found), 'grism exposure')}, before and after"
    caption = (
        "Measured minus predicted place of the traces, with its error: by the WCS as it came, and by the "
        "corrected one. Each has a scale of its own."
    )
    rows = [("before [px]", [_Series(before, *_BEFORE)]), ("after [px]", [_Series(after, *_AFTER)])]
    return Plot("traces", "Traces before and after all corrections", caption, _plot(list(found), rows), text)


def _plot(names: Sequence[str], rows: Sequence[tuple[str, Sequence[_Series]]]) -> Figure:
    """Draw a row of axes above the other, all exposures in each."""
    height = 118
    with style():
        figure = new_figure(520, 78 + height * len(rows))
        for number, (label, series) in enumerate(rows):
            bottom = 76 + height * (len(rows) - 1 - number)
            axes = new_axes(figure, (60, bottom, 454, height - 14))
            _draw(axes, series)
            axes.set_ylabel(label)
            if number == 0 and len(series) > 1:
                axes.legend(ncols=2, loc="best")
            if number < len(rows) - 1:
                axes.set_xticks(range(len(names)), labels=[])
        _name_exposures(axes, names)
    return figure


def _draw(axes: Any, series: Sequence[_Series]) -> None:
    if len(series[0].values) > _MANY:
        _draw_many(axes, series)
        return
    for one in series:
        value, error = one.values.T
        place = np.arange(len(value)) + one.aside
        axes.vlines(place, value - error, value + error, color=one.color, lw=0.9)
        axes.plot(place, value, "o", color=one.color, mfc=one.face, ms=5, label=one.label)
    axes.axhline(0, color=FAINT, lw=0.6, zorder=0)


def _draw_many(axes: Any, series: Sequence[_Series]) -> None:
    """Draw values without their errors."""
    values = np.concatenate([one.values[:, 0] for one in series])
    low, high = np.nanquantile(values, [0.002, 0.998])
    margin = 0.1 * (high - low) + 1e-3
    axes.set(xlim=(-1, len(series[0].values)), ylim=(min(low, 0.0) - margin, max(high, 0.0) + margin))
    # enough to see what there is, and a page of some megabytes
    place = np.arange(0, len(series[0].values), -(-len(series[0].values) // _MOST_DOTS))
    for one in series:
        axes.plot([], [], "o", color=one.color, mfc=one.face, ms=5, label=one.label)
        dots(axes, np.column_stack([place, one.values[place, 0]]), one.color, 2.0, 0.6)
    axes.axhline(0, color=FAINT, lw=0.6, zorder=0)


def _name_exposures(axes: Any, names: Sequence[str]) -> None:
    if len(names) > _LABELLED:
        axes.set_xlabel("grism exposure, in time order")
        return
    axes.set_xticks(range(len(names)))
    axes.set_xticklabels(names, rotation=60, ha="right", rotation_mode="anchor", parse_math=False, fontsize=9)
