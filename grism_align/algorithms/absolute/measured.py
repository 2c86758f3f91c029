"""What the exposures of a relative frame measured of its sources."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.matching.match import mutual_nearest
from grism_align.algorithms.measuring.positions import source_positions
from grism_align.algorithms.relative.united import Tiles, box_of
from grism_align.values.catalog import UNRELIABLE, SourceFlag
from grism_align.values.solution import FitStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.catalog import SkySource, SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.solution import AlignmentSolution, ExposureFit
    from grism_align.values.transform import LinearTransform


#: A source that one exposure saw lies where this puts it; arcsec.
SAME_PLACE = 0.02
# Least error of a centroid, pixels, of an exposure without matches, which would tell it.
_CENTROID_FLOOR = 0.005


@dataclass(frozen=True, eq=False)
class MeasuredSources:
    """Sources of one exposure.

    Parameters
    ----------
    exposure : Exposure
        Which.
    time : float
        Julian year of its middle.
    number : (M,) ndarray of int
        The relative frame's source that each is; -1 where it is none.
    matched : (M,) ndarray of bool
        Whether another exposure saw it.
    xy : (M, 2) ndarray, arcsec
        Where the relative correction puts them, in its plane.
    error : (M,) ndarray, arcsec
        Standard error of one axis.
    saturated : (M,) ndarray of bool
        Whether the detector was, there.
    transform : LinearTransform
        The relative correction.
    turns : bool
        Whether each exposure of its acquisition has a roll of its own.
    """

    exposure: Exposure
    time: float
    number: NDArray[np.int64]
    matched: NDArray[np.bool_]
    xy: NDArray[np.float64]
    error: NDArray[np.float64]
    saturated: NDArray[np.bool_]
    transform: LinearTransform
    turns: bool

    def __len__(self) -> int:
        return len(self.number)

    def moved(self, transform: LinearTransform) -> MeasuredSources:
        """Return them where a transform puts them, in the same plane."""
        return replace(self, xy=transform.apply(self.xy), transform=self.transform.then(transform))


def measured_sources(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    relative: AlignmentSolution,
    sources: Sequence[SkySource],
) -> list[MeasuredSources] | None:
    """Collect what each exposure measured: its matched sources, and clean ones that no other exposure saw.

    Parameters
    ----------
    exposures : sequence of Exposure
        Of one relative frame, each with a correction.
    catalogs : mapping of str to SourceCatalog
        Their sources.
    relative : AlignmentSolution
        Their relative corrections, with the matches.
    sources : sequence of SkySource
        Those of the frame.

    Returns
    -------
    list of MeasuredSources or None
        None where the catalogs are not at hand, or aren't those that were matched.
    """
    residuals = [fit.residuals for e in exposures if (fit := relative[e.key]).residuals is not None]
    matched = {int(n) for one in residuals for n in one.matched}
    lone = [source for source in sources if source.number not in matched]
    lone_xy = relative.plane.to_plane(np.array([(one.ra, one.dec) for one in lone]).reshape(-1, 2))
    lone_number = np.array([one.number for one in lone], dtype=np.int64)
    tiles = Tiles.for_list(lone_xy)
    tiles.put(np.arange(len(lone)), lone_xy)
    found = []
    for exposure in exposures:
        fit, catalog = relative[exposure.key], catalogs.get(exposure.key)
        if catalog is None:
            return None
        one = _measured(exposure, catalog, fit)
        if one is None:
            return None
        unmatched = np.flatnonzero(~one.matched)
        box = box_of(one.xy[unmatched], SAME_PLACE)
        if box is not None:
            near = tiles.near(*box)
            pairs = mutual_nearest(one.xy[unmatched], lone_xy[near], SAME_PLACE)
            one.number[unmatched[pairs[:, 0]]] = lone_number[near[pairs[:, 1]]]
        found.append(one)
    return found


def _measured(exposure: Exposure, catalog: SourceCatalog, fit: ExposureFit) -> MeasuredSources | None:
    ids = np.asarray(catalog.table["id"], dtype=np.int64)
    residuals, transform = fit.residuals, fit.transform
    assert transform is not None
    rows, given, number = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
    if residuals is not None:
        order = np.argsort(ids)
        at = np.minimum(np.searchsorted(ids, residuals.source, sorter=order), max(len(ids) - 1, 0))
        if len(ids) == 0 or (ids[order[at]] != residuals.source).any():
            return None
        rows, given = order[at], 1e-3 * residuals.error
        number = np.asarray(residuals.matched, dtype=np.int64)
    saturated = (catalog.flags & int(SourceFlag.SATURATED)) != 0
    doubtful = (catalog.flags & int(UNRELIABLE | SourceFlag.EDGE | SourceFlag.SATURATED)) != 0
    # Where sources of an exposure don't tell its correction, they don't tell which stars they are.
    others = np.setdiff1d(np.flatnonzero(~doubtful), rows)
    if fit.status is FitStatus.PRIOR_ONLY:
        others = others[:0]
    sky, noise = source_positions(exposure, catalog)
    floor = _CENTROID_FLOOR * exposure.pixel_scale
    if len(rows):
        floor = float(np.sqrt(np.median(np.maximum(given**2 - noise[rows] ** 2, 0.0))))
    used = np.concatenate([rows, others])
    return MeasuredSources(
        exposure=exposure,
        time=exposure.epoch,
        number=np.concatenate([number, np.full(len(others), -1)]),
        matched=np.arange(len(used)) < len(rows),
        xy=transform.apply(transform.plane.to_plane(sky[used])),
        error=np.concatenate([given, np.hypot(noise[others], floor)]),
        saturated=saturated[used],
        transform=transform,
        turns=fit.roll == "exposure",
    )


def only_saturated(measured: Sequence[MeasuredSources]) -> set[int]:
    """Return numbers of the sources that were saturated in every exposure that saw them."""
    seen = {int(n) for one in measured for n in one.number[one.matched & ~one.saturated]}
    return {int(n) for one in measured for n in one.number[one.saturated]} - seen - {-1}
