"""HST as a `Mission`: this module's functions are the protocol's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from grism_align.io.files.cards import Cards
from grism_align.io.files.fits import is_fits, primary_header
from grism_align.io.files.sources import path_of
from grism_align.io.missions.hst.associations import read_association as association
from grism_align.io.missions.hst.facts import FACTS as facts  # noqa: N811  # as the protocol has it
from grism_align.io.missions.hst.flags import flag_cosmic_rays
from grism_align.io.missions.hst.headers import distortion_models, solution_name
from grism_align.io.missions.hst.read import read_exposure as read
from grism_align.io.missions.hst.read import read_instrument as instrument
from grism_align.io.missions.hst.read import read_keywords as keywords
from grism_align.io.missions.hst.read import read_pixels as pixels
from grism_align.io.missions.hst.undo import check_undo
from grism_align.io.missions.hst.undo import read_corrections as corrections
from grism_align.io.missions.hst.undo import undo_exposure as undo
from grism_align.io.missions.hst.write import write_exposure as write

if TYPE_CHECKING:
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


def claims(source: Source) -> bool:
    """Tell whether a file is of HST, by TELESCOP, which grizli changes in files of JWST."""
    if not isinstance(source, os.PathLike):
        return False
    path = path_of(source)
    if not is_fits(path):
        return False
    cards = Cards(path, primary_header(path))
    return cards.text("TELESCOP") == "HST" and not cards.text("OTELESCO")


def source_catalog(exposure: Exposure) -> SourceCatalog | None:
    """Return nothing: no exposure of HST says which sources are in it."""
    return None
