"""The plots of a report, which take as long as all else that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.report import write

if TYPE_CHECKING:
    import pytest

_NAMES = ("relative_summary", "trend_plots", "relative_panels", "absolute_panels", "sky_plot", "time_plots")
_PLOTS = {name: getattr(write, name) for name in _NAMES}


def leave_out_plots(patch: pytest.MonkeyPatch) -> None:
    """Have reports made without plots."""
    for name in _PLOTS:
        patch.setattr(write, name, lambda *_: [])


def have_plots(patch: pytest.MonkeyPatch) -> None:
    """Have reports made as users have them."""
    for name, plot in _PLOTS.items():
        patch.setattr(write, name, plot)
