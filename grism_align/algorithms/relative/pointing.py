"""Exposures whose own sources don't tell their correction: what the rest of their acquisition tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from grism_align.algorithms.measuring.positions import source_positions
from grism_align.algorithms.propagation.common_start import common_start
from grism_align.values.catalog import SourceFlag
from grism_align.values.failure import CorrectedLike, FailureCode, Remark
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.plane_list import PlaneList
    from grism_align.values.settings import MatchSettings, PointingSettings
    from grism_align.values.transform import TangentPlane

__all__ = ["prior_only", "roll_groups"]

# Orientations nearer than this, deg, are one roll: 0.7 mas at the corner of a WFC3/IR exposure.
_SAME_ROLL = 5e-4
# Sources within this many errors of the pointing count as being where it puts them.
_NEAR = 4.0
# Brightest sources that are looked for there.
_LOOKED_FOR = 50


def prior_only(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    fits: Mapping[str, ExposureFit],
    frames: tuple[Mapping[str, str], Sequence[PlaneList]],
    settings: tuple[PointingSettings, MatchSettings],
) -> dict[str, ExposureFit]:
    """Give exposures that failed the mean correction of their guide-star acquisition.

    One whose sources are elsewhere, or which is trailed, pointed elsewhere and stays FAILED.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    catalogs : mapping of str to SourceCatalog
        Their sources.
    fits : mapping of str to ExposureFit
        Of all of them.
    frames : (mapping of str to str, sequence of PlaneList)
        The acquisition of each exposure; sources of the relative frames, in the plane of the fits.
    settings : (PointingSettings, MatchSettings)
        How well a dither is known; how many sources an exposure needs.

    Returns
    -------
    dict of str to ExposureFit
        The new fits, PRIOR_ONLY, or FAILED with one more remark.
    """
    labels, places = frames
    found: dict[str, ExposureFit] = {}
    for exposure in exposures:
        failed, catalog = fits[exposure.key], catalogs[exposure.key]
        if failed.is_aligned or (catalog.flags & int(SourceFlag.TRAILED)).any():
            continue
        lent = _lent_corrections(exposure, exposures, fits, labels)
        if not lent:
            continue
        main = min(fits[key].frame for key in lent)
        lent = {key: transform for key, transform in lent.items() if fits[key].frame == main}
        transform, error = _mean_correction(exposure.plane, list(lent.values()), settings[0])
        usable = catalog.brightest(_LOOKED_FOR)
        if len(usable) >= settings[1].min_matches and not _is_there(
            exposure, usable, transform, places[main], error
        ):
            found[exposure.key] = ExposureFit.failed(*failed.remarks, Remark(FailureCode.NOT_AT_POINTING))
            continue
        found[exposure.key] = ExposureFit(
            status=FitStatus.PRIOR_ONLY,
            transform=transform,
            reference=fits[next(iter(lent))].reference,
            frame=main,
            geometry=fits[next(iter(lent))].geometry,
            remarks=(*failed.remarks, CorrectedLike(tuple(lent), 1e3 * error)),
        )
    return found


def _lent_corrections(
    exposure: Exposure,
    exposures: Sequence[Exposure],
    fits: Mapping[str, ExposureFit],
    labels: Mapping[str, str],
) -> dict[str, LinearTransform]:
    """Corrections of the others of its acquisition, from the WCS that this exposure starts from."""
    lent = {}
    for other in exposures:
        transform = fits[other.key].transform
        acquisition = (other.group, other.instrument) == (exposure.group, exposure.instrument)
        if transform is None or not acquisition:
            continue
        start = common_start(exposure, other, transform.plane)
        # WCSs of one name but two orientations were fitted one by one.
        if start is None or (not start[1] and labels[other.key] != labels[exposure.key]):
            continue
        lent[other.key] = start[0].then(transform)
    return lent


def _mean_correction(
    place: TangentPlane, moved: Sequence[LinearTransform], pointing: PointingSettings
) -> tuple[LinearTransform, float]:
    """Return the mean of other exposures' corrections; and its error at a place, arcsec, one axis."""
    shifts = np.array([transform.at(place).shift for transform in moved])
    # Their own scatter tells whether this pointing was as good as it should be.
    seen = float(shifts.std(axis=0, ddof=1).max()) if len(shifts) > 1 else 0.0
    dither2 = max(pointing.dither_error, seen) ** 2 * (1 + 1 / len(shifts))
    matrix, shift, covariance = (
        np.mean([getattr(transform, name) for transform in moved], axis=0)
        for name in ("matrix", "shift", "covariance")
    )
    covariance[[0, 1], [0, 1]] += dither2
    total = LinearTransform(matrix, shift, moved[0].plane, covariance)
    return total, float(total.at(place).shift_error.max())


def _is_there(
    exposure: Exposure,
    catalog: SourceCatalog,
    transform: LinearTransform,
    sources: PlaneList,
    error: float,
) -> bool:
    """Whether more sources than by chance are where the correction puts them."""
    xy = transform.apply(transform.plane.to_plane(source_positions(exposure, catalog)[0]))
    if len(sources) == 0:
        return False
    tree = cKDTree(sources.xy)
    radius = _NEAR * error
    near = np.asarray(tree.query_ball_point(xy, radius, return_length=True)) > 0
    around = np.asarray(tree.query_ball_point(xy, 5 * radius, return_length=True))
    by_chance = float(np.clip((around - near) / 24.0, 0, 1).sum())
    return bool(near.sum() > 2 + by_chance + 3 * np.sqrt(by_chance))


def roll_groups(exposures: Sequence[Exposure], plane: TangentPlane) -> list[str]:
    """Exposures that share one roll: of one guide-star acquisition, and oriented alike by their WCSs.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    plane : TangentPlane
        In which orientations are compared.

    Returns
    -------
    list of str
        A label each.

    Notes
    -----
    The roll of the telescope is one through an acquisition. WCSs that were fitted exposure by exposure,
    or of which only some were, have rolls of their own.
    """
    labels = [""] * len(exposures)
    by_group: dict[str, list[tuple[float, int]]] = {}
    for number, exposure in enumerate(exposures):
        name = f"{exposure.group}/{exposure.instrument}"
        by_group.setdefault(name, []).append((_orientation(exposure, plane), number))
    for name, members in by_group.items():
        part, last = 0, -np.inf
        # From the first one's, so that angles on both sides of 180 deg are neighbours.
        first = members[0][0]
        turned = [((angle - first + 180.0) % 360.0, number) for angle, number in members]
        for angle, number in sorted(turned):
            part += angle - last > _SAME_ROLL
            last = angle
            labels[number] = f"{name}/{part}"
    return labels


def _orientation(exposure: Exposure, plane: TangentPlane) -> float:
    """Position angle of the first chip's columns at its centre, deg, in the common plane."""
    ny, nx = exposure.chips[0].shape
    ends = plane.to_plane(exposure.chips[0].wcs.to_sky([[nx / 2, ny / 4], [nx / 2, 3 * ny / 4]]))
    east, north = ends[1] - ends[0]
    return float(np.degrees(np.arctan2(east, north)))
