"""Align the relative frame with a reference catalog."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute_joint import FrameTie, joint_fits
from grism_align.algorithms.chance import false_match_probability
from grism_align.algorithms.cluster import ENOUGH_CONFIRMED
from grism_align.algorithms.fit import LinearFit, axis_rms, fit_linear, leverage
from grism_align.algorithms.match import LEAST_RADIUS, PlaneList, match_lists, mutual_nearest
from grism_align.algorithms.tweakwcs_fit import fit_by_tweakwcs
from grism_align.values.errors import AlignmentError, TooFewMatchesError, UnreliableMatchError
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Residuals
from grism_align.values.sphere import mean_direction
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.catalog import ReferenceCatalog, SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import SkySource
    from grism_align.values.settings import MatchSettings, PointingSettings, ReferenceSettings
    from grism_align.values.transform import LinearTransform

__all__ = ["AbsoluteResult", "align_absolute", "select_reference"]

_ROUNDS = 5
# A scale is kept where it differs from one by this many of its errors.
_SIGNIFICANT = 3.0


@dataclass(frozen=True, eq=False)
class AbsoluteResult:
    """An absolute alignment.

    Parameters
    ----------
    solution : AlignmentSolution
        Of every direct exposure of the relative frames.
    reference : ReferenceCatalog
        The catalog as used, at its own epochs.
    warnings : tuple of str
        What the user should know.
    counts : dict of str to int
        What was used and left out.
    """

    solution: AlignmentSolution
    reference: ReferenceCatalog
    warnings: tuple[str, ...]
    counts: dict[str, int]


@dataclass(frozen=True, eq=False)
class _FrameFit:
    """One frame's fit: pairs of (source, reference) rows, their errors (arcsec), and what judges it."""

    fit: LinearFit
    pairs: NDArray[np.int64]
    error: NDArray[np.float64]
    probability: float


def select_reference(
    catalog: ReferenceCatalog, exposures: Sequence[Exposure], settings: ReferenceSettings
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """The part of a catalog that can serve: on the exposures, within the magnitudes, the brightest.

    Parameters
    ----------
    catalog : ReferenceCatalog
        At the epoch of the exposures, so that fast stars are not lost at the border.
    exposures : sequence of Exposure
        Direct exposures.
    settings : ReferenceSettings
        The parameters.

    Returns
    -------
    rows : (N,) ndarray of int
        Rows of the catalog.
    counts : dict of str to int
        Sources left after each cut.
    """
    low = -np.inf if settings.bright_limit is None else settings.bright_limit
    high = np.inf if settings.faint_limit is None else settings.faint_limit
    unlimited = bool(np.isinf([low, high]).all())
    within = ((catalog.mag >= low) & (catalog.mag <= high)) | (unlimited & np.isnan(catalog.mag))
    near = _on_exposures(catalog.sky, exposures, settings.margin)
    rows = np.flatnonzero(near & within)
    order = np.argsort(np.nan_to_num(catalog.mag[rows], nan=np.inf), kind="stable")
    kept = np.sort(rows[order[: settings.max_sources]])
    counts = {
        "reference_in_catalog": len(catalog),
        "reference_on_exposures": int(near.sum()),
        "reference_within_magnitudes": len(rows),
        "reference_brightest": len(kept),
    }
    return kept, counts


def _on_exposures(
    sky: NDArray[np.float64], exposures: Sequence[Exposure], margin: float
) -> NDArray[np.bool_]:
    """Whether positions lie on a chip of any exposure, or within the margin of it."""
    inside = np.zeros(len(sky), dtype=bool)
    for exposure in exposures:
        for chip in exposure.chips:
            corners = chip.wcs.footprint()
            plane = TangentPlane(*mean_direction(corners))
            inside |= _in_quadrilateral(plane.to_plane(sky), plane.to_plane(corners), margin)
    return inside


def _in_quadrilateral(
    xy: NDArray[np.float64], corners: NDArray[np.float64], margin: float
) -> NDArray[np.bool_]:
    """Whether points (N, 2) are on the inner side of every edge, or outside by no more than the margin."""
    edges = np.roll(corners, -1, axis=0) - corners
    normals = np.column_stack([edges[:, 1], -edges[:, 0]]) / np.hypot(*edges.T)[:, None]
    outward = normals * np.sign((normals * (corners - corners.mean(axis=0))).sum(axis=1))[:, None]
    distance = ((xy[:, None, :] - corners) * outward).sum(axis=2)
    with np.errstate(invalid="ignore"):
        return np.asarray((distance <= margin).all(axis=1))


def align_absolute(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    relative: AlignmentSolution,
    sources: Sequence[SkySource],
    catalog: ReferenceCatalog,
    settings: tuple[ReferenceSettings, MatchSettings, PointingSettings],
) -> AbsoluteResult:
    """Move each relative frame onto a reference catalog.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures.
    catalogs : mapping of str to SourceCatalog
        Their sources. Where they are not known, a frame is moved as one rigid whole.
    relative : AlignmentSolution
        Their relative corrections.
    sources : sequence of SkySource
        Sources of the relative frames.
    catalog : ReferenceCatalog
        The reference.
    settings : (ReferenceSettings, MatchSettings, PointingSettings)
        What is used of the catalog and what is fitted; how it is matched and judged; how well the a priori
        WCSs are known.

    Returns
    -------
    AbsoluteResult
        Exposures of a frame that could not be tied to the catalog are FAILED with the reason.
    """
    reference, match, pointing = settings
    epoch = float(np.mean([source.epoch for source in sources])) if sources else 2000.0
    rows, counts = select_reference(catalog.at_epoch(epoch), exposures, reference)
    used = catalog[rows]
    fits: dict[str, ExposureFit] = {}
    warnings: list[str] = []
    for component in sorted({source.component for source in sources}):
        own = [source for source in sources if source.component == component]
        members = [e for e in exposures if _is_member(relative.fits.get(e.key), component)]
        if not members:  # the frame of an exposure that failed
            continue
        try:
            frame = _fit_frame(_confirmed(own), used, reference, match, members)
            if _can_be_solved_anew(members, catalogs, relative, frame, (reference, match)):
                fit = frame.fit
                tie = FrameTie(fit.transform, frame.pairs, fit.geometry, fit.scatter, frame.probability)
                found = joint_fits(members, catalogs, relative.fits, own, (used, tie), (match, pointing))
            else:
                found = {e.key: _member_fit(e, frame, used) for e in members}
        except AlignmentError as error:
            reason = f"not tied to {catalog.name}: {error}"
            warnings.append(f"{', '.join(e.key for e in members)} {reason}")
            fits.update({e.key: ExposureFit.failed(reason) for e in members})
            continue
        counts[f"reference_used_frame_{component + 1}"] = next(iter(found.values())).n_used
        fits.update({key: replace(fit, frame=component) for key, fit in found.items()})
    return AbsoluteResult(AlignmentSolution(fits, catalog.name), used, tuple(warnings), counts)


def _can_be_solved_anew(
    members: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    relative: AlignmentSolution,
    frame: _FrameFit,
    settings: tuple[ReferenceSettings, MatchSettings],
) -> bool:
    """Whether that is asked for, and the exposures' matches are known and tie most of the frame's pairs.

    A lone exposure has no matches; sources that one exposure saw are in none.
    """
    if settings[0].solve != "joint" or settings[0].engine == "tweakwcs":
        return False
    known: list[NDArray[np.int64]] = []
    for exposure in members:
        residuals, catalog = relative[exposure.key].residuals, catalogs.get(exposure.key)
        if residuals is None:
            continue
        if catalog is None or not np.isin(residuals.source, catalog.table["id"]).all():
            return False
        known.append(np.asarray(residuals.matched, dtype=np.int64))
    tied = int(np.isin(frame.pairs[:, 0], np.concatenate(known)).sum()) if known else 0
    return tied >= max(settings[1].min_matches, len(frame.pairs) / 2)


def _is_member(fit: ExposureFit | None, component: int) -> bool:
    return fit is not None and fit.is_aligned and fit.frame == component


def _confirmed(sources: Sequence[SkySource]) -> Sequence[SkySource]:
    """Sources seen in two exposures, where there are enough of them."""
    twice = [source for source in sources if source.n_exposures > 1]
    return twice if len(twice) >= ENOUGH_CONFIRMED else sources


def _fit_frame(
    sources: Sequence[SkySource],
    catalog: ReferenceCatalog,
    settings: ReferenceSettings,
    match: MatchSettings,
    members: Sequence[Exposure],
) -> _FrameFit:
    """Match one frame with the catalog and fit it, each reference star at its partner's epoch."""
    sky = np.array([(source.ra, source.dec) for source in sources])
    plane = TangentPlane(*mean_direction(sky))
    epoch = np.array([source.epoch for source in sources])
    own = PlaneList(
        plane.to_plane(sky),
        1e-3 * np.array([source.error for source in sources]),
        np.array([source.mag for source in sources]),
        epoch,
    )
    reference = _reference_list(catalog, float(epoch.mean()), plane)
    pairs = match_lists(own, reference, plane, match).pairs
    for _ in range(_ROUNDS):
        fit = _fit_pairs(own, catalog, pairs, plane, (settings, match.clip))
        error = np.hypot(own.error[pairs[:, 0]], reference.error[pairs[:, 1]])
        typical = float(np.median(np.hypot(error, fit.scatter)))
        radius = float(np.clip(match.clip * 2 * typical, LEAST_RADIUS, match.tolerance))
        near = mutual_nearest(fit.transform.apply(own.xy), reference.xy, match.tolerance)
        before, pairs = pairs, near[_own_epoch_distance(own, catalog, near, fit.transform) < radius]
        if len(pairs) < match.min_matches:
            raise TooFewMatchesError(len(pairs), match.min_matches)
        if np.array_equal(before, pairs):
            break
    fit = _fit_pairs(own, catalog, pairs, plane, (settings, match.clip))
    probability = false_match_probability(
        (fit.transform.apply(own.xy), reference.xy), pairs[:, 0], fit.n_used, radius, match, with_roll=True
    )
    error = np.hypot(own.error[pairs[:, 0]], reference.error[pairs[:, 1]])
    limit = float(np.hypot(match.max_rms * min(e.pixel_scale for e in members), np.median(error)))
    _require_acceptable(fit, probability, match, limit)
    numbers = np.array([source.number for source in sources])
    return _FrameFit(fit, np.column_stack([numbers[pairs[:, 0]], pairs[:, 1]]), error, probability)


def _reference_list(catalog: ReferenceCatalog, epoch: float, plane: TangentPlane) -> PlaneList:
    moved = catalog.at_epoch(epoch)
    error = 1e-3 * np.sqrt((moved.error**2).mean(axis=1))
    return PlaneList(plane.to_plane(moved.sky), error, moved.mag, moved.epoch)


def _own_epoch_distance(
    own: PlaneList, catalog: ReferenceCatalog, pairs: NDArray[np.int64], transform: LinearTransform
) -> NDArray[np.float64]:
    """Distance of each pair, arcsec, with the star where it was when the source was measured."""
    mine = own.rows(pairs[:, 0])
    partner = catalog[pairs[:, 1]].at_epoch(mine.epoch)
    return np.asarray(np.hypot(*(transform.apply(mine.xy) - transform.plane.to_plane(partner.sky)).T))


def _fit_pairs(
    own: PlaneList,
    catalog: ReferenceCatalog,
    pairs: NDArray[np.int64],
    plane: TangentPlane,
    model: tuple[ReferenceSettings, float],
) -> LinearFit:
    """Fit matched pairs; a scale that the data can't tell from one is not fitted."""
    settings, clip = model
    geometry = settings.fitgeometry
    engine = fit_by_tweakwcs if settings.engine == "tweakwcs" else fit_linear
    mine = own.rows(pairs[:, 0])
    partner = catalog[pairs[:, 1]].at_epoch(mine.epoch)
    error = np.hypot(mine.error, 1e-3 * np.sqrt((partner.error**2).mean(axis=1)))
    target = plane.to_plane(partner.sky)
    fit = engine(mine.xy, target, error, plane, geometry, clip)
    if geometry == "rscale" and not _scale_is_significant(fit):
        return engine(mine.xy, target, error, plane, "rshift", clip)
    return fit


def _scale_is_significant(fit: LinearFit) -> bool:
    scale_error = float(np.sqrt(fit.transform.covariance[2, 2]))
    return bool(abs(fit.transform.scale - 1.0) > _SIGNIFICANT * scale_error)


def _require_acceptable(fit: LinearFit, probability: float, match: MatchSettings, limit: float) -> None:
    if fit.n_used < match.min_matches:
        raise TooFewMatchesError(fit.n_used, match.min_matches)
    if probability > match.max_false_match:
        raise UnreliableMatchError(fit.n_used, probability, match.max_false_match)
    if not fit.rms <= limit:
        msg = f"rms residual {1e3 * fit.rms:.0f} mas, limit {1e3 * limit:.0f}"
        raise AlignmentError(msg)


def _member_fit(exposure: Exposure, frame: _FrameFit, catalog: ReferenceCatalog) -> ExposureFit:
    """The frame's correction in one exposure's own tangent plane."""
    return ExposureFit(
        status=FitStatus.ALIGNED,
        transform=frame.fit.transform.in_plane(exposure.plane),
        reference=catalog.name,
        n_matched=len(frame.pairs),
        n_used=frame.fit.n_used,
        rms=1e3 * frame.fit.rms,
        rms_axes=axis_rms(1e3 * frame.fit.residual, frame.fit.weight),
        leverage=leverage(frame.fit.weight / (frame.error**2 + frame.fit.scatter**2)),
        false_match_probability=frame.probability,
        geometry=frame.fit.geometry,
        residuals=Residuals(
            frame.pairs[:, 0],
            catalog.identifier[frame.pairs[:, 1]],
            1e3 * frame.fit.residual,
            frame.fit.weight,
            1e3 * frame.error,
        ),
    )
