"""The instruments that can be simulated, by the names that plans and the demo have for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.simulation.hst import instruments as hst
from grism_align.simulation.jwst import instruments as jwst
from grism_align.simulation.roman import instruments as roman

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.simulation.camera import Camera
    from grism_align.simulation.elements import Element

INSTRUMENTS: Mapping[str, Camera] = {**hst.INSTRUMENTS, **jwst.INSTRUMENTS, **roman.INSTRUMENTS}

#: Filters and grisms by instrument and name.
ELEMENTS: Mapping[str, Mapping[str, Element]] = {
    name: camera.elements for name, camera in INSTRUMENTS.items()
}
