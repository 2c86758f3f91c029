"""Readers and writers of exposures, one module a mission.

The rest of the package asks here, and not a mission's own modules. Today every exposure is HST's.
"""

from grism_align.io.missions.hst.headers import WcsLabel, solution_name
from grism_align.io.missions.hst.read import read_exposure, read_instrument, read_pixels
from grism_align.io.missions.hst.undo import Corrections, Undone, check_undo, read_corrections, undo_exposure
from grism_align.io.missions.hst.write import HeaderletWanted, write_exposure

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
