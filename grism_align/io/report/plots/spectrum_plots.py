"""The same spectra in all exposures, before and after they were used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.report.formatting import count, fixed
from grism_align.io.report.plots.figures import (
    CLIPPED,
    EAST,
    GRISM,
    INK,
    NORTH,
    Plot,
    new_axes,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from grism_align.values.trace import SpectralCheck, SpectrumPiece

_COLORS = (EAST, NORTH, GRISM, CLIPPED, INK)
_MARKS = ("o", "s", "^", "v", "D")
_MOST_GROUPS, _MOST_EXPOSURES = 3, 48
_WIDTH, _HEIGHT = 218, 112

_Seen = tuple["SpectrumPiece", "NDArray[np.float64]"]


def spectrum_plots(checks: Mapping[str, SpectralCheck]) -> list[Plot]:
    """Plot the pieces of spectra on record: along and across the dispersion, all exposures in one plot.

    Parameters
    ----------
    checks : mapping of str to SpectralCheck
        By exposure.
    """
    groups: dict[tuple[int, int], dict[str, _Seen]] = {}
    for key, check in checks.items():
        for piece in check.pieces:
            seen = groups.setdefault((check.group, piece.source), {})
            if len(seen) < _MOST_EXPOSURES:
                seen[key] = (piece, np.array(check.moved_px))
    shown = {group for group, _ in list(groups)[: 2 * _MOST_GROUPS]}
    return [_plot(seen) for (group, _), seen in groups.items() if group in shown and len(seen) > 1]


def _plot(seen: Mapping[str, _Seen]) -> Plot:
    names = list(seen)
    with style():
        figure = new_figure(520, 308)
        for column, text in enumerate(("before", "after")):
            left = 58 + column * (_WIDTH + 18)
            along = new_axes(figure, (left, 178, _WIDTH, _HEIGHT))
            across = new_axes(figure, (left, 38, _WIDTH, _HEIGHT - 12))
            _draw(along, across, list(seen.values()), share=float(column))
            along.set_title(text, loc="left")
            along.set_xlabel("along [px]", labelpad=1)
            across.set_xlabel("across [px]", labelpad=1)
            if column:
                along.tick_params(labelleft=False)
                across.tick_params(labelleft=False)
            else:
                along.set_ylabel("light [e/s]")
                across.set_ylabel("profile")
        text = f"A piece of one spectrum in {count(len(names), 'exposure')}, before and after"
    title = f"One spectrum in {count(len(names), 'exposure')}"
    along, across = np.abs([moved for _, moved in seen.values()]).max(axis=0)
    caption = (
        f"{names[0]} to {names[-1]}, each with a colour or mark of its own; moved by at most "
        f"{fixed(along, 3)} px along and {fixed(across, 3)} px across."
    )
    return Plot("spectrum", title, caption, figure, text)


def _draw(along: Axes, across: Axes, seen: Sequence[_Seen], share: float) -> None:
    """Draw pieces where they are predicted, or less what corrected them."""
    middle = np.median([np.median(piece.along) for piece, _ in seen])
    for number, (piece, moved) in enumerate(seen):
        color, mark = _COLORS[number % len(_COLORS)], _MARKS[number // len(_COLORS) % len(_MARKS)]
        for axes, place, values in (
            (along, piece.along - middle - share * moved[0], piece.light),
            (across, piece.height - share * moved[1], piece.profile),
        ):
            axes.plot(place, values, mark, color=color, ms=3.5, mew=0.9, mfc="none")
    # as wide as it takes to see what has moved, and no wider than what there is
    moved = np.abs([moved for _, moved in seen]).max(axis=0)
    along.set_xlim(*(np.array([-1, 1]) * np.clip(20 * moved[0], 3, 8)))
    across.set_xlim(*(np.array([-1, 1]) * np.clip(20 * moved[1], 2, 4)))
    across.set_ylim(bottom=0)
