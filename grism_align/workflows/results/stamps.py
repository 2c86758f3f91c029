"""Pictures of stars before and after the corrections, for the record: read while the pixels are at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.measuring.good_pixels import good_pixels
from grism_align.algorithms.measuring.stamps import StampGrid, light_offset, mean_of_known, sampled, stacked
from grism_align.values.catalog import UNRELIABLE, SourceFlag
from grism_align.values.record import StarStamps
from grism_align.workflows.pixels import read_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.catalog import ReferenceCatalog, SourceCatalog
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.transform import LinearTransform


_SIZE = 41
_LEAST_HALF, _LARGEST_HALF = 1.3, 4.0
# Beyond this offset of all exposures together the stars would not be in the pictures; arcsec.
_LARGEST_COMMON = 1.5
# Stars without a neighbour this near, arcsec, that is not this much fainter are preferred.
_FREE, _FAINTER = (3.0, 2.0), 2.5
# Stars of point-like width are preferred to galaxies.
_WIDEST = 1.25
# About a star, arcsec, where light is its own.
_OWN = 0.5
# Of the most exposures, so that no star costs more than its picture is worth.
_MOST_EXPOSURES = 48


@dataclass(frozen=True, eq=False)
class _Stars:
    """The chosen stars: identifiers (N,) and positions (N, 2) in deg, and the rows that each exposure has."""

    identifier: NDArray[np.str_]
    sky: NDArray[np.float64]
    rows: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class _Frame:
    """How stars are pictured: the offset taken off before, (2,) arcsec; pixels; DQ bits that don't matter."""

    common: NDArray[np.float64]
    grid: StampGrid
    good_bits: int


@dataclass(frozen=True, eq=False)
class _Look:
    """What it takes to picture the stars of one exposure, wherever that is done.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    transform : LinearTransform
        Its total correction.
    rows : (M,) ndarray
        Numbers of the stars that it shows.
    sky : (M, 2) ndarray, deg
        Where these are.
    frame : _Frame
        How they are pictured.
    """

    exposure: Exposure
    transform: LinearTransform
    rows: NDArray[np.int64]
    sky: NDArray[np.float64]
    frame: _Frame


def star_stamps(
    exposures: ExposureSet,
    aligned: ReferenceCatalog | None,
    executor: Executor,
    good_bits: int = 0,
    n_stars: int = 8,
) -> StarStamps | None:
    """Picture the brightest clean stars, stacked over all exposures, before and after the corrections.

    Parameters
    ----------
    exposures : ExposureSet
        With a solution, and catalogs.
    aligned : ReferenceCatalog or None
        The sources of the solution, as `solved_sources` gives them.
    executor : Executor
        Takes the pictures, exposure by exposure.
    good_bits : int, optional
        Data-quality bits that don't matter, where an exposure's catalog doesn't tell.
    n_stars : int, optional
        Stars at most.

    Returns
    -------
    StarStamps or None
        None where no star is on two exposures with a correction of their own.
    """
    stars = _chosen(exposures, aligned, n_stars) if aligned is not None else None
    if stars is None or len(stars.sky) == 0:
        return None
    used = [exposures[key] for key in list(stars.rows)[:: max(1, -(-len(stars.rows) // _MOST_EXPOSURES))]]
    moved = _offsets(exposures, used, stars)
    common = np.median(np.concatenate(list(moved.values())), axis=0)
    largest = max(float(np.hypot(*one.T).max()) for one in moved.values())
    if largest < _LARGEST_COMMON:
        common = np.zeros(2)
    largest = max(float(np.hypot(*(one - common).T).max()) for one in moved.values())
    grid = StampGrid(_SIZE, 2 * np.clip(1.4 * largest, _LEAST_HALF, _LARGEST_HALF) / (_SIZE - 1))
    frame = _Frame(common, grid, good_bits)
    looks = {exposure.key: _look(exposures, exposure, stars, frame) for exposure in used}
    found: list[list[tuple[NDArray[Any], NDArray[Any]]]] = [[] for _ in stars.sky]
    for pictures in executor.map(_pictures, looks, "Picturing the stars of"):
        for row, before, after in pictures:
            found[row].append((before, after))
    return _stacks(stars, found, frame, _apart(stars, moved, common))


def _chosen(exposures: ExposureSet, aligned: ReferenceCatalog, n_stars: int) -> _Stars | None:
    """Return the brightest isolated sources that many exposures measured cleanly; stars first."""
    measured = {e.key: found for e in exposures.direct if len(found := _clean_sources(exposures, e))}
    if not measured:
        return None
    number = np.array([int(name.rsplit("-", 1)[-1]) for name in aligned.identifier.tolist()], dtype=np.int64)
    looks: dict[int, list[tuple[float, float]]] = {}
    for found in measured.values():
        for one, look in found.items():
            looks.setdefault(one, []).append(look)
    times = np.array([len(looks.get(one, ())) for one in number.tolist()])
    enough = (times >= max(2, 0.6 * min(times.max(initial=0), 4))) & np.isfinite(aligned.mag)
    if not enough.any():
        return None
    width, free = np.array([_typical(looks.get(one, [])) for one in number.tolist()]).T
    lone = next((rows for radius in _FREE if (rows := enough & (free > radius)).sum() >= 3), enough)
    bright = np.flatnonzero(lone)
    bright = bright[np.argsort(aligned.mag[bright], kind="stable")][:100]
    sharp = bright[width[bright] <= _WIDEST * np.quantile(width[bright], 0.1)]
    rows = sharp[:n_stars] if len(sharp) >= 3 else bright[:n_stars]
    at = {int(number[row]): place for place, row in enumerate(rows.tolist())}
    seen = {
        key: np.array(sorted(at[one] for one in found if one in at), dtype=np.int64)
        for key, found in measured.items()
    }
    return _Stars(aligned.identifier[rows], aligned.sky[rows], {k: v for k, v in seen.items() if len(v)})


def _typical(looks: list[tuple[float, float]]) -> tuple[float, float]:
    """Median width and least distance of a neighbour, over the exposures that saw a source."""
    if not looks:
        return np.inf, 0.0
    widths, distances = zip(*looks, strict=True)
    return float(np.median(widths)), min(distances)


def _clean_sources(exposures: ExposureSet, exposure: Exposure) -> dict[int, tuple[float, float]]:
    """Return the width of sources measured without doubt, and how far their neighbours are, arcsec."""
    fit, total = exposures.relative.fits.get(exposure.key), exposures.fit(exposure.key)
    catalog = exposures.catalogs.get(exposure.key)
    if catalog is None or fit is None or fit.residuals is None or total.transform is None:
        return {}
    doubtful = int(UNRELIABLE | SourceFlag.EDGE | SourceFlag.SATURATED)
    fwhm = np.asarray(catalog.table["fwhm"], dtype=float) * exposure.pixel_scale
    looks = np.column_stack([fwhm, _free_radii(catalog) * exposure.pixel_scale])
    clean = (catalog.flags & doubtful) == 0
    look_of = dict(zip(np.asarray(catalog.table["id"])[clean].tolist(), looks[clean].tolist(), strict=True))
    matches = zip(
        fit.residuals.source.tolist(), fit.residuals.matched.tolist(), fit.residuals.weight, strict=True
    )
    return {
        int(number): tuple(look_of[one]) for one, number, weight in matches if weight > 0 and one in look_of
    }


def _free_radii(catalog: SourceCatalog) -> NDArray[np.float64]:
    """From each source to the nearest on its chip that is not much fainter, (N,) pixels."""
    from scipy.spatial import cKDTree

    # of what is masked or saturated, the magnitude is too faint or unknown
    unsure = (catalog.flags & int(UNRELIABLE | SourceFlag.SATURATED)) != 0
    mag = np.where(unsure | ~np.isfinite(catalog.mag), -np.inf, catalog.mag)
    place = np.column_stack([1e6 * catalog.chip, np.nan_to_num(catalog.xy)])
    found = np.full(len(catalog), np.inf)
    if len(catalog) < 2:
        return found
    distance, other = cKDTree(place).query(place, k=min(8, len(catalog)))
    with np.errstate(invalid="ignore"):
        counts = (other != np.arange(len(catalog))[:, None]) & (mag[other] < mag[:, None] + _FAINTER)
    return np.asarray(np.where(counts, distance, np.inf).min(axis=1))


def _offsets(
    exposures: ExposureSet, used: Sequence[Exposure], stars: _Stars
) -> dict[str, NDArray[np.float64]]:
    """Where each exposure's WCS before has its stars, from where they are: (M, 2) arcsec, east and north."""
    found = {}
    for exposure in used:
        transform = exposures.total[exposure.key].transform
        assert transform is not None
        at = transform.plane.to_plane(stars.sky[stars.rows[exposure.key]])
        found[exposure.key] = transform.inverted().apply(at) - at
    return found


def _apart(
    stars: _Stars, moved: Mapping[str, NDArray[np.float64]], common: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """From each star to its images by the WCSs before, (K,) arcsec."""
    found: list[list[float]] = [[] for _ in stars.sky]
    for key, offsets in moved.items():
        for row, distance in zip(stars.rows[key].tolist(), np.hypot(*(offsets - common).T), strict=True):
            found[row].append(float(distance))
    return [np.array(one) for one in found]


def _rms(distances: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(distances**2)))


def _look(exposures: ExposureSet, exposure: Exposure, stars: _Stars, frame: _Frame) -> _Look:
    transform = exposures.total[exposure.key].transform
    assert transform is not None
    rows = stars.rows[exposure.key]
    settings = exposures.catalogs[exposure.key].table.meta.get("settings", {})
    frame = replace(frame, good_bits=int(settings.get("good_bits", frame.good_bits)))
    return _Look(exposure, transform, rows, stars.sky[rows], frame)


def _pictures(look: _Look) -> list[tuple[int, NDArray[Any], NDArray[Any]]]:
    """Return what one exposure shows of its stars, before and after, chip by chip."""
    plane = look.exposure.plane
    shifted = plane.to_sky(plane.to_plane(look.sky) + look.frame.common)
    taken = []
    for chip, pixels in read_pixels(look.exposure):
        on_chip = np.flatnonzero(_is_on(chip, look.sky, look.transform))
        if len(on_chip) == 0:
            continue
        good = good_pixels(pixels.sci, pixels.err, pixels.dq, look.frame.good_bits)
        after = chip.wcs.corrected(look.transform)
        for place in on_chip.tolist():
            before = sampled(pixels.sci, good, chip.wcs, shifted[place], look.frame.grid)
            row = int(look.rows[place])
            taken.append((row, before, sampled(pixels.sci, good, after, look.sky[place], look.frame.grid)))
    return taken


def _is_on(chip: Chip, sky: NDArray[np.float64], transform: Any) -> NDArray[np.bool_]:
    xy = chip.wcs.corrected(transform).to_pixel(sky)
    with np.errstate(invalid="ignore"):
        return np.asarray(((xy > 0) & (xy < np.array(chip.shape[::-1]) - 1)).all(axis=1))


def _stacks(
    stars: _Stars,
    found: list[list[tuple[NDArray[Any], NDArray[Any]]]],
    frame: _Frame,
    apart: Sequence[NDArray[np.float64]],
) -> StarStamps | None:
    grid = frame.grid
    pictures = {
        row: stacked(np.array([one for one, _ in images]), np.array([one for _, one in images]), grid)
        for row, images in enumerate(found)
        if len(images) > 1
    }
    rows = [row for row, (_, after) in pictures.items() if np.isfinite(after).any()]
    if not rows:
        return None
    each = [np.array([pictures[row][when] for row in rows]) for when in (0, 1)]
    total = [mean_of_known(one) for one in each]
    before, after = (
        np.concatenate([first[None], one]).astype(np.float32) for first, one in zip(total, each, strict=True)
    )
    east, north = frame.common.tolist()
    distances = [np.concatenate([apart[row] for row in rows]), *(apart[row] for row in rows)]
    return StarStamps(
        identifier=stars.identifier[rows],
        ra=stars.sky[rows, 0],
        dec=stars.sky[rows, 1],
        n_exposures=np.array([len(found[row]) for row in rows], dtype=np.int64),
        scale=float(grid.scale),
        common_offset=(east, north),
        before=before,
        after=after,
        off_before=np.array([_rms(one) for one in distances]),
        off_after=np.array([grid.scale * light_offset(one, _OWN / grid.scale) for one in after]),
    )
