"""The record of what was found: exposures, fits, sources and catalogs."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.epoch import errors_at, positions_at
from grism_align.algorithms.absolute.source_list import frame_numbers
from grism_align.values.record import (
    AlignedSources,
    ExposureRecord,
    InputWCS,
    Record,
    ReferencePositions,
    ReferenceRecord,
    References,
    ReferenceSources,
)
from grism_align.workflows.results.detections import detections_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import FilePair, StarStamps


_PACKAGES = ("grism_align", "numpy", "astropy", "asdf", "stpipe")


def make_record(
    exposures: ExposureSet,
    files: Mapping[str, FilePair],
    aligned: AlignedSources | None = None,
    reference: ReferenceRecord | None = None,
    stamps: StarStamps | None = None,
) -> Record:
    """Put a set of exposures on record.

    Parameters
    ----------
    exposures : ExposureSet
        The exposures as they were read (`Exposure.applied` is what the input file's WCS had), with the
        solutions found.
    files : mapping of str to FilePair
        The files of every exposure, by key.
    aligned : AlignedSources, optional
        The sources of the solution.
    reference : ReferenceRecord, optional
        The reference catalog.
    stamps : StarStamps, optional
        Stars before and after.
    """
    return Record(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        software={"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        product=exposures.product,
        parameter_file=exposures.parameter_file,
        association=Path(exposures.association.origin).name,
        activities=exposures.activities,
        references=References(
            exposures.relative.reference, exposures.absolute.reference, exposures.grism.reference
        ),
        sources=exposures.sources,
        aligned_sources=aligned,
        reference_catalog=reference,
        stamps=stamps,
        mosaics=exposures.mosaics,
        left_out=exposures.left_out,
        exposures={e.key: _exposure_record(exposures, e, files[e.key]) for e in exposures.exposures},
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _exposure_record(exposures: ExposureSet, exposure: Exposure, files: FilePair) -> ExposureRecord:
    return ExposureRecord(
        kind=exposure.kind,
        instrument=exposure.instrument,
        filter=exposure.filter,
        program=exposure.program,
        visit=exposure.visit,
        target=exposure.target,
        group=exposure.group,
        pointing=exposure.pointing,
        guide_star=exposure.guide_star,
        wcs_solution=exposure.wcs_solution,
        input_wcs=InputWCS.of(exposure),
        plane=exposure.plane,
        start=exposure.start,
        end=exposure.end,
        exposure_time=exposure.exposure_time,
        tracking=exposure.tracking,
        input=files.input,
        output=files.output,
        applied=exposure.applied,
        relative=exposures.relative.fits.get(exposure.key),
        absolute=exposures.absolute.fits.get(exposure.key),
        grism=exposures.grism.fits.get(exposure.key),
        spectra=exposures.spectra.get(exposure.key),
        traces=exposures.traces.get(exposure.key),
        detections=detections_of(exposures, exposure),
    )


def aligned_sources(catalog: ReferenceCatalog | None, file: str | None) -> AlignedSources | None:
    """Put the sources of a solution in the final frame on record.

    Parameters
    ----------
    catalog : ReferenceCatalog or None
        As `solved_sources` gives it.
    file : str or None
        Name of the file beside the record that has them too.
    """
    if catalog is None:
        return None
    covariance = catalog.covariance[:, 0, 1]
    return AlignedSources(
        name=catalog.name,
        file=file,
        identifier=catalog.identifier,
        frame=frame_numbers(catalog),
        ra=catalog.sky[:, 0],
        dec=catalog.sky[:, 1],
        ra_error=catalog.error[:, 0],
        dec_error=catalog.error[:, 1],
        ra_dec_corr=covariance / np.where(covariance == 0, 1.0, catalog.error.prod(axis=1)),
        epoch=catalog.epoch,
        mag=catalog.mag,
    )


def reference_record(exposures: ExposureSet, catalog: ReferenceCatalog, file: str | None) -> ReferenceRecord:
    """Put a reference catalog as used on record, and where its sources were at the time of each exposure.

    Parameters
    ----------
    exposures : ExposureSet
        With the absolute solution.
    catalog : ReferenceCatalog
        The catalog.
    file : str or None
        Name of the file beside the record that has the catalog as used.
    """
    epoch = _mean_epoch(exposures)
    sky = positions_at(catalog, epoch)
    return ReferenceRecord(
        name=catalog.name,
        origin=catalog.origin,
        n=len(catalog),
        sha256=catalog.sha256 or None,
        file=file,
        mean_epoch=epoch,
        sources=ReferenceSources(
            identifier=catalog.identifier,
            ra=sky[:, 0],
            dec=sky[:, 1],
            error=errors_at(catalog, epoch),
            epoch=catalog.epoch,
            mag=catalog.mag,
            n_fits=_times_used(exposures, catalog),
        ),
        exposures=_positions_by_exposure(exposures, catalog),
    )


def _mean_epoch(exposures: ExposureSet) -> float:
    """Mean Julian year of the exposures that are tied to the catalog, or else of all direct ones."""
    fits = exposures.absolute.fits
    tied = [e for e in exposures.direct if e.key in fits and fits[e.key].is_aligned]
    return float(np.mean([e.epoch for e in tied or exposures.direct]))


def _times_used(exposures: ExposureSet, catalog: ReferenceCatalog) -> NDArray[np.int64]:
    """In how many exposures' fits each source of the catalog had weight, (N,)."""
    residuals = [fit.residuals for fit in exposures.absolute.fits.values() if fit.residuals is not None]
    used = [np.unique(one.matched[one.weight > 0].astype(str)) for one in residuals]
    found, count = np.unique(np.concatenate([np.zeros(0, dtype=str), *used]), return_counts=True)
    times = dict(zip(found.tolist(), count.tolist(), strict=True))
    return np.array([times.get(name, 0) for name in catalog.identifier.astype(str).tolist()], dtype=np.int64)


def _positions_by_exposure(
    exposures: ExposureSet, catalog: ReferenceCatalog
) -> dict[str, ReferencePositions]:
    """Where each exposure should see the sources of its fit, in the order of its residuals."""
    names = catalog.identifier.astype(str).tolist()
    row_of = {name: row for row, name in reversed(list(enumerate(names)))}
    found = {}
    for exposure in exposures.direct:
        fit = exposures.absolute.fits.get(exposure.key)
        if fit is None or fit.residuals is None:
            continue
        year = exposure.epoch
        rows = np.array(
            [row_of.get(n, -1) for n in fit.residuals.matched.astype(str).tolist()], dtype=np.int64
        )
        position = np.full((len(rows), 2), np.nan)
        position[rows >= 0] = positions_at(catalog[rows[rows >= 0]], year)
        found[exposure.key] = ReferencePositions(year, position)
    return found
