"""Put back what is on record, so that a step continues where the one before it stopped."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.files.checksums import sha256_of
from grism_align.io.files.sources import path_of
from grism_align.io.record.fields import STEPS
from grism_align.values.catalog import CatalogAttempt
from grism_align.values.failure import remark_from
from grism_align.values.field import Activity, ExposureSet, SkySource
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Governed, Residuals
from grism_align.values.trace import TraceCheck
from grism_align.values.transform import LinearTransform, TangentPlane

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.values.exposure import Exposure

__all__ = ["restore"]

_FIT_VALUES = (
    "reference",
    "frame",
    "n_matched",
    "n_used",
    "rms",
    "false_match_probability",
    "geometry",
    "given_by",
)
# Not in the first records.
_LATER_FIT_VALUES = ("reduced_chi2", "leverage", "includes_earlier")

logger = logging.getLogger(__name__)


def restore(exposures: ExposureSet, tree: Mapping[str, Any]) -> ExposureSet:
    """Put back what is on record, so that a step continues where the one before it stopped.

    An exposure whose file is the one on record as input has its fits again. So has one whose file is
    the output on record; the correction that this has becomes `Exposure.applied` and is taken off the
    WCSs of its chips, which so are those before any correction. An exposure that isn't on record, or
    whose file has changed since, stays as it is, without fits.

    Parameters
    ----------
    exposures : ExposureSet
        As just read from files.
    tree : mapping
        What `read_provenance` gave.

    Returns
    -------
    ExposureSet
        A new one, without the reference catalog itself: the record has only its name.
    """
    records = tree["exposures"]
    restored = {e.key: _restored(e, records.get(e.key)) for e in exposures.exposures}
    known = [key for key, exposure in restored.items() if exposure is not None]
    if not known:
        return exposures
    relative, absolute, grism = (_solution(tree, step, known) for step in STEPS)
    traces = {key: TraceCheck(**found) for key in known if (found := records[key].get("traces"))}
    sources = _sources(tree["sources"])
    return replace(
        exposures,
        exposures=tuple(restored[e.key] or e for e in exposures.exposures),
        sources=sources,
        relative=_numbered_through(relative, sources),
        absolute=absolute,
        grism=grism,
        traces=traces,
        activities=tuple(map(_activity, tree["activities"])),
        parameter_file=tree["parameter_file"],
    )


def _activity(entry: Mapping[str, Any]) -> Activity:
    # The first records have no attempts.
    attempts = tuple(CatalogAttempt(**attempt) for attempt in entry.get("attempts", ()))
    return Activity(**{**entry, "attempts": attempts})


def _restored(exposure: Exposure, record: Mapping[str, Any] | None) -> Exposure | None:
    """The exposure as its record has it, None where its file isn't on record."""
    if record is None:
        logger.warning("%s: not on record; taken as never aligned", exposure.source)
        return None
    path = path_of(exposure.source)
    checksum = sha256_of(path) if path.is_file() else None
    output, applied = record["output"], record["applied"]
    if checksum != record["input"]["sha256"]:
        if not output or checksum != output["sha256"] or Path(output["path"]).name != exposure.source.name:
            logger.warning("%s: not the file on record; taken as never aligned", exposure.source)
            return None
        total = record["total"]
        applied = (total and total["transform"]) or applied
    restored = _without(exposure, _transform(applied))
    # the headers name the solution that was written, the chips are back at the one before
    return replace(restored, wcs_solution=record["wcs_solution"])


def _without(exposure: Exposure, applied: LinearTransform | None) -> Exposure:
    """The exposure with `applied` on record and taken off its chips' WCSs."""
    # a reader that knows the correction itself, from the file's headers, has taken it off
    if applied is None or exposure.applied is not None:
        return exposure
    undo = applied.inverted()
    chips = tuple(replace(chip, wcs=chip.wcs.corrected(undo)) for chip in exposure.chips)
    return replace(exposure, chips=chips, applied=applied)


def _solution(tree: Mapping[str, Any], step: str, keys: Sequence[str]) -> AlignmentSolution:
    entries = {key: tree["exposures"][key][step] for key in keys}
    fits = {key: _fit(entry) for key, entry in entries.items() if entry is not None}
    return AlignmentSolution(fits, tree["solutions"][step]["reference"])


def _fit(entry: Mapping[str, Any]) -> ExposureFit:
    residuals = entry.get("residuals")
    return ExposureFit(
        status=FitStatus(entry["status"]),
        transform=_transform(entry["transform"]),
        residuals=residuals and _residuals(residuals),
        rms_axes=tuple(entry.get("rms_axes", ExposureFit.rms_axes)),
        remarks=tuple(map(remark_from, entry["remarks"])),
        governed=_governed(entry["governed"]),
        **{name: entry[name] for name in _FIT_VALUES},
        **{name: entry[name] for name in _LATER_FIT_VALUES if name in entry},
    )


def _governed(entry: Mapping[str, Any] | None) -> Governed | None:
    if entry is None:
        return None
    given: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    return Governed(**given)


def _numbered_through(relative: AlignmentSolution, sources: Sequence[SkySource]) -> AlignmentSolution:
    """The fits with matches numbered as the sources are; the first records count in each frame from zero."""
    first: dict[int, int] = {}
    for source in sources:
        first[source.frame] = min(source.number, first.get(source.frame, source.number))
    fits = {key: _counted_from(fit, first.get(fit.frame, 0)) for key, fit in relative.fits.items()}
    return replace(relative, fits=fits)


def _counted_from(fit: ExposureFit, first: int) -> ExposureFit:
    if fit.residuals is None or not (np.asarray(fit.residuals.matched, dtype=np.int64) < first).any():
        return fit
    matched = np.asarray(fit.residuals.matched, dtype=np.int64) + first
    return replace(fit, residuals=replace(fit.residuals, matched=matched))


def _transform(entry: Mapping[str, Any] | None) -> LinearTransform | None:
    if entry is None:
        return None
    plane = TangentPlane(entry["plane"]["ra"], entry["plane"]["dec"])
    return LinearTransform(entry["matrix"], entry["shift"], plane, entry["covariance"])


def _sources(columns: Mapping[str, Any]) -> tuple[SkySource, ...]:
    names = [column.name for column in fields(SkySource)]
    rows = zip(*(np.asarray(columns[name]).tolist() for name in names), strict=True)
    return tuple(SkySource(*row) for row in rows)


def _residuals(columns: Mapping[str, Any]) -> Residuals:
    given = {name: np.array(values) for name, values in columns.items()}
    # The first records have no errors.
    return Residuals(**{"error": np.full(len(given["weight"]), np.nan), **given})
