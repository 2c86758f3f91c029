"""Outlines of arrays as STC-S texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grism_align.values.pixel_sky import PixelSky


def s_region(sky: PixelSky) -> str:
    """Return S_REGION as JWST's and Roman's pipelines write it.

    Parameters
    ----------
    sky : PixelSky
        The WCS.
    """
    corners = " ".join(f"{ra:.9f} {dec:.9f}" for ra, dec in sky.footprint()[[0, 3, 2, 1]])
    return f"POLYGON ICRS  {corners}"
