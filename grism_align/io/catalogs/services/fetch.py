"""Get a catalog: from the cache, or from the first of its services that has it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from grism_align import __version__
from grism_align.io.catalogs.services.answers import joined, role_table
from grism_align.io.catalogs.services.cache import Cache, CacheEntry, within
from grism_align.io.catalogs.services.cones import covering_cones, rounded_cone
from grism_align.values.catalog import CatalogAttempt
from grism_align.values.errors import (
    CatalogServiceError,
    InputError,
    NoRowsError,
    NotCachedError,
    ServiceAnswerError,
    ServiceRefusedError,
    ServiceUnreachableError,
    TooManyRowsError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from astropy.table import Table

    from grism_align.io.catalogs.services.definitions import Mirror, Service
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.region import Cone
    from grism_align.values.settings import ServiceSettings


#: Of failures of several kinds, the one that tells most.
_TELLING = (ServiceRefusedError, ServiceAnswerError, ServiceUnreachableError)

_ELSE = "name another endpoint with service_url, or align to a catalog file"
_REMEDIES: dict[type[CatalogServiceError], str] = {
    ServiceRefusedError: f"Correct what is asked in a file of services (docs/catalogs.md), {_ELSE}",
    ServiceAnswerError: f"See whether the address is that of a TAP service, {_ELSE}",
    ServiceUnreachableError: f"Try later, {_ELSE}",
}

logger = logging.getLogger(__name__)


def fetch_catalog(
    service: Service, cones: Sequence[Cone], settings: ServiceSettings, refresh: bool = False
) -> tuple[ReferenceCatalog, tuple[CatalogAttempt, ...]]:
    """Return the sources of a catalog within some cones.

    Parameters
    ----------
    service : Service
        The catalog, and who has it, as `find_service` gives it.
    cones : sequence of Cone
        Each is widened a little, by `rounded_cone`; a source in several comes once.
    settings : ServiceSettings
        How services are asked, and the cache.
    refresh : bool
        Ask, whatever the cache has.

    Returns
    -------
    catalog : ReferenceCatalog
        Its origin is the address of the service.
    attempts : tuple of CatalogAttempt
        What was tried, in order; the rows came from the last ones.

    Raises
    ------
    NoRowsError, TooManyRowsError
        What a service answered. No other is asked.
    NotCachedError
        If the settings say offline, and the cache does not have it all.
    ServiceUnreachableError, ServiceRefusedError, ServiceAnswerError
        If no service gave it: the error of all, or the most telling of them. Its `attempts` has each.
    """
    if not cones:
        msg = f"no cones to fetch {service.name} in"
        raise ValueError(msg)
    search = _Search(service, settings, Cache(service, settings))
    wanted = list(dict.fromkeys(map(rounded_cone, cones)))
    if not refresh:
        search.look_into_cache(wanted)
    missing = [cone for cone in wanted if cone not in search.tables]
    if missing and settings.offline:
        raise search.not_cached(missing)
    if missing:
        search.ask(missing)
    return search.catalog(wanted), tuple(search.attempts)


def cached_files(service: Service, cones: Sequence[Cone], settings: ServiceSettings) -> tuple[Path, ...]:
    """Return files of the cache that hold a catalog within some cones, each once."""
    cache = Cache(service, settings)
    found = (cache.find(cone) for cone in dict.fromkeys(map(rounded_cone, cones)))
    return tuple(dict.fromkeys(entry.path for entry in found if entry is not None))


def is_cached(service: Service, cones: Sequence[Cone], settings: ServiceSettings) -> bool:
    """Tell whether the cache has a catalog within all of some cones, so that no service is asked."""
    cache = Cache(service, settings)
    return all(cache.find(rounded_cone(cone)) is not None for cone in cones)


@dataclass
class _Search:
    """What is found on the way to one catalog."""

    service: Service
    settings: ServiceSettings
    cache: Cache
    tables: dict[Cone, Table] = field(default_factory=dict)
    attempts: list[CatalogAttempt] = field(default_factory=list)

    def look_into_cache(self, cones: Sequence[Cone]) -> None:
        """Take what the cache has, an attempt for each answer."""
        for cone in cones:
            entry = self.cache.find(cone)
            if entry is None:
                continue
            self.tables[cone] = entry.table
            self.attempts.append(self._cached(entry))

    def ask(self, cones: Sequence[Cone]) -> None:
        """Ask one mirror after the other for what is missing, until nothing is."""
        failures: list[CatalogServiceError] = []
        for mirror in self.service.mirrors:
            missing = [cone for cone in cones if cone not in self.tables]
            try:
                self._ask_mirror(mirror, missing)
            except TooManyRowsError as error:
                name = self.service.name
                raise TooManyRowsError(name, error.problem, error.remedy, self.attempts) from error
            except CatalogServiceError as error:
                failures.append(error)
            else:
                return
        raise self._failed(failures) from failures[-1]

    def catalog(self, cones: Sequence[Cone]) -> ReferenceCatalog:
        """Return the catalog of all that was found."""
        from grism_align.io.catalogs.reference import reference_catalog_from

        name, came_from = self.service.name, self._source()
        table = joined([self.tables[cone] for cone in cones])
        if not len(table):
            where = f"{came_from}: no source within {_described(cones)}"
            raise self._unusable(NoRowsError, where, "Use another catalog")
        if len(table) > self.settings.max_rows:
            problem = f"{came_from}: {len(table)} rows, max_rows is {self.settings.max_rows}"
            remedy = "Raise max_rows, or align to less of the sky at once"
            raise self._unusable(TooManyRowsError, problem, remedy)
        try:
            return reference_catalog_from(table, came_from, name=name)
        except InputError as error:
            raise self._unusable(ServiceAnswerError, str(error).rstrip("."), "") from error

    def _unusable(self, kind: type[CatalogServiceError], problem: str, remedy: str) -> CatalogServiceError:
        """Return the error of rows that came and can't be used, which is the last attempt on record."""
        name = self.service.name
        if self.attempts[-1].outcome != kind.outcome:
            self.attempts.append(CatalogAttempt(name, "", self._source(), kind.outcome, problem))
        return kind(name, problem, remedy, self.attempts)

    def not_cached(self, missing: Sequence[Cone]) -> NotCachedError:
        """Return the error of an offline run."""
        damaged = next(filter(None, map(self.cache.unreadable, missing)), None)
        lacking = (
            f"{damaged} can't be read"
            if damaged
            else f"not in the cache ({self.cache.folder.parent}) within {_described(missing)}"
        )
        problem = f"{lacking}, and the network is not to be used (offline)"
        remedy = (
            f"Where there is a network: grism-align fetch-catalog ASSOCIATION --catalog {self.service.name}"
        )
        attempt = CatalogAttempt(
            self.service.name, "cache", str(self.cache.folder), NotCachedError.outcome, problem
        )
        return NotCachedError(self.service.name, problem, remedy, (*self.attempts, attempt))

    def _ask_mirror(self, mirror: Mirror, cones: Sequence[Cone]) -> None:
        """Put the answers of one mirror into the cache, and an attempt on record, failed or not."""
        queries = {
            cone: [mirror.query(part) for part in covering_cones(cone, mirror.max_radius)] for cone in cones
        }
        text = ";\n".join(query for parts in queries.values() for query in parts)
        start, n_rows, date = time.monotonic(), 0, _now()
        logger.info("%s: asking %s", self.service.name, mirror.label)
        try:
            for cone, parts in queries.items():
                table = self._rows(mirror, cone, parts)
                n_rows += len(table)
                self.tables[cone] = table
                self.cache.keep(cone, table, self._about(mirror, ";\n".join(parts), date))
        except CatalogServiceError as error:
            self._record(mirror, error.outcome, text, date, n_rows, error.problem)
            logger.info("%s: %s after %.1f s", self.service.name, error.problem, time.monotonic() - start)
            raise
        self._record(mirror, "fetched" if n_rows else NoRowsError.outcome, text, date, n_rows)
        logger.info(
            "%s: %d rows from %s in %.1f s", self.service.name, n_rows, mirror.name, time.monotonic() - start
        )

    def _rows(self, mirror: Mirror, cone: Cone, queries: Sequence[str]) -> Table:
        """Return the rows within one cone, of one query or of those of its parts."""
        from grism_align.io.catalogs.services.tap import run_query

        tables = [
            role_table(run_query(self.service.name, mirror, query, self.settings), self.service, mirror)
            for query in queries
        ]
        return tables[0] if len(tables) == 1 else within(joined(tables), cone)

    def _about(self, mirror: Mirror, query: str, date: str) -> dict[str, str | int]:
        return {
            "mirror": mirror.name,
            "url": mirror.url,
            "query": query,
            "date": date,
            "max_rows": self.settings.max_rows,
            "version": __version__,
        }

    def _record(
        self, mirror: Mirror, outcome: str, query: str, date: str, n_rows: int, reason: str = ""
    ) -> None:
        self.attempts.append(
            CatalogAttempt(self.service.name, mirror.name, mirror.url, outcome, reason, n_rows, query, date)
        )

    def _cached(self, entry: CacheEntry) -> CatalogAttempt:
        n_rows, name = len(entry.table), self.service.name
        logger.info("%s: %d rows from the cache (%s, %s)", name, n_rows, entry.mirror, entry.date)
        return CatalogAttempt(
            name, entry.mirror, entry.url, "cached", f"from {entry.path}", n_rows, entry.query, entry.date
        )

    def _source(self) -> str:
        """Return the address of who answered last."""
        answered = ("fetched", "cached", NoRowsError.outcome)
        return next(attempt.url for attempt in reversed(self.attempts) if attempt.outcome in answered)

    def _failed(self, failures: Sequence[CatalogServiceError]) -> CatalogServiceError:
        """Return the error of all mirrors, or the most telling of them, with what each said."""
        kind = next(kind for kind in _TELLING if any(isinstance(failure, kind) for failure in failures))
        problem, remedy = "; ".join(failure.problem for failure in failures), _REMEDIES[kind]
        return kind(self.service.name, problem, remedy, self.attempts)


def _described(cones: Sequence[Cone]) -> str:
    first = cones[0]
    text = f"{first.radius:g} deg of RA {first.ra:.4f}, Dec {first.dec:+.4f}"
    return text if len(cones) == 1 else f"{text} and {len(cones) - 1} more cones"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
