"""Where detectors of a camera lie, as far as stars of the catalog tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from grism_align.algorithms.absolute.epoch import positions_at
from grism_align.algorithms.matching.pile import REACH, Pile, pile_of
from grism_align.algorithms.propagation.poses import detector_of, field_axes
from grism_align.algorithms.relative.placement import (
    Placement,
    cameras_with_several,
    from_the_median,
    moved_places,
    out_of_place,
)
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.absolute.measured import MeasuredSources
    from grism_align.algorithms.propagation.poses import Detector
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.failure import OutOfPlace
    from grism_align.values.settings import PointingSettings
    from grism_align.values.solution import AlignmentSolution, ExposureFit

_MAS = 1e3


def put_in_place(
    measured: Sequence[MeasuredSources],
    fits: Mapping[str, ExposureFit],
    relative: AlignmentSolution,
    catalog: ReferenceCatalog,
    errors: PointingSettings,
) -> tuple[dict[str, ExposureFit], list[OutOfPlace]]:
    """Move detectors of cameras to where stars say that they are.

    Parameters
    ----------
    measured : sequence of MeasuredSources
        What exposures measured, on the relative frame.
    fits : mapping of str to ExposureFit
        Their fits to the catalog, by exposure key.
    relative : AlignmentSolution
        Their relative alignment, with what it knows of the places.
    catalog : ReferenceCatalog
        The reference.
    errors : PointingSettings
        How well places are known beforehand.

    Returns
    -------
    dict of str to ExposureFit
        Of the exposures of detectors of which stars tell the place: with that, as the total one.
    list of OutOfPlace
        Detectors that are not where they should be, and that the relative alignment didn't know of.

    Notes
    -----
    What stars say, the mean offset of one detector in all pointings, and what is known beforehand are
    weighted by their errors.
    """
    several = cameras_with_several([one.exposure for one in measured])
    of_detector: dict[Detector, list[MeasuredSources]] = {}
    for one in measured:
        if one.exposure.mount in several and one.exposure.attitude is not None:
            of_detector.setdefault(detector_of(one.exposure), []).append(one)
    if errors.detector_error <= 0 or not of_detector:
        return {}, []
    before, found = {}, {}
    stars = _Stars(catalog, relative)
    for detector, own in of_detector.items():
        known = relative[own[0].exposure.key]
        error = known.placement_error / _MAS if np.isfinite(known.placement_error) else errors.detector_error
        taken = Placement((known.placement[0] / _MAS, known.placement[1] / _MAS), error)
        pile = pile_of(np.concatenate([stars.differences(one, fits[one.exposure.key]) for one in own]))
        if pile is not None:
            before[detector], found[detector] = taken, _together(taken, pile)
    places, _ = moved_places(before, found, errors)
    named = {one.detector for one in out_of_place(before, errors)}
    told = [
        one for one in out_of_place(_among_others(places, of_detector), errors) if one.detector not in named
    ]
    out = {}
    for detector, place in places.items():
        for exposure in (one.exposure for one in of_detector[detector]):
            fit = fits[exposure.key]
            assert fit.transform is not None
            step = np.subtract(place.offset, before[detector].offset)
            moved = LinearTransform(
                np.eye(2), field_axes(exposure, relative.plane) @ step, fit.transform.plane
            )
            out[exposure.key] = replace(
                fit,
                transform=fit.transform.then(moved),
                placement=(_MAS * place.offset[0], _MAS * place.offset[1]),
                placement_error=_MAS * place.error,
            )
    return out, told


def _together(taken: Placement, pile: Pile) -> Placement:
    """Return the place of a detector from what was known and from what stars add to it."""
    share = taken.error**2 / max(taken.error**2 + pile.error**2, 1e-300)
    x, y = (before + share * more for before, more in zip(taken.offset, pile.offset, strict=True))
    return Placement((x, y), float(np.sqrt(share) * pile.error))


def _among_others(
    places: Mapping[Detector, Placement], of_detector: Mapping[Detector, Sequence[MeasuredSources]]
) -> dict[Detector, Placement]:
    """Return places without what all detectors of a camera share, as one that is far off moves pointings."""
    offset = np.array([one.offset for one in places.values()]).reshape(-1, 2)
    apart = from_the_median(offset, [of_detector[detector][0].exposure.mount for detector in places])
    return {
        detector: replace(place, offset=(x, y))
        for (detector, place), (x, y) in zip(places.items(), apart.tolist(), strict=True)
    }


class _Stars:
    """Where the stars of a catalog are in the plane of an alignment."""

    def __init__(self, catalog: ReferenceCatalog, relative: AlignmentSolution) -> None:
        self._catalog, self._plane = catalog, relative.plane
        self._at: tuple[float, KDTree] | None = None

    def differences(self, one: MeasuredSources, fit: ExposureFit) -> NDArray[np.float64]:
        """Return from sources of an exposure to stars within the reach, (N, 2) arcsec along V2 and V3."""
        if self._at is None or self._at[0] != one.time:
            self._at = one.time, KDTree(self._plane.to_plane(positions_at(self._catalog, one.time)))
        tree = self._at[1]
        assert fit.transform is not None
        xy = fit.transform.apply(one.xy)
        near = tree.query_ball_point(xy, REACH)
        mine = np.repeat(np.arange(len(xy)), [len(stars) for stars in near])
        star = np.array([star for stars in near for star in stars], dtype=np.int64)
        apart = np.asarray(tree.data)[star] - xy[mine]
        return np.asarray(np.linalg.solve(field_axes(one.exposure, self._plane), apart.T).T)
