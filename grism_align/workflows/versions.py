"""Versions of the software that results depend on."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from grism_align import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

_PACKAGES = (
    *("numpy", "scipy", "astropy", "photutils", "sep", "drizzle", "pyerfa", "asdf", "stpipe"),
    *("gwcs", "tweakwcs", "stdatamodels", "roman_datamodels", "astroscrappy"),
)
_NONE = "none"


@cache
def versions_here() -> dict[str, str]:
    """Return the versions of Python, of this package and of those that results depend on, by name."""
    python = ".".join(map(str, sys.version_info[:2]))
    return {"python": python, "grism_align": __version__} | {name: _version_of(name) for name in _PACKAGES}


def differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> tuple[str, ...]:
    """Return what differs between two machines, a text each.

    Parameters
    ----------
    wanted, found : mapping of str to str
        Versions by name.
    """
    return tuple(
        f"{name} {found.get(name, _NONE)} instead of {version}"
        for name, version in wanted.items()
        if found.get(name, _NONE) != version
    )


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return _NONE
