"""Readers and writers of exposures, one module a mission.

The rest of the package asks here, and not a mission's own modules. Today every exposure is HST's.
"""

from grism_align.io.missions.hst import read_exposure, read_instrument, read_pixels
from grism_align.io.missions.hst_headers import WcsLabel, solution_name
from grism_align.io.missions.hst_undo import Corrections, Undone, check_undo, read_corrections, undo_exposure
from grism_align.io.missions.hst_write import HeaderletWanted, write_exposure

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
