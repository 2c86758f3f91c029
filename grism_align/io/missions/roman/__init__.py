"""Roman: the Wide Field Instrument, images and spectra of prism and grism."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.missions.roman import mission

if TYPE_CHECKING:
    from grism_align.values.mission import Mission

__all__ = ["ROMAN"]

ROMAN: Mission = mission
