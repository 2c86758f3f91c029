"""Where the detectors of two exposures point, and how they are turned.

That is told on the sky by one place of the detector that both exposures have, and with one WCS solution that
both have: a subarray has another centre than the full frame, a filter and a grism have their own reference
pixels, and a WCS that was fitted to one exposure alone tells nothing of another. Where both exposures have
the attitude of the telescope, that tells it, whatever their detectors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.common_start import difference
from grism_align.values.sphere import ARCSEC_PER_RADIAN, sky_to_vector, tangent_axes, vector_to_sky

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.pixel_sky import PixelSky
    from grism_align.values.transform import TangentPlane


@dataclass(frozen=True)
class Region:
    """A part of a detector: its middle, zero-based pixels, and its size there."""

    middle: tuple[float, float]
    size: tuple[float, float]

    @property
    def column(self) -> NDArray[np.float64]:
        """Its middle, and the pixels a quarter of its height below and above, (3, 2)."""
        x, y = self.middle
        return np.array([[x, y], [x, y - 0.25 * self.size[1]], [x, y + 0.25 * self.size[1]]])


@dataclass(frozen=True)
class Facing:
    """Chips of two exposures that are one chip of a detector, and the part that both have.

    Parameters
    ----------
    first, second : Chip
        The two; those that come first in their exposures where they have no chip in common.
    regions : (Region, Region)
        In the pixels of each one's detector, one and the same for a chip in common.
    is_common : bool
        Whether it is the same chip of the detector.
    """

    first: Chip
    second: Chip
    regions: tuple[Region, Region]
    is_common: bool


#: What tells a detector from others of its camera: the instrument, and the number of the chip.
Detector = tuple[str, int]


def detector_of(exposure: Exposure) -> Detector:
    """Return which detector an exposure was taken with; of several chips, the first stands for all."""
    return exposure.instrument, exposure.chips[0].window.chip


def facing(first: Exposure, second: Exposure) -> Facing:
    """Find chips of two exposures to compare, and where on them.

    Parameters
    ----------
    first, second : Exposure
        Of one instrument; of others nothing is in common.
    """
    pairs = [(a, b) for a in first.chips for b in second.chips if a.window.chip == b.window.chip]
    if not pairs or first.instrument != second.instrument:
        a, b = first.chips[0], second.chips[0]
        return Facing(a, b, (_region(a), _region(b)), is_common=False)
    a, b = pairs[0]
    region = _shared(_region(a), _region(b))
    return Facing(a, b, (region, region), is_common=True)


# Each exposure is compared with all others of its visit.
@lru_cache(maxsize=256)
def _region(chip: Chip) -> Region:
    ny, nx = chip.shape
    (left, low), (right, high) = chip.window.to_chip(np.array([[0.0, 0.0], [nx - 1.0, ny - 1.0]])).tolist()
    return Region((0.5 * (left + right), 0.5 * (low + high)), (right - left, high - low))


def _shared(one: Region, other: Region) -> Region:
    """Return what two parts of a detector have in common; where nothing, what lies between them."""
    spans = [
        _overlap((mine - 0.5 * width, mine + 0.5 * width), (theirs - 0.5 * length, theirs + 0.5 * length))
        for mine, width, theirs, length in zip(one.middle, one.size, other.middle, other.size, strict=True)
    ]
    (left, right), (low, high) = spans
    size = np.minimum(one.size, other.size) if right <= left or high <= low else (right - left, high - low)
    return Region((0.5 * (left + right), 0.5 * (low + high)), (float(size[0]), float(size[1])))


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return max(one[0], other[0]), min(one[1], other[1])


@dataclass(frozen=True, eq=False)
class Pose:
    """Direction of a place of a detector, and that in which its columns run there; (3,) unit vectors."""

    center: NDArray[np.float64]
    columns: NDArray[np.float64]


def common_solution(first: Exposure, second: Exposure) -> str | None:
    """Return the WCS solution to compare two exposures by; None where they have none in common.

    One that was not fitted to stars comes first: it has the pointing as commanded. The solution that one of
    the two starts from comes before others.

    Parameters
    ----------
    first, second : Exposure
        The two.
    """
    ours, theirs = ({*each.alternates, each.wcs_solution} for each in (first, second))
    common = sorted(
        ours & theirs,
        key=lambda name: (
            not name.startswith(first.telescope.coherence.commanded),
            name not in (first.wcs_solution, second.wcs_solution),
            name,
        ),
    )
    return common[0] if common else None


def is_comparable(first: Exposure, second: Exposure) -> bool:
    """Tell whether WCSs tell to hundredths of an arcsec how two pointings differ.

    Parameters
    ----------
    first, second : Exposure
        The two.
    """
    return _have_attitudes(first, second) or (
        common_solution(first, second) is not None and facing(first, second).is_common
    )


def _have_attitudes(first: Exposure, second: Exposure) -> bool:
    return first.attitude is not None and second.attitude is not None


def poses(first: Exposure, second: Exposure) -> tuple[Pose, Pose]:
    """Find where a place of the detector that two exposures have in common points in each.

    Parameters
    ----------
    first, second : Exposure
        The two; with nothing in common, each one's middle.
    """
    if first.attitude is not None and second.attitude is not None:
        place = first.attitude.T @ sky_to_vector([first.plane.ra, first.plane.dec])
        return _pose_of_attitude(first.attitude, place), _pose_of_attitude(second.attitude, place)
    found, name = facing(first, second), common_solution(first, second)
    chips = ((first, found.first), (second, found.second))
    mine, theirs = (
        _pose(replace(chip, wcs=_in_solution(exposure, chip, name)), region)
        for (exposure, chip), region in zip(chips, found.regions, strict=True)
    )
    return mine, theirs


def field_axes(exposure: Exposure, plane: TangentPlane) -> NDArray[np.float64]:
    """Return the directions of V2 and V3 at an exposure in a plane, (2, 2), as columns.

    Parameters
    ----------
    exposure : Exposure
        With an attitude; without one, east and north take the parts of V2 and V3.
    plane : TangentPlane
        Near the exposure.
    """
    if exposure.attitude is None:
        return np.eye(2)
    center = sky_to_vector([exposure.plane.ra, exposure.plane.dec])
    v2, v3 = vector_to_sky(exposure.attitude.T @ center).tolist()
    steps = exposure.attitude @ tangent_axes(v2, v3)[:2].T
    ends = plane.to_plane(vector_to_sky([center, *(center + steps.T / ARCSEC_PER_RADIAN)]))
    return np.asarray((ends[1:] - ends[0]).T)


def _pose_of_attitude(attitude: NDArray[np.float64], place: NDArray[np.float64]) -> Pose:
    """Return where a direction in the telescope's field, (3,), points; V3 takes the part of the columns."""
    center = attitude @ place
    up = attitude[:, 2] - (attitude[:, 2] @ center) * center
    return Pose(center, up / np.linalg.norm(up))


def _in_solution(exposure: Exposure, chip: Chip, name: str | None) -> PixelSky:
    """Return the WCS of a chip in a solution; alternates are known of the first chip."""
    if name is None or name == exposure.wcs_solution:
        return chip.wcs
    main = exposure.chips[0]
    if chip is main:
        return exposure.alternates[name]
    return chip.wcs.corrected(difference(main.shape, main.wcs, exposure.alternates[name], main.wcs.plane))


@lru_cache(maxsize=256)
def _pose(chip: Chip, region: Region) -> Pose:
    sky = chip.wcs.to_sky(chip.window.from_chip(region.column))
    center, low, high = sky_to_vector(sky)
    return Pose(center, (high - low) / np.linalg.norm(high - low))


def distance(first: Exposure, second: Exposure) -> float:
    """Return by how much the telescope was moved between two exposures, arcsec.

    Parameters
    ----------
    first, second : Exposure
        The two.
    """
    mine, theirs = poses(first, second)
    return float(np.linalg.norm(mine.center - theirs.center)) * ARCSEC_PER_RADIAN


def turn(first: Exposure, second: Exposure) -> float:
    """Tell by how much one exposure is turned against another, deg.

    Parameters
    ----------
    first, second : Exposure
        The two.
    """
    return _turn(*poses(first, second))


def commanded_turn(first: Exposure, second: Exposure) -> float:
    """Tell by how much one exposure was commanded to be turned against another, deg; NaN if not known.

    Parameters
    ----------
    first, second : Exposure
        The two.
    """
    found = facing(first, second)
    if first.original is None or second.original is None:
        return np.nan
    chips = (replace(found.first, wcs=first.original.wcs), replace(found.second, wcs=second.original.wcs))
    mine, theirs = map(_pose, chips, found.regions)
    return _turn(mine, theirs)


def _turn(mine: Pose, theirs: Pose) -> float:
    here, there = mine.center, theirs.center
    # moved along the great circle from the one to the other
    moved = mine.columns - (mine.columns @ there) / (1.0 + here @ there) * (here + there)
    return float(np.degrees(np.arccos(np.clip(moved @ theirs.columns, -1.0, 1.0))))


def turn_in_plane(first: Exposure, second: Exposure, plane: TangentPlane) -> float:
    """Return the position angle of the second one's columns less that of the first one's, deg, in a plane.

    Where both have attitudes, by what those and the WCSs are turned, whatever the detectors.

    Parameters
    ----------
    first, second : Exposure
        The two, with the WCSs that they start from, of whatever solution.
    plane : TangentPlane
        In which orientations are compared.
    """
    if _have_attitudes(first, second):
        angles = [_angle(pose, plane) for pose in poses(first, second)]
        fitted = [_turned_since(each, plane) for each in (first, second)]
        return float(np.degrees(angles[1] - angles[0] + fitted[1] - fitted[0]))
    found = facing(first, second)
    angles = []
    for chip, region in zip((found.first, found.second), found.regions, strict=True):
        _, low, high = plane.to_plane(chip.wcs.to_sky(chip.window.from_chip(region.column)))
        angles.append(np.arctan2(*(high - low)))
    return float(np.degrees(angles[1] - angles[0]))


def _angle(pose: Pose, plane: TangentPlane) -> float:
    """Return the position angle of the columns of a pose in a plane, rad."""
    low, high = plane.to_plane(vector_to_sky([pose.center, pose.center + 1e-4 * pose.columns]))
    return float(np.arctan2(*(high - low)))


def _turned_since(exposure: Exposure, plane: TangentPlane) -> float:
    """Return by how much the WCS that an exposure starts from is turned against the attitude, rad."""
    names = exposure.telescope.coherence.commanded
    commanded = next((wcs for name, wcs in exposure.alternates.items() if name.startswith(names)), None)
    if commanded is None:
        return 0.0
    chip = exposure.chips[0]
    column = chip.window.from_chip(_region(chip).column)
    angles = []
    for wcs in (commanded, chip.wcs):
        _, low, high = plane.to_plane(wcs.to_sky(column))
        angles.append(np.arctan2(*(high - low)))
    return float(angles[1] - angles[0])


def shared_side(first: Exposure, second: Exposure) -> float:
    """Return the shorter side of the part of the detector that two exposures have, arcsec.

    Parameters
    ----------
    first, second : Exposure
        The two.
    """
    found = facing(first, second)
    sides = [
        min(np.multiply(region.size, chip.window.ltm)) * chip.wcs.pixel_scale
        for chip, region in zip((found.first, found.second), found.regions, strict=True)
    ]
    return float(min(sides))
