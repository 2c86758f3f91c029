"""Write what was found: all products, or none.

All are on disk before the first takes its name; the record does first, and exposures last. So a full disk, an
error or a kill leaves everything as it was, or, within the instant in which names change, a record that knows
each exposure both as it was and as it will be.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grism_align.io.files.staging import Staging, output_errors, remove_leftovers
from grism_align.io.record.file import write_record
from grism_align.workflows.executors import SerialExecutor
from grism_align.workflows.results.checks import catalogs_read, keep_catalogs
from grism_align.workflows.results.exposures import write_exposures
from grism_align.workflows.results.products import PRODUCTS, Results, findings_of
from grism_align.workflows.results.superseded import leftovers, mark_pages, move_aside

if TYPE_CHECKING:
    from pathlib import Path

    from grism_align.values.executor import Executor
    from grism_align.values.field import ExposureSet
    from grism_align.workflows.results.destination import Destination
    from grism_align.workflows.results.products import Findings


logger = logging.getLogger(__name__)


def write_results(exposures: ExposureSet, destination: Destination, executor: Executor | None = None) -> None:
    """Write every product of a set of exposures: all of them, or none.

    Exposures that no step has fitted yet are not written; the association points to their inputs.

    Parameters
    ----------
    exposures : ExposureSet
        What was found.
    destination : Destination
        Where to.
    executor : Executor, optional
        Who works on the exposures; this process, one after the other, if not given.

    Raises
    ------
    GrismAlignError
        If a file can't be read or written.
    """
    executor = executor or SerialExecutor()
    keep_catalogs(exposures, destination, catalogs_read(exposures))
    targets = {destination.exposure(exposure) for exposure in exposures.exposures}
    record = destination.provenance(exposures.product)
    with output_errors(destination.folder):
        destination.folder.mkdir(parents=True, exist_ok=True)
        for path in remove_leftovers({destination.folder, *(target.parent for target in targets)}):
            logger.info("Removed %s, which a run that was killed left", path)
        written = [destination.exposure(e) for e in exposures.exposures if exposures.fit(e.key)]
        aside = leftovers(record, written)
        findings = findings_of(exposures, destination, executor)
        with Staging(destination.folder, first=[record], last=targets) as out:
            _write_all(findings, out, executor)
            mark_pages(written, out, record)
        move_aside(aside)
        _remove_stale(findings)


def _write_all(findings: Findings, out: Staging, executor: Executor) -> None:
    exposures, destination = findings.exposures, findings.destination
    files = write_exposures(exposures, destination, out, executor)
    record = findings.record(files)
    write_record(out.path(destination.provenance(exposures.product)), record)
    results = Results(findings, files, record)
    for write in PRODUCTS:
        write(results, out)


def _remove_stale(findings: Findings) -> None:
    """Remove products of an earlier run that this one does not have."""
    product, destination = findings.exposures.product, findings.destination
    if findings.reference_name is None:
        _remove(destination.reference(product), "reference catalog")
    if not destination.with_report:
        _remove(destination.report(product), "report")


def _remove(path: Path, what: str) -> None:
    if path.is_file():
        path.unlink()
        logger.info("Removed %s, the %s of an earlier run; this one has none", path, what)
