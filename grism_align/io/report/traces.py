"""How far spectra lie from where the WCSs put them, where that was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.report.formatting import count, fixed
from grism_align.io.report.plots.figures import EAST, FAINT, NORTH
from grism_align.io.report.plots.residual_plots import Panel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from grism_align.io.report.contents import Contents
    from grism_align.io.report.plots.figures import Plotter
    from grism_align.values.trace import TraceCheck


_LABELLED = 30


@dataclass(frozen=True)
class Traces:
    """What is on record of the traces.

    Parameters
    ----------
    panel : Panel or None
        Residuals before and after; None where nothing could be measured.
    rows : tuple of (str, str, str, str, str)
        Exposure, sources used, residual before and after with their errors, and what to know.
    """

    panel: Panel | None
    rows: tuple[tuple[str, ...], ...]


def traces_of(contents: Contents, plotter: Plotter) -> Traces | None:
    """Return what the spectra say of the grism exposures' corrections; None where they were not asked."""
    checks = {e.key: check for e in contents.grisms if (check := e.record.traces) is not None}
    if not checks:
        return None
    measured = {key: one for key, one in checks.items() if one.is_measured}
    panel = None
    if measured:
        text = (
            f"Residuals across the dispersion of {count(len(measured), 'grism exposure')}, before and after"
        )
        caption = "Measured minus predicted row, with its error: open before, filled after the correction."
        panel = Panel("Traces", caption, _plot(measured, text, plotter))
    return Traces(panel, tuple(_row(key, check) for key, check in checks.items()))


def _row(key: str, check: TraceCheck) -> tuple[str, ...]:
    before = _with_error(check.before_px, check.before_error)
    after = _with_error(check.after_px, check.after_error)
    return (key, str(check.n_sources), before, after, check.note)


def _with_error(value: float, error: float) -> str:
    known = np.isfinite(value)
    return f"{fixed(value, 3, sign=True)} ± {fixed(error, 3)}" if known else fixed(float("nan"))


def _plot(measured: Mapping[str, TraceCheck], text: str, plotter: Plotter) -> Markup:
    names, checks = list(measured), measured.values()
    before = np.array([(check.before_px, check.before_error) for check in checks])
    after = np.array([(check.after_px, check.after_error) for check in checks])
    with plotter.style():
        figure = plotter.figure(560, 250)
        axes = plotter.axes(figure, (56, 74, 494, 166))
        for (value, error), when, color, face, shift in (
            (before.T, "before", NORTH, "none", -0.12),
            (after.T, "after", EAST, EAST, 0.12),
        ):
            place = np.arange(len(names)) + shift
            axes.vlines(place, value - error, value + error, color=color, lw=0.9)
            axes.plot(place, value, "o", color=color, mfc=face, ms=5, label=when)
        axes.axhline(0, color=FAINT, lw=0.6, zorder=0)
        axes.set_ylabel("across [pix]")
        _name_exposures(axes, names)
        axes.legend(ncols=2, loc="best")
        return plotter.svg(figure, text)


def _name_exposures(axes: Any, names: Sequence[str]) -> None:
    if len(names) > _LABELLED:
        axes.set_xlabel("grism exposure, in time order")
        return
    axes.set_xticks(range(len(names)))
    axes.set_xticklabels(names, rotation=60, ha="right", rotation_mode="anchor", parse_math=False, fontsize=9)
