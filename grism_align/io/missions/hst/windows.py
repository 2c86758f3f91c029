"""Which part of its detector a chip was read out from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.values.detector import DetectorWindow

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["detector_window"]


def detector_window(header: fits.Header) -> DetectorWindow:
    """Return which part of its detector a science array is: SCI,1 of a subarray may be any chip."""
    ltm = [1.0 / float(header.get(f"BINAXIS{i}", 1.0 / header.get(f"LTM{i}_{i}", 1.0))) for i in (1, 2)]
    ltv = [float(header.get(f"LTV{i}", 0.0)) for i in (1, 2)]
    return DetectorWindow(int(header.get("CCDCHIP", 1)), (ltm[0], ltm[1]), (ltv[0], ltv[1]))
