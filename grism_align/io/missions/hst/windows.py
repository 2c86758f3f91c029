"""Which part of its detector a chip was read out from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.files.sources import path_of
from grism_align.io.missions.hst.read import open_fits
from grism_align.values.detector import DetectorWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from astropy.io import fits

    from grism_align.values.exposure import Exposure

    Track = Callable[[Iterable[Exposure], str], Iterable[Exposure]]


__all__ = ["detector_windows"]


def detector_windows(exposure: Exposure) -> dict[int, DetectorWindow]:
    """Which part of the detector each science array is, by EXTVER: SCI,1 of a subarray may be any chip."""
    with open_fits(path_of(exposure.source)) as hdus:
        return {chip.number: _window(hdus["SCI", chip.number].header) for chip in exposure.chips}


def _window(header: fits.Header) -> DetectorWindow:
    ltm = [1.0 / float(header.get(f"BINAXIS{i}", 1.0 / header.get(f"LTM{i}_{i}", 1.0))) for i in (1, 2)]
    ltv = [float(header.get(f"LTV{i}", 0.0)) for i in (1, 2)]
    return DetectorWindow(int(header.get("CCDCHIP", 1)), (ltm[0], ltm[1]), (ltv[0], ltv[1]))
