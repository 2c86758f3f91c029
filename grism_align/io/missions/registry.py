"""Which missions there are: HST, and those that installed packages bring along."""

from __future__ import annotations

import logging
import os
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.fits import is_fits
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from grism_align.values.mission import Mission
    from grism_align.values.source import Source

__all__ = ["GROUP", "mission_named", "mission_of", "missions"]

#: Group of the entry points of missions, each of which leads to an object with what `Mission` has.
GROUP = "grism_align.missions"

# known also where the package is not installed
_OURS = EntryPoint("hst", "grism_align.io.missions.hst:HST", GROUP)

_FITS = (".fits", ".fits.gz", ".fits.fz")

logger = logging.getLogger(__name__)


@cache
def missions() -> dict[str, Mission]:
    """Return the missions that can be imported, by name, in the order in which they are asked."""
    found = {entry.name: entry for entry in (_OURS, *entry_points(group=GROUP))}
    loaded = {}
    for name, entry in found.items():
        try:
            loaded[name] = entry.load()
        except (ImportError, AttributeError) as error:
            logger.warning("Mission %s can't be loaded from %s (%s)", name, entry.value, error)
    return loaded


def mission_named(name: str) -> Mission:
    """Return the mission of a name, which an exposure has in `Telescope.mission`.

    Raises
    ------
    InputError
        If there is none.
    """
    try:
        return missions()[name]
    except KeyError:
        problem = f"no such mission is installed; there are {', '.join(missions())}"
        raise InputError(name, problem, "Install the package that reads it") from None


def mission_of(source: Source) -> Mission:
    """Return the mission that a source is of: the first that claims it.

    Raises
    ------
    InputError
        If no mission does.
    """
    for mission in missions().values():
        if mission.claims(source):
            return mission
    if isinstance(source, os.PathLike) and Path(source).name.endswith(_FITS) and not is_fits(Path(source)):
        raise InputError(source, "not a FITS file, in spite of its name", "Fetch the file again")
    reads = "; or ".join(mission.facts.reads for mission in missions().values())
    raise InputError(
        source, f"no exposure of a mission that is read ({', '.join(missions())})", f"Give {reads}"
    )
