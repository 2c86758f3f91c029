"""Where detectors lie that are too far off for their sources to be matched with those of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from grism_align.algorithms.matching.pile import REACH, Pile, pile_of
from grism_align.algorithms.measuring.positions import source_positions
from grism_align.algorithms.propagation.poses import detector_of, field_axes
from grism_align.algorithms.relative.placement import Placement, cameras_with_several
from grism_align.values.catalog import UNRELIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.propagation.poses import Detector
    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import PointingSettings
    from grism_align.values.solution import AlignmentSolution


# Sources of an exposure that are asked, the brightest.
_BRIGHTEST = 100


def rough_placements(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    solution: AlignmentSolution,
    errors: PointingSettings,
) -> dict[Detector, Placement]:
    """Find detectors that are off by more than places are expected to be.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    catalogs : mapping of str to SourceCatalog
        Their sources.
    solution : AlignmentSolution
        Their relative alignment, with all detectors at their nominal places.
    errors : PointingSettings
        How well places of detectors are known beforehand.

    Returns
    -------
    dict of Detector to Placement
        Those that are off; empty where pointings have one detector each.

    Notes
    -----
    Most pairs of a source of one detector and a source of another within the reach are one star. Their
    differences, in the telescope's field, pile up where the detector is off, while one that is in place has
    most of them at zero, whatever one of the others does. So the detector whose pairs agree best is put in
    place first, and the others are compared with it there.
    """
    if errors.detector_error <= 0:
        return {}
    fitted = [one for one in exposures if one.attitude is not None and solution[one.key].is_aligned]
    found: dict[Detector, Placement] = {}
    for mount in cameras_with_several(fitted):
        camera = _Camera([one for one in fitted if one.mount == mount], catalogs, solution)
        found |= camera.out_of_place(errors.detector_error)
    return found


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Sources (N,) of some detectors that others lie near, and from where to where, (N, 2) arcsec.

    `mine` and `other` are the numbers of the detectors, `axes` and `other_axes`, (N, 2, 2), the directions of
    V2 and V3.
    """

    mine: NDArray[np.int64]
    other: NDArray[np.int64]
    apart: NDArray[np.float64]
    axes: NDArray[np.float64]
    other_axes: NDArray[np.float64]


class _Camera:
    """The detectors of a camera, and what pairs of their sources say."""

    def __init__(
        self,
        exposures: Sequence[Exposure],
        catalogs: Mapping[str, SourceCatalog],
        solution: AlignmentSolution,
    ) -> None:
        self._detectors = list(dict.fromkeys(map(detector_of, exposures)))
        number = {detector: place for place, detector in enumerate(self._detectors)}
        lists = [_positions(one, catalogs[one.key], solution) for one in exposures]
        of_exposure = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
        owner = np.array([number[detector_of(one)] for one in exposures])[of_exposure]
        frame = np.array([solution[one.key].frame for one in exposures])[of_exposure]
        axes = np.array([field_axes(one, solution.plane) for one in exposures])
        xy = np.concatenate(lists)
        i, j = KDTree(xy).query_pairs(REACH, output_type="ndarray").T
        kept = (owner[i] != owner[j]) & (frame[i] == frame[j])
        i, j = np.concatenate([i[kept], j[kept]]), np.concatenate([j[kept], i[kept]])
        self._pairs = _Pairs(owner[i], owner[j], xy[j] - xy[i], axes[of_exposure[i]], axes[of_exposure[j]])

    def out_of_place(self, error: float) -> dict[Detector, Placement]:
        """Return detectors that are off by more than an error, arcsec."""
        offset = np.zeros((len(self._detectors), 2))
        placed: dict[int, float] = {}
        for _ in self._detectors:
            piles = {
                number: pile
                for number in range(len(self._detectors))
                if number not in placed and (pile := self._pile(number, offset)) is not None
            }
            far = {number: pile for number, pile in piles.items() if np.hypot(*pile.offset) > error}
            if not far:
                break
            worst = max(far, key=lambda number: far[number].share)
            offset[worst] = far[worst].offset
            placed[worst] = far[worst].error
        return {
            self._detectors[number]: Placement((float(offset[number, 0]), float(offset[number, 1])), own)
            for number, own in placed.items()
        }

    def _pile(self, number: int, offset: NDArray[np.float64]) -> Pile | None:
        """Return where most partners of a detector's sources are, with the others where they are put."""
        pairs = self._pairs
        mine = np.flatnonzero(pairs.mine == number)
        moved = np.einsum("nij,nj->ni", pairs.other_axes[mine], offset[pairs.other[mine]])
        apart = pairs.apart[mine] + moved
        return pile_of(np.linalg.solve(pairs.axes[mine], apart[:, :, None])[:, :, 0])


def _positions(
    exposure: Exposure, catalog: SourceCatalog, solution: AlignmentSolution
) -> NDArray[np.float64]:
    """Return where the brightest sources are in the plane of the alignment, (N, 2) arcsec."""
    is_good = ((catalog.flags & int(UNRELIABLE)) == 0) & np.isfinite(catalog.xy).all(axis=1)
    good = np.flatnonzero(is_good)
    rows = good[np.argsort(-catalog.flux[good], kind="stable")[:_BRIGHTEST]]
    sky, _ = source_positions(exposure, catalog.selected(rows))
    transform = solution[exposure.key].transform
    assert transform is not None
    return transform.apply(transform.plane.to_plane(sky))
