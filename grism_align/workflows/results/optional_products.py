"""What is to look at beside the results: made if it can be, as no mistake in it may cost them."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from grism_align.values.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.field import ExposureSet

__all__ = ["pictures_of", "write_page", "write_region_files"]

logger = logging.getLogger(__name__)


@contextmanager
def _results_first(what: str) -> Iterator[None]:
    """Say what went wrong in the block and go on; but a full disk concerns the results as well."""
    try:
        yield
    except OutputError:
        raise
    except Exception as error:  # whatever it is, the results are good without it
        message = f"{type(error).__name__}: {error}"
        logger.warning("%s could not be made (%s); the results are whole", what, message)
        logger.debug("Where it failed:", exc_info=True)


def pictures_of(exposures: ExposureSet, aligned: ReferenceCatalog | None) -> dict[str, Any] | None:
    """The pictures of stars before and after for the record; None where there are none.

    Parameters
    ----------
    exposures : ExposureSet
        With the solutions found.
    aligned : ReferenceCatalog or None
        The sources of the solution.
    """
    with _results_first("The pictures of stars before and after"):
        from grism_align.workflows.results.stamps import star_stamps

        return star_stamps(exposures, aligned)
    return None


def write_page(record: Mapping[str, Any], target: Path) -> None:
    """Write the report; where that fails, a page that says so, as an earlier one would be of other results.

    Parameters
    ----------
    record : mapping
        What `write_provenance` gave.
    target : Path
        The page.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    with _results_first(target.name):
        from grism_align.io.report import write_report

        write_report(record, target)
        return
    from grism_align.io.files.staging import atomic_path

    with atomic_path(target) as temporary:
        temporary.write_text(_UNMADE, encoding="utf-8")


_UNMADE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>No report</title>
<p>The report could not be made; the log of the run says why. The results and their record are whole, and
<code>grism-align report</code> makes the report of the record.</p></html>
"""


def write_region_files(record: Mapping[str, Any], folder: Path) -> None:
    """Write the region file of each direct exposure that has a correction.

    Parameters
    ----------
    record : mapping
        What `write_provenance` gave.
    folder : Path
        Where to.

    Raises
    ------
    OutputError
        If one can't be written.
    """
    with _results_first("Region files"):
        from grism_align.io.export.regions import write_regions

        write_regions(record, folder)
