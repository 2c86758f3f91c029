"""Pointings tied to each other by some of their sources, or by more where these are too few."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from grism_align.algorithms.measuring.positions import source_positions
from grism_align.algorithms.propagation.poses import field_axes
from grism_align.algorithms.relative.dithers import acquisition_of
from grism_align.algorithms.relative.members import (
    AlignedFrame,
    Footprint,
    MountedDetector,
    NetworkInput,
    PointingSources,
)
from grism_align.algorithms.relative.network import align_network
from grism_align.algorithms.relative.pointing import roll_groups
from grism_align.values.catalog import UNRELIABLE, SourceCatalog, SourceFlag
from grism_align.values.plane_list import PlaneList
from grism_align.values.sphere import mean_direction
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from grism_align.algorithms.relative.placement import Places
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.failure import Remark
    from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings

_AVOID = UNRELIABLE | SourceFlag.EDGE
# So many times as many sources are used where the brightest don't tie what overlaps, and so many at most.
_DEEPER, _MOST_SOURCES = 5, 20000
# Exposures may overlap by this many errors of a visit's pointing more than their WCSs say.
_POINTING_SIGMAS = 6.0


@dataclass(frozen=True, eq=False)
class Usable:
    """The pointings that have sources enough, and how they are aligned.

    Parameters
    ----------
    pointings : tuple of sequence of Exposure
        The exposures of each.
    catalogs : mapping of str to SourceCatalog
        Their sources.
    fixed : set of str
        Keys of the exposures that fix the frame.
    relative : RelativeSettings
        Frame and geometry.
    errors : PointingSettings
        How well the a priori WCSs are known.
    places : Places
        Where their detectors were put.
    executor : Executor or None
        Who matches them, where they are many.
    """

    pointings: tuple[Sequence[Exposure], ...]
    catalogs: Mapping[str, SourceCatalog]
    fixed: set[str]
    relative: RelativeSettings
    errors: PointingSettings
    places: Places
    executor: Executor | None = None

    def tied(self, match: MatchSettings) -> Tied:
        """Align them by their brightest sources."""
        bright = brightest_of(self.catalogs, match.brightest, self.relative)
        field = _network_input(self, bright)
        return Tied(
            match.brightest, field, bright, *align_network(field, self.relative, match, self.executor)
        )


@dataclass(frozen=True, eq=False)
class Tied:
    """Pointings aligned with each other as far as some of their sources tie them.

    Parameters
    ----------
    brightest : int
        How many sources were taken of each exposure at most.
    field : NetworkInput
        The pointings.
    bright : mapping of str to SourceCatalog
        The sources.
    frames : list of AlignedFrame
        Those that are tied.
    lone : dict of int to Remark
        Why a pointing matches no other.
    """

    brightest: int
    field: NetworkInput
    bright: Mapping[str, SourceCatalog]
    frames: list[AlignedFrame]
    lone: dict[int, Remark]

    @property
    def counts(self) -> dict[str, int]:
        """What was used."""
        return {
            "brightest": self.brightest,
            "sources": sum(map(len, self.bright.values())),
            "frames": len(self.frames),
            "common_sources": int(sum((frame.seen.count > 1).sum() for frame in self.frames)),
        }

    @property
    def parts(self) -> list[list[int]]:
        """The pointings of each frame, and alone those that fit in none."""
        rejected = [[number] for frame in self.frames for number in frame.rejected]
        return [list(frame.members) for frame in self.frames] + rejected

    def looks_divided(self) -> bool:
        """Tell whether parts see one place of the sky, as far as the pointing is known."""
        margin = -_POINTING_SIGMAS * self.field.errors.visit_error
        pointings = self.field.pointings
        part = {n: number for number, own in enumerate(self.parts) for n in own}
        filled = [n for n in part if len(pointings[n].sources)]
        if len(set(part.values())) < 2 or not filled:
            return False
        centers = np.array([pointings[n].center for n in filled])
        tree = cKDTree(centers)
        widest = max(pointings[n].reach for n in filled)
        for m, other in part.items():
            for footprint in pointings[m].footprints:
                middle = footprint.corners.mean(axis=0)
                reach = float(np.hypot(*(footprint.corners - middle).T).max())
                near = tree.query_ball_point(middle, reach + widest - 2.0 * margin)
                apart = (filled[k] for k in near if part[filled[k]] != other)
                if any(footprint.holds(pointings[n].sources.xy, margin).any() for n in apart):
                    return True
        return False


def tied_as_far_as_possible(usable: Usable, match: MatchSettings) -> Tied:
    """Align pointings, by more sources where parts that overlap are not tied by the brightest.

    Few of the brightest sources of an exposure lie in a narrow overlap.

    Parameters
    ----------
    usable : Usable
        The pointings.
    match : MatchSettings
        Matching and acceptance.
    """
    tied = usable.tied(match)
    if not tied.looks_divided():
        return tied
    number = max(match.brightest, min(_DEEPER * match.brightest, _MOST_SOURCES))
    deeper = usable.tied(replace(match, brightest=number))
    return min(tied, deeper, key=lambda one: len(one.parts))


def brightest_of(
    catalogs: Mapping[str, SourceCatalog], number: int, relative: RelativeSettings
) -> dict[str, SourceCatalog]:
    """Choose the brightest usable sources of catalogs.

    Parameters
    ----------
    catalogs : mapping of str to SourceCatalog
        By exposure key.
    number : int
        Of each at most.
    relative : RelativeSettings
        Whether saturated sources are used.
    """
    return {key: _chosen(catalog, number, relative) for key, catalog in catalogs.items()}


def _chosen(catalog: SourceCatalog, number: int, relative: RelativeSettings) -> SourceCatalog:
    """Choose the brightest clean sources, and saturated ones besides: often they alone are in a catalog."""
    if catalog.remarks:
        return catalog.selected(np.zeros(0, dtype=np.int64))
    clean = catalog.brightest(number, _AVOID | SourceFlag.SATURATED)
    is_saturated = (catalog.flags & int(SourceFlag.SATURATED)) != 0
    if relative.saturated_error <= 0 or not is_saturated.any():
        return clean
    return clean.joined(catalog.selected(is_saturated).brightest(number, _AVOID))


def _network_input(usable: Usable, bright: Mapping[str, SourceCatalog]) -> NetworkInput:
    relative, places = usable.relative, usable.places
    exposures = [exposure for members in usable.pointings for exposure in members]
    positions = {e.key: source_positions(e, bright[e.key]) for e in exposures}
    plane = TangentPlane(*mean_direction(np.concatenate([sky for sky, _ in positions.values()])))
    groups = dict(zip([e.key for e in exposures], roll_groups(exposures, plane), strict=True))

    def plane_list(exposure: Exposure) -> PlaneList:
        catalog, (sky, error) = bright[exposure.key], positions[exposure.key]
        saturated = (catalog.flags & int(SourceFlag.SATURATED)) != 0
        floor = np.where(saturated, relative.saturated_error, relative.centroid_floor)
        total = np.hypot(error, floor * exposure.pixel_scale)
        epoch = np.full(len(sky), exposure.epoch)
        return PlaneList(plane.to_plane(sky), total, catalog.mag, epoch)

    pointings = [
        PointingSources(
            keys=tuple(e.key for e in members),
            lists=tuple(map(plane_list, members)),
            instruments=tuple(e.instrument for e in members),
            visit=members[0].visit,
            roll_group=groups[members[0].key],
            pixel_scale=max(e.pixel_scale for e in members),
            is_fixed=any(e.key in usable.fixed for e in members),
            acquisition=acquisition_of(members[0]),
            footprints=tuple(f for e in members for f in _footprints(e, plane)),
            detectors=tuple(_detector(e, places, plane) for e in members) if len(places) else (),
        )
        for members in usable.pointings
    ]
    return NetworkInput(pointings, plane, usable.errors, places.prior if len(places) else None)


def _detector(exposure: Exposure, places: Places, plane: TangentPlane) -> MountedDetector:
    middle = plane.to_plane(np.array([exposure.plane.ra, exposure.plane.dec]))
    return MountedDetector(places.number(exposure), field_axes(exposure, plane), middle)


def _footprints(exposure: Exposure, plane: TangentPlane) -> Iterable[Footprint]:
    """Return the places of an exposure's chips in the plane."""
    for chip in exposure.chips:
        pixels = exposure.instrument, chip.window, chip.shape
        yield Footprint(pixels, plane.to_plane(chip.wcs.footprint()))
