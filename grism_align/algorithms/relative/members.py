"""The pointings of a network, and what their alignment gives for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.fit import WeightedResiduals, axis_means
from grism_align.values.plane_list import PlaneList

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.corrections import FollowedPlaces
    from grism_align.algorithms.fitting.places import PlaceEquations, PlacePrior
    from grism_align.algorithms.relative.model import FrameModel
    from grism_align.algorithms.relative.united import SeenSources
    from grism_align.values.failure import Remark
    from grism_align.values.settings import PointingSettings
    from grism_align.values.transform import LinearTransform, TangentPlane


@dataclass(frozen=True, eq=False)
class Footprint:
    """The place of a chip in a plane.

    Parameters
    ----------
    pixels : Hashable
        Which pixels of which detector it has.
    corners : (4, 2) ndarray, arcsec
        Outer corners of the corner pixels, in turn.
    """

    pixels: Hashable
    corners: NDArray[np.float64]

    def moved(self, transform: LinearTransform) -> Footprint:
        """Move the place."""
        return replace(self, corners=transform.apply(self.corners))

    def holds(self, xy: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
        """Tell which positions, (N, 2) arcsec, lie inside and not within a margin, arcsec, of the edge."""
        side = np.roll(self.corners, -1, axis=0) - self.corners
        x, y = np.moveaxis(xy[:, None] - self.corners, -1, 0)
        inside = (side[:, 0] * y - side[:, 1] * x) / np.hypot(side[:, 0], side[:, 1])
        # Corners may go round either way.
        return np.asarray((inside > margin).all(axis=1) | (inside < -margin).all(axis=1))


@dataclass(frozen=True, eq=False)
class MountedDetector:
    """The detector that took an exposure.

    Parameters
    ----------
    number : int
        Which; -1 where its place is known.
    axes : (2, 2) ndarray
        Directions of V2 and V3 in the common plane, as columns.
    middle : (2,) ndarray, arcsec
        Of the detector, there.
    """

    number: int
    axes: NDArray[np.float64]
    middle: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PointingSources:
    """What the exposures of one pointing measured. All of them have one correction.

    Parameters
    ----------
    keys : tuple of str
        Its exposures.
    lists : tuple of PlaneList
        Sources of each exposure in the common plane, by its a priori WCS.
    instruments : tuple of str
        Of each exposure; measurements by one instrument are of one noise class.
    visit : str
        Its visit.
    roll_group : int
        Pointings of one group share their roll.
    pixel_scale : float, arcsec
        The largest one of its exposures.
    is_fixed : bool
        Whether it fixes the frame.
    acquisition : Hashable
        WCSs of pointings with the same one differ by the errors of dithers only.
    footprints : tuple of Footprint
        Of the chips of its exposures, by the a priori WCSs.
    detectors : tuple of MountedDetector
        What took its exposures, where places of detectors are unknown.
    """

    keys: tuple[str, ...]
    lists: tuple[PlaneList, ...]
    instruments: tuple[str, ...]
    visit: str
    roll_group: int
    pixel_scale: float
    is_fixed: bool
    acquisition: Hashable
    footprints: tuple[Footprint, ...] = ()
    detectors: tuple[MountedDetector, ...] = ()

    @cached_property
    def sources(self) -> PlaneList:
        """All sources, exposure by exposure."""
        return self.lists[0] if len(self.lists) == 1 else PlaneList.joined(self.lists)

    @cached_property
    def instrument(self) -> NDArray[np.str_]:
        """The instrument that measured each source, (N,)."""
        return np.repeat(self.instruments, [len(own) for own in self.lists])

    def mounted(
        self, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the detector (R,) of some sources, its axes (R, 2, 2), and how they lie from its middle."""
        exposure = np.repeat(np.arange(len(self.lists)), [len(own) for own in self.lists])[rows]
        number = np.array([one.number for one in self.detectors])[exposure]
        axes, middle = (
            np.array([getattr(one, name) for one in self.detectors]) for name in ("axes", "middle")
        )
        return number, axes[exposure], self.sources.xy[rows] - middle[exposure]

    @cached_property
    def epoch(self) -> float:
        """Mean epoch of what was measured, Julian year."""
        return float(self.sources.epoch.mean())

    @cached_property
    def center(self) -> NDArray[np.float64]:
        """Mean position of the sources, (2,) arcsec."""
        return np.asarray(self.sources.xy.mean(axis=0))

    @cached_property
    def reach(self) -> float:
        """Distance of the farthest source from there, arcsec."""
        return float(np.hypot(*(self.sources.xy - self.center).T).max())


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """What is aligned.

    Parameters
    ----------
    pointings : sequence of PointingSources
        What was measured.
    plane : TangentPlane
        The common plane.
    errors : PointingSettings
        How well the a priori WCSs are known.
    places : PlacePrior or None
        What is known of the places of detectors; None where all are known.
    """

    pointings: Sequence[PointingSources]
    plane: TangentPlane
    errors: PointingSettings
    places: PlacePrior | None = None


@dataclass(frozen=True, eq=False)
class MemberFit(WeightedResiduals):
    """The result for one pointing, or what one exposure of it tells.

    Parameters
    ----------
    transform : LinearTransform
        From the a priori positions to the frame, in the common plane, with covariance.
    rows : (N,) ndarray of int
        Matched rows of the list of sources.
    sources : (N,) ndarray of int
        The frame's sources that they are.
    residual : (N, 2) ndarray, arcsec
        Corrected position minus the source's.
    weight : (N,) ndarray
        Robust weight, 0 to 1.
    error : (N,) ndarray, arcsec
        Given standard error of one axis.
    chi2 : (N, 2) ndarray
        Squares of the residuals in units of what the given errors make them.
    probability : float
        That a pointing without a common source matches as well; NaN where nothing was matched.
    leverage : float
        Share of the heaviest source in the weight.
    followed : FollowedPlaces or None
        How the transform follows the places of detectors; None where it doesn't.
    """

    transform: LinearTransform
    rows: NDArray[np.int64]
    sources: NDArray[np.int64]
    residual: NDArray[np.float64]
    weight: NDArray[np.float64]
    error: NDArray[np.float64]
    chi2: NDArray[np.float64]
    probability: float = float("nan")
    leverage: float = float("nan")
    followed: FollowedPlaces | None = None

    @property
    def n_sources_used(self) -> int:
        """Sources that kept weight; fewer than measurements where several exposures saw one."""
        return len(np.unique(self.sources[self.weight > 0]))

    @property
    def reduced_chi2(self) -> float:
        """Of the used sources, by their given errors."""
        return float(np.mean(self.reduced_chi2_axes))

    @property
    def reduced_chi2_axes(self) -> tuple[float, float]:
        """The same of each axis."""
        return axis_means(self.chi2, self.weight)

    def by_exposure(self, pointing: PointingSources) -> list[MemberFit]:
        """Part it into what each exposure of its pointing tells, with rows of that one's list."""
        ends = np.cumsum([0, *map(len, pointing.lists)])
        return [self._between(low, high) for low, high in pairwise(ends.tolist())]

    def _between(self, low: int, high: int) -> MemberFit:
        own = (self.rows >= low) & (self.rows < high)
        columns = {
            name: getattr(self, name)[own] for name in ("sources", "residual", "weight", "error", "chi2")
        }
        return replace(self, rows=self.rows[own] - low, **columns)


@dataclass(frozen=True, eq=False)
class AlignedFrame:
    """Pointings that overlap, on one frame.

    Parameters
    ----------
    members : dict of int to MemberFit
        By number of the pointing.
    fixed : tuple of int
        The pointings that fix the frame.
    seen : SeenSources
        The frame's sources, in the common plane.
    rejected : dict of int to Remark
        Pointings that were matched but whose fit was not acceptable, and why.
    model : FrameModel
        What was fitted.
    systematic : float, arcsec
        Error of one axis that neighbouring measurements of an acquisition share.
    places : PlaceEquations or None
        What it tells of the places of detectors.
    """

    members: dict[int, MemberFit]
    fixed: tuple[int, ...]
    seen: SeenSources
    rejected: dict[int, Remark]
    model: FrameModel
    systematic: float
    places: PlaceEquations | None = None
