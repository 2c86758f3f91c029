"""Roman as a `Mission`: this module's functions are the protocol's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from grism_align.io.files.sources import path_of
from grism_align.io.gwcs.names import solution_name
from grism_align.io.gwcs.undo import Undoing
from grism_align.io.missions.roman.catalogs import read_catalog as source_catalog
from grism_align.io.missions.roman.correct import undo_metadata
from grism_align.io.missions.roman.facts import FACTS as facts  # noqa: N811  # as the protocol has it
from grism_align.io.missions.roman.files import is_asdf_of_roman
from grism_align.io.missions.roman.pixels import read_pixels as pixels
from grism_align.io.missions.roman.read import read_exposure as read
from grism_align.io.missions.roman.read import read_instrument as instrument
from grism_align.io.missions.roman.read import read_keywords as keywords
from grism_align.io.missions.roman.sources import changed, content_of
from grism_align.io.missions.roman.write import flag_cosmic_rays
from grism_align.io.missions.roman.write import write_exposure as write
from grism_align.io.models.open_models import ModelSource

if TYPE_CHECKING:
    from collections.abc import Collection

    from grism_align.values.association import Association
    from grism_align.values.source import Source

__all__ = [
    "association",
    "check_undo",
    "claims",
    "corrections",
    "distortion_models",
    "facts",
    "flag_cosmic_rays",
    "instrument",
    "keywords",
    "pixels",
    "read",
    "solution_name",
    "source_catalog",
    "undo",
    "write",
]

_UNDOING = Undoing(content_of, changed, undo_metadata)
check_undo, corrections, undo = _UNDOING.check_undo, _UNDOING.read_corrections, _UNDOING.undo_exposure


def claims(source: Source) -> bool:
    """Tell whether a file is an ASDF file with a node that is called so, or a model is of that telescope."""
    if isinstance(source, ModelSource):
        with source.opened() as model:
            return str(getattr(model.meta, "telescope", "")) == "ROMAN"
    return isinstance(source, os.PathLike) and is_asdf_of_roman(path_of(source))


def association(source: Source) -> Association | None:
    """Return nothing: Roman's associations are JSON files of the common kind."""
    return None


def distortion_models(names: Collection[str]) -> frozenset[str]:
    """Return nothing: names of Roman's WCSs don't tell."""
    return frozenset()
