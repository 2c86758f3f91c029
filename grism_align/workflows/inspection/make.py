"""Picture the exposures of a run for the inspection page, within a limit of bytes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.mosaics.mesh import mesh
from grism_align.algorithms.mosaics.picture import stretched
from grism_align.io.inspection import page_of
from grism_align.io.missions import read_pixels
from grism_align.io.pictures import jpeg
from grism_align.io.report.formatting import utc
from grism_align.values.errors import InputError, SettingsError
from grism_align.values.inspection import ChipPicture, InspectedExposure, Inspection
from grism_align.values.settings import TraceSettings
from grism_align.values.sphere import mean_direction
from grism_align.values.transform import LinearTransform, TangentPlane
from grism_align.workflows.inspection.marks import source_marks, star_marks, used_stars
from grism_align.workflows.inspection.predicted import (
    MOST_TRACES,
    POINTS,
    MatchedSources,
    TraceJob,
    predicted_traces,
)
from grism_align.workflows.traces.places import named_models
from grism_align.workflows.traces.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.inspection import TraceMarks
    from grism_align.values.record import AlignedSources, ExposureRecord, Record


logger = logging.getLogger(__name__)

#: Bytes of a chip's picture below which there would be little to see.
LEAST_PICTURE = 8_000
_MEGABYTE = 1_000_000
# Base64 makes four bytes of three.
_GROWTH = 4 / 3
# Characters of a predicted trace: two numbers a point, twice, and what it is of.
_TRACE_LENGTH = 2 * 2 * 10 * POINTS + 60
_QUALITIES = (85, 70, 55)
# By how much less the last quality takes than the first.
_GAIN = 2.5
# Of larger pictures browsers of phones show nothing.
_MOST_PIXELS = 9_000_000


@dataclass(frozen=True, eq=False)
class _Look:
    """What it takes to picture one exposure, wherever that is done; `most`: bytes of each picture."""

    exposure: Exposure
    traces: TraceJob | None
    plane: TangentPlane
    most: int


@dataclass(frozen=True, eq=False)
class _Seen:
    """JPEG and reduction of each chip by number, and predicted traces."""

    pictures: Mapping[int, tuple[bytes, int]]
    traces: TraceMarks | None


def inspect_results(
    exposures: ExposureSet, executor: Executor, only: Sequence[str] = (), megabytes: float = 25.0
) -> Inspection:
    """Picture exposures whose results are on record.

    Parameters
    ----------
    exposures : ExposureSet
        The products of a run with the record of it, as `load` gives them.
    executor : Executor
        Opens the exposures and pictures them.
    only : sequence of str, optional
        Names, or patterns with wildcards, of those to show; all by default.
    megabytes : float, optional
        Size of the page, at most; pictures are reduced to that.

    Returns
    -------
    Inspection

    Raises
    ------
    SettingsError
        If none is to be shown, or more than the page has room for.
    InputError
        If an exposure is no longer what is on record, or its pixels can't be read.
    """
    shown = _chosen(exposures, only)
    record = _record_of(exposures)
    _require_known(shown, record)
    plane = TangentPlane(*mean_direction([[one.plane.ra, one.plane.dec] for one in shown]))
    page = _without_pictures(exposures, shown, record, plane)
    jobs = _trace_jobs(exposures, [one for one in shown if not one.is_direct], record)
    most = _share(page, len(jobs), megabytes)
    looks = {one.key: _Look(one, jobs.get(one.key), plane, most) for one in shown}
    seen = executor.map(_look, looks, "Picturing")
    return replace(
        page, exposures=tuple(_with(one, found) for one, found in zip(page.exposures, seen, strict=True))
    )


def _chosen(exposures: ExposureSet, only: Sequence[str]) -> list[Exposure]:
    for pattern in only:
        if not any(fnmatchcase(one.key, pattern) for one in exposures.exposures):
            name, allowed = "only", f"no exposure is called so; they are as {exposures.exposures[0].key}"
            raise SettingsError(name, pattern, allowed)
    return [
        one
        for one in exposures.exposures
        if not only or any(fnmatchcase(one.key, pattern) for pattern in only)
    ]


def _record_of(exposures: ExposureSet) -> Record:
    if exposures.record is None:
        problem, remedy = "it names no record of a run", "Give the folder that a run has written"
        raise InputError(exposures.association.origin, problem, remedy)
    return exposures.record.record


def _require_known(shown: Sequence[Exposure], record: Record) -> None:
    """Refuse an exposure whose file is not the one on record: its corrections are of another."""
    from grism_align.io.missions import file_sum

    for one in shown:
        known = record.exposures.get(one.key)
        sums = [file.sha256 for file in (known.input, known.output) if file] if known else []
        if file_sum(one) not in sums:
            problem = "it is not the file on record: it has been changed, or undone, since"
            raise InputError(one.source, problem, "Align again, or choose others with --only")


def _without_pictures(
    exposures: ExposureSet, shown: Sequence[Exposure], record: Record, plane: TangentPlane
) -> Inspection:
    reference = record.reference_catalog
    return Inspection(
        product=record.product,
        created=record.created,
        software=record.software.get("grism_align", ""),
        plane=plane,
        exposures=tuple(_described(exposures, one, record, plane) for one in shown),
        catalog=reference.name if reference else "",
        stars=star_marks(reference, plane) if reference else None,
    )


def _described(
    exposures: ExposureSet, exposure: Exposure, record: Record, plane: TangentPlane
) -> InspectedExposure:
    entry, reference = record.exposures[exposure.key], record.reference_catalog
    total = exposures.fit(exposure.key)
    transform = total.transform or LinearTransform.identity(plane)
    catalog = exposures.catalogs.get(exposure.key)
    return InspectedExposure(
        key=exposure.key,
        kind=exposure.kind.value,
        instrument=exposure.instrument,
        filter=exposure.filter,
        visit=exposure.visit,
        start=utc(exposure.start),
        status=total.status.value,
        remarks=total.reason,
        shift=_in_words(entry),
        before=transform.inverted().at(plane),
        chips=tuple(_chip(chip, transform, plane) for chip in exposure.chips),
        sources=source_marks(exposure, entry, catalog, plane) if exposure.is_direct else None,
        stars=used_stars(exposure.key, entry, reference, plane) if reference else None,
    )


def _in_words(entry: ExposureRecord) -> str:
    there = entry.displacement
    if there is None:
        return ""
    east, north = there.shift
    return f"{east:+.1f} mas east, {north:+.1f} mas north, roll {there.roll:+.5f} deg"


def _chip(chip: Chip, transform: LinearTransform, plane: TangentPlane) -> ChipPicture:
    def to_plane(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return plane.to_plane(transform.apply_to_sky(chip.wcs.to_sky(xy)))

    ny, nx = chip.shape
    return ChipPicture(chip.number, chip.shape, mesh(to_plane, (nx, ny)))


def _trace_jobs(exposures: ExposureSet, grisms: Sequence[Exposure], record: Record) -> dict[str, TraceJob]:
    """Return what predicts the traces of the grism exposures that have a correction."""
    survey = _survey(exposures, record)
    jobs = {}
    for one in grisms:
        fit = exposures.grism.fits.get(one.key)
        if fit is None or fit.transform is None or record.aligned_sources is None:
            continue
        sources = _matched(record.aligned_sources, fit.frame)
        named = named_models(survey, [one])
        models = {chip: model for chip, model in named.items() if model is not None}
        view = survey.job(one, models)
        jobs[one.key] = TraceJob(sources, fit.transform, view.band, models, view)
    return jobs


def _survey(exposures: ExposureSet, record: Record) -> Survey:
    """Return the survey of a run's spectra, with its configurations if these are still there."""
    step = record.activity("grism_wcs_propagate")
    named = tuple(step.settings.get("trace_config") or ()) if step else ()
    try:
        return Survey.of(exposures, exposures.grism, TraceSettings(trace_config=named))
    except InputError as error:
        logger.warning("%s Traces are drawn where they are known without it", error)
        return Survey.of(exposures, exposures.grism, TraceSettings())


def _matched(aligned: AlignedSources, frame: int) -> MatchedSources:
    rows = np.flatnonzero(aligned.frame == frame)
    rows = rows[np.argsort(aligned.mag[rows], kind="stable")]
    number = [int(name.rsplit("-", 1)[-1]) for name in aligned.identifier[rows].tolist()]
    sky = np.column_stack([aligned.ra, aligned.dec])[rows]
    return MatchedSources(np.array(number, dtype=np.int64), sky, np.asarray(aligned.mag[rows]))


def _share(page: Inspection, n_grisms: int, megabytes: float) -> int:
    """Return how many bytes the picture of each chip may have."""
    n_chips = sum(len(one.chips) for one in page.exposures)
    taken = len(page_of(page).encode()) + n_grisms * MOST_TRACES * _TRACE_LENGTH
    most = int((megabytes * _MEGABYTE - taken) / n_chips / _GROWTH) - 8
    if most < LEAST_PICTURE:
        needed = np.ceil(100 * (taken + n_chips * (LEAST_PICTURE + 9) * _GROWTH) / _MEGABYTE) / 100
        name = "megabytes"
        allowed = (
            f"{len(page.exposures)} exposures need at least {needed:.2f}; allow these, or choose fewer "
            "exposures with --only"
        )
        raise SettingsError(name, megabytes, allowed)
    return most


def _look(look: _Look) -> _Seen:
    """Picture one exposure, chip by chip, and predict its traces."""
    pictures = {chip.number: _picture(pixels.sci, look.most) for chip, pixels in read_pixels(look.exposure)}
    traces = None if look.traces is None else predicted_traces(look.exposure, look.traces, look.plane)
    return _Seen(pictures, traces)


def _picture(image: NDArray[np.floating], most: int) -> tuple[bytes, int]:
    """Return an image as JPEG of so many bytes at most, and by how much its sides are reduced."""
    reduced = int(np.ceil(np.sqrt(image.size / _MOST_PIXELS)))
    while True:
        shades = stretched(_binned(image, reduced))
        for quality in _QUALITIES:
            made = jpeg(shades, quality)
            if len(made) <= most:
                return made, reduced
            if len(made) > _GAIN * most:
                break
        reduced += 1


def _binned(image: NDArray[np.floating], side: int) -> NDArray[np.float32]:
    """Return the means of squares of pixels; of what is known in each, NaN where nothing is."""
    if side == 1:
        return image.astype(np.float32)
    ny, nx = (size // side for size in image.shape)
    blocks = image[: ny * side, : nx * side].astype(np.float32).reshape(ny, side, nx, side)
    known = np.isfinite(blocks)
    n = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0).sum(axis=(1, 3))
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.nan), dtype=np.float32)


def _with(one: InspectedExposure, seen: _Seen) -> InspectedExposure:
    chips = tuple(
        replace(chip, jpeg=picture, reduced=reduced)
        for chip in one.chips
        for picture, reduced in [seen.pictures[chip.number]]
    )
    return replace(one, chips=chips, traces=seen.traces)
