"""Exposures that come as open models go as open models: corrected, and with what was found so far."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.absolute.source_list import solved_sources
from grism_align.io.files.checksums import file_record
from grism_align.io.files.sources import is_file
from grism_align.io.files.staging import atomic_path, output_errors
from grism_align.io.missions import undo_exposure, write_exposure
from grism_align.io.models.open_models import ModelSource, mark_failed
from grism_align.io.record.file import write_record
from grism_align.values.errors import GrismAlignError
from grism_align.values.record import FilePair, FileRecord
from grism_align.values.sphere import separation
from grism_align.workflows.load import load
from grism_align.workflows.results.exposures import labels_of
from grism_align.workflows.results.record import aligned_sources, make_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.io.models.open_models import Models
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet


logger = logging.getLogger(__name__)

# WCSs farther apart, arcsec, are not the same.
_SAME = 1e-4


def load_models(models: Models, bad_input: str = "auto") -> ExposureSet:
    """Read open models, and go on from what an earlier step found of the same.

    Parameters
    ----------
    models : Models
        The models.
    bad_input : str
        As for `load`.

    Raises
    ------
    InputError
        As `load`.
    """
    loaded = load(models, bad_input=bad_input)
    earlier = models.kept
    if earlier is None:
        return loaded
    if {exposure.key for exposure in loaded.exposures} == {exposure.key for exposure in earlier.exposures}:
        changed = [one.key for one in loaded.exposures if not _is_as_left(one, earlier)]
        if not changed:
            return _of_sources(earlier, _sources(loaded, models))
        logger.warning("%s: its WCS was changed since the step before; all start from here", changed[0])
    return loaded


def _is_as_left(exposure: Exposure, earlier: ExposureSet) -> bool:
    """Tell whether a model still has the WCS that it was given."""
    before, fit = earlier[exposure.key], earlier.fit(exposure.key)
    left = before if fit.transform is None else before.corrected(fit.transform)
    pairs = zip(exposure.chips, left.chips, strict=True)
    apart = [3600 * separation(one.wcs.footprint(), other.wcs.footprint()) for one, other in pairs]
    return bool(np.max(apart) <= _SAME)


def hand_back(exposures: ExposureSet, models: Models, *, in_place: bool) -> Any:
    """Return what came in, with every exposure that was fitted corrected, or marked as failed.

    Parameters
    ----------
    exposures : ExposureSet
        Of the models, with the solutions found.
    models : Models
        What came in.
    in_place : bool
        Whether the models themselves are corrected. Else copies are; those of a library always are its own.

    Raises
    ------
    GrismAlignError
        If one can't be corrected; the others then are as they were.
    """
    sources = _sources(exposures, models)
    failed = set(range(len(models.names))) - {source.index for source in sources.values()}
    if not exposures.total.fits and not failed:
        models.keep(exposures)
        return models.given
    out = models if in_place else models.to_change()
    targets = {key: replace(source, models=out) for key, source in sources.items()}
    unfit = [ModelSource(out, index, models.names[index], "") for index in sorted(failed)]
    _correct(exposures, targets, unfit)
    out.keep(_of_sources(exposures, targets))
    return out.given


def write_record_of(exposures: ExposureSet, folder: str, path: Path) -> None:
    """Put on record what was found of open models.

    Parameters
    ----------
    exposures : ExposureSet
        Of the models, with the solutions found.
    folder : str
        Where the files are that the models were read from; empty where that is not known.
    path : Path
        The record to write.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    files = {one.key: FilePair(_origin(one, folder)) for one in exposures.exposures}
    sources = aligned_sources(solved_sources(exposures), None)
    with output_errors(path.parent), atomic_path(path) as temporary:
        write_record(temporary, make_record(exposures, files, sources))


def _origin(exposure: Exposure, folder: str) -> FileRecord:
    path = Path(folder) / exposure.source.name
    return file_record(path.resolve()) if folder and is_file(path) else FileRecord(exposure.source.name, "")


def _sources(exposures: ExposureSet, models: Models) -> dict[str, ModelSource]:
    """Return which exposure is which model."""
    found = {exposure.key: exposure.source for exposure in exposures.exposures}
    return {
        key: source
        for key, source in found.items()
        if isinstance(source, ModelSource) and source.models is models
    }


def _correct(
    exposures: ExposureSet, targets: Mapping[str, ModelSource], unfit: Sequence[ModelSource]
) -> None:
    """Correct models, and mark others as failed; where one can't be, none is corrected."""
    labels = labels_of(exposures)
    done: list[ModelSource] = []
    try:
        for key, target in targets.items():
            fit = exposures.fit(key)
            if fit.is_fitted:
                write_exposure(exposures[key], fit, target, labels(exposures[key], fit))
                done.append(target)
        for source in unfit:
            mark_failed(source)
    except BaseException:
        for target in done:
            with suppress(GrismAlignError):
                undo_exposure(target, target)
        raise


def _of_sources(exposures: ExposureSet, sources: Mapping[str, ModelSource]) -> ExposureSet:
    """Return the set as that of other models with the same exposures."""
    moved = {exposures[key].source: source for key, source in sources.items()}
    members = (
        replace(member, source=moved.get(member.source, member.source))
        for member in exposures.association.members
    )
    return replace(
        exposures,
        exposures=tuple(replace(one, source=sources.get(one.key, one.source)) for one in exposures.exposures),
        association=replace(exposures.association, members=tuple(members)),
    )
