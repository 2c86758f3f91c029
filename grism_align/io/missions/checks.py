"""What must be so of every exposure, whatever mission read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.files.names import safe_name
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from grism_align.values.exposure import Exposure


# Of a chip: twice what the largest detector has, as few as fit into a GB with all arrays that are made of it.
_MOST_PIXELS = 2 * 4096**2


def check_exposure(exposure: Exposure) -> None:
    """Refuse an exposure whose headers would lead out of folders, or fill the memory.

    Parameters
    ----------
    exposure : Exposure
        As its mission read it.

    Raises
    ------
    InputError
        If a text that names files is no file name, or a chip has more pixels than any detector.
    """
    parts = {
        "the root name": exposure.key,
        "the visit": exposure.visit,
        "the filter": exposure.filter,
        "the instrument": exposure.instrument,
    }
    for what, text in parts.items():
        safe_name(text, exposure.source, what)
    for chip in exposure.chips:
        ny, nx = chip.shape
        if nx * ny > _MOST_PIXELS:
            problem = f"chip {chip.number} has {nx} x {ny} pixels, which no detector has"
            raise InputError(exposure.source, problem, "Fetch the file again")
