"""Whether the end of a file is missing.

A file that is cut off between two extensions looks whole but for NEXTEND, which is not kept up to date by all
who add extensions or take them away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.files.cards import Cards
from grism_align.io.missions.hst.facts import CHIPS
from grism_align.io.missions.hst.headerlets import tables_of
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.io import fits


def require_end(path: Path, hdus: fits.HDUList) -> None:
    """Refuse a file that has fewer extensions than NEXTEND says, and lacks what would come last.

    Parameters
    ----------
    path : Path
        The file.
    hdus : HDUList
        The same, open.

    Raises
    ------
    InputError
        If it lacks a chip, the flags of one, or a table of the distortion.
    """
    primary, found = Cards(path, hdus[0].header), len(hdus) - 1
    promised = primary.whole("NEXTEND", found)
    lacking = _lacking(primary, hdus) if found < promised else ""
    if lacking:
        problem = f"{found} extensions of the {promised} that NEXTEND promises, without {lacking}"
        raise InputError(path, f"{problem}; it is truncated", "Fetch the file again")


def _lacking(primary: Cards, hdus: fits.HDUList) -> str:
    names = {(hdu.name, hdu.ver) for hdu in hdus}
    chips = [hdu for hdu in hdus if hdu.name == "SCI"]
    needed = [("DQ", chip.ver) for chip in chips]
    needed += sorted({table for chip in chips for table in tables_of(chip.header)})
    most = CHIPS.get(primary.text("DETECTOR"), 1)
    if primary.value("SUBARRAY") is False:
        needed += [("SCI", number) for number in range(1, most + 1)]
    return ", ".join(f"{name},{number}" for name, number in needed if (name, number) not in names)
