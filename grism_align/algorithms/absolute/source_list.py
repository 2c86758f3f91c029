"""The sources of a solution as a reference catalog, for what is aligned after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.measured import measured_sources
from grism_align.values.catalog import ReferenceCatalog
from grism_align.values.solution import FitStatus
from grism_align.values.sphere import mean_direction, separation, sky_to_vector, tangent_axes, vector_to_sky

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.absolute.measured import MeasuredSources
    from grism_align.values.catalog import SkySource
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.solution import ExposureFit
    from grism_align.values.transform import LinearTransform, TangentPlane


_LONGEST_NAME = 16


@dataclass(frozen=True, eq=False)
class _Member:
    """An exposure of a frame: its relative fit and correction, what follows it, and both together."""

    exposure: Exposure
    relative: ExposureFit
    before: LinearTransform
    absolute: LinearTransform | None
    total: LinearTransform


@dataclass(frozen=True, eq=False)
class _Measured:
    """Sources as one exposure measured them, or the means of several, M of each.

    Parameters
    ----------
    row : (M,) ndarray of int
        Row of the source in the frame's list.
    sky : (M, 2) ndarray, deg
        RA and Dec in the final frame.
    weight : (M,) ndarray, mas^-2
        Inverse variance of one axis; zero where nothing was measured.
    correction : (M, 2, 2) ndarray, mas^2
        Covariance of the correction there, east and north.
    epoch : (M,) ndarray
        Julian years.
    """

    row: NDArray[np.int64]
    sky: NDArray[np.float64]
    weight: NDArray[np.float64]
    correction: NDArray[np.float64]
    epoch: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _FrameList:
    """The sources of one frame: (N, 2) positions in deg, their (N, 2, 2) covariances in mas^2, epochs."""

    sources: list[SkySource]
    sky: NDArray[np.float64]
    covariance: NDArray[np.float64]
    epoch: NDArray[np.float64]


def list_name(product: str) -> str:
    """Name of a product's source list: capital letters and digits, so that headers can hold it."""
    return re.sub("[^0-9A-Z]", "", product.upper())[:_LONGEST_NAME] or "FIELD"


def frame_numbers(catalog: ReferenceCatalog) -> NDArray[np.int64]:
    """Return the number of the relative frame that each source of `solved_sources` is in, (N,)."""
    return np.array([int(name.split("-")[-2]) for name in catalog.identifier.tolist()], dtype=np.int64)


def solved_sources(exposures: ExposureSet) -> ReferenceCatalog | None:
    """Place the sources of a solution where all corrections together put them.

    Parameters
    ----------
    exposures : ExposureSet
        With a relative solution, and perhaps an absolute one.

    Returns
    -------
    ReferenceCatalog or None
        None where there is no relative solution. Identifiers are ``NAME-frame-number``: the name of the
        catalog, and ``frame`` and ``number`` of the `SkySource`. Proper motions are not known.

    Notes
    -----
    A source lies at the mean of its measurements by the a priori WCSs and the total corrections. Weights are
    the robust ones on record over the squared errors, these grown by the reduced chi-square of the exposure's
    relative fit where it is above one; the epoch is the mean with the same weights. Where measurements
    aren't at hand it lies where the relative frame has it, moved by the absolute correction of the exposure
    nearest to it. A source of which every measurement was clipped is left out.

    The covariance is the measurements', no less than that of the relative frame, plus the mean of the
    covariances of its exposures' corrections at its place. The latter is common to neighbouring sources, and
    does not average out over them.

    Frames that are tied to a catalog are in its frame, others each in its own relative frame. Of a frame
    of which some exposures are tied the measurements of the others don't count.
    """
    parts = [
        _frame_list(exposures, unclipped, members)
        for frame in sorted({source.frame for source in exposures.sources})
        if (members := _members(exposures, frame))
        and (unclipped := _unclipped([s for s in exposures.sources if s.frame == frame], members))
    ]
    rows = [source for part in parts for source in part.sources]
    if not rows:
        return None
    name, n = list_name(exposures.product), len(rows)
    covariance = np.zeros((n, 5, 5))
    covariance[:, :2, :2] = np.concatenate([part.covariance for part in parts])
    return ReferenceCatalog(
        sky=np.concatenate([part.sky for part in parts]),
        covariance=covariance,
        motion=np.full((n, 2), np.nan),
        parallax=np.zeros(n),
        radial_velocity=np.zeros(n),
        epoch=np.concatenate([part.epoch for part in parts]),
        mag=np.array([source.mag for source in rows], dtype=float),
        identifier=np.array([f"{name}-{source.frame}-{source.number}" for source in rows]),
        name=name,
        origin=exposures.product,
    )


def _members(exposures: ExposureSet, frame: int) -> list[_Member]:
    """Find the exposures that made a frame; those tied to a catalog where there are any."""
    found = []
    for exposure in exposures.direct:
        fit, total = exposures.relative.fits.get(exposure.key), exposures.fit(exposure.key)
        if fit is None or fit.transform is None or total is None or total.transform is None:
            continue
        if fit.frame == frame and fit.status is not FitStatus.PRIOR_ONLY:
            later = exposures.absolute.fits.get(exposure.key)
            absolute = later.transform if later else None
            found.append(_Member(exposure, fit, fit.transform, absolute, total.transform))
    return [member for member in found if member.absolute is not None] or found


def _unclipped(sources: Sequence[SkySource], members: Sequence[_Member]) -> list[SkySource]:
    """Keep the sources with a measurement that kept its weight, or without any on record."""
    known = [member.relative.residuals for member in members if member.relative.residuals is not None]
    numbers = [np.asarray(one.matched, dtype=np.int64) for one in known]
    seen = {int(n) for own in numbers for n in own}
    kept = {int(n) for own, one in zip(numbers, known, strict=True) for n in own[one.weight > 0]}
    return [source for source in sources if source.number in kept or source.number not in seen]


def _frame_list(
    exposures: ExposureSet, sources: Sequence[SkySource], members: Sequence[_Member]
) -> _FrameList:
    """Place the sources of one frame in the final frame; without those whose error nobody knows."""
    sky, correction = _moved(sources, members)
    epoch = np.array([source.epoch for source in sources], dtype=float)
    mean = _weighted_mean(len(sources), _measurements(exposures, sources, members))
    measured = mean.weight > 0
    sky[measured], correction[measured] = mean.sky[measured], mean.correction[measured]
    epoch[measured] = mean.epoch[measured]
    own = np.where(measured, mean.weight, np.nan) ** -0.5
    error = np.fmax(own, np.array([source.error for source in sources], dtype=float))
    rows = np.flatnonzero(np.isfinite(error))
    covariance = correction[rows] + (error[rows] ** 2)[:, None, None] * np.eye(2)
    return _FrameList([sources[row] for row in rows.tolist()], sky[rows], covariance, epoch[rows])


def _measurements(
    exposures: ExposureSet, sources: Sequence[SkySource], members: Sequence[_Member]
) -> list[_Measured]:
    """Collect what each exposure measured of the sources; nothing where that is not at hand."""
    plane = exposures.relative.plane
    used = [member.exposure for member in members]
    found = measured_sources(used, exposures.catalogs, exposures.relative, sources)
    if found is None:
        return []
    row_of = {source.number: row for row, source in enumerate(sources)}
    return [_finally(one, member, plane, row_of) for one, member in zip(found, members, strict=True)]


def _finally(
    measured: MeasuredSources, member: _Member, plane: TangentPlane, row_of: Mapping[int, int]
) -> _Measured:
    """Take what one exposure measured from where its relative correction puts it to the final frame."""
    robust = np.ones(len(measured))
    if member.relative.residuals is not None:
        robust[measured.matched] = member.relative.residuals.weight
    weight = robust / ((1e3 * measured.error) ** 2 * np.fmax(member.relative.reduced_chi2, 1.0))
    row = np.array([row_of.get(number, -1) for number in measured.number.tolist()], dtype=np.int64)
    used = np.flatnonzero((row >= 0) & np.isfinite(weight) & np.isfinite(measured.xy).all(axis=1))
    sky = plane.to_sky(measured.xy[used])
    return _Measured(
        row[used],
        _followed(sky, member),
        weight[used],
        _correction_covariance(sky, member),
        np.full(len(used), measured.time),
    )


def _weighted_mean(n: int, measured: Sequence[_Measured]) -> _Measured:
    """Average all measurements of each of n sources."""
    total, epoch = np.zeros(n), np.zeros(n)
    vector, correction = np.zeros((n, 3)), np.zeros((n, 2, 2))
    for one in measured:
        np.add.at(total, one.row, one.weight)
        np.add.at(epoch, one.row, one.weight * one.epoch)
        np.add.at(vector, one.row, one.weight[:, None] * sky_to_vector(one.sky))
        np.add.at(correction, one.row, one.weight[:, None, None] * one.correction)
    share = 1.0 / np.where(total > 0, total, 1.0)
    sky = vector_to_sky(vector)
    return _Measured(np.arange(n), sky, total, correction * share[:, None, None], epoch * share)


def _moved(
    sources: Sequence[SkySource], members: Sequence[_Member]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move the sources of the relative frame by the absolute correction of the exposure nearest to each.

    Positions (N, 2) in deg, and covariances (N, 2, 2) of that exposure's total correction in mas^2.
    """
    sky = np.array([(source.ra, source.dec) for source in sources])
    nearest = np.argmin([separation(_centre(member), sky) for member in members], axis=0)
    moved, covariance = np.empty_like(sky), np.empty((len(sky), 2, 2))
    for index, member in enumerate(members):
        rows = nearest == index
        moved[rows] = _followed(sky[rows], member)
        covariance[rows] = _correction_covariance(sky[rows], member)
    return moved, covariance


def _centre(member: _Member) -> tuple[float, float]:
    """Return the middle of an exposure in the relative frame."""
    corners = np.concatenate([chip.wcs.footprint() for chip in member.exposure.chips])
    return mean_direction(member.before.apply_to_sky(corners))


def _followed(sky: NDArray[np.float64], member: _Member) -> NDArray[np.float64]:
    """Move positions (M, 2), deg, of the relative frame by an exposure's absolute correction."""
    return sky if member.absolute is None else member.absolute.apply_to_sky(sky)


def _turns(sky: NDArray[np.float64], plane: TangentPlane) -> NDArray[np.float64]:
    """Return what takes east and north of a plane to those at positions of the sky, (M, 2, 2)."""
    here, there = tangent_axes(*sky.T)[:, :2], tangent_axes(plane.ra, plane.dec)[:2]
    return np.asarray(here @ there.T)


def _correction_covariance(sky: NDArray[np.float64], member: _Member) -> NDArray[np.float64]:
    """Return covariances (M, 2, 2) of where an exposure's total correction puts positions of the frame."""
    transform = member.total
    xy = transform.plane.to_plane(member.before.inverted().apply_to_sky(sky))
    derivative = np.zeros((len(xy), 2, 6))
    derivative[:, 0, 0] = derivative[:, 1, 1] = 1.0
    derivative[:, 0, 2:4] = derivative[:, 1, 4:6] = xy
    # Near the poles north is not the plane's.
    derivative = _turns(sky, transform.plane) @ derivative
    return np.asarray(1e6 * np.einsum("nij,jk,nlk->nil", derivative, transform.covariance, derivative))
