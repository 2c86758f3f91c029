"""HST: WFC3/IR, WFC3/UVIS and ACS/WFC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.missions.hst import mission

if TYPE_CHECKING:
    from grism_align.values.mission import Mission

__all__ = ["HST"]

HST: Mission = mission
