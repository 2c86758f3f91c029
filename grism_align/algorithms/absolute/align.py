"""Align the relative frame with a reference catalog."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from grism_align.algorithms.absolute.frame_tie import FrameSources, FrameTie, match_frame
from grism_align.algorithms.absolute.joint_fit import JointFits, joint_fits
from grism_align.algorithms.absolute.measured import MeasuredSources, measured_sources, only_saturated
from grism_align.algorithms.absolute.measurements import TiedFrame
from grism_align.algorithms.absolute.placement import relative_places, star_differences
from grism_align.algorithms.absolute.selection import select_reference, why_none
from grism_align.algorithms.absolute.units import at_each_epoch, unit_ties
from grism_align.algorithms.fitting.fit import axis_rms, leverage
from grism_align.algorithms.fitting.joint import N_TERMS_OF
from grism_align.algorithms.fitting.places import PlaceEquations
from grism_align.algorithms.relative.cluster import ENOUGH_CONFIRMED
from grism_align.algorithms.relative.model import AUTO
from grism_align.algorithms.relative.rough_placement import FarOff
from grism_align.values.errors import AlignmentError
from grism_align.values.failure import NotTied, Remark
from grism_align.values.plane_list import PlaneList
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Residuals, agreement
from grism_align.values.sphere import sky_to_vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.algorithms.relative.placement import Places
    from grism_align.values.catalog import ReferenceCatalog, SkySource
    from grism_align.values.exposure import Exposure
    from grism_align.values.failure import OutOfPlace, PlaceUnknown
    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import AbsoluteSettings, ReferenceSettings
    from grism_align.values.transform import TangentPlane


# Exposures whose centres are no further apart, deg, may have sources in common.
_NEXT_TO = 0.1
# How often detectors are put in place that are too far off for their stars to be recognised.
_PLACED = 3


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

    @property
    def n_tied(self) -> int:
        """Exposures that are on the catalog."""
        return sum(fit.is_aligned for fit in self.solution.fits.values())

    @property
    def is_complete(self) -> bool:
        """Whether every exposure of the relative frames is on the catalog."""
        return 0 < len(self.solution.fits) == self.n_tied


@dataclass(frozen=True, eq=False)
class _Frame:
    """One relative frame: its number, its exposures, its sources, and what each exposure measured of them."""

    number: int
    members: Sequence[Exposure]
    sources: Sequence[SkySource]
    measured: list[MeasuredSources] | None
    plane: TangentPlane
    geometry: str

    def failed(self, remark: Remark, reference: str = "") -> dict[str, ExposureFit]:
        """Return the fits of its exposures if none is to be had."""
        return {member.key: ExposureFit.failed(remark, reference=reference) for member in self.members}

    def is_solved_anew(self, reference: ReferenceSettings) -> bool:
        """Tell whether its exposures are solved one by one; not where less is to be fitted than they had."""
        geometry = reference.fitgeometry
        as_much = geometry == AUTO or N_TERMS_OF[geometry] >= N_TERMS_OF[self.geometry]
        return bool(self.measured) and reference.solve == "joint" and as_much


@dataclass(frozen=True, eq=False)
class _Matched:
    """A relative frame, and how it lies on the catalog."""

    frame: _Frame
    tie: FrameTie


def align_absolute(
    exposures: ExposureSet, catalog: ReferenceCatalog, settings: AbsoluteSettings
) -> AbsoluteResult:
    """Move each relative frame onto a reference catalog.

    Parameters
    ----------
    exposures : ExposureSet
        With the relative solution. Where source catalogs are not at hand, a frame moves as one rigid whole.
    catalog : ReferenceCatalog
        The reference.
    settings : AbsoluteSettings
        The parameters.

    Returns
    -------
    AbsoluteResult
        Exposures of a frame that could not be tied to the catalog are FAILED, with the reason as a remark.
    """
    epochs = [exposure.epoch for exposure in exposures.direct]
    used, counts = select_reference(
        catalog, exposures.direct, float(np.mean(epochs)) if epochs else 2000.0, settings.selection
    )
    frames = _frames(exposures)
    matched: list[_Matched] = []
    fits: dict[str, ExposureFit] = {}
    notes: list[str] = []
    for frame in frames:
        try:
            _require_some(used, catalog, exposures.direct, counts)
            own, counts[f"saturated_frame_{frame.number + 1}"] = _frame_sources(frame)
            own, parts = at_each_epoch(own, frame.measured or ())
            matched.append(_Matched(frame, match_frame(own, used, settings, parts)))
        except AlignmentError as error:
            fits.update(frame.failed(error.remark))
    for one in matched:
        if not one.frame.is_solved_anew(settings.reference):
            rigid, why = _rigid_fits(one, used, settings)
            fits.update(rigid)
            notes += why
    anew = [one for one in matched if one.frame.is_solved_anew(settings.reference)]
    in_place, places = _with_detectors_in_place(anew, exposures, used, settings)
    fits |= in_place
    notes += map(str, places)
    warnings = []
    for frame in frames:
        keys = [member.key for member in frame.members]
        failed = fits[keys[0]]
        if not failed.is_aligned:
            remark = NotTied(catalog.name, failed.remarks)
            fits.update(frame.failed(remark, catalog.name))
            warnings.append(f"{', '.join(keys)} {remark}")
        else:
            counts[f"reference_used_frame_{frame.number + 1}"] = agreement([fits[key] for key in keys]).n_used
    found = {e.key: replace(fits[e.key], frame=exposures.relative[e.key].frame) for e in _members(frames)}
    return AbsoluteResult(AlignmentSolution(found, catalog.name), used, (*warnings, *notes), counts)


def _members(frames: Sequence[_Frame]) -> list[Exposure]:
    return [member for frame in frames for member in frame.members]


def _require_some(
    used: ReferenceCatalog,
    catalog: ReferenceCatalog,
    exposures: Sequence[Exposure],
    counts: Mapping[str, int],
) -> None:
    if len(used) == 0:
        raise AlignmentError(why_none(catalog, exposures, counts))


def _frames(exposures: ExposureSet) -> list[_Frame]:
    """Find the relative frames that have both sources and exposures: that of a failed exposure has none."""
    frames = []
    by_frame: dict[int, list[SkySource]] = {}
    for source in exposures.sources:
        by_frame.setdefault(source.frame, []).append(source)
    of_frame: dict[int, list[Exposure]] = {}
    for exposure in exposures.direct:
        fit = exposures.relative.fits.get(exposure.key)
        if fit is not None and fit.is_aligned:
            of_frame.setdefault(fit.frame, []).append(exposure)
    for number, sources in sorted(by_frame.items()):
        members = of_frame.get(number, [])
        if not members:
            continue
        plane = exposures.relative.plane
        measured = measured_sources(members, exposures.catalogs, exposures.relative, sources)
        geometry = exposures.relative[members[0].key].geometry
        frames.append(_Frame(number, members, sources, measured, plane, geometry))
    return frames


def _rigid_fits(
    one: _Matched, catalog: ReferenceCatalog, settings: AbsoluteSettings
) -> tuple[dict[str, ExposureFit], list[str]]:
    """Fit a frame that moves as one rigid whole, or of which each visit or pointing does; and take notes."""
    frame, tie = one.frame, one.tie
    fits = dict.fromkeys((member.key for member in frame.members), _rigid_fit(tie, catalog))
    solve = settings.reference.solve
    if solve not in ("visit", "exposure"):
        return fits, []
    if frame.measured is None:
        keys = ", ".join(fits)
        return fits, [f"solve={solve}: {keys} move as one, since their source catalogs are not at hand"]
    ties, remarks = unit_ties(frame.measured, catalog, tie, settings)
    for member in frame.members:
        if member.key in ties:
            fits[member.key] = _rigid_fit(ties[member.key], catalog)
        else:
            fits[member.key] = replace(
                fits[member.key], status=FitStatus.PRIOR_ONLY, remarks=(remarks[member.key],)
            )
    return fits, sorted({str(remark) for remark in remarks.values()})


def _neighbours(matched: Sequence[_Matched]) -> list[list[_Matched]]:
    """Group frames that may share sources."""
    if len(matched) < 2:
        return [list(matched)] if matched else []
    owner = np.array([n for n, one in enumerate(matched) for _ in one.frame.members])
    where = np.array([(e.plane.ra, e.plane.dec) for one in matched for e in one.frame.members])
    pairs = cKDTree(sky_to_vector(where)).query_pairs(np.radians(_NEXT_TO), output_type="ndarray")
    linked = coo_matrix((np.ones(len(pairs)), owner[pairs].T), shape=(len(matched), len(matched)))
    number, label = connected_components(linked, directed=False)
    return [[one for one, mine in zip(matched, label, strict=True) if mine == n] for n in range(number)]


def _with_detectors_in_place(
    matched: Sequence[_Matched], exposures: ExposureSet, catalog: ReferenceCatalog, settings: AbsoluteSettings
) -> tuple[dict[str, ExposureFit], list[OutOfPlace | PlaceUnknown]]:
    """Solve frames; and tell of detectors out of place, as the relative alignment didn't know, or lost."""
    before = relative_places(exposures, settings.pointing)
    if not len(before):
        solved = [_solved_anew(neighbours, catalog, settings, before) for neighbours in _neighbours(matched)]
        return {key: fit for one in solved for own in one.fits for key, fit in own.items()}, []
    taken, far = before, FarOff.none(len(before))
    for turn in range(_PLACED):
        placed = [_placed(one, taken, before) for one in matched]
        solved = [_solved_anew(neighbours, catalog, settings, taken) for neighbours in _neighbours(placed)]
        told = [one.equations for one in solved if one.equations is not None]
        places = taken.found(PlaceEquations.joined(told, len(taken)))
        fits = _in_place(solved, exposures, places, before)
        measured = [one for each in matched for one in each.frame.measured or ()]
        stars = star_differences(measured, fits, catalog, places)
        last, far = far, stars.farther_off(places)
        if turn + 1 == _PLACED or not far.any() or far.is_as(last):
            break
        taken = places.moved(far.offset)
    far = stars.left_apart(far, places, max((one.tie.radius for one in matched), default=0.0))
    places = places.widened(far.apart)
    fits = _in_place(solved, exposures, places, before)
    known = {(one.instrument, one.detector) for one in before.out_of_place()}
    displaced = [one for one in places.out_of_place() if (one.instrument, one.detector) not in known]
    return fits, [*displaced, *places.unknown(far.apart, far.n, f"stars of {catalog.name}")]


def _in_place(
    solved: Sequence[JointFits], exposures: ExposureSet, places: Places, before: Places
) -> dict[str, ExposureFit]:
    """Return the fits of all exposures with detectors in place."""
    fits = {key: fit for one in solved for own in one.fits for key, fit in own.items()}
    followed = {key: each for one in solved for key, each in one.followed.items()}
    return places.of_fits(fits, exposures.direct, followed, before)


def _placed(one: _Matched, places: Places, before: Places) -> _Matched:
    """Return a frame with what each detector measured moved from one place to another."""
    measured = [
        each.moved(places.shift_of(each.exposure, one.frame.plane, before))
        for each in one.frame.measured or ()
    ]
    return replace(one, frame=replace(one.frame, measured=measured))


def _solved_anew(
    matched: Sequence[_Matched], catalog: ReferenceCatalog, settings: AbsoluteSettings, places: Places
) -> JointFits:
    """Solve neighbouring frames together; without those that it shows not to be on the catalog."""
    failed: list[dict[str, ExposureFit]] = []
    left = [TiedFrame(one.frame.measured or (), one.tie, _geometry_of(one, places)) for one in matched]
    while True:
        found = joint_fits(left, catalog, settings, places)
        good = [all(fit.is_aligned for fit in fits.values()) for fits in found.fits]
        if not any(good):
            return JointFits([*found.fits, *failed])
        if all(good):
            return replace(found, fits=[*found.fits, *failed])
        failed += [fits for fits, is_good in zip(found.fits, good, strict=True) if not is_good]
        left = [frame for frame, is_good in zip(left, good, strict=True) if is_good]


def _geometry_of(one: _Matched, places: Places) -> str:
    """Return what is to be fitted: what the relative alignment did, and what detectors may have feigned."""
    geometries = (one.frame.geometry, one.tie.fit.geometry) if len(places) else (one.frame.geometry,)
    return max(geometries, key=N_TERMS_OF.__getitem__)


def _frame_sources(frame: _Frame) -> tuple[FrameSources, int]:
    """Choose the sources to match, and count those left out as saturated.

    Where there are enough, those that one exposure saw, cosmic rays among them, and those that were
    saturated wherever they were seen, are left out.
    """
    sources = list(frame.sources)
    burnt = only_saturated(frame.measured or [])
    clean = [source for source in sources if source.number not in burnt]
    n_saturated = len(sources) - len(clean) if len(clean) >= ENOUGH_CONFIRMED else 0
    sources = clean if n_saturated else sources
    twice = [source for source in sources if source.n_exposures > 1]
    sources = twice if len(twice) >= ENOUGH_CONFIRMED else sources
    positions = PlaneList(
        frame.plane.to_plane(np.array([(source.ra, source.dec) for source in sources])),
        1e-3 * np.array([source.error for source in sources]),
        np.array([source.mag for source in sources]),
        np.array([source.epoch for source in sources]),
    )
    number = np.array([source.number for source in sources], dtype=np.int64)
    scale = min(member.pixel_scale for member in frame.members)
    return FrameSources(positions, number, frame.plane, scale), n_saturated


def _rigid_fit(tie: FrameTie, catalog: ReferenceCatalog) -> ExposureFit:
    """Return the fit of one exposure that moves as a tie tells."""
    fit = tie.fit
    return ExposureFit(
        status=FitStatus.ALIGNED,
        transform=fit.transform,
        reference=catalog.name,
        n_matched=len(tie.pairs),
        n_used=fit.n_used,
        rms=1e3 * fit.rms,
        rms_axes=axis_rms(1e3 * fit.residual, fit.weight),
        leverage=leverage(fit.weight / (tie.error**2 + fit.scatter**2)),
        false_match_probability=tie.probability,
        geometry=fit.geometry,
        residuals=Residuals(
            tie.pairs[:, 0],
            catalog.identifier[tie.pairs[:, 1]],
            1e3 * fit.residual,
            fit.weight,
            1e3 * tie.error,
        ),
    )
