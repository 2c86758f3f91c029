"""Align all direct exposures of a field with each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.fit import axis_rms
from grism_align.algorithms.fitting.places import PlaceEquations
from grism_align.algorithms.relative.fixed_detections import flag_fixed_detections
from grism_align.algorithms.relative.network import zero
from grism_align.algorithms.relative.placement import Places, placed
from grism_align.algorithms.relative.pointing import RelativeFrames, is_trailed, prior_only, roll_groups
from grism_align.algorithms.relative.rough_placement import FarOff, farther_off
from grism_align.algorithms.relative.tied import Tied, Usable, brightest_of, tied_as_far_as_possible
from grism_align.values.catalog import SkySource, SourceCatalog
from grism_align.values.errors import SettingsError
from grism_align.values.exposure import by_pointing
from grism_align.values.failure import (
    ByPointing,
    DisplacedVisits,
    MatchesNoOther,
    NoneUsable,
    OfDirect,
    ReferenceAlone,
    Remark,
    SeparateFrame,
    TooFewSources,
    text_of,
)
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Residuals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from grism_align.algorithms.fitting.corrections import FollowedPlaces
    from grism_align.algorithms.relative.members import (
        AlignedFrame,
        MemberFit,
        NetworkInput,
    )
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
    from grism_align.values.transform import TangentPlane

# How often detectors are put in place, and which moves, arcsec, are too small to do it again.
_PLACED, _IN_PLACE = 4, 5e-4


@dataclass(frozen=True, eq=False)
class RelativeResult:
    """A relative alignment.

    Parameters
    ----------
    solution : AlignmentSolution
        Of every direct exposure.
    sources : tuple of SkySource
        Sources of the relative frames.
    remarks : tuple of Remark
        What the user should know of the whole.
    counts : dict of str to int
        What was used and left out.
    catalogs : mapping of str to SourceCatalog
        Those that were given, with what keeps its place on the detector flagged.
    """

    solution: AlignmentSolution
    sources: tuple[SkySource, ...]
    remarks: tuple[Remark, ...]
    counts: dict[str, int]
    catalogs: Mapping[str, SourceCatalog]


def align_relative(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    relative: RelativeSettings,
    match: MatchSettings,
    pointing: PointingSettings,
    executor: Executor | None = None,
) -> RelativeResult:
    """Bring direct exposures onto one frame.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures, in time order.
    catalogs : mapping of str to SourceCatalog
        By exposure key.
    relative : RelativeSettings
        Frame and geometry.
    match : MatchSettings
        Matching and acceptance.
    pointing : PointingSettings
        How well the a priori WCSs are known.
    executor : Executor, optional
        Who matches the exposures of visits, where they are many.

    Returns
    -------
    RelativeResult

    Raises
    ------
    SettingsError
        If `relative.reference` names no usable exposure or visit.
    """
    choices = _Choices(relative, match, pointing, executor)
    nominal = taken = Places.nominal(exposures, pointing)
    if not len(nominal):
        return _aligned(exposures, catalogs, nominal, choices).result
    far = FarOff.none(len(taken))
    for turn in range(_PLACED):
        found = _aligned(placed(exposures, taken), catalogs, taken, choices)
        places = taken.found(PlaceEquations.joined(found.equations, len(taken)))
        solution = found.with_places(exposures, places, nominal)
        before, far = far, farther_off(exposures, catalogs, solution, places)
        is_settled = not far.any() and places.largest_move(taken) <= _IN_PLACE
        if turn + 1 == _PLACED or is_settled or far.is_as(before):
            break
        taken = places.moved(far.offset)
    places = places.widened(far.apart)
    solution = found.with_places(exposures, places, nominal)
    remarks = (
        *found.result.remarks,
        *places.out_of_place(),
        *places.unknown(far.apart, far.n, "sources of other detectors"),
    )
    return replace(found.result, solution=solution, remarks=remarks)


@dataclass(frozen=True, eq=False)
class _Choices:
    """How exposures are aligned; the parameters of `align_relative`."""

    relative: RelativeSettings
    match: MatchSettings
    pointing: PointingSettings
    executor: Executor | None


@dataclass(frozen=True, eq=False)
class _Aligned:
    """An alignment of exposures whose detectors were put somewhere, and what it tells of their places.

    Parameters
    ----------
    result : RelativeResult
        The alignment of the exposures as they were put.
    equations : tuple of PlaceEquations
        Of the places, of each frame.
    followed : dict of str to FollowedPlaces
        How corrections follow the places, by exposure.
    """

    result: RelativeResult
    equations: tuple[PlaceEquations, ...] = ()
    followed: Mapping[str, FollowedPlaces] = field(default_factory=dict)

    def with_places(self, exposures: Sequence[Exposure], places: Places, before: Places) -> AlignmentSolution:
        """Return the alignment of the exposures before they were put anywhere, with detectors in place."""
        solution = self.result.solution
        return replace(solution, fits=places.of_fits(solution.fits, exposures, self.followed, before))


def _aligned(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    taken: Places,
    choices: _Choices,
) -> _Aligned:
    """Bring direct exposures, whose detectors were put somewhere, onto one frame."""
    relative, match, pointing = choices.relative, choices.match, choices.pointing
    catalogs = flag_fixed_detections(exposures, catalogs, pointing)
    pointings = by_pointing(exposures)
    bright = brightest_of(catalogs, match.brightest, relative)
    unusable = {
        key: why
        for members in pointings
        for key, why in _unusable(members, catalogs, bright, match.min_matches).items()
    }
    usable = tuple(members for members in pointings if members[0].key not in unusable)
    fits = {key: ExposureFit.failed(*why) for key, why in unusable.items()}
    fixed = _fixed(exposures, unusable, relative.reference)
    counts = {
        "flagged_fixed": sum(catalogs[e.key].table.meta["counts"]["flagged_fixed"] for e in exposures),
        "exposures_unusable": len(unusable),
        "sources": sum(map(len, bright.values())),
    }
    if not usable:
        return _Aligned(RelativeResult(AlignmentSolution(fits), (), (NoneUsable(),), counts, catalogs))
    asked = Usable(usable, catalogs, fixed, relative, pointing, taken, choices.executor)
    tied = tied_as_far_as_possible(asked, match)
    own, remarks = _fits(tied, relative)
    fits |= own
    frames, plane = tied.frames, tied.field.plane
    labels = dict(zip([e.key for e in exposures], roll_groups(exposures, plane), strict=True))
    known = RelativeFrames(fits, [frame.seen.positions for frame in frames], labels)
    fits.update(prior_only(exposures, catalogs, known, pointing, match))
    reference = _reference(tied.field, frames[0])
    if relative.reference and not fixed & set(reference.split(",")):
        remarks.append(ReferenceAlone(relative.reference, reference))
    solution = AlignmentSolution({e.key: fits[e.key] for e in exposures}, reference)
    counts |= tied.counts
    result = RelativeResult(solution, _sky_sources(frames, plane), tuple(remarks), counts, catalogs)
    told = tuple(frame.places for frame in frames if frame.places is not None)
    return _Aligned(result, told, _followed(tied))


def _followed(tied: Tied) -> dict[str, FollowedPlaces]:
    """Return how the corrections of exposures follow the places of detectors, of those that do."""
    return {
        key: member.followed
        for frame in tied.frames
        for number, member in frame.members.items()
        if member.followed is not None
        for key in _keys(tied.field, [number])
    }


def _fits(tied: Tied, relative: RelativeSettings) -> tuple[dict[str, ExposureFit], list[Remark]]:
    """Return the fits of all exposures, and what the user should know."""
    fits: dict[str, ExposureFit] = {}
    remarks: list[Remark] = []
    first = 0
    for number, frame in enumerate(tied.frames):
        cause = tied.lone.get(next(iter(frame.members))) if len(frame.members) == 1 else None
        note = () if cause else _frame_note(tied.field, tied.frames, number)
        found = _frame_fits(tied.field, tied.bright, frame, note, cause)
        for key, fit in found.items():
            numbered = _numbered_through(fit.residuals, first)
            fits[key] = replace(fit, frame=number, residuals=numbered)
        first += len(frame.seen.count)
        remarks += [*note, *([] if relative.reference else _displaced(tied.field, frame))]
    return fits, remarks


def _unusable(
    members: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    bright: Mapping[str, SourceCatalog],
    required: int,
) -> dict[str, tuple[Remark, ...]]:
    """Tell why the exposures of a pointing can't be matched at all; nothing if they can.

    A pointing one of whose exposures is trailed is none.
    """
    keys = [e.key for e in members]
    n, total = (sum(len(lists[key]) for key in keys) for lists in (bright, catalogs))
    trailed = [key for key in keys if is_trailed(catalogs[key])]
    if n >= required and not trailed:
        return {}
    why = (
        tuple(OfDirect(key, catalogs[key].remarks) for key in trailed)
        if trailed
        else (TooFewSources(n, total, required),)
    )
    return {key: catalogs[key].remarks or why for key in keys}


def reference_exposures(exposures: Sequence[Exposure], reference: str | None) -> list[Exposure]:
    """Find the exposures that a reference names: one by its root name, or all of a visit.

    Parameters
    ----------
    exposures : sequence of Exposure
        Direct exposures, in time order.
    reference : str or None
        Root name, file name or visit; None names all, for the first that serves.

    Raises
    ------
    SettingsError
        If it names none.
    """
    wanted = "" if reference is None else reference.lower().rsplit("/", 1)[-1]
    named = [e for e in exposures if wanted in ("", e.key, e.visit, e.source.name.lower())]
    if not named:
        name = "reference"
        allowed = ", ".join(sorted({e.visit for e in exposures} | {e.key for e in exposures}))
        raise SettingsError(name, reference, f"names no direct exposure or visit; there are {allowed}")
    return named


def _fixed(
    exposures: Sequence[Exposure], unusable: Mapping[str, tuple[Remark, ...]], reference: str | None
) -> set[str]:
    """Return keys of the exposures that are to keep their WCS; none where no reference is given."""
    named = reference_exposures(exposures, reference)
    usable = [e.key for e in named if e.key not in unusable]
    if reference is None:
        return set()
    if not usable:
        name = "reference"
        why = "; ".join(f"{e.key}: {text_of(unusable[e.key])}" for e in named)
        raise SettingsError(name, reference, f"can't fix the frame ({why}); name another")
    return set(usable)


def _numbered_through(residuals: Residuals | None, first: int) -> Residuals | None:
    """Count the matches of a frame from the number of its first source, as `_sky_sources` does."""
    return None if residuals is None else replace(residuals, matched=first + residuals.matched)


def _keys(network: NetworkInput, numbers: Iterable[int]) -> tuple[str, ...]:
    """Return the exposures of some pointings."""
    return tuple(key for number in numbers for key in network.pointings[number].keys)


def _reference(field: NetworkInput, frame: AlignedFrame) -> str:
    """Name what fixes a frame."""
    return ",".join(_keys(field, frame.fixed))


def _frame_note(field: NetworkInput, frames: list[AlignedFrame], number: int) -> tuple[Remark, ...]:
    """Tell what to know about a frame besides the first."""
    if number == 0:
        return ()
    main = field.pointings[frames[0].fixed[0]].keys[0]
    return (SeparateFrame(main, _keys(field, sorted(frames[number].members))),)


def _displaced(field: NetworkInput, frame: AlignedFrame) -> list[Remark]:
    """Tell of visits that lie farther apart than pointings are wrong, where no majority says which is."""
    apart = zero(field, {n: member.transform for n, member in frame.members.items()}).apart
    if not apart:
        return []
    reference = _reference(field, frame)
    return [DisplacedVisits(apart, field.errors.visit_error, reference)]


def _frame_fits(
    field: NetworkInput,
    bright: Mapping[str, SourceCatalog],
    frame: AlignedFrame,
    note: tuple[Remark, ...],
    cause: Remark | None,
) -> dict[str, ExposureFit]:
    """Return the fits of a frame's exposures; with a cause, those of one pointing that matches no other."""
    fits = {key: ExposureFit.failed(why) for n, why in frame.rejected.items() for key in _keys(field, [n])}
    if cause is not None:
        lone = ExposureFit.failed(MatchesNoOther(cause))
        return {**fits, **dict.fromkeys(_keys(field, frame.members), lone)}
    reference = _reference(field, frame)
    for number, member in frame.members.items():
        pointing = field.pointings[number]
        # Of several that fix the frame only their mean stays.
        status = FitStatus.REFERENCE if frame.fixed == (number,) else FitStatus.ALIGNED
        parts = member.by_exposure(pointing)
        telling = tuple(key for key, own in zip(pointing.keys, parts, strict=True) if own.n_used)
        for key, own in zip(pointing.keys, parts, strict=True):
            fit = _exposure_fit(bright[key], own)
            remarks = note if key in telling else (*note, ByPointing(telling))
            fit = replace(fit, status=status, reference=reference, remarks=remarks)
            fits[key] = _of_model(fit, frame, pointing.roll_group)
    return fits


def _of_model(fit: ExposureFit, frame: AlignedFrame, acquisition: int) -> ExposureFit:
    """Tell what was fitted to an exposure of an acquisition, and what told so."""
    model = frame.model
    return replace(
        fit,
        geometry=model.geometry,
        roll="exposure" if acquisition in model.turning else "acquisition",
        roll_evidence=model.roll_evidence.get(acquisition, float("nan")),
        scale_evidence=model.scale_evidence,
        shear_evidence=model.shear_evidence,
        systematic_error=1e3 * frame.systematic,
    )


def _exposure_fit(catalog: SourceCatalog, own: MemberFit) -> ExposureFit:
    """Return the fit of one exposure, by what its own sources tell."""
    fit = ExposureFit(FitStatus.ALIGNED, own.transform)
    if not np.isfinite(own.probability):
        return fit
    ids = np.asarray(catalog.table["id"], dtype=np.int64)[own.rows]
    return replace(
        fit,
        n_matched=len(own.rows),
        n_used=own.n_used,
        rms=1e3 * own.rms,
        rms_axes=axis_rms(1e3 * own.residual, own.weight),
        reduced_chi2=own.reduced_chi2,
        reduced_chi2_axes=own.reduced_chi2_axes,
        leverage=own.leverage,
        false_match_probability=own.probability,
        residuals=Residuals(ids, own.sources, 1e3 * own.residual, own.weight, 1e3 * own.error),
    )


def _sky_sources(frames: Sequence[AlignedFrame], plane: TangentPlane) -> tuple[SkySource, ...]:
    """List the sources of all frames, numbered through."""
    out: list[SkySource] = []
    for number, frame in enumerate(frames):
        own = frame.seen.positions
        listed = zip(plane.to_sky(own.xy), own.error, own.mag, own.epoch, frame.seen.count, strict=True)
        for (ra, dec), error, mag, epoch, count in listed:
            out.append(
                SkySource(
                    number=len(out),
                    ra=float(ra),
                    dec=float(dec),
                    error=1e3 * float(error),
                    mag=float(mag),
                    epoch=float(epoch),
                    frame=number,
                    n_exposures=int(count),
                )
            )
    return tuple(out)
