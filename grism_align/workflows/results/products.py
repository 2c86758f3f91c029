"""The products beside the exposures, each a small function from what was found to a file."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.algorithms.absolute.source_list import frame_numbers, solved_sources
from grism_align.io.associations import association_text
from grism_align.io.catalogs.reference import write_reference_catalog
from grism_align.io.files.tables import write_table
from grism_align.io.missions import file_source
from grism_align.workflows.associate import build_association
from grism_align.workflows.results.moved import moved_since, record_before
from grism_align.workflows.results.optional_products import (
    figures_of,
    page_of,
    pictures_of,
    regions_of,
    tables_of,
)
from grism_align.workflows.results.pipeline_associations import pipeline_associations
from grism_align.workflows.results.record import aligned_sources, make_record, reference_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from grism_align.io.files.staging import Staging
    from grism_align.values.association import Association, Member
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.executor import Executor
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import EarlierRecord, FilePair, Record, ReferenceRecord, StarStamps
    from grism_align.values.solution import ExposureFit
    from grism_align.workflows.results.destination import Destination


logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Findings:
    """All that a run found, before any of it is written.

    Parameters
    ----------
    exposures : ExposureSet
        With the solutions found.
    destination : Destination
        Where products go.
    sources : ReferenceCatalog or None
        The sources of the solution in the final frame; None without a relative solution.
    earlier : ReferenceRecord or None
        What an earlier record has of a reference catalog of which only the fits are known.
    earlier_file : Path or None
        The file of that catalog, if it is still beside that record.
    stamps : StarStamps or None
        Pictures of stars before and after.
    before : EarlierRecord or None
        The record of the run before, which this one goes on from or replaces.
    """

    exposures: ExposureSet
    destination: Destination
    sources: ReferenceCatalog | None
    earlier: ReferenceRecord | None
    earlier_file: Path | None
    stamps: StarStamps | None
    before: EarlierRecord | None

    @property
    def reference_name(self) -> str | None:
        """Name of the file of the reference catalog as used; None where there is none."""
        is_known = self.exposures.reference_catalog is not None or self.earlier_file is not None
        return self.destination.reference(self.exposures.product).name if is_known else None

    def record(self, files: Mapping[str, FilePair]) -> Record:
        """Put it all on record, with the files of every exposure by key."""
        aligned = aligned_sources(self.sources, self.destination.sources(self.exposures.product).name)
        record = make_record(self.exposures, files, aligned, self._reference(), self.stamps)
        moved = moved_since(self.before, record)
        if moved is not None:
            logger.info("%s", moved)
        return replace(record, moved=moved)

    def _reference(self) -> ReferenceRecord | None:
        catalog, file = self.exposures.reference_catalog, self.reference_name
        if catalog is not None:
            return reference_record(self.exposures, catalog, file)
        return None if self.earlier is None else replace(self.earlier, file=file)


@dataclass(frozen=True, eq=False)
class Results:
    """What was found, with the exposures written and all of it on record.

    Parameters
    ----------
    findings : Findings
        What was found.
    files : mapping of str to FilePair
        The files of every exposure, by key.
    record : Record
        The record.
    """

    findings: Findings
    files: Mapping[str, FilePair]
    record: Record


def findings_of(exposures: ExposureSet, destination: Destination, executor: Executor) -> Findings:
    """Work out what is to be written besides the exposures; no file is written.

    Parameters
    ----------
    exposures : ExposureSet
        With the solutions found.
    destination : Destination
        Where products go.
    executor : Executor
        Takes the pictures of stars.
    """
    sources, earlier = solved_sources(exposures), None
    # of the catalog of an earlier run only the fits are known
    if exposures.record is not None and exposures.reference_catalog is None and exposures.absolute.fits:
        earlier = exposures.record.record.reference_catalog
    return Findings(
        exposures,
        destination,
        sources,
        earlier,
        _beside(Path(exposures.record.path), earlier) if exposures.record and earlier else None,
        pictures_of(exposures, sources, executor) if destination.with_report else None,
        record_before(exposures, destination),
    )


def _beside(record: Path, catalog: ReferenceRecord) -> Path | None:
    """Return the file of the reference catalog that an earlier run used, if it is still there."""
    if not catalog.file:
        return None
    source = record.parent / Path(catalog.file).name
    if source.is_file():
        return source
    logger.warning("%s: the reference catalog as used is no longer beside the record %s", source, record)
    return None


def _write_sources(results: Results, out: Staging) -> None:
    """Write the sources of the solution, as a reference catalog for others."""
    exposures, sources = results.findings.exposures, results.findings.sources
    if sources is not None:
        target = out.path(results.findings.destination.sources(exposures.product))
        write_reference_catalog(sources, target, _about(exposures, sources))


def _about(exposures: ExposureSet, sources: ReferenceCatalog) -> dict[str, list[int] | list[str]]:
    """Return what whoever aligns to the sources of a solution is to know."""
    absolute = exposures.absolute.fits
    frame_of = {key: fit.frame for key, fit in exposures.relative.fits.items() if fit.is_aligned}
    tied = {frame for key, frame in frame_of.items() if key in absolute and absolute[key].is_aligned}
    return {
        "frames": sorted(set(frame_numbers(sources).tolist())),
        "tied_frames": sorted(tied),
        "exposures": sorted(exposure.key for exposure in exposures.direct),
    }


def _write_reference(results: Results, out: Staging) -> None:
    """Write the reference catalog as used, or bring it along from beside the earlier record."""
    catalog, earlier = results.findings.exposures.reference_catalog, results.findings.earlier_file
    target = results.findings.destination.reference(results.findings.exposures.product)
    if catalog is not None:
        write_reference_catalog(catalog, out.path(target))
    elif earlier is not None and earlier.resolve() != target.resolve():
        shutil.copyfile(earlier, out.path(target))


def _add_mosaics(results: Results, out: Staging) -> None:
    """Add the files of the mosaics, which lie ready; they are too large to be copied for nothing."""
    for mosaic in results.findings.exposures.mosaics:
        for name in mosaic.files:
            source, target = Path(mosaic.folder) / name, out.path(name)
            try:
                os.link(source, target)
            except OSError:
                shutil.copyfile(source, target)


def _write_tables(results: Results, out: Staging) -> None:
    """Write exposures and measurements as tables, for people and their programs."""
    destination, record = results.findings.destination, results.record
    for name, table in tables_of(record).items():
        for path in destination.forms(destination.table(record.product, name)):
            write_table(table, out.path(path))


def _write_report(results: Results, out: Staging) -> None:
    findings = results.findings
    if findings.destination.with_report:
        logger.info("Making the report")
        target = findings.destination.report(findings.exposures.product)
        out.path(target).write_text(page_of(results.record, target.name), encoding="utf-8")


def _write_figures(results: Results, out: Staging) -> None:
    """Write the plots as files."""
    destination, record = results.findings.destination, results.record
    if destination.figures != "none":
        logger.info("Drawing the figures")
        for name, drawn in figures_of(record, destination.figures).items():
            out.path(destination.figure(record.product, name)).write_bytes(drawn)


def _write_regions(results: Results, out: Staging) -> None:
    if results.findings.destination.with_regions:
        for name, text in regions_of(results.record).items():
            out.path(name).write_text(text, encoding="utf-8")


def _write_association(results: Results, out: Staging) -> None:
    """Write the input's association with its members replaced by the products."""
    target = results.findings.destination.association(results.findings.exposures.product)
    text = association_text(_output_association(results), target)
    out.path(target).write_text(text, encoding="utf-8")


def _write_pipeline_associations(results: Results, out: Staging) -> None:
    """Write associations with which the telescope's pipelines go on, where it has such."""
    folder = results.findings.destination.folder
    written = {key: Path(pair.output.path) for key, pair in results.files.items() if pair.output is not None}
    names = {key: path.name if path.parent == folder else str(path) for key, path in written.items()}
    for name, text in pipeline_associations(results.findings.exposures, names).items():
        out.path(name).write_text(text, encoding="utf-8")


def _output_association(results: Results) -> Association:
    exposures, destination = results.findings.exposures, results.findings.destination
    made = build_association(exposures.exposures, exposures.product, exposures.association)
    by_input = {exposure.source: exposure for exposure in exposures.exposures}
    catalogs = {key: str(destination.catalog(exposures[key])) for key in exposures.catalogs}

    def product(member: Member) -> Member:
        exposure = by_input.get(member.source)
        if exposure is None:
            return member
        output = results.files[exposure.key].output
        return replace(
            member,
            source=file_source(output.path) if output else member.source,
            catalog=catalogs.get(exposure.key, member.catalog),
            governors=_governors(exposures.grism.fits.get(exposure.key), member),
        )

    header = {**made.header, "provenance": destination.provenance(exposures.product).name}
    return replace(made, members=tuple(map(product, made.members)), header=header)


def _governors(fit: ExposureFit | None, member: Member) -> tuple[str, ...]:
    """Those that gave the correction; but not one that stood in for another, which may be mended."""
    return member.governors if fit is None or fit.remarks else fit.governors or member.governors


#: What writes each product beside the exposures and the record, in the order in which they take their names.
PRODUCTS: tuple[Callable[[Results, Staging], None], ...] = (
    _add_mosaics,
    _write_sources,
    _write_reference,
    _write_tables,
    _write_report,
    _write_figures,
    _write_regions,
    _write_pipeline_associations,
    _write_association,
)
