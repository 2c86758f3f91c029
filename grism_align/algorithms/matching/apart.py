"""Detectors of a camera that see common sources too far from where the others do to be matched with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from grism_align.algorithms.propagation.poses import detector_of, field_axes
from grism_align.values.catalog import UNRELIABLE
from grism_align.values.failure import DetectorApart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.propagation.poses import Detector
    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import PointingSettings
    from grism_align.values.solution import AlignmentSolution


# How far a detector may be off, and how well its sources agree on that, arcsec.
_REACH, _AGREEMENT = 0.5, 0.015
# Sources of an exposure that are asked, the brightest.
_BRIGHTEST = 100
# Pairs that must agree: so many, and so many of their errors more than by chance.
_FEWEST, _SURE = 10, 5.0
# Detectors that are off by more than so many of the errors that are expected are told of.
_TOLD = 3.0
_MAS = 1e3


@dataclass(frozen=True, eq=False)
class _Seen:
    """Sources of a detector, (N, 2) arcsec in the plane of the alignment, and the field's axes, (N, 2, 2)."""

    xy: NDArray[np.float64]
    axes: NDArray[np.float64]


def detectors_apart(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    solution: AlignmentSolution,
    errors: PointingSettings,
) -> list[DetectorApart]:
    """Find detectors that are off after an alignment, by more than what it can match; the worst first.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    catalogs : mapping of str to SourceCatalog
        Their sources.
    solution : AlignmentSolution
        Their relative alignment.
    errors : PointingSettings
        How well places of detectors are known beforehand.

    Returns
    -------
    list of DetectorApart
        Empty where pointings have one detector each.

    Notes
    -----
    Most pairs of a source of one detector and a source of another within the reach are one star. Their
    differences, in the telescope's field, pile up where the detector is off; a detector that is in place has
    most of them at zero, whatever one of the others does.
    """
    fitted = [one for one in exposures if one.attitude is not None and solution[one.key].is_aligned]
    found = [
        apart
        for mount in _with_several(fitted)
        for apart in _of_camera([one for one in fitted if one.mount == mount], catalogs, solution)
    ]
    told = [one for one in found if one.offset > _MAS * _TOLD * errors.detector_error > 0]
    return sorted(told, key=lambda one: -one.offset)


def _with_several(exposures: Sequence[Exposure]) -> set[str]:
    """Return the cameras of which several detectors took a pointing."""
    detectors: dict[tuple[str, str], set[Detector]] = {}
    for one in exposures:
        detectors.setdefault((one.mount, one.pointing), set()).add(detector_of(one))
    return {mount for (mount, _), several in detectors.items() if len(several) > 1}


def _of_camera(
    exposures: Sequence[Exposure], catalogs: Mapping[str, SourceCatalog], solution: AlignmentSolution
) -> list[DetectorApart]:
    by_detector: dict[Detector, list[_Seen]] = {}
    for one in exposures:
        by_detector.setdefault(detector_of(one), []).append(_seen(one, catalogs[one.key], solution))
    lists = {
        key: _Seen(np.concatenate([one.xy for one in own]), np.concatenate([one.axes for one in own]))
        for key, own in by_detector.items()
    }
    every = np.concatenate([one.xy for one in lists.values()])
    owner = np.repeat(np.arange(len(lists)), [len(one.xy) for one in lists.values()])
    tree = KDTree(every)
    found = (
        _piled_up(detector, _differences(seen, number, tree, owner))
        for number, (detector, seen) in enumerate(lists.items())
    )
    return [one for one in found if one is not None]


def _seen(exposure: Exposure, catalog: SourceCatalog, solution: AlignmentSolution) -> _Seen:
    is_good = ((catalog.flags & int(UNRELIABLE)) == 0) & np.isfinite(catalog.xy).all(axis=1)
    good = np.flatnonzero(is_good)
    rows = good[np.argsort(-catalog.flux[good], kind="stable")[:_BRIGHTEST]]
    transform = solution[exposure.key].transform
    corrected = exposure if transform is None else exposure.corrected(transform)
    sky = np.concatenate(
        [chip.wcs.to_sky(catalog.xy[rows[catalog.chip[rows] == chip.number]]) for chip in corrected.chips]
    )
    axes = field_axes(exposure, solution.plane)
    return _Seen(solution.plane.to_plane(sky), np.broadcast_to(axes, (len(sky), 2, 2)))


def _differences(seen: _Seen, number: int, tree: KDTree, owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return from where a detector has sources to where others do, (N, 2) arcsec along V2 and V3."""
    near = tree.query_ball_point(seen.xy, _REACH)
    mine = np.repeat(np.arange(len(near)), [len(one) for one in near])
    other = np.array([row for one in near for row in one], dtype=np.int64)
    is_another = owner[other] != number
    mine, other = mine[is_another], other[is_another]
    apart = tree.data[other] - seen.xy[mine]
    return np.asarray(np.linalg.solve(seen.axes[mine], apart[:, :, None])[:, :, 0])


def _piled_up(detector: Detector, differences: NDArray[np.float64]) -> DetectorApart | None:
    """Return what most differences agree on; None where they don't."""
    if len(differences) < _FEWEST:
        return None
    tree = KDTree(differences)
    agreeing = tree.query_ball_point(differences, _AGREEMENT, return_length=True)
    pile = differences[tree.query_ball_point(differences[np.argmax(agreeing)], _AGREEMENT)]
    by_chance = len(differences) * (_AGREEMENT / _REACH) ** 2
    if len(pile) < max(_FEWEST, by_chance + _SURE * np.sqrt(by_chance)):
        return None
    off = np.median(pile, axis=0)
    error = float(np.sqrt(((pile - off) ** 2).mean() / len(pile)))
    instrument, number = detector
    return DetectorApart(instrument, number, _MAS * float(np.hypot(*off)), _MAS * error)
