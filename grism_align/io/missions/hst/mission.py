"""HST as a `Mission`: this module's functions are the protocol's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from grism_align.io.files.cards import Cards
from grism_align.io.files.fits import is_fits, primary_header
from grism_align.io.files.sources import path_of

if TYPE_CHECKING:
    from grism_align.values.source import Source


def claims(source: Source) -> bool:
    """Tell whether a file is of HST, by TELESCOP."""
    if not isinstance(source, os.PathLike):
        return False
    path = path_of(source)
    return is_fits(path) and Cards(path, primary_header(path)).text("TELESCOP") == "HST"
