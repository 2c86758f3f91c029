"""Open a field: an association, and the exposures, catalogs and earlier results that it points to."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grism_align.io.associations import (
    apply_association,
    association_of,
    is_by_exposure,
    is_selection,
    of_same_visits,
    read_association,
)
from grism_align.io.files.names import safe_name
from grism_align.io.files.sources import path_of
from grism_align.io.missions import (
    file_source,
    identified,
    read_exposure,
    read_instrument,
    read_source_catalog,
)
from grism_align.io.models.open_models import Models, models_of
from grism_align.values.association import Member
from grism_align.values.errors import AssociationError, GrismAlignError, InputError, LendingError
from grism_align.values.exposure import Exposure
from grism_align.values.field import ExposureSet
from grism_align.values.settings import FailureSettings
from grism_align.workflows.left_out import leave_out, without_named
from grism_align.workflows.viewing import VIEWER
from grism_align.workflows.workers import usable_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.values.association import Association
    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.source import Source


logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]


def load(
    source: PathLike | Sequence[PathLike] | Models,
    *,
    with_results: bool = True,
    with_sums: bool = True,
    bad_input: str = "auto",
    exclude: Sequence[str] = (),
) -> ExposureSet:
    """Read the headers of all exposures of an association, and what earlier steps left beside it.

    Parameters
    ----------
    source : path-like, sequence of path-like or Models
        An association in any form that `read_association` takes, exposure files, or open models.
    with_results : bool, optional
        Read the catalogs and the record that the association names, for a run that goes on from them; there
        must be a direct exposure then. Else each exposure has the WCS of its file, and no fit.
    with_sums : bool, optional
        Take the SHA-256 of each file, which is to be the same to the end of the run. Not needed to look at
        headers.
    bad_input : str, optional
        What becomes of an exposure that can't be used, as in `FailureSettings`: it is left out, with its
        reason in `ExposureSet.left_out`, or all are refused.
    exclude : sequence of str, optional
        Root or file names, or patterns with wildcards, of exposures to do without; they are not opened.

    Returns
    -------
    ExposureSet
        In time order.

    Raises
    ------
    InputError
        If a file can't be used and is not left out, or if none can; it names the file, what is wrong and
        what to do.
    ChangedError
        If a file changes meanwhile.
    """
    listed = association_of(source) if isinstance(source, Models) else read_association(source)
    whole = without_named(listed, exclude)
    read = {member.source: _read(member.source) for member in whole.exposures}
    usable = [each for each in read.values() if not isinstance(each, InputError)]
    bad = {path: each for path, each in read.items() if isinstance(each, InputError)}
    may_leave_out = _may_leave_out(FailureSettings(bad_input), source, usable)
    left_out = leave_out(bad.values(), refuse=not (may_leave_out and usable))
    association = whole.without(bad)
    label = association.origin or "list of exposures"
    exposures = apply_association(_identified(usable) if with_sums else usable, association)
    _check_unique(exposures, label)
    ordered = tuple(sorted(exposures, key=lambda exposure: (exposure.start, exposure.key)))
    loaded = ExposureSet(
        association.product, ordered, association, left_out=left_out, leaves_out=may_leave_out, viewer=VIEWER
    )
    if not with_results:
        return loaded
    _check_kinds(exposures, association)
    if not loaded.direct and is_by_exposure(association.header):
        loaded = _with_direct_beside(loaded)
        by_source = {exposure.source: exposure for exposure in loaded.exposures}
        exposures = tuple(by_source[member.source] for member in loaded.association.exposures)
    if not loaded.direct:
        remedy = "Add the direct images; grism exposures have no sources to align"
        raise AssociationError(label, "it has no direct exposure that can be used", remedy)
    return _with_earlier_results(_with_catalogs(loaded, exposures))


def _with_direct_beside(loaded: ExposureSet) -> ExposureSet:
    """Return the set with the direct exposures of the same visits that lie beside its grism exposures.

    A pipeline's association of a grism exposure has none.
    """
    files = [path_of(exposure.source) for exposure in loaded.exposures]
    found = [_read(file_source(path)) for path in of_same_visits(files)]
    direct = [one for one in found if isinstance(one, Exposure) and one.is_direct]
    if direct:
        logger.info("%d direct exposures of the same visits lie beside, and are taken", len(direct))
    members = (*loaded.association.members, *(Member(one.source, "science") for one in direct))
    ordered = sorted((*loaded.exposures, *direct), key=lambda one: (one.start, one.key))
    association = replace(loaded.association, members=members)
    return replace(loaded, exposures=tuple(ordered), association=association)


def _read(source: Source) -> Exposure | InputError:
    try:
        return read_exposure(source)
    except LendingError:
        raise
    except InputError as error:
        return error


def _identified(exposures: Sequence[Exposure]) -> list[Exposure]:
    """Take the SHA-256 of each file: threads do, as disks and networks answer many at once."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        return list(pool.map(identified, exposures))


def _may_leave_out(
    settings: FailureSettings, source: PathLike | Sequence[PathLike] | Models, usable: Sequence[Exposure]
) -> bool:
    """Tell whether an exposure that can't be used is left out; what was named by hand is of one visit."""
    if settings.bad_input == "auto":
        is_found = not isinstance(source, Models) and is_selection(source)
        return is_found or len({exposure.visit for exposure in usable}) > 1
    return settings.bad_input == "leave_out"


def _check_kinds(exposures: Sequence[Exposure], association: Association) -> None:
    """Refuse an association that contradicts the headers, which say what an exposure is."""
    for exposure, member in zip(exposures, association.exposures, strict=True):
        listed = member.exptype.lower()
        if listed == "direct_image" and not exposure.is_direct:
            problem = f"listed as direct_image, but it is a grism exposure ({exposure.filter})"
            raise AssociationError(exposure.source, problem, "List it as science")
        if listed == "science" and exposure.is_direct and association.header.get("asn_type") == "wfss-align":
            logger.warning(
                "%s is listed as science but is a direct exposure (%s); it is aligned as one",
                exposure.key,
                exposure.filter,
            )


def _check_unique(exposures: Sequence[Exposure], label: str) -> None:
    sources: dict[str, Source] = {}
    for exposure in exposures:
        if exposure.key in sources:
            problem = f"{sources[exposure.key]} and {exposure.source} are of one exposure, {exposure.key}"
            raise AssociationError(label, problem, "Give each exposure once")
        sources[exposure.key] = exposure.source


def _with_catalogs(loaded: ExposureSet, exposures: Sequence[Exposure]) -> ExposureSet:
    from grism_align.io.catalogs.sources import read_source_catalog as read_catalog_file

    catalogs = {}
    for exposure, member in zip(exposures, loaded.association.exposures, strict=True):
        if member.catalog and exposure.is_direct:
            catalogs[exposure.key] = read_catalog_file(member.catalog)
            _check_chips(exposure, catalogs[exposure.key], member.catalog)
    return replace(loaded, catalogs=catalogs)


def with_pipeline_catalogs(exposures: ExposureSet) -> ExposureSet:
    """Return the set with the sources that a telescope's pipeline found, of images without a catalog.

    Parameters
    ----------
    exposures : ExposureSet
        Of which direct exposures may name such a catalog, or have one in memory.

    Raises
    ------
    InputError
        If one can't be used.
    """
    missing = [one for one in exposures.direct if one.key not in exposures.catalogs]
    found = {one.key: read_source_catalog(one) for one in missing}
    taken = {key: catalog for key, catalog in found.items() if catalog is not None}
    if taken:
        logger.info("%d source catalogs of the telescope's pipeline are taken", len(taken))
    return replace(exposures, catalogs={**exposures.catalogs, **taken})


def _check_chips(exposure: Exposure, catalog: SourceCatalog, path: str) -> None:
    chips = {chip.number for chip in exposure.chips}
    others = set(catalog.chip.tolist()) - chips
    if others:
        problem = f"it has sources of chip {min(others)}, and {exposure.key} has only {sorted(chips)}"
        raise InputError(path, problem, "Make the catalog again with grism_source_catalog")


def _with_earlier_results(loaded: ExposureSet) -> ExposureSet:
    """Return the set with the solution on record, where the association names a provenance file."""
    name = loaded.association.header.get("provenance")
    origin = loaded.association.origin
    if not isinstance(name, str) or not origin:
        return loaded
    from grism_align.io.record.file import record_at
    from grism_align.values.record import EarlierRecord
    from grism_align.workflows.restore import restore

    path = Path(origin).parent / safe_name(name, origin, "the provenance file", AssociationError)
    return restore(loaded, EarlierRecord(str(path), record_at(path)))


def peek_instrument(source: Any) -> str | None:
    """Return the instrument of the first direct exposure, from as few headers as possible.

    Returns None for input that can't be read: the error comes from `load`, with its reason.
    """
    if isinstance(source, ExposureSet):
        return source.direct[0].instrument
    try:
        models = models_of(source)
        if models is None and not isinstance(source, str | os.PathLike | list | tuple):
            return None
        members = (read_association(source) if models is None else association_of(models)).exposures
    except GrismAlignError:
        return None
    for member in sorted(members, key=lambda member: member.exptype.lower() != "direct_image"):
        with suppress(GrismAlignError):
            return read_instrument(member.source)
    return None
