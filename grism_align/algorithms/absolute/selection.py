"""Which sources of a reference catalog are used, and which part of the sky they are asked of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.epoch import errors_at, positions_at
from grism_align.values.failure import CatalogElsewhere, CutAway, EmptyCatalog, NoPlace, Remark
from grism_align.values.region import Cone
from grism_align.values.sphere import (
    ARCSEC_PER_RADIAN,
    mean_direction,
    separation,
    sky_to_vector,
    vector_to_sky,
)
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import SelectionSettings

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]


# Fields whose cones are farther apart than this, deg, have cones of their own, and so have the parts of a
# field whose cone would be larger than this.
_NEARLY = 0.05
_LARGEST = 0.5
# Cones have round numbers, deg, so that those of a run differ from another's only if its field does.
_ROUND_CENTRE, _ROUND_RADIUS = 3, 2
# Steps towards the centre of the smallest cone; its radius is then too large by a share of one over these.
_STEPS = 1000

# Rows nearer to each other than this are one source, arcsec, and so are rows of one identifier nearer than
# that: identifiers that are far apart are labels of something else.
_SAME_PLACE = 0.1
_SAME_NAME = 1.0

_MAS_PER_DEG = 3.6e6
_SQUARE_ARCMIN = 3600.0


def field_cones(exposures: Sequence[Exposure], margin: float) -> tuple[Cone, ...]:
    """Find few cones that together hold every chip of the exposures.

    Exposures whose own cones overlap, or nearly so, share one, unless it would be larger than 0.5 deg.

    Parameters
    ----------
    exposures : sequence of Exposure
        In any order.
    margin : float, arcsec
        Around their chips.

    Returns
    -------
    tuple of Cone
        By RA and Dec. Centres are round to 1e-3 deg and radii, upwards, to 1e-2 deg, so that a tiny change of
        a pointing leaves them as they are, or so alike that one of a cache contains the other.
    """
    outlines = [_outline(exposure) for exposure in exposures]
    outlines = [outline for outline in outlines if len(outline)]
    if not outlines:
        return ()
    from scipy.sparse.csgraph import connected_components

    centres = np.array([mean_direction(outline) for outline in outlines])
    radii = np.array([separation(c, outline).max() for c, outline in zip(centres, outlines, strict=True)])
    reach = radii[:, None] + radii + 2 * margin / 3600 + _NEARLY
    number, label = connected_components(separation(centres[:, None], centres) <= reach, directed=False)
    cones: set[Cone] = set()
    for i in range(number):
        cones.update(_covering([outlines[row] for row in np.flatnonzero(label == i)], margin / 3600))
    return tuple(sorted(cones, key=lambda cone: (cone.ra, cone.dec, cone.radius)))


def select_reference(
    catalog: ReferenceCatalog, exposures: Sequence[Exposure], epoch: float, settings: SelectionSettings
) -> tuple[ReferenceCatalog, dict[str, int]]:
    """Select the sources of a catalog that exposures can be aligned to.

    Parameters
    ----------
    catalog : ReferenceCatalog
        Any part of the sky.
    exposures : sequence of Exposure
        On whose chips, or around them, the sources are.
    epoch : float
        Julian year of the exposures: there sources are on them, and of a catalog without epochs this is it.
    settings : SelectionSettings
        The cuts.

    Returns
    -------
    ReferenceCatalog
        Rows in the catalog's order, all of them with an epoch and a proper motion: zero for galaxies without
        one, and zero with an error for other sources.
    dict of str to int
        Sources left after each cut, in order.

    Notes
    -----
    A cut by what the catalog does not know of a source leaves it; only magnitude limits want a magnitude.
    Of the rows of one source that with the smallest error stays. `SelectionSettings.max_density` is kept by
    cells of one square arcmin, or, for less than one source each, of so much larger an area.
    """
    near = _on_exposures(catalog, exposures, epoch, settings.margin)
    counts = {"reference_in_catalog": len(catalog), "reference_on_exposures": int(near.sum())}
    left = _with_motions(catalog[near], epoch, settings)
    for name, cut in _CUTS.items():
        kept = cut(left, epoch, settings)
        left = left if kept.all() else left[kept]
        counts[name] = len(left)
    return left, counts


def why_none(
    catalog: ReferenceCatalog, exposures: Sequence[Exposure], counts: Mapping[str, int] | None = None
) -> Remark:
    """Say why no source of a catalog can be used.

    Parameters
    ----------
    catalog : ReferenceCatalog
        N sources.
    exposures : sequence of Exposure
        The exposures.
    counts : mapping of str to int, optional
        What `select_reference` counted. Without them no source is on the exposures.

    Returns
    -------
    Remark
        Such as that its nearest source is degrees from the exposures.
    """
    outlines = [outline for outline in map(_outline, exposures) if len(outline)]
    if not len(catalog) or not outlines:
        return NoPlace() if len(catalog) else EmptyCatalog()
    if counts and counts["reference_on_exposures"]:
        name = next((name for name, left in counts.items() if not left), "none")
        return CutAway(counts["reference_on_exposures"], name.removeprefix("reference_").replace("_", " "))
    middles = np.array([mean_direction(outline) for outline in outlines])
    nearest = [_nearest(catalog.sky, middle) for middle in middles]
    distance, row = min(nearest)
    ra, dec = catalog.sky[row].tolist()
    return CatalogElsewhere(distance, ra, dec, *_read_otherwise(catalog, exposures))


def _read_otherwise(catalog: ReferenceCatalog, exposures: Sequence[Exposure]) -> tuple[str, int]:
    """Find how positions may be meant, and how many are on the exposures then; empty and zero for no way."""
    ra, dec = (catalog.sky[:, 0] + 180.0) % 360.0 - 180.0, catalog.sky[:, 1]
    readings = {
        "RA and Dec are swapped": (dec, ra),
        "they are in radians": (np.degrees(ra), np.degrees(dec)),
        "RA is in hours": (15.0 * ra, dec),
    }
    cones, found = field_cones(exposures, 0.0), {"": 0}
    for reading, (east, north) in readings.items():
        possible = (np.abs(east) <= 360.0) & (np.abs(north) <= 90.0)
        meant = replace(catalog[possible], sky=np.column_stack([east % 360.0, north])[possible])
        found[reading] = len(_perhaps_on(meant, cones, exposures[0].epoch))
    return max(found.items(), key=lambda reading: reading[1])


def _nearest(sky: Floats, middle: Floats) -> tuple[float, int]:
    """Return the distance, deg, and the row of the position that is nearest to another."""
    row = int(np.argmin(np.linalg.norm(sky_to_vector(sky) - sky_to_vector(middle), axis=1)))
    return float(separation(sky[row], middle)), row


def _outline(exposure: Exposure) -> Floats:
    """Return the corners of all chips, (N, 2) deg; of no chip whose WCS gives none."""
    corners = np.concatenate([chip.wcs.footprint() for chip in exposure.chips])
    return np.asarray(corners[np.isfinite(corners).all(axis=1)])


def _covering(outlines: list[Floats], margin: float) -> list[Cone]:
    """Find the cone of one group of outlines (N, 2) deg, or those of its parts if it were too large."""
    cone = _round_cone(np.concatenate(outlines), margin)
    if cone.radius <= _LARGEST + margin or len(outlines) == 1:
        return [cone]
    middles = np.array([sky_to_vector(outline).mean(axis=0) for outline in outlines])
    along = (middles - middles.mean(axis=0)) @ np.linalg.svd(middles - middles.mean(axis=0))[2][0]
    first = along < 0.5 * (along.min() + along.max())
    if not first.any():  # all in one place
        return [cone]
    parts = ([o for o, inside in zip(outlines, half, strict=True) if inside] for half in (first, ~first))
    return [cone for part in parts for cone in _covering(part, margin)]


def _round_cone(corners: Floats, margin: float) -> Cone:
    """Find about the smallest cone around (N, 2) positions, with round numbers.

    By steps towards the farthest position, each smaller than the last (Badoiu & Clarkson 2003, SODA, 801).
    """
    vectors = np.unique(sky_to_vector(corners), axis=0)  # in one order, whatever that of the exposures
    centre = vectors.mean(axis=0)
    for step in range(_STEPS):
        farthest = vectors[np.argmin(vectors @ centre)]
        centre += (farthest - centre) / (step + 2)
    ra, dec = (round(float(value), _ROUND_CENTRE) for value in vector_to_sky(centre))
    ra %= 360.0
    radius = float(separation([ra, dec], corners).max()) + margin
    return Cone(ra, dec, float(np.ceil(radius * 10**_ROUND_RADIUS) / 10**_ROUND_RADIUS))


def _on_exposures(
    catalog: ReferenceCatalog, exposures: Sequence[Exposure], epoch: float, margin: float
) -> Mask:
    """Tell which sources are on a chip of any exposure at an epoch, or within a margin, arcsec, of it."""
    inside = np.zeros(len(catalog), dtype=bool)
    rows = _perhaps_on(catalog, field_cones(exposures, margin), epoch)
    sky = positions_at(catalog[rows], epoch)
    vectors = sky_to_vector(sky)
    for exposure in exposures:
        for chip in exposure.chips:
            corners = chip.wcs.footprint()
            if not np.isfinite(corners).all():
                continue
            middle = mean_direction(corners)
            reach = 1.5 * (float(separation(middle, corners).max()) + margin / 3600)
            close = np.flatnonzero(vectors @ sky_to_vector(middle) > np.cos(np.radians(reach)))
            plane = TangentPlane(*middle)
            hit = close[_in_quadrilateral(plane.to_plane(sky[close]), plane.to_plane(corners), margin)]
            inside[rows[hit]] = True
            left = np.ones(len(rows), dtype=bool)
            left[hit] = False
            rows, sky, vectors = rows[left], sky[left], vectors[left]
    return inside


def _perhaps_on(catalog: ReferenceCatalog, cones: Sequence[Cone], epoch: float) -> NDArray[np.int64]:
    """Find rows that are in one of the cones at an epoch, or a little outside."""
    years = np.abs(np.nan_to_num(epoch - catalog.epoch))
    moved = np.hypot(*np.nan_to_num(catalog.motion).T) * years + np.abs(catalog.parallax)
    vectors, close = sky_to_vector(catalog.sky), np.zeros(len(catalog), dtype=bool)
    for cone in cones:
        reach = np.minimum(cone.radius + 1.1 * moved / _MAS_PER_DEG, 180.0)
        close |= vectors @ sky_to_vector([cone.ra, cone.dec]) >= np.cos(np.radians(reach))
    return np.flatnonzero(close)


def _in_quadrilateral(xy: Floats, corners: Floats, margin: float) -> Mask:
    """Tell which points (N, 2) are on the inner side of every edge, or outside by no more than the margin."""
    edges = np.roll(corners, -1, axis=0) - corners
    normals = np.column_stack([edges[:, 1], -edges[:, 0]]) / np.hypot(*edges.T)[:, None]
    outward = normals * np.sign((normals * (corners - corners.mean(axis=0))).sum(axis=1))[:, None]
    distance = xy @ outward.T - (corners * outward).sum(axis=1)
    return np.asarray((distance <= margin).all(axis=1))


def _with_motions(catalog: ReferenceCatalog, epoch: float, settings: SelectionSettings) -> ReferenceCatalog:
    """Give sources without epochs or motions those that they are taken to have."""
    galaxy = _quality(catalog, "extended") == 1
    inflated = ~catalog.has_motion & ~galaxy & (settings.without_motion == "inflate")
    still = inflated | (~catalog.has_motion & galaxy)
    motion, covariance = catalog.motion.copy(), catalog.covariance
    motion[still] = 0.0
    if inflated.any():
        covariance = covariance.copy()
        for axis in (3, 4):
            covariance[inflated, axis, axis] = settings.unknown_motion**2
    years = np.where(np.isfinite(catalog.epoch), catalog.epoch, epoch)
    return replace(catalog, motion=motion, covariance=covariance, epoch=years)


def _quality(catalog: ReferenceCatalog, name: str) -> Floats:
    return np.asarray(catalog.quality.get(name, np.full(len(catalog), np.nan)))


def _at_most(catalog: ReferenceCatalog, name: str, limit: float) -> Mask:
    """Tell where a quality is no larger than its limit, or not known."""
    return np.asarray(~(_quality(catalog, name) > limit))


def _not_beaten(catalog: ReferenceCatalog, epoch: float, _: SelectionSettings) -> Mask:
    """Tell which rows have no better one of the same source.

    The best of its neighbours stays and its neighbours go, again and again, so that of rows in a chain
    only those go that are close to one that stays.
    """
    kept, sky = np.ones(len(catalog), dtype=bool), positions_at(catalog, epoch)
    if len(catalog) < 2:
        return kept
    # Single precision, lest rounding errors of the covariances choose.
    error, mag = errors_at(catalog, epoch).astype(np.float32), np.nan_to_num(catalog.mag, nan=np.inf)
    rank = np.empty(len(catalog), dtype=np.int64)
    rank[np.lexsort((sky[:, 1], sky[:, 0], mag, error))] = np.arange(len(catalog))
    kept[_repeated(sky, rank)] = False
    pairs = _same_sources(np.flatnonzero(kept), sky, catalog.identifier)
    swapped = rank[pairs[:, 0]] > rank[pairs[:, 1]]
    pairs[swapped] = pairs[swapped, ::-1]
    while len(pairs):
        beaten = np.zeros(len(catalog), dtype=bool)
        beaten[pairs[:, 1]] = True
        kept[pairs[~beaten[pairs[:, 0]], 1]] = False
        pairs = pairs[kept[pairs].all(axis=1)]
    return kept


def _repeated(sky: Floats, rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find rows of exactly the position of a better one; there may be too many of them for pairs."""
    order = np.lexsort((rank, sky[:, 1], sky[:, 0]))
    same = (np.diff(sky[order], axis=0) == 0).all(axis=1)
    return np.asarray(order[1:][same])


def _same_sources(rows: NDArray[np.int64], sky: Floats, identifier: NDArray[np.str_]) -> NDArray[np.int64]:
    """Find pairs of rows, (P, 2), that are one source by their places or by their identifiers."""
    from scipy.spatial import cKDTree

    vectors = sky_to_vector(sky[rows])
    found = cKDTree(vectors).query_pairs(_SAME_NAME / ARCSEC_PER_RADIAN, output_type="ndarray")
    apart = np.linalg.norm(vectors[found[:, 0]] - vectors[found[:, 1]], axis=1) * ARCSEC_PER_RADIAN
    pairs = np.asarray(rows[found], dtype=np.int64)
    one, other = identifier[pairs[:, 0]], identifier[pairs[:, 1]]
    return np.asarray(pairs[(apart < _SAME_PLACE) | ((one == other) & (one != ""))])


def _within_magnitudes(catalog: ReferenceCatalog, _: float, settings: SelectionSettings) -> Mask:
    low = -np.inf if settings.bright_limit is None else settings.bright_limit
    high = np.inf if settings.faint_limit is None else settings.faint_limit
    unlimited = bool(np.isinf([low, high]).all())
    return np.asarray(((catalog.mag >= low) & (catalog.mag <= high)) | (unlimited & np.isnan(catalog.mag)))


def _by_brightness(catalog: ReferenceCatalog) -> NDArray[np.int64]:
    """Sort rows, the brightest first and those of unknown magnitude last."""
    keys = (catalog.sky[:, 1], catalog.sky[:, 0], np.nan_to_num(catalog.mag, nan=np.inf))
    return np.asarray(np.lexsort(keys))


def _within_density(catalog: ReferenceCatalog, _: float, settings: SelectionSettings) -> Mask:
    """Tell which sources are among the brightest of their cell of the sky."""
    kept = np.ones(len(catalog), dtype=bool)
    if settings.max_density is None:
        return kept
    number = max(1, int(settings.max_density))
    side = np.sqrt(number / settings.max_density * _SQUARE_ARCMIN) / 3600  # deg
    band = np.floor(catalog.sky[:, 1] / side)
    width = side / np.maximum(np.cos(np.radians((band + 0.5) * side)), 1e-9)
    cell = np.floor(catalog.sky[:, 0] / width)
    order = _by_brightness(catalog)
    order = order[np.lexsort((cell[order], band[order]))]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(band[order]) != 0) | (np.diff(cell[order]) != 0)
    begin = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    kept[order] = np.arange(len(order)) - begin < number
    return kept


def _among_brightest(catalog: ReferenceCatalog, _: float, settings: SelectionSettings) -> Mask:
    kept = np.zeros(len(catalog), dtype=bool)
    kept[_by_brightness(catalog)[: settings.max_sources]] = True
    return kept


_CUTS: dict[str, Callable[[ReferenceCatalog, float, SelectionSettings], Mask]] = {
    "reference_within_ruwe": lambda c, _, s: _at_most(c, "ruwe", s.max_ruwe),
    "reference_within_excess_noise": lambda c, _, s: _at_most(c, "excess_noise", s.max_excess_noise),
    "reference_not_flagged": lambda c, _, s: _at_most(c, "duplicated", float(s.duplicated)),
    "reference_without_duplicates": _not_beaten,
    "reference_of_allowed_kind": lambda c, _, s: _at_most(c, "extended", float(s.galaxies)),
    "reference_with_motion": lambda c, _, __: c.has_motion,
    "reference_within_magnitudes": _within_magnitudes,
    "reference_within_density": _within_density,
    "reference_brightest": _among_brightest,
}
