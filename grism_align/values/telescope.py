"""What algorithms need to know of the telescope that took an exposure."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class PointingCoherence:
    """How long, and over what moves, the pointing of a telescope stays what one exposure tells of it.

    Parameters
    ----------
    longest_idle : float, s
        Longer idle times mean that the guide stars were acquired again, as after an occultation.
    drift_time : float, h
        Time within which drift is much the same, as a Gaussian sigma.
    alignment_time : float, days
        Time for which an instrument stays aligned with the cameras of the guide stars.
    same_pointing : float, arcsec
        Exposures whose centres are nearer than this were taken without an offset of the telescope.
    same_roll : float, deg
        Orientations nearer than this are one roll.
    commanded : tuple of str
        How the names of WCS solutions begin that have the pointing as commanded, with better positions of
        guide stars at most.
    guided_error, unguided_error : float, arcsec
        How good the pointing is before any alignment, of one axis, on guide stars and on gyros alone;
        infinite where that is not known.
    """

    longest_idle: float = inf
    drift_time: float = inf
    alignment_time: float = inf
    same_pointing: float = 0.05
    same_roll: float = 0.2
    commanded: tuple[str, ...] = ()
    guided_error: float = inf
    unguided_error: float = inf


@dataclass(frozen=True)
class Telescope:
    """A telescope.

    Parameters
    ----------
    mission : str
        Name of its mission among those that are known.
    diameter : float, m
        Of the mirror.
    coherence : PointingCoherence
        Of its pointing.
    observer : float
        Its barycentric position, in that of the Earth: 1.01 at the Earth's second Lagrangian point.
    cosmic_ray_bit : int
        The data-quality bit of pixels hit by cosmic rays.
    """

    mission: str
    diameter: float
    coherence: PointingCoherence = PointingCoherence()
    observer: float = 1.0
    cosmic_ray_bit: int = 0
