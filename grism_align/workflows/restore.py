"""Put back what is on record, so that a step continues where the one before it stopped."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.algorithms.propagation.input_wcs import input_difference
from grism_align.io.missions import file_sum
from grism_align.values.errors import InputError
from grism_align.values.solution import AlignmentSolution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import EarlierRecord, ExposureRecord
    from grism_align.values.solution import ExposureFit
    from grism_align.values.transform import LinearTransform


# As far as writing and reading a header go, mas.
_SAME_START = 0.01

logger = logging.getLogger(__name__)


def restore(exposures: ExposureSet, earlier: EarlierRecord, *, verify: bool = True) -> ExposureSet:
    """Put back what is on record.

    An exposure whose file is the one on record as input has its fits again. So has one whose file is
    the output on record; the correction that this has becomes `Exposure.applied` and is taken off the
    WCSs of its chips, which so are those before any correction. An exposure that isn't on record, or
    whose file has changed since, stays as it is, without fits. So do all where the record is of a choice of
    WCSs, which alignments start from.

    Parameters
    ----------
    exposures : ExposureSet
        As just read from files.
    earlier : EarlierRecord
        What is on record.
    verify : bool, optional
        Whether each exposure must have the WCS on record, as it has unless somebody changed the record.

    Returns
    -------
    ExposureSet
        A new one, without the reference catalog itself: the record has only its name.

    Raises
    ------
    InputError
        If one has not; it names record and entry.
    """
    record = earlier.record
    if record.is_start:
        return exposures
    restored = {e.key: _restored(e, record.exposures.get(e.key)) for e in exposures.exposures}
    for key, exposure in restored.items() if verify else ():
        if exposure is not None:
            _require_start(exposure, record.exposures[key], earlier.path)
    left_out = tuple(dict.fromkeys((*record.left_out, *exposures.left_out)))
    known = [key for key, exposure in restored.items() if exposure is not None]
    if not known:
        return replace(exposures, record=earlier, left_out=left_out)
    entries = {key: record.exposures[key] for key in known}
    return replace(
        exposures,
        exposures=tuple(restored[e.key] or e for e in exposures.exposures),
        sources=record.sources,
        relative=_solution({k: e.relative for k, e in entries.items()}, record.references.relative),
        absolute=_solution({k: e.absolute for k, e in entries.items()}, record.references.absolute),
        grism=_solution({k: e.grism for k, e in entries.items()}, record.references.grism),
        spectra={key: entry.spectra for key, entry in entries.items() if entry.spectra is not None},
        traces={key: entry.traces for key, entry in entries.items() if entry.traces is not None},
        activities=record.activities,
        parameter_file=record.parameter_file,
        record=earlier,
        left_out=left_out,
    )


def _solution(fits: Mapping[str, ExposureFit | None], reference: str) -> AlignmentSolution:
    return AlignmentSolution({key: fit for key, fit in fits.items() if fit is not None}, reference)


def _restored(exposure: Exposure, record: ExposureRecord | None) -> Exposure | None:
    """Return the exposure as its record has it, None where its file isn't on record."""
    if record is None:
        logger.warning("%s: not on record; taken as never aligned", exposure.source)
        return None
    checksum = file_sum(exposure)
    applied = record.applied
    if checksum != record.input.sha256:
        output = record.output
        if not output or checksum != output.sha256 or Path(output.path).name != exposure.source.name:
            logger.warning("%s: not the file on record; taken as never aligned", exposure.source)
            return None
        applied = (record.total and record.total.transform) or applied
    # the headers name the solution that was written, the chips are back at the one before
    return replace(_without(exposure, applied), wcs_solution=record.wcs_solution)


def _require_start(exposure: Exposure, record: ExposureRecord, path: str) -> None:
    """Refuse a record that has another WCS of the very file than this has: its corrections start there."""
    difference = input_difference(record.input_wcs, exposure, exposure.plane)
    if difference is not None and difference.largest <= _SAME_START:
        return
    how = "its chips are others" if difference is None else f"they differ by {difference}"
    place = f"exposures.{exposure.key}.input_wcs"
    problem = f"{place} is not the WCS of {exposure.source}, whose checksum it has: {how}"
    raise InputError(path, problem, "Give the record as a step of grism_align wrote it")


def _without(exposure: Exposure, applied: LinearTransform | None) -> Exposure:
    """Return the exposure with `applied` on record and taken off its chips' WCSs."""
    # a reader that knows the correction itself, from the file's headers, has taken it off
    if applied is None or exposure.applied is not None:
        return exposure
    undo = applied.inverted()
    chips = tuple(replace(chip, wcs=chip.wcs.corrected(undo)) for chip in exposure.chips)
    return replace(exposure, chips=chips, applied=applied)
