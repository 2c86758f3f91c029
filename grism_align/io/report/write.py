"""Make the page from a record and write it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.pages import PageFiles, beside, write_page
from grism_align.io.record.changed import changed_exposures
from grism_align.io.record.file import read_record
from grism_align.io.record.migrations import VERSION
from grism_align.io.report.contents import Contents
from grism_align.io.report.cuts import step_cuts
from grism_align.io.report.formatting import probability
from grism_align.io.report.plots.blink import blink_of
from grism_align.io.report.plots.figures import Plotter
from grism_align.io.report.plots.mosaic_pictures import mosaic_pictures
from grism_align.io.report.plots.residual_plots import (
    MOST_PANELS,
    absolute_panels,
    relative_panels,
    relative_summary,
)
from grism_align.io.report.plots.sky_plots import sky_plot
from grism_align.io.report.plots.time_plots import MOST_VISITS, time_plots
from grism_align.io.report.plots.trend_plots import trend_plots
from grism_align.io.report.quality_warnings import quality_warnings
from grism_align.io.report.rows import COLUMNS, exposure_table
from grism_align.io.report.settings_rows import changed_settings
from grism_align.io.report.spectra import COLUMNS as SPECTRA_COLUMNS
from grism_align.io.report.spectra import spectra_of
from grism_align.io.report.summary import summary_of

if TYPE_CHECKING:
    from grism_align.values.record import Record


#: What the pages of this package are made of.
FILES = PageFiles("grism_align.io.report", {"probability": probability})
# Exposures that are listed with how far they moved since the run before.
_MOST_MOVED = 20
# Ties to the catalog that are listed, as of visits that were tied one by one.
_MOST_TIES = 100


def report_path(provenance: Path | str) -> Path:
    """Where the report of a record is, if it is beside it: ``PRODUCT_report.html``."""
    return beside(provenance, "report.html")


def write_report(record: Record | Path | str, destination: Path | str | None = None) -> Path:
    """Write the report of a run, one file that needs nothing else.

    Parameters
    ----------
    record : Record or path-like
        What was done, or the file that says it.
    destination : path-like, optional
        The page; beside the file by default.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the record can't be read.
    OutputError
        If the page can't be written.
    """
    if isinstance(record, str | Path):
        target = report_path(record) if destination is None else Path(destination)
        found = read_record(record)
        page = report_html(found, changed_exposures(found, Path(record).parent))
    elif destination is None:
        msg = "a destination is needed where the record is no file"
        raise ValueError(msg)
    else:
        target, page = Path(destination), report_html(record)
    return write_page(page, target)


def report_html(record: Record, changed: tuple[str, ...] = ()) -> str:
    """Make the page of a record.

    Parameters
    ----------
    record : Record
        What was done.
    changed : tuple of str, optional
        Exposures whose products have changed since.
    """
    contents = Contents(record, changed)
    warnings = quality_warnings(contents)
    return FILES.template("page.html").render(
        record=record,
        version=VERSION,
        contents=contents,
        summary=summary_of(contents, warnings),
        warnings=warnings,
        columns=COLUMNS,
        table=exposure_table(contents),
        svg=Plotter().svg,
        most_moved=_MOST_MOVED,
        blink=blink_of(contents),
        scatter=relative_summary(contents),
        relative_trends=trend_plots(contents, "relative"),
        relative=relative_panels(contents),
        absolute_trends=trend_plots(contents, "absolute"),
        absolute=absolute_panels(contents),
        most_panels=MOST_PANELS,
        most_visits=MOST_VISITS,
        most_ties=_MOST_TIES,
        sky=sky_plot(contents),
        pictures=mosaic_pictures(contents),
        times=time_plots(contents),
        spectra=spectra_of(contents),
        spectra_columns=SPECTRA_COLUMNS,
        cuts=step_cuts(contents),
        settings=changed_settings(contents),
        style=FILES.text("page.css"),
        script=FILES.text("page.js"),
    )
