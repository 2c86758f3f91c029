"""How an exposure of JWST went, as its headers tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.values.tracking import Guiding, Motion, Tracking

if TYPE_CHECKING:
    from grism_align.io.files.cards import Cards


_GUIDING = {
    "FINEGUIDE": Guiding.GUIDE_STARS,
    "MOVING": Guiding.GUIDE_STARS,
    "TRACK": Guiding.GUIDE_STARS,
    "COARSE": Guiding.COARSE,
    "NONE": Guiding.GYROS,
}
#: What the header says of a pointing that was not measured by the guide stars.
PLANNED = "ENGQLPTG PLANNED"


def tracking_of(cards: Cards) -> Tracking:
    """Return how an exposure went.

    Parameters
    ----------
    cards : Cards
        Its headers.
    """
    mode = str(cards.header.get("PCS_MODE", "")).strip().upper()
    is_moving = cards.text("TARGTYPE").upper() == "MOVING" or mode == "MOVING"
    is_planned = cards.text("ENGQLPTG").upper() == "PLANNED"
    return Tracking(
        _GUIDING.get(mode, Guiding.UNKNOWN),
        Motion.MOVING_TARGET if is_moving else Motion.FIXED,
        (PLANNED,) if is_planned else (),
    )
