"""Reference catalogs from wherever the user has them, tried in turn until one ties the exposures."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grism_align.algorithms.absolute.align import AbsoluteResult, align_absolute
from grism_align.algorithms.absolute.selection import field_cones
from grism_align.values.catalog import CatalogAttempt
from grism_align.values.errors import CatalogServiceError
from grism_align.values.failure import NoCatalog
from grism_align.values.solution import AlignmentSolution, ExposureFit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from grism_align.io.catalogs.candidates import CatalogSource
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import AbsoluteSettings, ReferenceSettings, ServiceSettings


logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class AbsoluteOutcome:
    """What came of all catalogs that were tried.

    Parameters
    ----------
    solution : AlignmentSolution
        The corrections of the alignment that tied most exposures, the first of equals; failures where no
        catalog was to be had.
    reference : ReferenceCatalog or None
        What it was aligned to, as used; None where no catalog was to be had.
    note : str
        Why catalogs could not be had, and what to know about the alignment.
    counts : mapping of str to int
        Counts of every cut.
    attempts : tuple of CatalogAttempt
        Every try, in order.
    """

    solution: AlignmentSolution
    reference: ReferenceCatalog | None
    note: str
    counts: Mapping[str, int]
    attempts: tuple[CatalogAttempt, ...]

    @property
    def verdict(self) -> str:
        """``done``, or ``failed`` where no exposure is tied."""
        return "done" if any(fit.is_aligned for fit in self.solution.fits.values()) else "failed"


def align_to_first(
    exposures: ExposureSet, sources: Sequence[CatalogSource], settings: AbsoluteSettings
) -> AbsoluteOutcome:
    """Align to the first catalog that ties every exposure, else to the one that ties most.

    Parameters
    ----------
    exposures : ExposureSet
        With the relative solution.
    sources : sequence of CatalogSource
        In the order in which they are tried.
    settings : AbsoluteSettings
        The parameters.

    Returns
    -------
    AbsoluteOutcome
    """
    cones = field_cones(exposures.direct, settings.selection.margin)
    best: AbsoluteResult | None = None
    attempts: list[CatalogAttempt] = []
    reasons: list[str] = []
    for source in sources:
        try:
            catalog, tries = source.open(cones)
        except CatalogServiceError as error:
            logger.warning("%s", error)
            attempts += error.attempts
            reasons.append(str(error))
            continue
        seen = replace(catalog, observer=exposures.direct[0].telescope.observer)
        result = align_absolute(exposures, seen, settings)
        attempts += [*tries, _tie_attempt(catalog, result)]
        if best is None or result.n_tied > best.n_tied:
            best = result
        if result.is_complete:
            break
    if best is None:
        return _without_catalog(exposures, attempts, reasons)
    for warning in best.warnings:
        logger.warning(warning)
    note = "; ".join([*reasons, *best.warnings])
    return AbsoluteOutcome(best.solution, best.reference, note, best.counts, tuple(attempts))


def _without_catalog(
    exposures: ExposureSet, attempts: Sequence[CatalogAttempt], reasons: Sequence[str]
) -> AbsoluteOutcome:
    """Every exposure of the relative frame failed, since no catalog was to be had."""
    last = {attempt.catalog: attempt for attempt in attempts}.values()
    failed = ExposureFit.failed(NoCatalog(tuple(f"{one.catalog} {one.outcome}" for one in last)))
    members = [e.key for e in exposures.direct if exposures.relative.fits[e.key].is_aligned]
    solution = AlignmentSolution(dict.fromkeys(members, failed))
    note = "no reference catalog: " + " ".join(reasons)
    return AbsoluteOutcome(solution, None, note, {}, tuple(attempts))


def _tie_attempt(catalog: ReferenceCatalog, result: AbsoluteResult) -> CatalogAttempt:
    """Say what came of aligning to one catalog."""
    n = len(result.solution.fits)
    reason = "; ".join([f"{result.n_tied} of {n} exposures", *result.warnings])
    outcome = "tied" if result.n_tied else "not tied"
    return CatalogAttempt(catalog.name, "", catalog.origin, outcome, reason, len(result.reference))


def open_catalogs(reference: ReferenceSettings, service: ServiceSettings) -> tuple[CatalogSource, ...]:
    """Return the catalogs to try; files are read once for each choice of settings and state of the file.

    Parameters
    ----------
    reference : ReferenceSettings
        With the catalog asked for.
    service : ServiceSettings
        How services are asked.

    Raises
    ------
    SettingsError
        If no service has that name.
    InputError
        If it is a file that can't be used.
    """
    return _opened(reference, service, tuple(map(_state, (reference.catalog, service.services))))


def cached_catalogs(
    exposures: ExposureSet, reference: ReferenceSettings, service: ServiceSettings, margin: float
) -> dict[str, bool]:
    """Tell which catalogs of services the cache has for exposures.

    Parameters
    ----------
    exposures : ExposureSet
        To be aligned.
    reference, service : Settings
        As for `open_catalogs`.
    margin : float, arcsec
        Around their chips.

    Returns
    -------
    dict of str to bool
        By catalog, in the order in which they are tried; files are not in it. Empty where no direct
        exposure has a place on the sky.
    """
    sources = open_catalogs(reference, service)
    if all(source.is_cached is None for source in sources):
        return {}
    cones = field_cones(exposures.direct, margin)
    if not cones:
        return {}
    return {source.name: source.is_cached(cones) for source in sources if source.is_cached is not None}


def _state(name: str | None) -> tuple[int, int] | None:
    """Return what changes with a file."""
    path = Path(str(name)).expanduser()
    if not path.is_file():
        return None
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=1)
def _opened(
    reference: ReferenceSettings, service: ServiceSettings, _states: tuple[Any, ...]
) -> tuple[CatalogSource, ...]:
    from grism_align.io.catalogs.candidates import catalog_sources

    return catalog_sources(reference, service)


def warn_of_own_sources(exposures: ExposureSet, catalogs: Iterable[Path]) -> None:
    """Warn where a catalog is of the same exposures: what is wrong with them is wrong with it.

    Parameters
    ----------
    exposures : ExposureSet
        To be aligned.
    catalogs : iterable of Path
        Files of reference catalogs.
    """
    from grism_align.io.catalogs.recorded import exposures_behind

    own = {exposure.key for exposure in exposures.direct}
    for path in catalogs:
        same = sorted(own & exposures_behind(path))
        if same:
            logger.warning(
                "%s: its sources were measured on exposures that are to be aligned to it (%s): it brings "
                "them to where they were then, and no closer to the sky",
                path,
                ", ".join(same),
            )
