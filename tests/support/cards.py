"""Headers of no file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.io import fits

from grism_align.io.files.cards import Cards

if TYPE_CHECKING:
    from collections.abc import Mapping


def cards_of(values: Mapping[str, Any]) -> Cards:
    """Cards of a primary header with these values, of a file that is none."""
    return Cards(Path("x_flt.fits"), fits.Header(values))
