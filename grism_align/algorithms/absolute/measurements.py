"""Sources and reference stars as measurements of one joint solution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.epoch import covariance_at, positions_at
from grism_align.algorithms.fitting.corrections import followed_places
from grism_align.algorithms.fitting.design import REFERENCE
from grism_align.algorithms.fitting.joint import Measurements
from grism_align.algorithms.fitting.places import MountedDetectors
from grism_align.algorithms.propagation.poses import field_axes
from grism_align.values.sphere import (
    ARCSEC_PER_RADIAN,
    sky_to_vector,
    tangent_axes,
    vector_to_sky,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.absolute.frame_tie import FrameTie
    from grism_align.algorithms.absolute.measured import MeasuredSources
    from grism_align.algorithms.fitting.corrections import FollowedPlaces
    from grism_align.algorithms.fitting.joint import JointSolution
    from grism_align.algorithms.relative.placement import Places
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.transform import LinearTransform, TangentPlane


# Radians, to tell the direction of an axis by.
_STEP = 1e-7
# A source that no catalog knows may have moved between measurements further apart than this, in years.
_YEARS_APART = 0.5


@dataclass(frozen=True, eq=False)
class TiedFrame:
    """A relative frame that was matched with the catalog as a whole.

    Parameters
    ----------
    sources : sequence of MeasuredSources
        What each of its exposures measured, on the relative frame.
    tie : FrameTie
        How it lies on the catalog.
    geometry : {'shift', 'rshift', 'rscale', 'general'}
        What is fitted to it.
    """

    sources: Sequence[MeasuredSources]
    tie: FrameTie
    geometry: str


@dataclass(frozen=True, eq=False)
class IdentifiedSources:
    """What one exposure measured, and which stars of the catalog that is.

    Parameters
    ----------
    measured : MeasuredSources
        M sources, where the tie of its frame puts them.
    rows : (M,) ndarray of int
        Rows of the catalog, -1 for none.
    frame : int
        Number of its frame among those that are solved.
    """

    measured: MeasuredSources
    rows: NDArray[np.int64]
    frame: int


@dataclass(frozen=True, eq=False)
class _Tied:
    """All measurements on the catalog's frame, each source at one epoch, those by the catalog last.

    Parameters
    ----------
    measured : Measurements
        All of them.
    scatter : (K,) ndarray, arcsec
        First guess of the scatter of each noise class.
    rows : (R,) ndarray of int
        The row of the catalog that each of the last R is.
    number : (M,) ndarray of int
        The source of the relative frame that each measurement is of, -1 where it is of none.
    key : (M,) ndarray of str
        The exposure that made each measurement; empty for the catalog.
    """

    measured: Measurements
    scatter: NDArray[np.float64]
    rows: NDArray[np.int64]
    number: NDArray[np.int64]
    key: NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Solved:
    """The joint solution, and what it adds to the correction of each pointing.

    Parameters
    ----------
    tied : _Tied
        What was solved.
    solution : JointSolution
        Its solution.
    pointings : dict of str to int
        The pointings that are in it, and the place of each.
    steps : dict of str to LinearTransform
        What follows the tie of its frame, by pointing.
    groups : dict of str to int
        Which pointings share a roll: the group of every one.
    geometry : str
        What was fitted.
    """

    tied: _Tied
    solution: JointSolution
    pointings: dict[str, int]
    steps: dict[str, LinearTransform]
    groups: dict[str, int]
    geometry: str

    def step(self, pointing: str) -> LinearTransform | None:
        """Return the step of a pointing, else that of another of its acquisition."""
        name = self._stands_for(pointing)
        return None if name is None else self.steps[name]

    def followed(self, pointing: str) -> FollowedPlaces | None:
        """Return how this step follows the places of detectors; None where it doesn't."""
        name = self._stands_for(pointing)
        return None if name is None or self._followed is None else self._followed[self.pointings[name]]

    def _stands_for(self, pointing: str) -> str | None:
        return pointing if pointing in self.steps else self._of_groups.get(self.groups[pointing])

    @cached_property
    def _followed(self) -> list[FollowedPlaces] | None:
        return followed_places(self.tied.measured, self.solution)

    @cached_property
    def _of_groups(self) -> dict[int, str]:
        """The first pointing of each group that has a step."""
        found: dict[int, str] = {}
        for name in self.steps:
            found.setdefault(self.groups[name], name)
        return found


def tie_frame(
    found: Sequence[IdentifiedSources],
    catalog: ReferenceCatalog,
    groups: Sequence[int],
    unknown_motion: float,
    places: Places,
) -> _Tied:
    """Collect measurements of all sources that several exposures, or an exposure and the catalog, measured.

    Parameters
    ----------
    found : sequence of IdentifiedSources
        What the exposures measured.
    catalog : ReferenceCatalog
        The reference.
    groups : sequence of int
        Which pointings share a roll: the group of each, in the order in which they come first.
    unknown_motion : float, mas/yr
        How much a source may move that the catalog does not have.
    places : Places
        Where the detectors were put.
    """
    own = [one.measured for one in found]
    plane = own[0].transform.plane
    exposure = np.repeat(np.arange(len(own)), [len(one) for one in own])
    row = np.concatenate([one.rows for one in found])
    number = np.concatenate([one.number for one in own])
    matched = np.concatenate([one.matched for one in own])
    # Rows of the catalog come first, then sources that it does not have.
    identity = np.where(row >= 0, row, len(catalog) + number)
    kept = np.flatnonzero((row >= 0) | matched)
    exposure, row, number = exposure[kept], row[kept], number[kept]
    identities, source = np.unique(identity[kept], return_inverse=True)
    source = source.ravel()
    time = np.array([one.time for one in own])[exposure]
    epoch = np.bincount(source, time) / np.bincount(source)
    known = identities < len(catalog)
    stars = catalog[identities[known]]
    anchor = plane.to_plane(positions_at(stars, epoch[known]))
    xy = np.concatenate([one.xy for one in own])[kept]
    error = np.concatenate([one.error for one in own])[kept]
    seen = row >= 0
    star, apart = np.cumsum(known)[source[seen]] - 1, time - epoch[source]
    xy[seen] -= plane.to_plane(positions_at(stars[star], time[seen])) - anchor[star]
    error[seen] = np.hypot(error[seen], _motion_error(stars, star, apart[seen]))
    noise_class, scatter = _noise_classes(own, exposure, np.where(seen, 0.0, np.abs(apart)), unknown_motion)
    axes = _axis_errors(stars, epoch[known], plane)
    measured = Measurements(
        pointing=np.concatenate([_pointings(own)[exposure], np.full(len(stars), REFERENCE)]),
        source=np.concatenate([source, np.flatnonzero(known)]),
        xy=np.concatenate([xy, anchor]),
        error=np.concatenate([error, np.sqrt((axes**2).mean(axis=1))]),
        noise_class=np.concatenate([noise_class, np.full(len(stars), len(scatter) - 1)]),
        group=np.unique(groups, return_inverse=True)[1].ravel(),
        fixed=np.zeros(len(groups), dtype=bool),
        axis_error=np.concatenate([error[:, None].repeat(2, axis=1), axes]),
        mounted=_mounted(own, exposure, np.concatenate([xy, anchor]), places),
    )
    in_frame = np.full(len(identities), -1)
    in_frame[source[number >= 0]] = number[number >= 0]
    key = np.array([one.exposure.key for one in own])[exposure]
    return _Tied(
        measured,
        scatter,
        identities[known],
        np.concatenate([number, in_frame[known]]),
        np.concatenate([key, np.full(len(stars), "")]),
    )


def _mounted(
    own: Sequence[MeasuredSources], exposure: NDArray[np.int64], xy: NDArray[np.float64], places: Places
) -> MountedDetectors | None:
    """Tell which detector made each measurement, the catalog's last; None where all places are known."""
    if not len(places):
        return None
    middle = [one.transform.apply_to_sky([[one.exposure.plane.ra, one.exposure.plane.dec]]) for one in own]
    plane = own[0].transform.plane
    each = np.append(exposure, np.full(len(xy) - len(exposure), len(own)))
    return MountedDetectors(
        np.array([*(places.number(one.exposure) for one in own), -1])[each],
        np.array([*(field_axes(one.exposure, plane) for one in own), np.zeros((2, 2))])[each],
        xy - np.concatenate([plane.to_plane(np.concatenate(middle)), np.zeros((1, 2))])[each],
        places.prior,
    )


def _pointings(own: Sequence[MeasuredSources]) -> NDArray[np.int64]:
    """Give the pointing of each exposure a number, in the order in which pointings come first."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(one.exposure.pointing, len(numbers)) for one in own])


def _noise_classes(
    own: Sequence[MeasuredSources],
    exposure: NDArray[np.int64],
    years: NDArray[np.float64],
    unknown_motion: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Class each measurement, and guess the scatter of each class (K,), that of the catalog last.

    What nobody knows to stay over some `years` is a class of its own: the residuals tell how much it moves.
    """
    instruments, instrument = np.unique([one.exposure.instrument for one in own], return_inverse=True)
    noise_class = instrument.ravel()[exposure]
    noise_class[years > _YEARS_APART] += len(instruments)
    scatter = np.zeros(2 * len(instruments) + 1)
    for number in np.unique(noise_class[years > _YEARS_APART]).tolist():
        scatter[number] = 1e-3 * unknown_motion * float(np.median(years[noise_class == number]))
    return noise_class, scatter


def _axis_errors(
    stars: ReferenceCatalog, years: NDArray[np.float64], plane: TangentPlane
) -> NDArray[np.float64]:
    """Return errors (N, 2), arcsec, of stars along the axes of a plane, which near a pole aren't theirs."""
    turn = turns(stars.sky, plane)
    covariance = turn @ covariance_at(stars, years) @ turn.swapaxes(1, 2)
    return np.asarray(1e-3 * np.sqrt(np.maximum(covariance[:, (0, 1), (0, 1)], 0.0)))


def turns(sky: NDArray[np.float64], plane: TangentPlane) -> NDArray[np.float64]:
    """Return what takes east and north of positions (N, 2), deg, to the axes of a plane: (N, 2, 2)."""
    east, north, _ = np.moveaxis(tangent_axes(*sky.T), 1, 0)
    out, origin = sky_to_vector(sky), plane.to_plane(sky)
    steps = [plane.to_plane(vector_to_sky(out + _STEP * axis)) - origin for axis in (east, north)]
    return np.asarray(np.stack(steps, axis=-1) / (_STEP * ARCSEC_PER_RADIAN))


def _motion_error(
    stars: ReferenceCatalog, star: NDArray[np.int64], years: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the error, arcsec, of bringing each measurement of a star over some years.

    It is the same for all of one time, which together must not beat it down.
    """
    motion = np.sqrt((stars.motion_error**2).mean(axis=1))
    _, place, times = np.unique(
        np.column_stack([star, np.round(years, 1)]), axis=0, return_inverse=True, return_counts=True
    )
    return np.asarray(1e-3 * motion[star] * years * np.sqrt(times[place.ravel()]))
