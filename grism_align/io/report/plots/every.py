"""The plots of a record that are files of their own, and those of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.report.contents import Contents
from grism_align.io.report.plots.residual_plots import relative_summary
from grism_align.io.report.plots.sky_plots import sky_plot
from grism_align.io.report.plots.time_plots import time_plots
from grism_align.io.report.plots.trend_plots import trend_plots
from grism_align.io.report.spectra import spectra_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grism_align.io.report.plots.figures import Plot
    from grism_align.values.record import Record


# Between exposures, and against the catalog.
_TRENDS = ("residuals", "residuals_x", "residuals_y", "residuals_mag", "residuals_time")
_NAMES = ("sky", *_TRENDS, *(f"catalog_{name}" for name in _TRENDS), "scatter", "field", "spectra", "traces")


def plot_names(visits: Iterable[str]) -> list[str]:
    """Return the names that plots of a run may have.

    Parameters
    ----------
    visits : iterable of str
        Those of the exposures.
    """
    return [*_NAMES, *(f"offsets_{visit}" for visit in dict.fromkeys(visits))]


def plots_of(record: Record) -> dict[str, Plot]:
    """Return the plots of a run that stand alone, by name.

    Parameters
    ----------
    record : Record
        What was done.

    Returns
    -------
    dict of str to Plot
        ``sky``; ``residuals``, ``residuals_x``, ``_y``, ``_mag`` and ``_time`` between exposures, and
        ``catalog_residuals`` and so on against the catalog; ``scatter`` and ``field``; ``offsets_VISIT``;
        ``spectra`` and ``traces``. What nothing is known of is not there.
    """
    contents = Contents(record)
    sky, spectra = sky_plot(contents), spectra_of(contents)
    found = (
        *((sky,) if sky else ()),
        *trend_plots(contents, "relative"),
        *trend_plots(contents, "absolute"),
        *relative_summary(contents),
        *time_plots(contents),
        *(spectra.panels if spectra else ()),
    )
    return {plot.name: plot for plot in found}
