"""The apertures of JWST in SIAF, the Science Instrument Aperture File."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.simulation.gwcs.apertures import read_apertures

if TYPE_CHECKING:
    from grism_align.simulation.gwcs.apertures import Aperture

#: Written by ``docs/siaf_apertures.py``.
TABLE = Path(__file__).with_name("apertures.json")


def aperture(name: str) -> Aperture:
    """Return the aperture of a name, which the table must have."""
    return read_apertures(TABLE)[name]
