"""Fill the cache with the catalogs of a field, for machines without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grism_align.io.catalogs.services import cached_files, fetch_catalog, find_service, known_services
from grism_align.values.errors import CatalogServiceError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from grism_align.io.catalogs.services import Service
    from grism_align.values.catalog import CatalogAttempt, ReferenceCatalog
    from grism_align.values.region import Cone
    from grism_align.values.settings import ServiceSettings


@dataclass(frozen=True, eq=False)
class Prefetched:
    """What became of one catalog.

    Parameters
    ----------
    name : str
        Of the catalog.
    catalog : ReferenceCatalog or None
        None where it was not got.
    attempts : tuple of CatalogAttempt
        What was tried.
    files : tuple of Path
        Where the cache has it.
    error : CatalogServiceError or None
        Why it was not got.
    """

    name: str
    catalog: ReferenceCatalog | None
    attempts: tuple[CatalogAttempt, ...]
    files: tuple[Path, ...]
    error: CatalogServiceError | None = None

    @property
    def text(self) -> str:
        """One line: rows, service, cached or fetched, files."""
        if self.catalog is None:
            return f"{self.name}: not got"
        how = ", ".join(
            dict.fromkeys(f"{a.outcome} from {a.service}" for a in self.attempts if not a.reason or a.n_rows)
        )
        where = ", ".join(map(str, self.files)) or "not kept"
        return f"{self.name}: {len(self.catalog)} sources, {how}; {where}"


def services_of(names: Sequence[str], settings: ServiceSettings) -> tuple[Service, ...]:
    """Return the services of some names, each once; ``auto`` stands for all of `ServiceSettings.auto_order`.

    Raises
    ------
    SettingsError
        If a name is unknown; it says which there are.
    InputError
        If the user's file of services can't be used.
    """
    listed: list[str] = []
    for name in names:
        listed += settings.auto_order if name.strip().lower() == "auto" else [name]
    found: dict[str, Service] = {}
    for name in map(str.strip, listed):
        service = find_service(name, settings)
        if service is None:
            parameter = "catalog"
            raise SettingsError(parameter, name, f"no known service; there are {known_services(settings)}")
        found[service.name] = service
    return tuple(found.values())


def prefetch(
    services: Sequence[Service], cones: Sequence[Cone], settings: ServiceSettings, refresh: bool = False
) -> Iterator[Prefetched]:
    """Fetch catalogs one after the other; those that can't be had are reported like the others.

    Parameters
    ----------
    services : sequence of Service
        The catalogs.
    cones : sequence of Cone
        Where.
    settings : ServiceSettings
        How.
    refresh : bool
        Ask, whatever the cache has.
    """
    for service in services:
        try:
            catalog, attempts = fetch_catalog(service, cones, settings, refresh)
        except CatalogServiceError as error:
            yield Prefetched(service.name, None, error.attempts, (), error)
        else:
            yield Prefetched(service.name, catalog, attempts, cached_files(service, cones, settings))
