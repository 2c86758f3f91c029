"""The reference catalogs that the settings name, in the order in which they are tried."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.values.catalog import CatalogAttempt
from grism_align.values.errors import InputError, SettingsError
from grism_align.values.words import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.region import Cone
    from grism_align.values.settings import ReferenceSettings, ServiceSettings

    Opened = tuple[ReferenceCatalog, tuple[CatalogAttempt, ...]]


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
    is_cached : callable or None
        Of a service, tells whether the cache has it within such cones; None for a file, which is at hand.
    """

    name: str
    open: Callable[[Sequence[Cone]], Opened]
    is_cached: Callable[[Sequence[Cone]], bool] | None = None


def catalog_sources(reference: ReferenceSettings, service: ServiceSettings) -> tuple[CatalogSource, ...]:
    """Return the catalogs that the settings name, in the order in which they are tried.

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
    from grism_align.io.catalogs.services import fetch_catalog, find_service, is_cached

    service = find_service(name, settings)
    if service is None:
        raise _unknown(parameter, name, settings)

    def fetched(cones: Sequence[Cone]) -> Opened:
        catalog, attempts = fetch_catalog(service, cones, settings)
        return replace(catalog, name=reference.catalog_name or catalog.name), attempts

    return CatalogSource(service.name, fetched, lambda cones: is_cached(service, cones, settings))


def _unknown(parameter: str, name: str, settings: ServiceSettings) -> SettingsError:
    from grism_align.io.catalogs.services import load_services

    known = list(load_services(settings))
    allowed = f"no file of that name; services are {', '.join(known)}, or auto{did_you_mean(name, known)}"
    return SettingsError(parameter, name, allowed)


def _read(path: Path, settings: ReferenceSettings) -> ReferenceCatalog:
    from grism_align.io.catalogs.recorded import is_provenance, read_recorded_catalog
    from grism_align.io.catalogs.reference import read_reference_catalog

    if not path.is_file():
        problem = "a folder, not a reference catalog" if path.is_dir() else "no such reference catalog"
        raise InputError(path, problem, "Give a file that exists, the name of a service, or auto")
    if is_provenance(path):
        catalog = read_recorded_catalog(path)
        return replace(catalog, name=settings.catalog_name or catalog.name)
    given = {"ra": settings.ra_column, "dec": settings.dec_column, "mag": settings.mag_column}
    columns = {role: name for role, name in given.items() if name}
    return read_reference_catalog(path, columns, settings.catalog_name, settings.epoch)
