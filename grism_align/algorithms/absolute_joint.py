"""Solve the exposures of a frame anew, with the reference catalog as one more set of measurements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fit import axis_rms, leverage, weighted_rms
from grism_align.algorithms.frame import followed, pointing_prior
from grism_align.algorithms.joint import LEAST_WEIGHT, N_TERMS_OF, REFERENCE, Measurements, solve_joint
from grism_align.algorithms.pointing import roll_groups
from grism_align.algorithms.positions import julian_year, source_positions
from grism_align.algorithms.prior import GENERATORS
from grism_align.values.errors import TooFewMatchesError
from grism_align.values.solution import ExposureFit, FitStatus, Residuals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.joint import JointSolution
    from grism_align.values.catalog import ReferenceCatalog, SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import SkySource
    from grism_align.values.settings import MatchSettings, PointingSettings
    from grism_align.values.transform import LinearTransform

__all__ = ["FrameTie", "joint_fits"]


@dataclass(frozen=True, eq=False)
class FrameTie:
    """How a relative frame lies on a reference catalog.

    Parameters
    ----------
    transform : LinearTransform
        From the frame to the catalog.
    pairs : (N, 2) ndarray of int
        Number of the frame's source, row of the catalog.
    geometry : str
        What of it was fitted.
    scatter : float, arcsec
        Error of one axis that the errors of both don't explain.
    probability : float
        That chance made the match.
    """

    transform: LinearTransform
    pairs: NDArray[np.int64]
    geometry: str
    scatter: float
    probability: float


@dataclass(frozen=True, eq=False)
class _Own:
    """Measurements of one exposure on the catalog's frame, M of each; times are those of the exposure."""

    number: NDArray[np.int64]
    xy: NDArray[np.float64]
    error: NDArray[np.float64]
    before: LinearTransform


def joint_fits(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    relative: Mapping[str, ExposureFit],
    sources: Sequence[SkySource],
    reference: tuple[ReferenceCatalog, FrameTie],
    settings: tuple[MatchSettings, PointingSettings],
) -> dict[str, ExposureFit]:
    """Corrections of a frame's exposures, each by its own, that follow the relative ones.

    Every measurement is brought to the epoch of its source by the reference's proper motion.

    Parameters
    ----------
    exposures : sequence of Exposure
        The frame's exposures.
    catalogs : mapping of str to SourceCatalog
        Their sources.
    relative : mapping of str to ExposureFit
        Their relative corrections, with the matches.
    sources : sequence of SkySource
        The frame's sources.
    reference : (ReferenceCatalog, FrameTie)
        The catalog, and how the frame as a whole lies on it.
    settings : (MatchSettings, PointingSettings)
        Weights; how well the a priori WCSs are known.

    Returns
    -------
    dict of str to ExposureFit
        Their covariances are those of the total corrections. An exposure without matches has the
        correction of another of its guide-star acquisition, or of the frame.

    Raises
    ------
    TooFewMatchesError
        If too few reference sources keep their weight.
    """
    catalog, tie = reference
    match, pointing = settings
    matched = [e for e in exposures if relative[e.key].residuals is not None]
    own = [_own_measurements(e, catalogs[e.key], relative[e.key], tie.transform) for e in matched]
    groups = roll_groups(exposures, tie.transform.plane)
    labels = [label for e, label in zip(exposures, groups, strict=True) if e in matched]
    measured, references = _measurements(matched, labels, own, sources, (catalog, tie))
    prior = pointing_prior(pointing, measured, [one.before for one in own])
    # The first records of a kind of their own have no geometry.
    geometry = relative[matched[0].key].geometry or "rshift"
    # The catalog may be worse than it says; how much of the frame's scatter is its own, the residuals tell.
    start = np.zeros(measured.kind.max() + 1)
    start[-1] = tie.scatter
    solution = solve_joint(measured, geometry, match.clip, prior, start)
    judged = replace(
        _judged(measured, solution, references, (catalog, tie)),
        geometry=max(geometry, tie.geometry, key=N_TERMS_OF.__getitem__),
    )
    if judged.n_used < match.min_matches:
        raise TooFewMatchesError(judged.n_used, match.min_matches)
    fits: dict[str, ExposureFit] = {}
    by_group: dict[str, LinearTransform] = {}
    steps = followed(measured, solution, tie.transform.plane)
    for exposure, label, group, step in zip(matched, labels, measured.group, steps, strict=True):
        kept = _frame_terms(tie, solution.center[group], N_TERMS_OF[geometry])
        total = replace(tie.transform.then(step), covariance=step.covariance + kept)
        by_group.setdefault(label, total)
        fits[exposure.key] = replace(judged, transform=total.in_plane(exposure.plane), includes_earlier=True)
    for exposure, label in zip(exposures, groups, strict=True):
        if exposure.key not in fits:
            total = by_group.get(label, tie.transform)
            fits[exposure.key] = replace(judged, transform=total.in_plane(exposure.plane))
    return fits


def _frame_terms(tie: FrameTie, center: NDArray[np.float64], n_terms: int) -> NDArray[np.float64]:
    """Covariance (6, 6) of the terms that only the frame as a whole was fitted for, about a point."""
    out = np.zeros((6, 6))
    for matrix in GENERATORS[n_terms : N_TERMS_OF[tie.geometry]]:
        along = 0.5 * matrix.ravel()
        derivative = np.concatenate([-matrix @ center, matrix.ravel()])
        out += (along @ tie.transform.covariance[2:, 2:] @ along) * np.outer(derivative, derivative)
    return out


def _own_measurements(
    exposure: Exposure, catalog: SourceCatalog, fit: ExposureFit, frame: LinearTransform
) -> _Own:
    """What one exposure measured of its matched sources, corrected so far."""
    residuals, transform = fit.residuals, fit.transform
    assert residuals is not None
    assert transform is not None
    ids = np.asarray(catalog.table["id"], dtype=np.int64)
    order = np.argsort(ids)
    rows = order[np.searchsorted(ids, residuals.source, sorter=order)]
    sky, noise = source_positions(exposure, catalog.selected(rows))
    # The first records have no errors.
    error = np.where(np.isfinite(residuals.error), 1e-3 * residuals.error, noise)
    xy = frame.apply(frame.plane.to_plane(transform.apply_to_sky(sky)))
    before = transform.in_plane(frame.plane).then(frame)
    return _Own(np.asarray(residuals.matched, dtype=np.int64), xy, error, before)


def _measurements(
    exposures: Sequence[Exposure],
    labels: Sequence[str],
    own: Sequence[_Own],
    sources: Sequence[SkySource],
    reference: tuple[ReferenceCatalog, FrameTie],
) -> tuple[Measurements, NDArray[np.int64]]:
    """All measurements, those by the catalog last; and which pair of the tie each of these is."""
    catalog, tie = reference
    number = np.concatenate([one.number for one in own])
    seen = np.flatnonzero(np.isin(tie.pairs[:, 0], number))
    exposure = np.repeat(np.arange(len(own)), [len(one.number) for one in own])
    epoch = {source.number: source.epoch for source in sources}
    at_source = np.array([epoch[n] for n in tie.pairs[seen, 0].tolist()])
    stars = catalog[tie.pairs[seen, 1]]
    anchor = stars.at_epoch(at_source)
    plane = tie.transform.plane
    anchor_xy = plane.to_plane(anchor.sky)
    moved = np.concatenate([one.xy for one in own])
    row_of = {n: row for row, n in enumerate(tie.pairs[seen, 0].tolist())}
    star = np.array([row_of.get(n, -1) for n in number.tolist()])
    times = np.array([julian_year(e.mid) for e in exposures])[exposure]
    known = star >= 0
    then = stars[star[known]].at_epoch(times[known])
    moved[known] -= plane.to_plane(then.sky) - anchor_xy[star[known]]
    _, source = np.unique(np.concatenate([number, tie.pairs[seen, 0]]), return_inverse=True)
    _, group = np.unique(labels, return_inverse=True)
    instruments, kind = np.unique([e.instrument for e in exposures], return_inverse=True)
    measured = Measurements(
        exposure=np.concatenate([exposure, np.full(len(seen), REFERENCE)]),
        source=source.ravel(),
        xy=np.concatenate([moved, anchor_xy]),
        error=np.concatenate([*[one.error for one in own], 1e-3 * np.sqrt((anchor.error**2).mean(axis=1))]),
        kind=np.concatenate([kind.ravel()[exposure], np.full(len(seen), len(instruments))]),
        group=group.ravel(),
        fixed=np.zeros(len(own), dtype=bool),
    )
    return measured, seen


def _judged(
    measured: Measurements,
    solution: JointSolution,
    references: NDArray[np.int64],
    reference: tuple[ReferenceCatalog, FrameTie],
) -> ExposureFit:
    """What the catalog's measurements tell of the fit; without a transform.

    A source that the catalog knows well follows it, so its residual says little. What is judged is where
    the exposures alone put the source minus where the catalog has it.
    """
    catalog, tie = reference
    rows = measured.exposure == REFERENCE
    variance = measured.error**2 + solution.scatter[measured.kind] ** 2
    inverse = np.maximum(solution.weight, LEAST_WEIGHT) / variance
    total = np.bincount(measured.source, inverse)[measured.source[rows]]
    alone = np.maximum(total - inverse[rows], 1e-3 * LEAST_WEIGHT * total)
    residual = -1e3 * solution.residual[rows] * (total / alone)[:, None]
    used = (solution.weight[rows] > 0) & (alone > 1e-6 * total)
    weight = np.where(used, solution.weight[rows], 0.0)
    expected = measured.error[rows] ** 2 + 1.0 / alone
    chi2 = (1e-6 * residual**2).mean(axis=1) / expected
    return ExposureFit(
        status=FitStatus.ALIGNED,
        transform=None,
        reference=catalog.name,
        n_matched=len(references),
        n_used=int(used.sum()),
        rms=weighted_rms(residual, weight),
        rms_axes=axis_rms(residual, weight),
        reduced_chi2=float(chi2[used].mean()) if used.any() else float("nan"),
        leverage=leverage(np.where(used, 1.0 / expected, 0.0)),
        false_match_probability=tie.probability,
        residuals=Residuals(
            tie.pairs[references, 0],
            catalog.identifier[tie.pairs[references, 1]],
            residual,
            weight,
            1e3 * measured.error[rows],
        ),
    )
