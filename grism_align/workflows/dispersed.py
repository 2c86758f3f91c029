"""Correct a dispersed exposure in memory by a record: its own correction, or that of its direct exposures."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.sources import is_file
from grism_align.io.record.file import record_at
from grism_align.values.errors import InputError
from grism_align.values.exposure import ExposureKind
from grism_align.values.record import EarlierRecord
from grism_align.workflows.load import load
from grism_align.workflows.reapply import plan_reapplication
from grism_align.workflows.restore import restore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grism_align.io.models.open_models import Models
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import ExposureRecord, Record


logger = logging.getLogger(__name__)

_ENDING = "_provenance.asdf"
_NAME_IT = "Name the record in GRISM_ALIGN_RECORD, or give it as an argument"


def record_for(exposure: Exposure, candidates: Iterable[Path]) -> Path:
    """Return the record that knows an exposure, or else direct exposures of its visit.

    Parameters
    ----------
    exposure : Exposure
        A dispersed one.
    candidates : iterable of Path
        Records, and folders that may have some.

    Raises
    ------
    InputError
        If there is none.
    """
    paths = [path for place in candidates for path in _records_in(place)]
    known = {path: record_at(path) for path in paths}
    for path, record in known.items():
        if exposure.key in record.exposures:
            return path
    for path, record in known.items():
        if _direct(record, exposure):
            return path
    names = ", ".join(path.name for path in paths) or "there is none"
    problem = f"no record knows {exposure.key}, or direct exposures of its visit ({names})"
    raise InputError(exposure.source, problem, _NAME_IT)


def _records_in(place: Path) -> list[Path]:
    return sorted(place.glob(f"*{_ENDING}")) if place.is_dir() else [place]


def _direct(record: Record, exposure: Exposure) -> dict[str, ExposureRecord]:
    """Return the direct exposures on record of a visit that have a correction."""
    return {
        key: entry
        for key, entry in record.exposures.items()
        if entry.kind is ExposureKind.DIRECT and entry.visit == exposure.visit and entry.total is not None
    }


def is_known(record: Path, exposure: Exposure) -> bool:
    """Tell whether a record has a dispersed exposure's own correction."""
    return exposure.key in record_at(record).exposures


def with_own_correction(record: Path, models: Models) -> ExposureSet:
    """Return dispersed exposures with the corrections that a record has of them.

    Where assign_wcs gave them another WCS than the one on record, their corrections are carried over to that.

    Parameters
    ----------
    record : Path
        The record.
    models : Models
        The open models.

    Raises
    ------
    InputError
        If a correction can't be carried over.
    """
    plan = plan_reapplication(record, models, rebase=True)
    for key, difference in plan.rebased.items():
        logger.warning("%s: carried over, %s", key, difference)
    return plan.exposures


def with_direct_exposures(record: Path, models: Models) -> ExposureSet:
    """Return dispersed exposures with the direct exposures of their visit, and the corrections of these.

    Parameters
    ----------
    record : Path
        Has the direct exposures, whose files are where they were.
    models : Models
        The open models, of one visit.

    Raises
    ------
    InputError
        If files of direct exposures aren't there, or changed since.
    """
    dispersed = load(models, with_results=False)
    known = record_at(record)
    entries = _direct(known, dispersed.exposures[0])
    files = {key: _file(entry, record) for key, entry in entries.items()}
    missing = [key for key, path in files.items() if path is None]
    if missing:
        problem = f"the file of {missing[0]}, whose correction is wanted, is not where it was"
        raise InputError(record, problem, "Put it beside the record, or back")
    found = load([str(path) for path in files.values()], with_results=False)
    direct = restore(found, EarlierRecord(str(record), known))
    if not direct.relative.fits:
        problem = "the files of its direct exposures are not those on record"
        raise InputError(record, problem, "Put those beside it that were aligned")
    members = (*direct.association.members, *dispersed.association.members)
    return replace(
        direct,
        exposures=(*direct.exposures, *dispersed.exposures),
        association=replace(direct.association, members=members),
    )


def _file(entry: ExposureRecord, record: Path) -> Path | None:
    """Return the file of an exposure as it is on record, as it was read or as it was written."""
    files = [Path(file.path) for file in (entry.input, entry.output) if file is not None]
    places = [*files, *(record.parent / path.name for path in files)]
    return next((path for path in places if path.is_absolute() and is_file(path)), None)
