"""Readers and writers of exposures, one package a mission.

The rest of the package asks here, and not a mission's own modules. Today every exposure is HST's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.sources import file_source
from grism_align.io.missions.hst import read
from grism_align.io.missions.hst.headers import WcsLabel, solution_name
from grism_align.io.missions.hst.read import read_pixels
from grism_align.io.missions.hst.undo import Corrections, Undone, check_undo, read_corrections, undo_exposure
from grism_align.io.missions.hst.write import HeaderletWanted, write_exposure

if TYPE_CHECKING:
    from grism_align.values.exposure import Exposure
    from grism_align.values.source import Source

__all__ = [
    "Corrections",
    "HeaderletWanted",
    "Undone",
    "WcsLabel",
    "check_undo",
    "read_corrections",
    "read_exposure",
    "read_instrument",
    "read_pixels",
    "solution_name",
    "undo_exposure",
    "write_exposure",
]


def _source(given: Source | Path | str) -> Source:
    return file_source(given) if isinstance(given, Path | str) else given


def read_exposure(source: Source | Path | str) -> Exposure:
    """Read the headers of an exposure; pixels stay on disk."""
    return read.read_exposure(_source(source))


def read_instrument(source: Source | Path | str) -> str:
    """Return the instrument of an exposure, from as few headers as possible."""
    return read.read_instrument(_source(source))
