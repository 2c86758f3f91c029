"""What was found on direct exposures, in the plane of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.measuring.positions import source_positions
from grism_align.values.catalog import SourceFlag
from grism_align.values.inspection import SourceMarks, StarMarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.record import ExposureRecord, ReferenceRecord
    from grism_align.values.solution import ExposureFit
    from grism_align.values.transform import LinearTransform, TangentPlane

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Looked:
    """Residuals and weight (N, 3) of sources in a fit, NaN of those not in it, and what they matched."""

    values: Floats
    matched: NDArray[np.str_]


def source_marks(
    exposure: Exposure, record: ExposureRecord, catalog: SourceCatalog | None, plane: TangentPlane
) -> SourceMarks | None:
    """Return the sources of a direct exposure: those of its fits, and those that are in none.

    Parameters
    ----------
    exposure : Exposure
        With the WCSs before any correction.
    record : ExposureRecord
        Its fits.
    catalog : SourceCatalog or None
        All that was measured; None where that is not at hand.
    plane : TangentPlane
        Where to place them.

    Returns
    -------
    SourceMarks or None
        None where the record has no positions.
    """
    seen = record.detections
    if seen is None:
        return None
    relative = _looked_up(seen.source, record.relative, by="matched")
    absolute = _looked_up(seen.source, record.absolute, by="source")
    with np.errstate(invalid="ignore"):
        is_used = (relative.values[:, 2] > 0) | (absolute.values[:, 2] > 0)
    n = len(seen.source)
    fitted = SourceMarks(
        place=plane.to_plane(np.column_stack([seen.ra, seen.dec])),
        number=np.asarray(seen.source),
        id=np.asarray(seen.id),
        chip=np.asarray(seen.chip),
        xy=np.column_stack([seen.x, seen.y]),
        mag=np.asarray(seen.mag),
        status=np.where(is_used, "matched", "clipped"),
        relative=relative.values,
        absolute=absolute.values,
        matched=absolute.matched,
        doubts=np.full(n, "", dtype=np.str_),
    )
    transform = record.total.transform if record.total else None
    rest = None if catalog is None else _rejected(exposure, catalog, transform, plane, fitted.id)
    return fitted if rest is None else _joined(fitted, rest)


def _looked_up(number: Ints, fit: ExposureFit | None, *, by: str) -> _Looked:
    residuals = fit.residuals if fit else None
    values, matched = np.full((len(number), 3), np.nan), np.full(len(number), "", dtype=object)
    if residuals is not None:
        row_of = {int(one): row for row, one in enumerate(getattr(residuals, by).tolist())}
        at = np.array([row_of.get(one, -1) for one in number.tolist()], dtype=np.int64)
        known = at >= 0
        values[known] = np.column_stack([residuals.offset, residuals.weight])[at[known]]
        matched[known] = residuals.matched.astype(str)[at[known]]
    return _Looked(values, matched.astype(np.str_))


def _rejected(
    exposure: Exposure,
    catalog: SourceCatalog,
    transform: LinearTransform | None,
    plane: TangentPlane,
    fitted: Ints,
) -> SourceMarks:
    """Return what was measured and is in no fit."""
    rest = catalog.selected(np.flatnonzero(~np.isin(np.asarray(catalog.table["id"]), fitted)))
    rest = rest.selected(np.flatnonzero(np.isfinite(rest.xy).all(axis=1)))
    sky, _ = source_positions(exposure, rest)
    n, unknown = len(rest), np.full((len(rest), 3), np.nan)
    none = np.full(n, "", dtype=np.str_)
    return SourceMarks(
        place=plane.to_plane(sky if transform is None else transform.apply_to_sky(sky)),
        number=np.full(n, -1),
        id=np.asarray(rest.table["id"], dtype=np.int64),
        chip=rest.chip,
        xy=rest.xy,
        mag=rest.mag,
        status=np.full(n, "rejected"),
        relative=unknown,
        absolute=unknown,
        matched=none,
        doubts=np.array([_in_words(flags) for flags in rest.flags.tolist()], dtype=np.str_),
    )


def _in_words(flags: int) -> str:
    names = (flag.name or "" for flag in SourceFlag if flags & flag)
    return ", ".join(name.lower().replace("_", " ") for name in names)


def _joined(first: SourceMarks, second: SourceMarks) -> SourceMarks:
    names = SourceMarks.__dataclass_fields__
    return SourceMarks(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in names))


def star_marks(reference: ReferenceRecord, plane: TangentPlane) -> StarMarks:
    """Return the stars of a reference catalog at the mean epoch.

    Parameters
    ----------
    reference : ReferenceRecord
        The catalog as used.
    plane : TangentPlane
        Where to place them.
    """
    stars = reference.sources
    place = plane.to_plane(np.column_stack([stars.ra, stars.dec]))
    return StarMarks(place, stars.identifier.astype(np.str_), np.asarray(stars.mag))


def used_stars(
    key: str, record: ExposureRecord, reference: ReferenceRecord, plane: TangentPlane
) -> StarMarks | None:
    """Return the stars that the fit of an exposure used, at its time.

    Parameters
    ----------
    key : str
        Its root name.
    record : ExposureRecord
        Its fits.
    reference : ReferenceRecord
        The catalog.
    plane : TangentPlane
        Where to place them.

    Returns
    -------
    StarMarks or None
        None where it has no fit to the catalog.
    """
    known, fit = reference.exposures.get(key), record.absolute
    if known is None or fit is None or fit.residuals is None:
        return None
    names = reference.sources.identifier.astype(str)
    mag_of = dict(zip(names.tolist(), reference.sources.mag.tolist(), strict=True))
    used = np.flatnonzero(
        np.isfinite(known.reference_position).all(axis=1) & (np.asarray(fit.residuals.weight) > 0)
    )
    identifier = fit.residuals.matched.astype(np.str_)[used]
    mag = np.array([mag_of.get(name, np.nan) for name in identifier.tolist()])
    return StarMarks(plane.to_plane(known.reference_position[used]), identifier, mag)
