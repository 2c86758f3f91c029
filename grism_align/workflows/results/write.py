"""Write what was found: all products, or none.

All are on disk before the first takes its name; the record does first, and exposures last. So a full disk, an
error or a kill leaves everything as it was, or, within the instant in which names change, a record that knows
each exposure both as it was and as it will be.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from grism_align.io.files.claims import claimed, names_change
from grism_align.io.files.staging import Staging, output_errors
from grism_align.io.missions import as_it_is, require_unchanged
from grism_align.io.record.file import write_record
from grism_align.workflows.executors import SerialExecutor
from grism_align.workflows.results.checks import catalogs_read, keep_catalogs
from grism_align.workflows.results.exposures import write_exposures
from grism_align.workflows.results.products import PRODUCTS, Results, findings_of
from grism_align.workflows.results.superseded import leftovers, mark_pages, move_aside

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import FilePair
    from grism_align.workflows.results.destination import Destination
    from grism_align.workflows.results.products import Findings


logger = logging.getLogger(__name__)


def write_results(
    exposures: ExposureSet, destination: Destination, executor: Executor | None = None
) -> ExposureSet:
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

    Returns
    -------
    ExposureSet
        The same, which knows the files that it was read from as they are now, where they were replaced.

    Raises
    ------
    GrismAlignError
        If a file can't be read or written, or another run is about to write one.
    """
    with claimed(destination.files(exposures)):
        keep_catalogs(exposures, destination, catalogs_read(exposures))
        with output_errors(destination.folder):
            files = _write(exposures, destination, executor or SerialExecutor())
        return _as_they_are(exposures, files) if destination.in_place else exposures


def _as_they_are(exposures: ExposureSet, files: Mapping[str, FilePair]) -> ExposureSet:
    """Return the exposures with the identities of the files that have replaced those that were read."""

    def now(exposure: Exposure) -> Exposure:
        made = files[exposure.key].output
        return as_it_is(exposure, made.sha256) if made else exposure

    return replace(exposures, exposures=tuple(map(now, exposures.exposures)))


def _write(exposures: ExposureSet, destination: Destination, executor: Executor) -> Mapping[str, FilePair]:
    """Write; return the files of every exposure, by key."""
    targets = {destination.exposure(exposure) for exposure in exposures.exposures}
    record = destination.provenance(exposures.product)
    written = [destination.exposure(e) for e in exposures.exposures if exposures.fit(e.key).is_fitted]
    aside = leftovers(record, written)
    findings = findings_of(exposures, destination, executor)
    with ExitStack() as held, Staging(destination.folder, first=[record], last=targets) as out:
        files = _write_all(findings, out, executor)
        out.sync()
        # until names have changed, which is at the end of the block
        held.enter_context(names_change(out.folders))
        mark_pages(written, out, record)
        require_unchanged(exposures.exposures)
    move_aside(aside)
    _remove_stale(findings)
    return files


def _write_all(findings: Findings, out: Staging, executor: Executor) -> Mapping[str, FilePair]:
    exposures, destination = findings.exposures, findings.destination
    files = write_exposures(exposures, destination, out, executor)
    record = findings.record(files)
    write_record(out.path(destination.provenance(exposures.product)), record)
    results = Results(findings, files, record)
    for write in PRODUCTS:
        write(results, out)
    return files


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
