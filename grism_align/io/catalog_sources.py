"""Reference catalogs from wherever the user has them, tried in turn until one ties the exposures."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.algorithms.absolute import AbsoluteResult, align_absolute
from grism_align.algorithms.selection import field_cones
from grism_align.values.catalog import CatalogAttempt
from grism_align.values.errors import CatalogServiceError, InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.field import ExposureSet
    from grism_align.values.region import Cone
    from grism_align.values.settings import AbsoluteSettings, ReferenceSettings, ServiceSettings

    Opened = tuple[ReferenceCatalog, tuple[CatalogAttempt, ...]]

__all__ = ["AbsoluteOutcome", "CatalogSource", "align_to_first", "catalog_sources"]

logger = logging.getLogger(__name__)

_AUTO = "auto"
_CATALOG, _AUTO_ORDER = "catalog", "auto_order"


@dataclass(frozen=True)
class CatalogSource:
    """One reference catalog that can be had.

    Parameters
    ----------
    name : str
        What the user calls it.
    open : callable
        Takes the cones of the sky that are asked for; gives the catalog and what was tried for it, or raises
        `CatalogServiceError`.
    """

    name: str
    open: Callable[[Sequence[Cone]], Opened]


@dataclass(frozen=True, eq=False)
class AbsoluteOutcome:
    """What came of all catalogs that were tried.

    Parameters
    ----------
    result : AbsoluteResult or None
        The alignment that tied most exposures, the first of equals; None where no catalog was to be had.
    attempts : tuple of CatalogAttempt
        Every try, in order.
    reasons : tuple of str
        Why catalogs could not be had.
    """

    result: AbsoluteResult | None
    attempts: tuple[CatalogAttempt, ...]
    reasons: tuple[str, ...]

    def last_attempts(self) -> tuple[CatalogAttempt, ...]:
        """The last try of each catalog."""
        return tuple({attempt.catalog: attempt for attempt in self.attempts}.values())


def catalog_sources(reference: ReferenceSettings, service: ServiceSettings) -> tuple[CatalogSource, ...]:
    """The catalogs that the settings name, in the order in which they are tried.

    Files are read at once, so that an error in them costs no work.

    Parameters
    ----------
    reference : ReferenceSettings
        `catalog` is ``auto``, the name of a service, or a file.
    service : ServiceSettings
        How services are asked.

    Raises
    ------
    SettingsError
        If it is none of these.
    InputError
        If a file can't be used.
    """
    asked = str(reference.catalog)
    if asked.lower() == _AUTO:
        if not service.auto_order:
            allowed = "no service to try; give names with commas between"
            raise SettingsError(_AUTO_ORDER, service.auto_order, allowed)
        return tuple(_service_source(_AUTO_ORDER, name, reference, service) for name in service.auto_order)
    path = Path(asked).expanduser()
    if path.exists() or path.suffix or len(path.parts) > 1:
        catalog = _read(path, reference)
        attempt = CatalogAttempt(catalog.name, "file", str(path), "read", n_rows=len(catalog))
        return (CatalogSource(catalog.name, lambda _: (catalog, (attempt,))),)
    return (_service_source(_CATALOG, asked, reference, service),)


def _service_source(
    parameter: str, name: str, reference: ReferenceSettings, settings: ServiceSettings
) -> CatalogSource:
    from grism_align.io.services import fetch_catalog, find_service

    service = find_service(name, settings)
    if service is None:
        raise _unknown(parameter, name, settings)

    def fetched(cones: Sequence[Cone]) -> Opened:
        catalog, attempts = fetch_catalog(service, cones, settings)
        return replace(catalog, name=reference.catalog_name or catalog.name), attempts

    return CatalogSource(service.name, fetched)


def _unknown(parameter: str, name: str, settings: ServiceSettings) -> SettingsError:
    from grism_align.io.services import load_services

    known = ", ".join(load_services(settings))
    return SettingsError(parameter, name, f"no file of that name; services are {known}, or auto")


def _read(path: Path, settings: ReferenceSettings) -> ReferenceCatalog:
    from grism_align.io.recorded_catalogs import is_provenance, read_recorded_catalog
    from grism_align.io.reference_catalogs import read_reference_catalog

    if not path.is_file():
        problem = "a folder, not a reference catalog" if path.is_dir() else "no such reference catalog"
        raise InputError(path, problem, "Give a file that exists, the name of a service, or auto")
    if is_provenance(path):
        catalog = read_recorded_catalog(path)
        return replace(catalog, name=settings.catalog_name or catalog.name)
    given = {"ra": settings.ra_column, "dec": settings.dec_column, "mag": settings.mag_column}
    columns = {role: name for role, name in given.items() if name}
    return read_reference_catalog(path, columns, settings.catalog_name, settings.epoch)


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
        result = align_absolute(exposures, catalog, settings)
        attempts += [*tries, _tie_attempt(catalog, result)]
        if best is None or result.n_tied > best.n_tied:
            best = result
        if result.is_complete:
            break
    return AbsoluteOutcome(best, tuple(attempts), tuple(reasons))


def _tie_attempt(catalog: ReferenceCatalog, result: AbsoluteResult) -> CatalogAttempt:
    """What came of aligning to one catalog."""
    n = len(result.solution.fits)
    reason = "; ".join([f"{result.n_tied} of {n} exposures", *result.warnings])
    outcome = "tied" if result.n_tied else "not tied"
    return CatalogAttempt(catalog.name, "", catalog.origin, outcome, reason, len(result.reference))
