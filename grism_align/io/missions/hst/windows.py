"""Which part of its detector a chip was read out from."""

from __future__ import annotations

from grism_align.io.files.cards import Bounds, Cards
from grism_align.values.detector import DetectorWindow

# Pixels a side that detectors bin, and what LTM1_1 may be.
_BINNED = Bounds(1, 16)
_SCALE = Bounds(1 / 16, 16)


def detector_window(cards: Cards) -> DetectorWindow:
    """Return which part of its detector a science array is: SCI,1 of a subarray may be any chip."""
    ltm = [_magnification(cards, axis) for axis in (1, 2)]
    ltv = [cards.number(f"LTV{axis}", 0.0) for axis in (1, 2)]
    return DetectorWindow(cards.whole("CCDCHIP", 1), (ltm[0], ltm[1]), (ltv[0], ltv[1]))


def _magnification(cards: Cards, axis: int) -> float:
    """Pixels of the array a pixel of the detector."""
    ltm = cards.number(f"LTM{axis}_{axis}", 1.0, _SCALE)
    return 1.0 / cards.number(f"BINAXIS{axis}", 1.0 / ltm, _BINNED)
