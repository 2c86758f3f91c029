"""From one WCS of an exposure to another, so that a correction finds the WCS it was made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.fit import fit_linear
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from grism_align.values.exposure import Exposure
    from grism_align.values.pixel_sky import PixelSky
    from grism_align.values.transform import TangentPlane


@dataclass(frozen=True, eq=False)
class CommonStart:
    """A WCS that two exposures share.

    Parameters
    ----------
    transform : LinearTransform
        From the WCS of the one to that which the correction of the other starts from.
    solution : str
        Which WCS they share; empty where both start from the same.
    mine, theirs : PixelSky
        It, of the first chip of the one and of the other.
    """

    transform: LinearTransform
    solution: str
    mine: PixelSky
    theirs: PixelSky


def common_start(exposure: Exposure, direct: Exposure, plane: TangentPlane) -> CommonStart | None:
    """Find what takes an exposure's WCS to the one that another's correction starts from.

    The archive gives some exposures a posteriori WCSs that others of the same pointing, the grism ones
    above all, don't have. They differ by arcseconds, so a correction holds for both only from a WCS that
    they share.

    Parameters
    ----------
    exposure : Exposure
        That is to have the correction.
    direct : Exposure
        That was fitted.
    plane : TangentPlane
        Of its correction.

    Returns
    -------
    CommonStart or None
        In that plane; None where they share no WCS.
    """
    mine, theirs = exposure.wcs_solution, direct.wcs_solution
    here, there = exposure.chips[0], direct.chips[0]
    if mine == theirs:
        return CommonStart(LinearTransform.identity(plane), "", here.wcs, there.wcs)
    if mine in direct.alternates:
        start = direct.alternates[mine]
        return CommonStart(difference(there.shape, start, there.wcs, plane), mine, here.wcs, start)
    if theirs in exposure.alternates:
        start = exposure.alternates[theirs]
        return CommonStart(difference(here.shape, here.wcs, start, plane), theirs, start, there.wcs)
    return None


def difference(
    shape: tuple[int, int], before: PixelSky, after: PixelSky, plane: TangentPlane
) -> LinearTransform:
    """Return the map of the sky from one WCS of a chip to another with the same distortion.

    Parameters
    ----------
    shape : (ny, nx)
        Of the chip.
    before, after : PixelSky
        The two.
    plane : TangentPlane
        Of the map.
    """
    ny, nx = shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, 5), np.linspace(0, ny - 1, 5))
    xy = np.column_stack([x.ravel(), y.ravel()])
    source, target = plane.to_plane(before.to_sky(xy)), plane.to_plane(after.to_sky(xy))
    moved = fit_linear(source, target, np.full(len(xy), 1e-3), plane, "general", 20.0).transform
    return LinearTransform(moved.matrix, moved.shift, plane)
