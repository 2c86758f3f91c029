"""Put the WCS back that an HST exposure had before our latest correction."""

from __future__ import annotations

from string import ascii_uppercase
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.files.fits import open_fits
from grism_align.io.files.sources import path_of
from grism_align.io.missions.hst.alternates import LOST, PREVIOUS, PREVIOUS_OF, restore_wcs
from grism_align.io.missions.hst.changes import Changes
from grism_align.io.missions.hst.headerlets import attached
from grism_align.io.missions.hst.headers import STATUS_KEYWORD, UNDONE_KEYWORD, headerlet_name, solution_of
from grism_align.io.missions.hst.history import tell_history
from grism_align.io.missions.hst.read_back import PointsOnSky, as_others_read, check_file
from grism_align.io.missions.hst.rewrite import rewrite
from grism_align.io.missions.hst.wcscorr import without_rows
from grism_align.values.errors import InputError
from grism_align.values.mission import Corrections, Undone
from grism_align.values.solution import FitStatus

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.io import fits

    from grism_align.values.source import Source


_FRESH = "Fetch the file from the archive again to start from its first WCS"


def read_corrections(source: Source) -> Corrections:
    """Which corrections of ours an exposure has and had.

    Raises
    ------
    InputError
        If the file can't be read.
    """
    with open_fits(path_of(source)) as hdus:
        primary = hdus[0].header
        science = next((hdu.header for hdu in hdus if hdu.name == "SCI"), primary)
        letters = [letter for letter in ascii_uppercase if PREVIOUS_OF + letter in science]
        has_one = PREVIOUS in science
        return Corrections(
            latest=solution_of(str(science.get("WCSNAME", ""))) if has_one else "",
            earlier=frozenset(solution_of(str(science.get(f"WCSNAME{letter}", ""))) for letter in letters),
            undone=str(primary.get(UNDONE_KEYWORD, "")),
            is_failed=primary.get(STATUS_KEYWORD) == FitStatus.FAILED.value and not has_one,
        )


def check_undo(source: Source) -> None:
    """Refuse an exposure whose latest correction can't be undone.

    Raises
    ------
    InputError
        If the file can't be read, has no correction of ours, was changed since, or no longer has the WCS
        before.
    """
    path = path_of(source)
    with open_fits(path) as hdus:
        _letter(path, hdus[0].header, [hdu.header for hdu in hdus if hdu.name == "SCI"])


def undo_exposure(source: Source, target: Source) -> Undone:
    """Write an exposure with the WCS that it had before our latest correction.

    Parameters
    ----------
    source : Source
        The exposure.
    target : Source
        The file to make. It may be the same.

    Returns
    -------
    Undone

    Raises
    ------
    InputError
        As `check_undo`.
    """
    path = path_of(source)
    with open_fits(path) as hdus:
        changes = Changes(hdus)
        headers = list(changes.science().values())
        letter = _letter(path, changes.primary, headers)
        undone, headerlet = str(headers[0].get("WCSNAME", "")), str(headers[0]["HDRNAME"])
        meant = _archived(changes, letter)
        restore_wcs(changes.primary, headers, letter)
        changes.finish_wcs()
        _drop_traces(changes, headerlet)
        restored = str(headers[0].get("WCSNAME", ""))
        changes.primary[UNDONE_KEYWORD] = (solution_of(undone), "grism_align: correction undone last")
        tell_history(changes.primary, f"undone {undone}, back to {restored}")

        def check(written: Path) -> None:
            check_file(source, written, meant)

        rewrite(path, hdus, changes.edits(), path_of(target), check)
        return Undone(source, target, undone, restored, PREVIOUS in headers[0])


def _archived(changes: Changes, letter: str) -> dict[int, PointsOnSky]:
    """Where points of each chip are by an archived WCS."""
    chips = {version: (header["NAXIS1"], header["NAXIS2"]) for version, header in changes.science().items()}
    corners = {version: np.array([(0, 0), (nx, 0), (nx, ny), (0, ny)]) for version, (nx, ny) in chips.items()}
    return {
        version: PointsOnSky(xy, as_others_read(changes.hdus, ("SCI", version), xy, letter))
        for version, xy in corners.items()
    }


def _letter(path: Path, primary: fits.Header, headers: list[fits.Header]) -> str:
    """Return the letter of the WCS to restore."""
    letters = {header.get(PREVIOUS) for header in headers} or {None}
    if letters == {None}:
        words = "aligned by a version that did not note it" if STATUS_KEYWORD in primary else "never aligned"
        if UNDONE_KEYWORD in primary:
            words = f"{primary[UNDONE_KEYWORD]} was undone before"
        raise InputError(path, f"no correction of grism_align to undo ({words})", _FRESH)
    root = str(primary.get("ROOTNAME", "")).strip().lower()
    if headers[0].get("HDRNAME") != headerlet_name(root, headers):
        name = headers[0].get("WCSNAME", "unnamed")
        problem = f"its WCS, {name}, was changed by another tool after grism_align"
        raise InputError(path, problem, "Undo that first, or fetch the file from the archive again")
    letter = letters.pop()
    if letters or not all(f"CRVAL1{letter}" in header for header in headers):
        problem = "the WCS before its latest correction is no longer archived"
        if letter == LOST:
            problem += ": the letters for alternates had run out"
        raise InputError(path, problem, _FRESH)
    return str(letter)


def _drop_traces(changes: Changes, headerlet: str) -> None:
    """Take the undone solution's rows out of WCSCORR, and its headerlet out of the file (in place)."""
    table = changes.table()
    if table is not None:
        index, hdu = table
        new = without_rows(hdu, headerlet)
        changes.replaced |= {} if new is None else {index: new}
    changes.replaced |= {i: b"" for i, name in attached(changes.hdus).items() if name == headerlet}
