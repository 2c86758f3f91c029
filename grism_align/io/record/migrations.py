"""Versions of the record's layout, and what brings a record of an earlier one up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


#: Of the present layout.
VERSION = "1.0.0"

#: Where a tree has the version of its layout.
VERSION_KEY = "schema_version"

#: By version, what makes a tree of it one of the next version, which it then names. Layouts that were never
#: released have none.
MIGRATIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}


class VersionError(ValueError):
    """A layout that can't be read.

    Parameters
    ----------
    version : str
        Of the layout.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(f"written with version {version} of the layout, and this is {VERSION}")

    @property
    def is_newer(self) -> bool:
        """Whether a later version of the package wrote it."""
        return _order(self.version) > _order(VERSION)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def up_to_date(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree in the present layout.

    Parameters
    ----------
    tree : mapping
        With the version of its layout.

    Raises
    ------
    VersionError
        If there is no way from its version to the present one.
    """
    found = dict(tree)
    passed: set[str] = set()
    while (version := str(found[VERSION_KEY])) != VERSION:
        if version not in MIGRATIONS or version in passed:
            raise VersionError(version)
        passed.add(version)
        found = MIGRATIONS[version](found)
    return found
