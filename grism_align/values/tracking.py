"""How the telescope kept to its pointing during an exposure."""

from __future__ import annotations

from enum import Enum
from math import radians

from grism_align.values.declaration import declared, recorded

# How far guide stars are from the middle of a camera.
_LEVER = radians(15.0 / 60.0)


class Guiding(Enum):
    """What held the pointing.

    GUIDE_STARS: two or more of them. ONE_GUIDE_STAR: one, and gyros the roll about it. COARSE: a coarse
    track. GYROS: gyros alone, as was commanded. LOST: guide stars that were not found, or lost. UNKNOWN: the
    headers don't say.
    """

    GUIDE_STARS = "guide stars"
    ONE_GUIDE_STAR = "one guide star"
    COARSE = "a coarse track"
    GYROS = "gyros"
    LOST = "gyros, guide stars lost"
    UNKNOWN = "unknown"

    @property
    def drift_share(self) -> float:
        """Share of the gyros' drift that the pointing has; about a guide star, that which the roll makes."""
        if self is Guiding.ONE_GUIDE_STAR:
            return _LEVER
        return float(self in {Guiding.COARSE, Guiding.GYROS, Guiding.LOST})


class Motion(Enum):
    """Whether stars were to stay where they are on the detector."""

    FIXED = "fixed"
    MOVING_TARGET = "moving target"
    SCAN = "spatial scan"


@declared()
class Tracking:
    """How the telescope kept to its pointing during an exposure, by its headers."""

    guiding: Guiding = recorded(
        "What held the pointing: `guide stars`, `one guide star`, `a coarse track`, `gyros`, "
        "`gyros, guide stars lost` or `unknown`.",
        default=Guiding.UNKNOWN,
    )
    motion: Motion = recorded("`fixed`, `moving target` or `spatial scan`.", default=Motion.FIXED)
    flags: tuple[str, ...] = recorded("What headers say went wrong, as they say it.", default=())

    @property
    def is_fixed(self) -> bool:
        """Whether stars were to stay where they are on the detector."""
        return self.motion is Motion.FIXED

    def __str__(self) -> str:
        """Say what is not as usual; empty where all is."""
        guided = f"guided on {self.guiding.value}" if self.guiding.drift_share > 0 else ""
        return "; ".join(filter(None, (("" if self.is_fixed else self.motion.value), guided, *self.flags)))
