"""Where detectors of a camera lie, as far as stars of the catalog tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.epoch import positions_at
from grism_align.algorithms.absolute.identify import Stars
from grism_align.algorithms.matching.pile import REACH, pile_of
from grism_align.algorithms.propagation.poses import field_axes
from grism_align.algorithms.relative.placement import Places
from grism_align.algorithms.relative.rough_placement import FAR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.absolute.measured import MeasuredSources
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import PointingSettings
    from grism_align.values.solution import ExposureFit

# Stars that must agree.
_FEWEST = 2
_MAS = 1e3


def relative_places(exposures: ExposureSet, errors: PointingSettings) -> Places:
    """Return where the relative alignment put the detectors; what it knew of them a solution anew has too.

    Parameters
    ----------
    exposures : ExposureSet
        With the relative solution.
    errors : PointingSettings
        How well places are known beforehand.
    """
    fits = exposures.relative.fits
    aligned = [one for one in exposures.direct if one.key in fits and fits[one.key].is_aligned]
    places = Places.nominal(aligned, errors)
    offset, error = places.offset.copy(), np.full(len(places), places.prior_error)
    for one in aligned:
        number, fit = places.number(one), fits[one.key]
        if number >= 0 and np.isfinite(fit.placement_error):
            offset[number] = np.array(fit.placement) / _MAS
            error[number] = fit.placement_error / _MAS
    return replace(places, offset=offset, covariance=np.diag(error.repeat(2) ** 2))


def farther_off_stars(
    measured: Sequence[MeasuredSources],
    fits: Mapping[str, ExposureFit],
    catalog: ReferenceCatalog,
    places: Places,
) -> NDArray[np.float64]:
    """Find by how much detectors are off whose stars are not where they are looked for; roughly.

    Parameters
    ----------
    measured : sequence of MeasuredSources
        What exposures measured, on the relative frame.
    fits : mapping of str to ExposureFit
        Their fits to the catalog, by exposure key, with detectors in place.
    catalog : ReferenceCatalog
        The reference.
    places : Places
        Where detectors are.

    Returns
    -------
    (D, 2) ndarray, arcsec
        What is to be added along V2 and V3; zero where a detector is in place, or nothing tells.
    """
    offset = np.zeros((len(places), 2))
    own = [one for one in measured if places.number(one.exposure) >= 0 and fits[one.exposure.key].is_aligned]
    if not own:
        return offset
    plane = own[0].transform.plane
    moved = []
    for one in own:
        transform = fits[one.exposure.key].transform
        assert transform is not None
        moved.append(one.moved(transform))
    stars = Stars(catalog, plane, moved)
    found: dict[int, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {}
    for one in moved:
        row = stars.nearest(one, REACH)
        seen = np.flatnonzero(row >= 0)
        apart = plane.to_plane(positions_at(catalog[row[seen]], one.time)) - one.xy[seen]
        in_field = np.asarray(np.linalg.solve(field_axes(one.exposure, plane), apart.T).T, dtype=np.float64)
        found.setdefault(places.number(one.exposure), []).append((row[seen], in_field))
    for number, several in found.items():
        row, apart = (np.concatenate(part) for part in zip(*several, strict=True))
        pile = pile_of(_medians(row, apart), _FEWEST)
        if pile is not None and np.hypot(*pile[0]) > FAR * places.prior_error:
            offset[number] = pile[0]
    return offset


def _medians(row: NDArray[np.int64], apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median difference (S, 2) of each star, however often it was seen."""
    order = np.argsort(row, kind="stable")
    ends = np.flatnonzero(np.diff(row[order])) + 1
    several = np.split(order, ends) if len(order) else []
    return np.array([np.median(apart[own], axis=0) for own in several]).reshape(-1, 2)
