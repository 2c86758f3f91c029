"""Exposures whose own sources don't tell their correction: what the rest of their acquisition tells."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from grism_align.algorithms.measuring.positions import source_positions
from grism_align.algorithms.propagation.common_start import common_start
from grism_align.algorithms.propagation.pair import Relation
from grism_align.algorithms.propagation.poses import turn_in_plane
from grism_align.algorithms.propagation.propagation_error import with_propagation_error
from grism_align.values.catalog import SourceFlag
from grism_align.values.exposure import by_pointing
from grism_align.values.failure import CorrectedLike, NotAtPointing
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.plane_list import PlaneList
    from grism_align.values.settings import MatchSettings, PointingSettings
    from grism_align.values.transform import TangentPlane


# Orientations nearer than this, deg, are one roll: 0.7 mas at the corner of a WFC3/IR exposure.
_SAME_ROLL = 5e-4
# Sources within this many errors of the pointing count as being where it puts them.
_NEAR = 4.0
# Brightest sources that are looked for there.
_LOOKED_FOR = 50


@dataclass(frozen=True, eq=False)
class RelativeFrames:
    """What the exposures' own sources gave.

    Parameters
    ----------
    fits : mapping of str to ExposureFit
        Of all direct exposures.
    sources : sequence of PlaneList
        Those of each frame, in the plane of the fits.
    roll_groups : mapping of str to int
        As `roll_groups` gives them, by exposure key.
    """

    fits: Mapping[str, ExposureFit]
    sources: Sequence[PlaneList]
    roll_groups: Mapping[str, int]


def is_trailed(catalog: SourceCatalog) -> bool:
    """Tell whether an exposure did not keep to one pointing."""
    return bool((catalog.flags & int(SourceFlag.TRAILED)).any())


def prior_only(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    known: RelativeFrames,
    errors: PointingSettings,
    match: MatchSettings,
) -> dict[str, ExposureFit]:
    """Give exposures that failed the mean correction of their guide-star acquisition.

    A pointing whose sources are elsewhere, or which is trailed, pointed elsewhere and stays FAILED.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    catalogs : mapping of str to SourceCatalog
        Their sources.
    known : RelativeFrames
        What their own sources gave.
    errors : PointingSettings
        How well a dither is known.
    match : MatchSettings
        How many sources a pointing needs.

    Returns
    -------
    dict of str to ExposureFit
        The new fits, PRIOR_ONLY, or FAILED with one more remark.
    """
    found: dict[str, ExposureFit] = {}
    pointings = by_pointing(exposures)
    acquisitions: dict[tuple[str, str], list[Sequence[Exposure]]] = {}
    for members in pointings:
        for own in {(e.group, e.mount) for e in members}:
            acquisitions.setdefault(own, []).append(members)
    by_key = {e.key: e for e in exposures}
    for members in pointings:
        keys = [e.key for e in members]
        if known.fits[keys[0]].is_aligned or any(is_trailed(catalogs[key]) for key in keys):
            continue
        names = dict.fromkeys((e.group, e.mount) for e in members)
        others = {id(each): each for name in names for each in acquisitions[name]}
        lent = _lent_corrections(members, list(others.values()), known)
        if not lent:
            continue
        first = known.fits[min(lent, key=lambda key: known.fits[key].frame)]
        lent = {key: each for key, each in lent.items() if known.fits[key].frame == first.frame}
        drift = _drift(members[0], [by_key[key] for key in lent], errors)
        transform, error = _mean_correction(members[0].plane, list(lent.values()), errors, drift)
        transform = with_propagation_error(
            transform,
            0.0,
            Relation.SAME_POINTING,
            errors,
            members[0].plane,
            turns=first.roll == "exposure",
        )
        usable = {e.key: catalogs[e.key].brightest(_LOOKED_FOR) for e in members}
        are_enough = sum(map(len, usable.values())) >= match.min_matches
        if are_enough and not _is_there(members, usable, transform, known.sources[first.frame], error):
            elsewhere = NotAtPointing()
            found |= {key: ExposureFit.failed(*known.fits[key].remarks, elsewhere) for key in keys}
            continue
        found |= {
            key: ExposureFit(
                status=FitStatus.PRIOR_ONLY,
                transform=transform,
                reference=first.reference,
                frame=first.frame,
                geometry=first.geometry,
                roll=first.roll,
                remarks=(*known.fits[key].remarks, CorrectedLike(tuple(lent), 1e3 * error)),
            )
            for key in keys
        }
    return found


def _lent_corrections(
    members: Sequence[Exposure], pointings: Sequence[Sequence[Exposure]], known: RelativeFrames
) -> dict[str, LinearTransform]:
    """Return the corrections of the others of its acquisition, from the WCS that a pointing starts from.

    Each is that of a pointing, by the key of the exposure that lends it.
    """
    lent = {}
    for others in pointings:
        for exposure, other in product(members, others):
            transform = known.fits[other.key].transform
            acquisition = (other.group, other.mount) == (exposure.group, exposure.mount)
            if transform is None or not acquisition:
                continue
            start = common_start(exposure, other, transform.plane)
            # WCSs of one name but two orientations were fitted one by one.
            is_turned = known.roll_groups[other.key] != known.roll_groups[exposure.key]
            if start is None or (not start.solution and is_turned):
                continue
            lent[other.key] = start.transform.then(transform)
            break
    return lent


def _drift(exposure: Exposure, others: Sequence[Exposure], pointing: PointingSettings) -> float:
    """Return by how much a pointing that gyros held is off from the nearest of others, arcsec, one axis."""
    share = max(each.tracking.guiding.drift_share for each in (exposure, *others))
    return pointing.gyro_drift * share * 24.0 * min(abs(each.mid - exposure.mid) for each in others)


def _mean_correction(
    place: TangentPlane, moved: Sequence[LinearTransform], pointing: PointingSettings, drift: float
) -> tuple[LinearTransform, float]:
    """Return the mean of other exposures' corrections; and its error at a place, arcsec, one axis."""
    shifts = np.array([transform.at(place).shift for transform in moved])
    # Their own scatter tells whether this pointing was as good as it should be.
    seen = float(shifts.std(axis=0, ddof=1).max()) if len(shifts) > 1 else 0.0
    dither2 = max(pointing.dither_error, seen) ** 2 * (1 + 1 / len(shifts)) + drift**2
    matrix, shift, covariance = (
        np.mean([getattr(transform, name) for transform in moved], axis=0)
        for name in ("matrix", "shift", "covariance")
    )
    covariance[[0, 1], [0, 1]] += dither2
    total = LinearTransform(matrix, shift, moved[0].plane, covariance)
    return total, float(total.at(place).shift_error.max())


def _is_there(
    members: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    transform: LinearTransform,
    sources: PlaneList,
    error: float,
) -> bool:
    """Tell whether more sources than by chance are where the correction puts them."""
    if len(sources) == 0:
        return False
    sky = np.concatenate([source_positions(e, catalogs[e.key])[0] for e in members])
    xy = transform.apply(transform.plane.to_plane(sky))
    tree = cKDTree(sources.xy)
    radius = _NEAR * error
    near = np.asarray(tree.query_ball_point(xy, radius, return_length=True)) > 0
    around = np.asarray(tree.query_ball_point(xy, 5 * radius, return_length=True))
    by_chance = float(np.clip((around - near) / 24.0, 0, 1).sum())
    return bool(near.sum() > 2 + by_chance + 3 * np.sqrt(by_chance))


def roll_groups(exposures: Sequence[Exposure], plane: TangentPlane) -> list[int]:
    """Find the exposures that share one roll.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    plane : TangentPlane
        In which orientations are compared.

    Returns
    -------
    list of int
        A number each, that of its group.

    Notes
    -----
    The roll of the telescope is one through a guide-star acquisition, and so is that of the exposures of a
    pointing, however their detectors are oriented. WCSs that were fitted exposure by exposure, or of which
    only some were, have rolls of their own: of one acquisition and mount those are alike whose WCSs are
    oriented alike.
    """
    members: dict[tuple[str, str], list[int]] = {}
    pointings: dict[str, list[int]] = {}
    for number, exposure in enumerate(exposures):
        members.setdefault((exposure.group, exposure.mount), []).append(number)
        pointings.setdefault(exposure.pointing, []).append(number)
    links = [pair for own in pointings.values() for pair in pairwise(own)]
    for own in members.values():
        # From the first one's, so that angles on both sides of 180 deg are neighbours.
        angle = np.array([turn_in_plane(exposures[own[0]], exposures[number], plane) for number in own])
        turned = (angle + 180.0) % 360.0
        order = np.argsort(turned, kind="stable")
        links += [(own[i], own[j]) for i, j in pairwise(order) if turned[j] - turned[i] <= _SAME_ROLL]
    i, j = np.array(links, dtype=np.int64).reshape(-1, 2).T
    linked = coo_matrix((np.ones(len(i)), (i, j)), shape=(len(exposures),) * 2)
    return [int(label) for label in connected_components(linked, directed=False)[1]]
