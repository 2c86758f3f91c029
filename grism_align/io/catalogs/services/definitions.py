"""The table of catalog services: what is shipped, and what users add or change."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.catalogs.roles import UNITS
from grism_align.io.files.bounded import MOST_TEXT, read_whole
from grism_align.values.addresses import LOGINS, has_login, without_login
from grism_align.values.errors import InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from grism_align.values.region import Cone
    from grism_align.values.settings import ServiceSettings


_CONE = "CONTAINS(POINT('ICRS', {ra_column}, {dec_column}), CIRCLE('ICRS', {ra}, {dec}, {radius})) = 1"
_MODES = ("auto", "sync", "async")

#: Type of each key of a service and of a mirror in the TOML, beside the columns and the mirrors.
_SERVICE_KEYS = {"description": str, "aliases": list, "systematic": float, "where": str}
_MIRROR_KEYS = {
    "name": str,
    "url": str,
    "table": str,
    "where": str,
    "cone": str,
    "mode": str,
    "max_radius": float,
    "row_limit": int,
    "trust_overflow": bool,
    "hosts": list,
}
_COLUMN_KEYS = {
    "adql": str,
    "scale": float,
    "power": float,
    "cos_dec": bool,
    "missing": list,
    "valid": list,
    "above": float,
    "below": float,
    "unless": list,
}
_SEE = "docs/catalogs.md says what it may hold"
_ADDRESS = "it must begin with http:// or https://"


@dataclass(frozen=True)
class Column:
    """What a role is made of, in one table of one service.

    Parameters
    ----------
    adql : str
        Expression that the service computes.
    scale, power : float
        The value is ``scale * answer ** power``.
    cos_dec : bool
        Whether it still is to be multiplied by cos(Dec).
    missing : tuple of float
        Answers that say that there is no value.
    valid : tuple of two float, optional
        Smallest and largest answer that is a value.
    above, below : float, optional
        The value is 1 for answers above, or below, and 0 for others.
    unless : tuple of str
        The value is 0 for these answers, as text, and 1 for others.
    """

    adql: str
    scale: float = 1.0
    power: float = 1.0
    cos_dec: bool = False
    missing: tuple[float, ...] = ()
    valid: tuple[float, float] = (-np.inf, np.inf)
    above: float | None = None
    below: float | None = None
    unless: tuple[str, ...] = ()

    def values(self, answer: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the role's values, (N,), NaN where unknown.

        Parameters
        ----------
        answer : (N,) ndarray
            What the service computed; NaN for NULL.
        dec : (N,) ndarray, deg
            Declinations.
        """
        low, high = self.valid
        known = np.isfinite(answer) & (answer >= low) & (answer <= high)
        known &= ~np.isin(answer, self.missing)
        if self.power != 1.0:
            known &= answer > 0.0
        raw = np.where(known, answer, np.nan)
        if self.above is not None:
            return np.where(known, raw > self.above, np.nan)
        if self.below is not None:
            return np.where(known, raw < self.below, np.nan)
        scaled = self.scale * raw**self.power
        return scaled * np.cos(np.radians(dec)) if self.cos_dec else scaled


@dataclass(frozen=True)
class Mirror:
    """One TAP endpoint that has a catalog.

    Parameters
    ----------
    name : str
        What to call it.
    url : str
        The TAP endpoint, without ``/sync``.
    table : str
        As it stands in the query, quoted where need be.
    columns : mapping of str to tuple of Column
        What each role is made of; of several, the first that has a value in a row.
    where : str
        Further conditions, ADQL.
    cone : str
        Condition for a cone, with ``{ra}``, ``{dec}``, ``{radius}`` (deg) in it.
    mode : str
        ``sync``, ``async``, or ``auto``: asynchronous where synchronous can't.
    max_radius : float, optional, deg
        Of the largest cone that it takes.
    row_limit : int, optional
        The most rows that it ever sends.
    hosts : tuple of str
        Hosts besides that of `url` that it may send to.
    trust_overflow : bool
        Whether its word that an answer was cut short can be trusted; if not, the number of rows tells.
    """

    name: str
    url: str
    table: str
    columns: Mapping[str, tuple[Column, ...]]
    where: str = ""
    cone: str = _CONE
    mode: str = "auto"
    max_radius: float | None = None
    row_limit: int | None = None
    trust_overflow: bool = True
    hosts: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name and address, for messages."""
        return self.url if self.name == self.url else f"{self.name} ({self.url})"

    def query(self, cone: Cone) -> str:
        """Return the ADQL for the sources within a cone."""
        selected = [
            column.adql if column.adql == alias else f"{column.adql} AS {alias}"
            for alias, column in self.selected.items()
        ]
        conditions = [self._within(cone), *([f"({self.where})"] if self.where else [])]
        return f"SELECT {', '.join(selected)} FROM {self.table} WHERE {' AND '.join(conditions)}"

    @property
    def selected(self) -> dict[str, Column]:
        """Columns by the names that they have in an answer: the role, and a number after the first."""
        return {
            role if number == 1 else f"{role}_{number}": column
            for role, columns in self.columns.items()
            for number, column in enumerate(columns, 1)
        }

    def _within(self, cone: Cone) -> str:
        return self.cone.format(
            ra_column=self.columns["ra"][0].adql,
            dec_column=self.columns["dec"][0].adql,
            ra=f"{cone.ra:.8f}",
            dec=f"{cone.dec:.8f}",
            radius=f"{cone.radius:.8f}",
        )


@dataclass(frozen=True)
class Service:
    """A catalog, and where it can be had.

    Parameters
    ----------
    name : str
        As in ``--steps.absolute_align.catalog``.
    description : str
        One line.
    aliases : tuple of str
        Other names.
    systematic : float, mas
        Error of each axis that the catalog's own errors leave out; added to them in quadrature.
    mirrors : tuple of Mirror
        In the order in which they are asked.
    endpoint : str
        Address that the user named instead of the catalog's own; what it sends may be another catalog.
    """

    name: str
    description: str
    aliases: tuple[str, ...]
    systematic: float
    mirrors: tuple[Mirror, ...]
    endpoint: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of what the catalog is made of, from whichever of its own addresses it comes."""
        first = self.mirrors[0]
        parts: tuple[object, ...] = (
            self.name,
            self.systematic,
            first.table,
            sorted(first.columns.items()),
            first.where,
        )
        parts += (self.endpoint,) if self.endpoint else ()
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def load_services(settings: ServiceSettings) -> dict[str, Service]:
    """Return all services by name: those shipped, with what the user's file adds or changes.

    Parameters
    ----------
    settings : ServiceSettings
        Names the user's file and the endpoint to ask instead of any service's own.

    Raises
    ------
    InputError
        If the user's file can't be used; it names the entry and what is wrong with it.
    """
    shipped = resources.files("grism_align.io.catalogs.services").joinpath("services.toml")
    entries: dict[str, Any] = tomllib.loads(shipped.read_text(encoding="utf-8"))
    origin = Path("services.toml")
    if settings.services:
        origin = Path(settings.services).expanduser()
        entries = _merged(entries, _read(origin), origin)
    services = {name: _service(name, entry, origin) for name, entry in entries.items()}
    _refuse_shared_names(services, origin)
    return services


def find_service(name: str, settings: ServiceSettings) -> Service | None:
    """Return the service of a name or alias, whatever its case and punctuation; None for an unknown one.

    Where the settings name an endpoint, it is the only one of the service, with the table and columns of
    its first.

    Raises
    ------
    InputError
        If the user's file of services can't be used.
    SettingsError
        If the endpoint is no address.
    """
    asked = _plain(name)
    for service in load_services(settings).values():
        if asked in map(_plain, (service.name, *service.aliases)):
            return _pointed(service, settings.service_url)
    return None


def known_services(settings: ServiceSettings) -> str:
    """Return the services that there are, for a message: names and aliases."""
    return ", ".join(
        f"{service.name} ({', '.join(service.aliases)})" if service.aliases else service.name
        for service in load_services(settings).values()
    )


def _pointed(service: Service, url: str | None) -> Service:
    if not url:
        return service
    if not _is_address(url):
        parameter = "service_url"
        raise SettingsError(parameter, url, _ADDRESS)
    # What is known of the first mirror's limits does not hold there.
    only = replace(
        service.mirrors[0],
        name=url,
        url=url.rstrip("/"),
        max_radius=None,
        row_limit=None,
        trust_overflow=True,
        hosts=(),
    )
    return replace(service, mirrors=(only,), endpoint=only.url)


def _is_address(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _plain(name: str) -> str:
    return "".join(character for character in name.upper() if character.isalnum())


def _read(path: Path) -> dict[str, Any]:
    content = read_whole(path, MOST_TEXT)
    try:
        return tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(path, f"no TOML ({error})", _SEE) from error


def _merged(shipped: dict[str, Any], own: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the shipped entries with a user's: columns one by one, every other key as a whole."""
    names = {_plain(name): name for name in shipped}
    merged = dict(shipped)
    for given, entry in own.items():
        if not isinstance(entry, dict):
            raise InputError(path, f"{given} is no table", _SEE)
        name = names.get(_plain(given), given)
        before = merged.get(name, {})
        columns = entry.get("columns", {})
        _expect(columns, dict, f"{name}.columns", path)
        merged[name] = {**before, **entry, "columns": {**before.get("columns", {}), **columns}}
    return merged


def _service(name: str, entry: dict[str, Any], path: Path) -> Service:
    given = _checked(entry, _SERVICE_KEYS, name, path, extra={"columns", "mirrors"})
    listed = entry.get("mirrors", [])
    _expect(listed, list, f"{name}.mirrors", path)
    if not listed:
        raise InputError(path, f"{name} has no mirrors", "Give at least one [[mirrors]] with url and table")
    columns = entry.get("columns", {})
    _expect(columns, dict, f"{name}.columns", path)
    where = given.get("where", "")
    mirrors = tuple(
        _mirror(f"{name}.mirrors[{number}]", mirror, columns, where, path)
        for number, mirror in enumerate(listed, 1)
    )
    return Service(
        name,
        given.get("description", name),
        tuple(map(str, given.get("aliases", ()))),
        given.get("systematic", 0.0),
        mirrors,
    )


def _mirror(where_at: str, entry: Any, columns: dict[str, Any], where: str, path: Path) -> Mirror:
    _expect(entry, dict, where_at, path)
    given = _checked(entry, _MIRROR_KEYS, where_at, path, extra={"columns"})
    for key in ("url", "table"):
        if not given.get(key):
            raise InputError(path, f"{where_at} has no {key}", _SEE)
    if has_login(given["url"]):
        raise InputError(path, f"{where_at}.url is {without_login(given['url'])!r}: {LOGINS}", _SEE)
    if not _is_address(given["url"]):
        raise InputError(path, f"{where_at}.url is {given['url']!r}: {_ADDRESS}", _SEE)
    own = entry.get("columns", {})
    _expect(own, dict, f"{where_at}.columns", path)
    made = {
        role: _columns(f"{where_at}.columns.{role}", role, value, path)
        for role, value in {**columns, **own}.items()
        if value != ""
    }
    if not {"ra", "dec"} <= made.keys():
        raise InputError(path, f"{where_at} has no columns ra and dec", _SEE)
    if given.get("mode", "auto") not in _MODES:
        raise InputError(path, f"{where_at}.mode is {given['mode']!r}", f"It may be {', '.join(_MODES)}")
    if given.get("max_radius", 1.0) <= 0.0:
        raise InputError(path, f"{where_at}.max_radius is {given['max_radius']:g}", "Give it in deg")
    given["hosts"] = tuple(map(str, given.get("hosts", ())))
    named = {"name": given["url"].rstrip("/"), "where": where, **given, "url": given["url"].rstrip("/")}
    return _with_a_usable_cone(Mirror(columns=made, **named), where_at, path)


def _with_a_usable_cone(mirror: Mirror, where_at: str, path: Path) -> Mirror:
    from grism_align.values.region import Cone

    try:
        mirror.query(Cone(0.0, 0.0, 1.0))
    except (KeyError, IndexError, ValueError) as error:
        problem = f"{where_at}.cone has something else in braces than ra, dec and radius"
        raise InputError(path, problem, _SEE) from error
    return mirror


def _columns(where_at: str, role: str, value: Any, path: Path) -> tuple[Column, ...]:
    if role not in UNITS:
        raise InputError(path, f"{where_at} is no role", f"Roles are {', '.join(UNITS)}")
    alternatives = value if isinstance(value, list) else [value]
    return tuple(_column(where_at, alternative, path) for alternative in alternatives)


def _column(where_at: str, value: Any, path: Path) -> Column:
    if isinstance(value, str):
        value = {"adql": value}
    _expect(value, dict, where_at, path)
    given = _checked(value, _COLUMN_KEYS, where_at, path)
    if not given.get("adql"):
        raise InputError(path, f"{where_at} has no adql", _SEE)
    try:
        if "missing" in given:
            given["missing"] = tuple(map(float, given["missing"]))
        if "valid" in given:
            low, high = map(float, given["valid"])
            given["valid"] = (low, high)
    except (TypeError, ValueError) as error:
        problem = f"{where_at}: missing is a list of numbers, valid is [smallest, largest]"
        raise InputError(path, problem, _SEE) from error
    if "unless" in given:
        given["unless"] = tuple(map(str, given["unless"]))
    return Column(**given)


def _checked(
    entry: dict[str, Any], kinds: dict[str, type], where_at: str, path: Path, extra: set[str] | None = None
) -> dict[str, Any]:
    """Return the known keys of a table, of the right types; InputError for others."""
    given = {}
    for key, value in entry.items():
        if key in (extra or ()):
            continue
        if key not in kinds:
            raise InputError(path, f"{where_at} has an unknown key {key!r}", f"Known are {', '.join(kinds)}")
        if kinds[key] is float and type(value) is int:
            value = float(value)  # noqa: PLW2901 - 20 for 20.0
        _expect(value, kinds[key], f"{where_at}.{key}", path)
        given[key] = value
    return given


def _expect(value: Any, kind: type, where_at: str, path: Path) -> None:
    if type(value) is not kind:
        names = {dict: "a table", list: "a list", str: "a text", float: "a number", int: "a whole number"}
        raise InputError(path, f"{where_at} is {value!r}, not {names.get(kind, 'true or false')}", _SEE)


def _refuse_shared_names(services: dict[str, Service], path: Path) -> None:
    owners: dict[str, str] = {}
    for service in services.values():
        for name in (service.name, *service.aliases):
            owner = owners.setdefault(_plain(name), service.name)
            if owner != service.name:
                raise InputError(path, f"{name!r} names both {owner} and {service.name}", "Rename one")
