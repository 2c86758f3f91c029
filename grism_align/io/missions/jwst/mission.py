"""JWST as a `Mission`: this module's functions are the protocol's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from grism_align.io.files.cards import Cards
from grism_align.io.files.fits import is_fits, primary_header
from grism_align.io.files.sources import path_of
from grism_align.io.gwcs.names import solution_name
from grism_align.io.gwcs.undo import Undoing
from grism_align.io.missions.jwst.correct import undo_model
from grism_align.io.missions.jwst.facts import FACTS as facts  # noqa: N811  # as the protocol has it
from grism_align.io.missions.jwst.pixels import read_pixels as pixels
from grism_align.io.missions.jwst.read import read_exposure as read
from grism_align.io.missions.jwst.read import read_instrument as instrument
from grism_align.io.missions.jwst.read import read_keywords as keywords
from grism_align.io.missions.jwst.sources import cards_of, changed, content_of
from grism_align.io.missions.jwst.write import flag_cosmic_rays
from grism_align.io.missions.jwst.write import write_exposure as write
from grism_align.io.models.open_models import ModelSource

if TYPE_CHECKING:
    from collections.abc import Collection

    from grism_align.values.association import Association
    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Exposure
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

_UNDOING = Undoing(content_of, changed, undo_model)
check_undo, corrections, undo = _UNDOING.check_undo, _UNDOING.read_corrections, _UNDOING.undo_exposure


def claims(source: Source) -> bool:
    """Tell whether a file or a model is of JWST, by TELESCOP, or by OTELESCO where grizli rewrote it."""
    if isinstance(source, ModelSource):
        return cards_of(source).text("TELESCOP") == "JWST"
    if not isinstance(source, os.PathLike):
        return False
    path = path_of(source)
    if not is_fits(path):
        return False
    cards = Cards(path, primary_header(path))
    return "JWST" in (cards.text("TELESCOP"), cards.text("OTELESCO"))


def association(source: Source) -> Association | None:
    """Return nothing: JWST's associations are JSON files of the common kind."""
    return None


def distortion_models(names: Collection[str]) -> frozenset[str]:
    """Return nothing: names of JWST's WCSs don't tell."""
    return frozenset()


def source_catalog(exposure: Exposure) -> SourceCatalog | None:
    """Return nothing: JWST's source catalogs have no errors of positions."""
    return None
