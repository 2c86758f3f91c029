"""Write each exposure with its correction, its headerlet and its catalog."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.catalogs.sources import write_source_catalog
from grism_align.io.files.checksums import sha256_of
from grism_align.io.files.sources import path_of
from grism_align.io.missions import flag_cosmic_rays, solution_name, write_exposure
from grism_align.values.mission import HeaderletWanted, WcsLabel
from grism_align.values.record import FilePair, FileRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from grism_align.io.files.staging import Staging
    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.mosaic import ChipMask
    from grism_align.values.solution import ExposureFit
    from grism_align.workflows.results.destination import Destination

__all__ = ["write_exposures"]


@dataclass(frozen=True, eq=False)
class _Job:
    """What it takes to write one exposure, wherever that is done.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    fit : ExposureFit or None
        Its total correction; without a fit nothing is written.
    label : WcsLabel or None
        What the headers say of the fit.
    path : Path
        Where to write.
    headerlet : HeaderletWanted
        Where its headerlet goes.
    catalog : SourceCatalog or None
        Its sources.
    catalog_path : Path
        Where these go.
    cosmic_rays : mapping of int to ChipMask
        Pixels that are flagged as hit, and only those, by chip; empty where flags stay as they are.
    """

    exposure: Exposure
    fit: ExposureFit | None
    label: WcsLabel | None
    path: Path
    headerlet: HeaderletWanted
    catalog: SourceCatalog | None
    catalog_path: Path
    cosmic_rays: Mapping[int, ChipMask] = field(default_factory=dict)


def write_exposures(
    exposures: ExposureSet, destination: Destination, out: Staging, executor: Executor
) -> dict[str, FilePair]:
    """Write the exposures that were fitted, and the catalogs of all that were measured.

    Parameters
    ----------
    exposures : ExposureSet
        With the solutions found.
    destination : Destination
        Where they go.
    out : Staging
        Holds the files until all products are written.
    executor : Executor
        Writes them.

    Returns
    -------
    dict of str to FilePair
        What was read and what will be there, of every exposure, by key.

    Raises
    ------
    InputError
        If one can't be read.
    OSError
        If one can't be written.
    """
    labels = _labels(exposures)
    jobs = {
        exposure.key: _job(exposures, exposure, destination, out, labels) for exposure in exposures.exposures
    }
    written = executor.map(_write, jobs, "Writing")
    return {
        exposure.key: _files(exposure, destination, sums)
        for exposure, sums in zip(exposures.exposures, written, strict=True)
    }


def _job(
    exposures: ExposureSet,
    exposure: Exposure,
    destination: Destination,
    out: Staging,
    labels: Callable[[Exposure, ExposureFit], WcsLabel],
) -> _Job:
    fit, wanted = exposures.fit(exposure.key), destination.headerlet(exposure)
    file = None if wanted.file is None else out.path(Path(wanted.file))
    return _Job(
        exposure,
        fit,
        None if fit is None else labels(exposure, fit),
        out.path(destination.exposure(exposure)),
        HeaderletWanted(file, wanted.attach),
        exposures.catalogs.get(exposure.key),
        out.path(destination.catalog(exposure)),
        exposures.cosmic_rays.get(exposure.key, {}),
    )


def _write(job: _Job) -> tuple[str, str | None]:
    """SHA-256 of the file that was read, and of the one that was written, if one was."""
    if job.catalog is not None:
        write_source_catalog(job.catalog, job.catalog_path)
    if job.fit is None or job.label is None:
        return sha256_of(path_of(job.exposure.source)), None
    digests = write_exposure(job.exposure, job.fit, job.path, job.label, job.headerlet)
    if not job.cosmic_rays:
        return digests.input, digests.output
    return digests.input, flag_cosmic_rays(job.exposure, job.path, job.cosmic_rays)


def _files(exposure: Exposure, destination: Destination, sums: tuple[str, str | None]) -> FilePair:
    before, after = sums
    target = destination.exposure(exposure)
    output = None if after is None else FileRecord(str(target), after)
    return FilePair(FileRecord(str(exposure.source), before), output)


def _labels(exposures: ExposureSet) -> Callable[[Exposure, ExposureFit], WcsLabel]:
    """Return what headers say of a fit: one name in all exposures of a mission tied to one catalog."""
    absolute = exposures.absolute
    taken = {name for exposure in exposures.exposures for name in exposure.taken_names}
    is_tied = any(fit.is_aligned for fit in absolute.fits.values())
    by_exposure = _is_by_exposure(exposures)

    def label(exposure: Exposure, fit: ExposureFit) -> WcsLabel:
        has_catalog = is_tied and fit.reference == absolute.reference
        catalog = absolute.reference if has_catalog else "NONE"
        name = solution_name(exposure, catalog, taken, by_exposure=has_catalog and by_exposure)
        return WcsLabel(catalog, name, fit.n_used, fit.rms_axes, fit.geometry or "none")

    return label


def _is_by_exposure(exposures: ExposureSet) -> bool:
    """Whether each exposure was fitted to the catalog on its own."""
    done = [one.settings for one in exposures.activities if one.step == "absolute_align"]
    return bool(done) and done[-1].get("solve") == "exposure"
