"""Write each exposure with its correction, its headerlet and its catalog."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.catalogs.sources import write_source_catalog
from grism_align.io.files.sources import file_of
from grism_align.io.missions import file_sum, flag_cosmic_rays, solution_name, write_exposure
from grism_align.values.errors import OutputError
from grism_align.values.mission import HeaderletWanted, WcsLabel
from grism_align.values.record import CHOICE, FilePair, FileRecord
from grism_align.workflows.results.detections import with_sky

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from grism_align.io.files.staging import Staging
    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.mosaic import ChipMask
    from grism_align.values.solution import ExposureFit
    from grism_align.workflows.results.destination import Destination


@dataclass(frozen=True, eq=False)
class _Correction:
    """What becomes of an exposure that was fitted.

    Parameters
    ----------
    fit : ExposureFit
        Its total correction.
    label : WcsLabel
        What the headers say of it.
    path : Path
        Where to write the exposure.
    headerlet : HeaderletWanted
        Where its headerlet goes.
    cosmic_rays : mapping of int to ChipMask
        Pixels that are flagged as hit, and only those, by chip; empty where flags stay as they are.
    """

    fit: ExposureFit
    label: WcsLabel
    path: Path
    headerlet: HeaderletWanted
    cosmic_rays: Mapping[int, ChipMask]


@dataclass(frozen=True, eq=False)
class _Job:
    """What it takes to write what there is of one exposure, wherever that is done.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    correction : _Correction or None
        None where no step has fitted it.
    catalog : SourceCatalog or None
        Its sources.
    catalog_paths : tuple of Path
        Where these go; the ending of each tells the form.
    """

    exposure: Exposure
    correction: _Correction | None
    catalog: SourceCatalog | None
    catalog_paths: tuple[Path, ...]

    @property
    def label(self) -> str:
        """What is done, as progress tells it."""
        if self.correction is not None:
            return "Writing"
        return "Taking the checksum of" if self.catalog is None else "Writing the sources of"


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
    OutputError
        If one that another machine wrote is not here.
    OSError
        If one can't be written.
    """
    labels = labels_of(exposures)

    def job(exposure: Exposure) -> _Job:
        fit, catalog = exposures.fit(exposure.key), exposures.catalogs.get(exposure.key)
        correction = None
        if fit.is_fitted:
            path, wanted = out.path(destination.exposure(exposure)), destination.headerlet(exposure)
            file = None if wanted.file is None else out.path(Path(wanted.file))
            flags = exposures.cosmic_rays.get(exposure.key, {})
            headerlet = HeaderletWanted(file, wanted.attach)
            correction = _Correction(fit, labels(exposure, fit), path, headerlet, flags)
        paths = () if catalog is None else destination.forms(destination.catalog(exposure))
        return _Job(exposure, correction, catalog, tuple(map(out.path, paths)))

    jobs = {exposure.key: job(exposure) for exposure in exposures.exposures}
    written: dict[str, tuple[str, str | None]] = {}
    for label in dict.fromkeys(job.label for job in jobs.values()):
        alike = {key: job for key, job in jobs.items() if job.label == label}
        written.update(zip(alike, executor.map(_write, alike, label), strict=True))
    _check_written(jobs.values(), out)
    return {
        exposure.key: _files(exposure, destination, written[exposure.key]) for exposure in exposures.exposures
    }


def _check_written(jobs: Iterable[_Job], out: Staging) -> None:
    """Refuse to go on where workers on other machines have written to a folder of theirs."""
    for job in jobs:
        paths = (*((job.correction.path,) if job.correction else ()), *job.catalog_paths)
        for path in paths:
            if not path.exists():
                problem = "it was written by a worker, and is not here"
                remedy = "Workers on other machines must see the folder of the results under the same name"
                raise OutputError(out.folder / path.name, problem, remedy)


def _write(job: _Job) -> tuple[str, str | None]:
    """Write; return SHA-256 of the file that was read, and of the one that was written, if one was."""
    if job.catalog is not None:
        on_sky = with_sky(job.catalog, job.exposure, job.correction.fit if job.correction else None)
        for path in job.catalog_paths:
            write_source_catalog(on_sky, path)
    done = job.correction
    if done is None:
        return file_sum(job.exposure), None
    digests = write_exposure(job.exposure, done.fit, done.path, done.label, done.headerlet)
    if not done.cosmic_rays:
        return digests.input, digests.output
    return digests.input, flag_cosmic_rays(job.exposure, done.path, done.cosmic_rays)


def _files(exposure: Exposure, destination: Destination, sums: tuple[str, str | None]) -> FilePair:
    before, after = sums
    target = destination.exposure(exposure)
    output = None if after is None else FileRecord(str(target), after)
    path = file_of(exposure.source)
    return FilePair(FileRecord(exposure.source.name if path is None else str(path), before), output)


def labels_of(exposures: ExposureSet) -> Callable[[Exposure, ExposureFit], WcsLabel]:
    """Return what headers say of a fit: one name in all exposures of a mission tied to one catalog."""
    absolute = exposures.absolute
    taken = {name for exposure in exposures.exposures for name in exposure.taken_names}
    is_tied = any(fit.is_aligned for fit in absolute.fits.values())
    by_exposure = _is_by_exposure(exposures)
    chosen = [one.settings["solution"] for one in exposures.activities if one.step == CHOICE]

    def label(exposure: Exposure, fit: ExposureFit) -> WcsLabel:
        if chosen:
            return WcsLabel("NONE", chosen[-1], 0, fit.rms_axes, "none")
        has_catalog = is_tied and fit.reference == absolute.reference
        catalog = absolute.reference if has_catalog else "NONE"
        name = solution_name(exposure, catalog, taken, by_exposure=has_catalog and by_exposure)
        return WcsLabel(catalog, name, fit.n_used, fit.rms_axes, fit.geometry or "none")

    return label


def _is_by_exposure(exposures: ExposureSet) -> bool:
    """Whether each exposure was fitted to the catalog on its own."""
    done = [one.settings for one in exposures.activities if one.step == "absolute_align"]
    return bool(done) and done[-1].get("solve") == "exposure"
