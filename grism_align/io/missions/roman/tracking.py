"""How an exposure of Roman went, as its metadata tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.values.tracking import Guiding, Motion, Tracking

if TYPE_CHECKING:
    from grism_align.io.missions.roman.metadata import Metadata


#: What the metadata say of a pointing that was not measured by the guide stars.
PLANNED = "pointing_engineering_source PLANNED"


def tracking_of(meta: Metadata) -> Tracking:
    """Return how an exposure went.

    Parameters
    ----------
    meta : Metadata
        Its metadata.
    """
    mode = meta.text("guide_star.guide_mode").upper()
    is_planned = meta.text("pointing.pointing_engineering_source").upper() == "PLANNED"
    guiding = Guiding.UNKNOWN
    if mode.endswith("TRACK"):
        guiding = Guiding.GUIDE_STARS
    elif "ACQ" in mode:
        # guide stars were still being found
        guiding = Guiding.COARSE
    return Tracking(guiding, Motion.FIXED, (PLANNED,) if is_planned else ())
