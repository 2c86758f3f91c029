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
    from grism_align.values.settings import MosaicSettings


# More are no one's intention: 31 600 x 31 600, some ten GB with weights and segments.
_MOST_PIXELS = 1_000_000_000
# Empty pixels around the exposures, so that detection and kernels never meet the edge.
_MARGIN = 16


def grid_around(sky: ArrayLike, scale: float, orientation: float) -> MosaicGrid:
    """Return the smallest upright frame that holds all positions, with a small margin.

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


def plan_mosaics(
    exposures: Sequence[Exposure],
    product: str,
    settings: MosaicSettings,
    grid: MosaicGrid | None = None,
) -> tuple[MosaicPlan, ...]:
    """Plan the mosaics that were asked for: of each visit and filter, of the field in each filter, or both.

    All filters of a visit share one frame, so that their pixels are the same places of the sky.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures with corrected WCSs, in time order.
    product : str
        Name of the field.
    settings : MosaicSettings
        The parameters.
    grid : MosaicGrid, optional
        The frame of all mosaics, where one was given.
    """
    sets: list[tuple[str, list[Exposure]]] = []
    if settings.extent in ("visit", "both"):
        visits = dict.fromkeys(exposure.visit for exposure in exposures)
        sets += [(visit, [exposure for exposure in exposures if exposure.visit == visit]) for visit in visits]
    if settings.extent in ("field", "both"):
        sets.append((product, list(exposures)))
    return tuple(plan for name, members in sets for plan in _plans(name, members, settings, grid))


def _plans(
    name: str,
    members: Sequence[Exposure],
    settings: MosaicSettings,
    grid: MosaicGrid | None,
) -> Iterable[MosaicPlan]:
    frame = grid or grid_around(_corners(members), settings.scale, settings.orientation)
    ny, nx = frame.shape
    if nx * ny > _MOST_PIXELS:
        wrong = "scale" if grid is None else "grid_image"
        allowed = f"gives {name} {nx} x {ny} pixels; a mosaic may have 1e9"
        raise SettingsError(wrong, getattr(settings, wrong), allowed)
    for band in dict.fromkeys(exposure.filter for exposure in members):
        keys = tuple(exposure.key for exposure in members if exposure.filter == band)
        yield MosaicPlan(f"{name}-{band.lower()}", band, keys, frame)


def frame_note(plan: MosaicPlan, settings: MosaicSettings) -> str:
    """Describe what is about to be made: pixels, room on disk (all images), tiles, exposures."""
    ny, nx = plan.grid.shape
    size = 4e-9 * nx * ny * (3 if settings.make_catalog else 2)
    tiles = len(plan.grid.tiles(settings.tile))
    return (
        f"{plan.name}: {nx} x {ny} pixels of {plan.grid.scale:.4g} arcsec, {size:.2f} GB on disk, "
        f"{tiles} tile{'s' if tiles > 1 else ''}, {len(plan.keys)} exposures"
    )


def _corners(members: Sequence[Exposure]) -> NDArray[np.float64]:
    return np.concatenate([chip.wcs.footprint() for member in members for chip in member.chips])
