"""Readers and writers of exposures, one package a mission.

The rest of the package asks here, and never a mission itself: each of these functions finds the mission of a
source or of an exposure, and asks that. `grism_align.values.mission.Mission` says what it asks.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grism_align.io.files.identity import identity_of
from grism_align.io.files.sources import exists, file_of_root, root_of
from grism_align.io.missions.checks import check_exposure
from grism_align.io.missions.identities import (
    as_it_is,
    file_sum,
    identified,
    identity,
    known_of,
    reading,
    reading_once,
    require_identity,
    require_unchanged,
)
from grism_align.io.missions.registry import mission_named, mission_of, missions
from grism_align.io.models.open_models import ModelSource
from grism_align.values.errors import ChangedError, InputError
from grism_align.values.mission import HeaderletWanted
from grism_align.values.source import FileSource

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from grism_align.values.association import Association
    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.mission import (
        ChipPixels,
        Corrections,
        Digests,
        Keyword,
        Mission,
        MissionFacts,
        Undone,
        WcsLabel,
    )
    from grism_align.values.mosaic import ChipMask
    from grism_align.values.solution import ExposureFit
    from grism_align.values.source import Identity, Source

__all__ = [
    "all_facts",
    "as_it_is",
    "check_undo",
    "distortion_models",
    "exposure_endings",
    "exposure_of_root",
    "facts_of",
    "file_source",
    "file_sum",
    "flag_cosmic_rays",
    "identified",
    "identity",
    "is_exposure",
    "listed_by",
    "read_corrections",
    "read_exposure",
    "read_instrument",
    "read_keywords",
    "read_pixels",
    "read_source_catalog",
    "require_identity",
    "require_unchanged",
    "root_name",
    "solution_name",
    "undo_exposure",
    "write_exposure",
]

_NO_HEADERLET = HeaderletWanted()


def all_facts() -> tuple[MissionFacts, ...]:
    """Return what there is to know of each mission."""
    return tuple(mission.facts for mission in missions().values())


def facts_of(exposure: Exposure) -> MissionFacts:
    """Return what there is to know of the mission of an exposure."""
    return _mission(exposure).facts


def exposure_endings() -> tuple[str, ...]:
    """Return how names of files with exposures end, of each mission the best first."""
    return tuple(ending for facts in all_facts() for ending in facts.endings)


def root_name(path: os.PathLike[str] | str) -> str:
    """Return the name of the exposure that a file holds: the file's without ending and extension.

    Parameters
    ----------
    path : path-like
        A file, or a root name, which is returned as it is.

    Examples
    --------
    >>> root_name("data/ib6o23rsq_flt.fits.gz")
    'ib6o23rsq'
    """
    return root_of(path, exposure_endings())


def exposure_of_root(root: str, folder: Path) -> Path:
    """Return the file of an exposure in a folder, the best of several; without one, the root name there."""
    return file_of_root(root, folder, exposure_endings())


def file_source(path: os.PathLike[str] | str) -> FileSource:
    """Return the source that a file is."""
    return FileSource(str(path), root_name(path))


def is_exposure(path: Path) -> bool:
    """Tell whether a mission claims a file."""
    source = file_source(path)
    return any(mission.claims(source) for mission in missions().values())


def listed_by(path: Path) -> Association | None:
    """Return what a file of a mission's own kind of association lists; None for any other file.

    Raises
    ------
    AssociationError
        If it can't be read.
    """
    source = file_source(path)
    found = (mission.association(source) for mission in missions().values())
    return next((each for each in found if each is not None), None)


def read_instrument(source: Source | os.PathLike[str] | str) -> str:
    """Return the instrument of an exposure, from as few headers as possible.

    Raises
    ------
    InputError
        If it can't be read, or is of no mission that is known.
    """
    opened = _opened(source)
    with _held(opened):
        return mission_of(opened).instrument(opened)


def read_exposure(source: Source | os.PathLike[str] | str) -> Exposure:
    """Read the headers of an exposure; pixels stay where they are.

    Parameters
    ----------
    source : Source or path-like
        What holds it.

    Returns
    -------
    Exposure
        Of a file with its identity: whoever opens it again finds the same file, or a `ChangedError`.

    Raises
    ------
    InputError
        If it can't be read or used, or is of no mission that is known.
    """
    opened = _opened(source)
    if isinstance(opened, FileSource):
        opened = replace(opened, identity=identity_of(opened))
    with _held(opened), reading(opened):
        exposure = mission_of(opened).read(opened)
    check_exposure(exposure)
    return exposure


def read_pixels(exposure: Exposure) -> Iterator[tuple[Chip, ChipPixels]]:
    """Yield the arrays of an exposure, one chip at a time.

    Raises
    ------
    InputError
        If they can't be read.
    """
    pixels = iter(_mission(exposure).pixels(exposure))
    while True:
        # each chip is opened when it is asked for
        with reading(exposure.source):
            found = next(pixels, None)
        if found is None:
            return
        yield found


def read_source_catalog(exposure: Exposure) -> SourceCatalog | None:
    """Return the sources that its telescope's pipeline found in a direct exposure; None where it names none.

    Raises
    ------
    InputError
        If they can't be read, or don't do.
    """
    with reading(exposure.source):
        return _mission(exposure).source_catalog(exposure)


def read_keywords(exposure: Exposure) -> Mapping[str, Keyword]:
    """Return what headers say of instrument, target, times and photometry, as FITS keywords.

    Raises
    ------
    InputError
        If they can't be read.
    """
    with reading(exposure.source):
        return _mission(exposure).keywords(exposure)


def solution_name(
    exposure: Exposure, catalog: str, taken: Collection[str], *, by_exposure: bool = False
) -> str:
    """Return the name of a new astrometric solution of an exposure and others, as `Mission.solution_name`."""
    return _mission(exposure).solution_name(catalog, taken, by_exposure=by_exposure)


def distortion_models(exposure: Exposure, names: Collection[str]) -> frozenset[str]:
    """Return the distortion models that names of WCSs of an exposure tell of."""
    return _mission(exposure).distortion_models(names)


def write_exposure(
    exposure: Exposure,
    fit: ExposureFit,
    target: Source | os.PathLike[str],
    label: WcsLabel,
    headerlet: HeaderletWanted = _NO_HEADERLET,
) -> Digests:
    """Write an exposure with its correction.

    Parameters
    ----------
    exposure : Exposure
        As read.
    fit : ExposureFit
        Its total correction, in any tangent plane. Where there is none, the target only says how it came out.
    target : Source or path-like
        What will hold it. A file may be the one that was read.
    label : WcsLabel
        What its headers say of the fit.
    headerlet : HeaderletWanted, optional
        Where its WCS goes by itself, in missions that have headerlets.

    Returns
    -------
    Digests

    Raises
    ------
    InputError
        If the exposure can't be read.
    ChangedError
        If it is no longer what was read.
    """
    opened = _source(target)
    known = known_of(exposure.source)
    with reading_once(exposure.source, opened, known):
        digests = _mission(exposure).write(exposure, fit, opened, label, headerlet)
    if known is not None and known.sha256 not in ("", digests.input):
        raise ChangedError(exposure.source)
    return digests


def flag_cosmic_rays(
    exposure: Exposure, target: Source | os.PathLike[str], masks: Mapping[int, ChipMask]
) -> str:
    """Flag pixels, by chip, in an exposure that was written to a target, and only those; its new SHA-256."""
    return _mission(exposure).flag_cosmic_rays(_source(target), masks)


def read_corrections(source: Source | os.PathLike[str]) -> Corrections:
    """Return which corrections of ours an exposure has and had.

    Raises
    ------
    InputError
        If it can't be read, or is of no mission that is known.
    """
    opened = _opened(source)
    return mission_of(opened).corrections(opened)


def check_undo(source: Source | os.PathLike[str]) -> None:
    """Refuse an exposure whose latest correction can't be undone.

    Raises
    ------
    InputError
        If it can't be read, has no correction of ours, was changed since, or no longer has the WCS before.
    """
    opened = _opened(source)
    mission_of(opened).check_undo(opened)


def undo_exposure(
    source: Source | os.PathLike[str], target: Source | os.PathLike[str], known: Identity | None = None
) -> Undone:
    """Write an exposure with the WCS that it had before our latest correction.

    Parameters
    ----------
    source : Source or path-like
        The exposure.
    target : Source or path-like
        What will hold it. It may be the same.
    known : Identity, optional
        What the exposure was when its correction was looked at.

    Raises
    ------
    InputError
        As `check_undo`.
    ChangedError
        If it is another by now.
    """
    opened, final = _opened(source), _source(target)
    with reading_once(opened, final, known):
        return mission_of(opened).undo(opened, final)


def _held(source: Source) -> AbstractContextManager[Any]:
    """Have a model of a library open for the block: on disk each opening takes a second."""
    return source.opened() if isinstance(source, ModelSource) else nullcontext()


def _mission(exposure: Exposure) -> Mission:
    return mission_named(exposure.telescope.mission)


def _source(given: Source | os.PathLike[str] | str) -> Source:
    """Return a source as it is, or the one that a path leads to."""
    if isinstance(given, FileSource) or not isinstance(given, os.PathLike | str):
        return given
    return file_source(given)


def _opened(given: Source | os.PathLike[str] | str) -> Source:
    """Return a source; one that is a file must be there."""
    source = _source(given)
    if isinstance(source, os.PathLike) and not exists(Path(source)):
        raise InputError(source, "no such file", "Check the path, or fetch the file again")
    return source
