"""JWST: NIRISS and NIRCam, images and wide-field slitless spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.missions.jwst import mission

if TYPE_CHECKING:
    from grism_align.values.mission import Mission

__all__ = ["JWST"]

JWST: Mission = mission
