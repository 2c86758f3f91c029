"""The pixels of a mosaic: a tangent frame around exposures, and which exposures share one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.errors import SettingsError
from grism_align.values.mosaic import MosaicGrid, MosaicPlan
from grism_align.values.sphere import mean_direction
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from grism_align.values.exposure import Exposure
    from grism_align.values.pixel_sky import PixelSky
    from grism_align.values.settings import MosaicSettings
    from grism_align.values.transform import LinearTransform

__all__ = ["corrected_wcss", "frame_note", "grid_around", "plan_mosaics"]

# More are no one's intention: 31 600 x 31 600, some ten GB with weights and segments.
_MOST_PIXELS = 1_000_000_000
# Empty pixels around the exposures, so that detection and kernels never meet the edge.
_MARGIN = 16


def grid_around(sky: ArrayLike, scale: float, orientation: float) -> MosaicGrid:
    """The smallest upright frame that holds all positions, with a small margin.

    Parameters
    ----------
    sky : (N, 2) array_like, deg
        Corners of exposures, say.
    scale : float, arcsec
        Side of a pixel.
    orientation : float, deg
        Position angle of +y, from north through east.

    Notes
    -----
    The tangent point is the centre of a pixel, at a direction rounded to 1e-6 deg, so that other programs
    can be given the same frame by keywords.
    """
    positions = np.asarray(sky, dtype=float)
    ra, dec = mean_direction(positions)
    plane = TangentPlane(round(float(ra), 6), round(float(dec), 6))
    angle = np.radians(orientation)
    matrix = scale * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    xy = plane.to_plane(positions) @ np.linalg.inv(matrix).T
    low = np.floor(xy.min(axis=0)) - _MARGIN
    high = np.ceil(xy.max(axis=0)) + _MARGIN
    nx, ny = (high - low + 1).astype(int).tolist()
    return MosaicGrid(plane, -low, matrix, (ny, nx))


def corrected_wcss(exposure: Exposure, transform: LinearTransform | None) -> tuple[PixelSky, ...]:
    """The WCSs of an exposure's chips after a correction, as they are where that is None."""
    if transform is None:
        return tuple(chip.wcs for chip in exposure.chips)
    return tuple(chip.wcs.corrected(transform) for chip in exposure.chips)


def plan_mosaics(
    exposures: Sequence[tuple[Exposure, Sequence[PixelSky]]],
    product: str,
    settings: MosaicSettings,
    grid: MosaicGrid | None = None,
) -> tuple[MosaicPlan, ...]:
    """Which exposures go into which mosaic: each visit and filter, and the field and filter, as asked for.

    All filters of a visit share one frame, so that their pixels are the same places of the sky.

    Parameters
    ----------
    exposures : sequence of (Exposure, WCSs of its chips)
        Direct exposures in time order.
    product : str
        Name of the field.
    settings : MosaicSettings
        The parameters.
    grid : MosaicGrid, optional
        The frame of all mosaics, where one was given.
    """
    sets: list[tuple[str, list[tuple[Exposure, Sequence[PixelSky]]]]] = []
    if settings.extent in ("visit", "both"):
        visits = dict.fromkeys(exposure.visit for exposure, _ in exposures)
        sets += [(visit, [pair for pair in exposures if pair[0].visit == visit]) for visit in visits]
    if settings.extent in ("field", "both"):
        sets.append((product, list(exposures)))
    return tuple(plan for name, members in sets for plan in _plans(name, members, settings, grid))


def _plans(
    name: str,
    members: Sequence[tuple[Exposure, Sequence[PixelSky]]],
    settings: MosaicSettings,
    grid: MosaicGrid | None,
) -> Iterable[MosaicPlan]:
    frame = grid or grid_around(_corners(members), settings.scale, settings.orientation)
    ny, nx = frame.shape
    if nx * ny > _MOST_PIXELS:
        wrong = "scale" if grid is None else "grid_image"
        allowed = f"gives {name} {nx} x {ny} pixels; a mosaic may have 1e9"
        raise SettingsError(wrong, getattr(settings, wrong), allowed)
    for band in dict.fromkeys(exposure.filter for exposure, _ in members):
        keys = tuple(exposure.key for exposure, _ in members if exposure.filter == band)
        yield MosaicPlan(f"{name}-{band.lower()}", band, keys, frame)


def frame_note(plan: MosaicPlan, settings: MosaicSettings) -> str:
    """What is about to be made: pixels, room on disk (images, weights, segments), tiles, exposures."""
    ny, nx = plan.grid.shape
    size = 4e-9 * nx * ny * (3 if settings.make_catalog else 2)
    tiles = len(plan.grid.tiles(settings.tile))
    return (
        f"{plan.name}: {nx} x {ny} pixels of {plan.grid.scale:.4g} arcsec, {size:.2f} GB on disk, "
        f"{tiles} tile{'s' if tiles > 1 else ''}, {len(plan.keys)} exposures"
    )


def _corners(members: Sequence[tuple[Exposure, Sequence[PixelSky]]]) -> NDArray[np.float64]:
    return np.concatenate([wcs.footprint() for _, wcss in members for wcs in wcss])
