"""Which missions there are: HST, JWST and Roman, and those that installed packages bring along."""

from __future__ import annotations

import logging
import os
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from grism_align.io.files.fits import is_fits
from grism_align.io.files.kinds import ASDF, what_is
from grism_align.io.files.sources import path_of
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from grism_align.values.mission import Mission
    from grism_align.values.source import Source


#: Group of the entry points of missions, each of which leads to an object with what `Mission` has.
GROUP = "grism_align.missions"

# known also where the package is not installed
_OURS = tuple(
    EntryPoint(name.lower(), f"grism_align.io.missions.{name.lower()}:{name}", GROUP)
    for name in ("HST", "JWST", "ROMAN")
)

_FITS = (".fits", ".fits.gz", ".fits.fz")

logger = logging.getLogger(__name__)


@cache
def missions() -> dict[str, Mission]:
    """Return the missions that can be imported, by name, in the order in which they are asked."""
    found = {entry.name: entry for entry in (*_OURS, *entry_points(group=GROUP))}
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
    reads = "; or ".join(mission.facts.reads for mission in missions().values())
    what = what_is(path_of(source)) if isinstance(source, os.PathLike) else ""
    if isinstance(source, os.PathLike) and source.name.endswith(".asdf") and what != ASDF:
        raise InputError(source, f"{what or 'no ASDF file'}, in spite of its name", "Fetch the file again")
    if isinstance(source, os.PathLike) and source.name.endswith(_FITS) and not is_fits(path_of(source)):
        raise InputError(source, f"{what or 'no FITS file'}, in spite of its name", "Fetch the file again")
    problem = f"no exposure of a mission that is read ({', '.join(missions())})"
    raise InputError(source, f"{what}: {problem}" if what else problem, f"Give {reads}")
