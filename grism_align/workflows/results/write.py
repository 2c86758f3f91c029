"""Write what was found: exposures with new WCSs, catalogs, the association and the provenance.

All are on disk before the first takes its name, and exposures take theirs last. So a full disk, an error or a
kill leaves everything as it was, or, within the instant in which names change, a record that knows each
exposure both as it was and as it will be.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.absolute.source_list import frame_numbers, solved_sources
from grism_align.io.associations import build_association, write_association
from grism_align.io.catalogs.reference import write_reference_catalog
from grism_align.io.catalogs.sources import write_source_catalog
from grism_align.io.files.sources import file_source, path_of
from grism_align.io.files.staging import all_or_nothing, atomic_path, remove_leftovers, what_changed
from grism_align.io.missions import WcsLabel, solution_name, write_exposure
from grism_align.io.missions.hst.flags import flag_rays
from grism_align.io.record.file import Companions, FilePair, FileRecord, read_provenance, write_provenance
from grism_align.values.errors import OutputError
from grism_align.workflows.mosaics.make import MosaicOutcome, write_mosaics
from grism_align.workflows.results.optional_products import pictures_of, write_page, write_region_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from grism_align.values.association import Association, Member
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.solution import ExposureFit
    from grism_align.workflows.results.destination import Destination

    Progress = Callable[[Iterable[Exposure], str], Iterable[Exposure]]

from grism_align.workflows.results.checks import catalogs_read, keep_catalogs

__all__ = ["write_results"]


logger = logging.getLogger(__name__)


def write_results(exposures: ExposureSet, destination: Destination, progress: Progress) -> None:
    """Write every product of a set of exposures: all of them, or none.

    Exposures that no step has fitted yet are not written; the association points to their inputs.

    Parameters
    ----------
    exposures : ExposureSet
        What was found.
    destination : Destination
        Where to.
    progress : callable
        Wraps the loop over the exposures.

    Raises
    ------
    GrismAlignError
        If a file can't be read or written.
    """
    keep_catalogs(exposures, destination, catalogs_read(exposures))
    targets = {destination.exposure(exposure) for exposure in exposures.exposures}
    try:
        destination.folder.mkdir(parents=True, exist_ok=True)
        for path in remove_leftovers({destination.folder, *(target.parent for target in targets)}):
            logger.info("Removed %s, which a run that was killed left", path)
        with all_or_nothing(last=targets):
            reference_file = _write_all(exposures, destination, progress)
        if reference_file is None:
            _remove_stale(destination.reference(exposures.product), "reference catalog")
        if not destination.with_report:
            _remove_stale(destination.report(exposures.product), "report")
    except OSError as error:
        remedy = f"Free space or give another output_dir; {what_changed(error)}"
        raise OutputError(
            error.filename or destination.folder, f"can't be written ({error})", remedy
        ) from error


def _remove_stale(path: Path, what: str) -> None:
    """Remove a product of an earlier run that this one does not have."""
    if path.is_file():
        path.unlink()
        logger.info("Removed %s, the %s of an earlier run; this one has none", path, what)


def _write_all(exposures: ExposureSet, destination: Destination, progress: Progress) -> str | None:
    """Write everything; the name of the file of the reference catalog as used, None where there is none."""
    made = write_mosaics(exposures, destination.folder, progress)
    exposures, labels = made.exposures, _labels(exposures)
    files = {
        exposure.key: _flagged(
            _write_one(exposure, exposures.fit(exposure.key), labels, destination), made, exposure
        )
        for exposure in progress(exposures.exposures, "Writing")
    }
    for key, catalog in exposures.catalogs.items():
        write_source_catalog(catalog, destination.catalog(exposures[key]))
    companions = replace(_write_companions(exposures, destination), mosaics=made.products)
    record = write_provenance(destination.provenance(exposures.product), exposures, files, companions)
    if destination.with_report:
        write_page(record, destination.report(exposures.product))
    if destination.with_regions:
        write_region_files(record, destination.folder)
    association = _output_association(exposures, files, destination)
    write_association(association, destination.association(exposures.product))
    return companions.reference_file


def _write_one(
    exposure: Exposure,
    fit: ExposureFit | None,
    labels: Callable[[ExposureFit], WcsLabel],
    destination: Destination,
) -> FilePair:
    if fit is None:
        return FilePair(FileRecord.of(path_of(exposure.source)), None)
    target = destination.exposure(exposure)
    digests = write_exposure(exposure, fit, target, labels(fit), destination.headerlet(exposure))
    return FilePair(FileRecord(str(exposure.source), digests.input), FileRecord(str(target), digests.output))


def _flagged(files: FilePair, made: MosaicOutcome, exposure: Exposure) -> FilePair:
    """The files of an exposure once the rays that mosaics found, and only those, are flagged."""
    rays = made.rays.get(exposure.key, {})
    if files.output is None or not rays:
        return files
    return replace(files, output=replace(files.output, sha256=flag_rays(Path(files.output.path), rays)))


def _labels(exposures: ExposureSet) -> Callable[[ExposureFit], WcsLabel]:
    """What headers say of a fit: the same solution name in all exposures tied to one catalog."""
    absolute = exposures.absolute
    taken = {name for exposure in exposures.exposures for name in exposure.taken_names}
    is_tied = any(fit.is_aligned for fit in absolute.fits.values())
    names = {"NONE": solution_name("NONE", taken)}
    if absolute.reference:
        by_exposure = _is_by_exposure(exposures)
        names[absolute.reference] = solution_name(absolute.reference, taken, by_exposure=by_exposure)

    def label(fit: ExposureFit) -> WcsLabel:
        catalog = absolute.reference if is_tied and fit.reference == absolute.reference else "NONE"
        return WcsLabel(catalog, names[catalog], fit.n_used, _rms_of(fit), fit.geometry or "none")

    return label


def _is_by_exposure(exposures: ExposureSet) -> bool:
    """Whether each exposure was fitted to the catalog on its own."""
    done = [one.settings for one in exposures.activities if one.step == "absolute_align"]
    return bool(done) and done[-1].get("solve") == "exposure"


def _rms_of(fit: ExposureFit) -> tuple[float, float]:
    """By axis; the same for both where only that is on record."""
    known = all(np.isfinite(value) for value in fit.rms_axes)
    return fit.rms_axes if known else (fit.rms, fit.rms)


def _governors(fit: ExposureFit | None, member: Member) -> tuple[str, ...]:
    """Those that gave the correction; but not one that stood in for another, which may be mended."""
    return member.governors if fit is None or fit.reason or not fit.governed_by else fit.governed_by


def _write_companions(exposures: ExposureSet, destination: Destination) -> Companions:
    """The catalogs beside the record: the solution's sources, and the reference catalog as used."""
    sources, target = solved_sources(exposures), destination.sources(exposures.product)
    if sources is not None:
        write_reference_catalog(sources, target, _about(exposures, sources))
    earlier = _earlier_record(exposures)
    return Companions(
        aligned=sources,
        aligned_file=target.name,
        reference_file=_write_reference(exposures, destination, earlier),
        earlier_reference=earlier and earlier[1],
        stamps=pictures_of(exposures, sources) if destination.with_report else None,
    )


def _about(exposures: ExposureSet, sources: ReferenceCatalog) -> dict[str, list[int] | list[str]]:
    """What whoever aligns to the sources of a solution is to know."""
    absolute = exposures.absolute.fits
    frame_of = {key: fit.frame for key, fit in exposures.relative.fits.items() if fit.is_aligned}
    tied = {frame for key, frame in frame_of.items() if key in absolute and absolute[key].is_aligned}
    return {
        "frames": sorted(set(frame_numbers(sources).tolist())),
        "tied_frames": sorted(tied),
        "exposures": sorted(exposure.key for exposure in exposures.direct),
    }


def _write_reference(
    exposures: ExposureSet, destination: Destination, earlier: tuple[Path, Mapping[str, Any]] | None
) -> str | None:
    """Write the reference catalog as used, or bring it from beside the earlier record; the file's name."""
    target = destination.reference(exposures.product)
    if exposures.reference_catalog is not None:
        write_reference_catalog(exposures.reference_catalog, target)
        return target.name
    if earlier is None or not earlier[1].get("file"):
        return None
    source = earlier[0].parent / Path(earlier[1]["file"]).name
    if not source.is_file():
        logger.warning(
            "%s: the reference catalog as used is no longer beside the record %s", source, earlier[0]
        )
        return None
    if source.resolve() != target.resolve():
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    return target.name


def _earlier_record(exposures: ExposureSet) -> tuple[Path, Mapping[str, Any]] | None:
    """The record of an earlier run that used a reference catalog of which this one only knows the fits.

    Its path, and what it has of that catalog.
    """
    name, origin = exposures.association.header.get("provenance"), exposures.association.origin
    if exposures.reference_catalog is not None or not exposures.absolute.fits:
        return None
    if not isinstance(name, str) or not origin:
        return None
    path = Path(origin).parent / name
    entry: Mapping[str, Any] | None = read_provenance(path).get("reference_catalog")
    return None if entry is None else (path, entry)


def _output_association(
    exposures: ExposureSet, files: dict[str, FilePair], destination: Destination
) -> Association:
    """The input's association with its members replaced by the products."""
    made = build_association(exposures.exposures, exposures.product, exposures.association)
    by_input = {exposure.source: exposure for exposure in exposures.exposures}
    catalogs = {key: str(destination.catalog(exposures[key])) for key in exposures.catalogs}

    def product(member: Member) -> Member:
        exposure = by_input.get(member.source)
        if exposure is None:
            return member
        output = files[exposure.key].output
        fit = exposures.grism.fits.get(exposure.key)
        return replace(
            member,
            source=file_source(output.path) if output else member.source,
            catalog=catalogs.get(exposure.key, member.catalog),
            governors=_governors(fit, member),
        )

    header = {**made.header, "provenance": destination.provenance(exposures.product).name}
    return replace(made, members=tuple(map(product, made.members)), header=header)
