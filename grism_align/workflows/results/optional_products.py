"""What is to look at beside the results: made if it can be, as no mistake in it may cost them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from astropy.table import Table

    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.executor import Executor
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import Record, StarStamps


Made = TypeVar("Made")

logger = logging.getLogger(__name__)

_UNMADE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>No report</title>
<p>The report could not be made; the log of the run says why. The results and their record are whole, and
<code>grism-align report</code> makes the report of the record.</p></html>
"""


def _results_first(what: str, make: Callable[[], Made], otherwise: Made) -> Made:
    """Make something; where that goes wrong, say so and go on."""
    try:
        return make()
    except Exception as error:  # whatever it is, the results are good without it
        message = f"{type(error).__name__}: {error}"
        logger.warning("%s could not be made (%s); the results are whole", what, message)
        logger.debug("Where it failed:", exc_info=True)
        return otherwise


def pictures_of(
    exposures: ExposureSet, aligned: ReferenceCatalog | None, executor: Executor
) -> StarStamps | None:
    """Make the pictures of stars before and after for the record.

    Parameters
    ----------
    exposures : ExposureSet
        With the solutions found.
    aligned : ReferenceCatalog or None
        The sources of the solution.
    executor : Executor
        Takes them.

    Returns
    -------
    StarStamps or None
        None where there are none.
    """

    def make() -> StarStamps | None:
        from grism_align.workflows.results.stamps import star_stamps

        return star_stamps(exposures, aligned, executor)

    return _results_first("The pictures of stars before and after", make, None)


def page_of(record: Record, name: str, changed: tuple[str, ...] = ()) -> str:
    """Make the report; where that fails, a page that says so, as an earlier one would be of other results.

    Parameters
    ----------
    record : Record
        What was done.
    name : str
        What the log calls the page.
    changed : tuple of str, optional
        Exposures that have changed since.
    """

    def make() -> str:
        from grism_align.io.report import report_html

        return report_html(record, changed)

    return _results_first(name, make, _UNMADE)


def figures_of(record: Record, form: str) -> dict[str, bytes]:
    """Draw the plots of a run, bytes by name.

    Parameters
    ----------
    record : Record
        What was done.
    form : str
        ``png`` or ``pdf``.
    """

    def make() -> dict[str, bytes]:
        from grism_align.io.report.plots.every import plots_of

        return {name: plot.drawn(form) for name, plot in plots_of(record).items()}

    return _results_first("Figures", make, {})


def tables_of(record: Record) -> dict[str, Table]:
    """Make the tables of the results, by name.

    Parameters
    ----------
    record : Record
        What was done.
    """

    def make() -> dict[str, Table]:
        from grism_align.values.tables import TABLES, results_table

        return {name: results_table(name, record.exposures, record.product) for name in TABLES}

    return _results_first("Tables", make, {})


def regions_of(record: Record) -> dict[str, str]:
    """Make the region file of each direct exposure that has a correction, text by name.

    Parameters
    ----------
    record : Record
        What was done.
    """

    def make() -> dict[str, str]:
        from grism_align.io.export.regions import region_files

        return region_files(record)

    return _results_first("Region files", make, {})
