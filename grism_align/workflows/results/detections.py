"""Where exposures saw the sources of their fits, and whole catalogs, by the corrected WCSs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.measured import SAME_PLACE
from grism_align.algorithms.matching.match import mutual_nearest
from grism_align.algorithms.measuring.positions import corrected_positions, source_positions
from grism_align.values.catalog import SourceCatalog
from grism_align.values.record import Detections

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.catalog import SkySource
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.solution import ExposureFit

    Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Sources:
    """Sources of the relative frame that only the catalog matched: numbers (N,), sky (N, 2) in deg."""

    number: Ints
    sky: NDArray[np.float64]


def with_sky(catalog: SourceCatalog, exposure: Exposure, fit: ExposureFit | None) -> SourceCatalog:
    """Return a catalog with positions on the sky: columns ra, dec, ra_error and dec_error.

    Parameters
    ----------
    catalog : SourceCatalog
        As measured.
    exposure : Exposure
        That it is of.
    fit : ExposureFit or None
        Its total correction.
    """
    sky, error = corrected_positions(exposure, catalog, None if fit is None else fit.transform)
    table = catalog.table.copy()
    for at, name in enumerate(("ra", "dec")):
        table[name], table[f"{name}_error"] = sky[:, at], error[:, at]
        table[name].unit, table[f"{name}_error"].unit = "deg", "mas"
    return SourceCatalog(table)


def detections_of(exposures: ExposureSet, exposure: Exposure) -> Detections | None:
    """Look up where a direct exposure saw the sources of its fits.

    Parameters
    ----------
    exposures : ExposureSet
        With the solutions, and the catalogs.
    exposure : Exposure
        One of the set.
    """
    catalog, fit = exposures.catalogs.get(exposure.key), exposures.relative.fits.get(exposure.key)
    if catalog is None or fit is None or fit.transform is None:
        return None
    number = _numbers(exposures, exposure, catalog, fit)
    if number is None:
        return None
    rows = np.flatnonzero(number >= 0)
    rows = rows[np.argsort(number[rows], kind="stable")]
    chosen, total = catalog.selected(rows), exposures.total[exposure.key]
    sky, _ = corrected_positions(exposure, chosen, total.transform)
    x, y = chosen.xy.T
    ids = np.asarray(chosen.table["id"], dtype=np.int64)
    return Detections(number[rows], ids, chosen.chip, x, y, chosen.mag, sky[:, 0], sky[:, 1])


def _numbers(
    exposures: ExposureSet, exposure: Exposure, catalog: SourceCatalog, fit: ExposureFit
) -> Ints | None:
    """Return the source of the relative frame that each row of a catalog is, -1 where no fit is about it.

    None where the catalog is not that of the fit.
    """
    ids = np.asarray(catalog.table["id"], dtype=np.int64)
    number = np.full(len(ids), -1, dtype=np.int64)
    if fit.residuals is not None:
        row_of = {int(one): row for row, one in enumerate(ids)}
        rows = [row_of.get(int(one), -1) for one in fit.residuals.source]
        if -1 in rows:
            return None
        number[rows] = fit.residuals.matched
    absolute = exposures.absolute.fits.get(exposure.key)
    if absolute is not None and absolute.residuals is not None and fit.transform is not None:
        wanted = _sources(exposures.sources, np.setdiff1d(absolute.residuals.source, number))
        unmatched = np.flatnonzero(number < 0)
        sky, _ = source_positions(exposure, catalog.selected(unmatched))
        plane = fit.transform.plane
        xy = fit.transform.apply(plane.to_plane(sky))
        pairs = mutual_nearest(xy, plane.to_plane(wanted.sky), SAME_PLACE)
        number[unmatched[pairs[:, 0]]] = wanted.number[pairs[:, 1]]
    return number


def _sources(sources: tuple[SkySource, ...], numbers: Ints) -> _Sources:
    found = [sources[int(number)] for number in numbers if 0 <= number < len(sources)]
    sky = np.array([(one.ra, one.dec) for one in found]).reshape(-1, 2)
    return _Sources(np.array([one.number for one in found], dtype=np.int64), sky)
