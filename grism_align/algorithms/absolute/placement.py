"""Where detectors of a camera lie, as far as stars of the catalog tell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.epoch import positions_at
from grism_align.algorithms.absolute.identify import Stars
from grism_align.algorithms.matching.pile import REACH, pile_of
from grism_align.algorithms.propagation.poses import field_axes
from grism_align.algorithms.relative.placement import Places
from grism_align.algorithms.relative.rough_placement import FarOff, is_far

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.absolute.measured import MeasuredSources
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import PointingSettings
    from grism_align.values.solution import ExposureFit

# arcsec
_LEAST_ERROR = 1e-6
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
    known = replace(places, offset=offset, covariance=np.diag(error.repeat(2) ** 2))
    # The only one that is in place has no error against itself.
    return known.shared_by(np.maximum(error, _LEAST_ERROR) ** -2.0)


@dataclass(frozen=True, eq=False)
class StarDifferences:
    """From sources of detectors to the stars nearest to them, within `REACH`.

    Parameters
    ----------
    rows : dict of int to (N,) ndarray of int
        The star of each difference, by detector.
    apart : dict of int to (N, 2) ndarray, arcsec
        The differences along V2 and V3.
    """

    rows: dict[int, NDArray[np.int64]]
    apart: dict[int, NDArray[np.float64]]

    def farther_off(self, places: Places) -> FarOff:
        """Find by how much detectors are off whose stars are not where they are looked for; roughly.

        Parameters
        ----------
        places : Places
            Where detectors are.
        """
        found = FarOff.none(len(places))
        for number, row in self.rows.items():
            pile = pile_of(_medians(row, self.apart[number]), _FEWEST)
            if pile is not None and is_far(pile.place, places):
                found.offset[number], found.n[number] = pile.place, pile.n
        return found

    def left_apart(self, far: FarOff, places: Places, radius: float) -> FarOff:
        """Return by how much detectors may be off besides, as no star tells where they are.

        Parameters
        ----------
        far : FarOff
            What several stars tell.
        places : Places
            Where detectors are.
        radius : float, arcsec
            Within which a star and a source are one.
        """
        lost, n = far.lost.copy(), far.n.copy()
        for number, row in self.rows.items():
            beyond = np.hypot(*self.apart[number].T) > radius
            told = far.offset[number].any() or places.is_told(number)
            if not told and len(row) and beyond.all():
                differences = _medians(row, self.apart[number])
                middle = differences[np.argsort(np.hypot(*differences.T))[len(differences) // 2]]
                lost[number], n[number] = middle, len(differences)
        return replace(far, lost=lost, n=n)


def star_differences(
    measured: Sequence[MeasuredSources],
    fits: Mapping[str, ExposureFit],
    catalog: ReferenceCatalog,
    places: Places,
) -> StarDifferences:
    """Find the stars nearest to what detectors measured, once for each star and exposure.

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
    StarDifferences
    """
    own = [one for one in measured if places.number(one.exposure) >= 0 and fits[one.exposure.key].is_aligned]
    if not own:
        return StarDifferences({}, {})
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
    rows = {number: np.concatenate([row for row, _ in several]) for number, several in found.items()}
    differences = {number: np.concatenate([one for _, one in several]) for number, several in found.items()}
    return StarDifferences(rows, differences)


def _medians(row: NDArray[np.int64], apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median difference (S, 2) of each star, however often it was seen."""
    order = np.argsort(row, kind="stable")
    ends = np.flatnonzero(np.diff(row[order])) + 1
    several = np.split(order, ends) if len(order) else []
    return np.array([np.median(apart[own], axis=0) for own in several]).reshape(-1, 2)
