"""Align all direct exposures of a field with each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.fit import axis_rms
from grism_align.algorithms.measuring.positions import source_positions
from grism_align.algorithms.relative.members import AlignedFrame, MemberFit, NetworkInput
from grism_align.algorithms.relative.network import align_network
from grism_align.algorithms.relative.pointing import prior_only, roll_groups
from grism_align.values.catalog import UNRELIABLE, SourceCatalog, SourceFlag
from grism_align.values.errors import SettingsError
from grism_align.values.failure import MatchesNoOther, Remark, SeparateFrame, TooFewSources, text_of
from grism_align.values.field import SkySource
from grism_align.values.plane_list import PlaneList
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Residuals
from grism_align.values.sphere import mean_direction
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings

__all__ = ["RelativeResult", "align_relative", "reference_exposures"]

_AVOID = UNRELIABLE | SourceFlag.EDGE


@dataclass(frozen=True, eq=False)
class RelativeResult:
    """A relative alignment.

    Parameters
    ----------
    solution : AlignmentSolution
        Of every direct exposure.
    sources : tuple of SkySource
        Sources of the relative frames.
    warnings : tuple of str
        What the user should know.
    counts : dict of str to int
        What was used and left out.
    """

    solution: AlignmentSolution
    sources: tuple[SkySource, ...]
    warnings: tuple[str, ...]
    counts: dict[str, int]


def align_relative(
    exposures: Sequence[Exposure],
    catalogs: Mapping[str, SourceCatalog],
    relative: RelativeSettings,
    match: MatchSettings,
    pointing: PointingSettings,
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

    Returns
    -------
    RelativeResult

    Raises
    ------
    SettingsError
        If `relative.reference` names no usable exposure or visit.
    """
    bright = {e.key: _chosen(catalogs[e.key], match.brightest, relative) for e in exposures}
    unusable = {e.key: why for e in exposures if (why := _unusable(catalogs[e.key], bright[e.key], match))}
    usable = [e for e in exposures if e.key not in unusable]
    fits = {key: ExposureFit.failed(*why) for key, why in unusable.items()}
    fixed = _fixed(exposures, unusable, relative.reference)
    counts = {"sources": sum(map(len, bright.values())), "exposures_unusable": len(unusable)}
    if not usable:
        return RelativeResult(AlignmentSolution(fits), (), ("no direct exposure has usable sources",), counts)
    field = _network_input(usable, bright, (relative, pointing), fixed)
    frames, lone = align_network(field, relative, match)
    warnings: list[str] = []
    for number, frame in enumerate(frames):
        cause = lone.get(next(iter(frame.members))) if len(frame.members) == 1 else None
        note = () if cause else _frame_note(usable, frames, number)
        found = _frame_fits(usable, bright, frame, note, cause)
        first = sum(len(before.sources) for before in frames[:number])
        for key, fit in found.items():
            numbered = _numbered_through(fit.residuals, first)
            fits[key] = replace(fit, frame=number, geometry=relative.fitgeometry, residuals=numbered)
        warnings += map(str, note)
    labels = dict(zip([e.key for e in exposures], roll_groups(exposures, field.plane), strict=True))
    places = [frame.sources for frame in frames]
    fits.update(prior_only(exposures, catalogs, fits, (labels, places), (pointing, match)))
    reference = ",".join(usable[n].key for n in frames[0].fixed)
    if relative.reference and not fixed & {usable[n].key for n in frames[0].fixed}:
        warnings.append(
            f"the reference {relative.reference} fits no other exposure; {reference} fixes the frame"
        )
    ordered = {e.key: fits[e.key] for e in exposures}
    sources = _sky_sources(frames, field.plane)
    counts |= {"frames": len(frames), "common_sources": int(sum((f.count > 1).sum() for f in frames))}
    return RelativeResult(AlignmentSolution(ordered, reference), sources, tuple(warnings), counts)


def _chosen(catalog: SourceCatalog, number: int, relative: RelativeSettings) -> SourceCatalog:
    """The brightest clean sources, and besides them saturated ones: often they alone are in a catalog."""
    clean = catalog.brightest(number, _AVOID | SourceFlag.SATURATED)
    if relative.saturated_error <= 0:
        return clean
    saturated = catalog.selected((catalog.flags & int(SourceFlag.SATURATED)) != 0)
    return clean.joined(saturated.brightest(number, _AVOID))


def _unusable(catalog: SourceCatalog, bright: SourceCatalog, match: MatchSettings) -> tuple[Remark, ...]:
    """Why an exposure can't be matched at all; empty if it can."""
    if catalog.remarks or len(bright) >= match.min_matches:
        return catalog.remarks
    return (TooFewSources(len(bright), len(catalog), match.min_matches),)


def reference_exposures(exposures: Sequence[Exposure], reference: str | None) -> list[Exposure]:
    """The exposures that a reference names: one by its root name, or all of a visit.

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
    """Keys of the exposures that keep their WCS."""
    named = reference_exposures(exposures, reference)
    usable = [e.key for e in named if e.key not in unusable]
    if reference is None:
        return set(usable[:1])
    if not usable:
        name = "reference"
        why = "; ".join(f"{e.key}: {text_of(unusable[e.key])}" for e in named)
        raise SettingsError(name, reference, f"can't fix the frame ({why}); name another")
    return set(usable)


def _network_input(
    usable: Sequence[Exposure],
    bright: Mapping[str, SourceCatalog],
    settings: tuple[RelativeSettings, PointingSettings],
    fixed: set[str],
) -> NetworkInput:
    relative, pointing = settings
    positions = [source_positions(e, bright[e.key]) for e in usable]
    plane = TangentPlane(*mean_direction(np.concatenate([sky for sky, _ in positions])))
    lists = []
    for exposure, (sky, error) in zip(usable, positions, strict=True):
        saturated = (bright[exposure.key].flags & int(SourceFlag.SATURATED)) != 0
        floor = np.where(saturated, relative.saturated_error, relative.centroid_floor)
        total = np.hypot(error, floor * exposure.pixel_scale)
        epoch = np.full(len(sky), exposure.epoch)
        lists.append(PlaneList(plane.to_plane(sky), total, bright[exposure.key].mag, epoch))
    return NetworkInput(
        lists=lists,
        visits=[e.visit for e in usable],
        groups=roll_groups(usable, plane),
        kinds=[e.instrument for e in usable],
        pixel_scales=[e.pixel_scale for e in usable],
        fixed=[e.key in fixed for e in usable],
        plane=plane,
        pointing=pointing,
    )


def _numbered_through(residuals: Residuals | None, first: int) -> Residuals | None:
    """Matches of a frame whose first source has a number, as `_sky_sources` gives them."""
    return None if residuals is None else replace(residuals, matched=first + residuals.matched)


def _frame_note(usable: Sequence[Exposure], frames: list[AlignedFrame], number: int) -> tuple[Remark, ...]:
    """What to know about a frame besides the first."""
    if number == 0:
        return ()
    keys = tuple(usable[n].key for n in sorted(frames[number].members))
    return (SeparateFrame(usable[frames[0].fixed[0]].key, keys),)


def _frame_fits(
    usable: Sequence[Exposure],
    bright: Mapping[str, SourceCatalog],
    frame: AlignedFrame,
    note: tuple[Remark, ...],
    cause: Remark | None,
) -> dict[str, ExposureFit]:
    reference = ",".join(usable[n].key for n in frame.fixed)
    fits = {usable[n].key: ExposureFit.failed(why) for n, why in frame.rejected.items()}
    if cause is not None:
        exposure = usable[next(iter(frame.members))]
        return {**fits, exposure.key: ExposureFit.failed(MatchesNoOther(cause))}
    for number, member in frame.members.items():
        exposure = usable[number]
        # Of several that fix the frame only their mean stays.
        fixed = frame.fixed == (number,)
        fits[exposure.key] = _exposure_fit(exposure, bright[exposure.key], member, fixed, (reference, note))
    return fits


def _exposure_fit(
    exposure: Exposure,
    catalog: SourceCatalog,
    member: MemberFit,
    fixed: bool,
    frame: tuple[str, tuple[Remark, ...]],
) -> ExposureFit:
    reference, note = frame
    alone = not np.isfinite(member.probability)
    ids = np.asarray(catalog.table["id"], dtype=np.int64)[member.rows]
    return ExposureFit(
        status=FitStatus.REFERENCE if fixed else FitStatus.ALIGNED,
        transform=member.transform,
        reference=reference,
        n_matched=0 if alone else len(member.rows),
        n_used=0 if alone else member.n_used,
        rms=float("nan") if alone else 1e3 * member.rms,
        rms_axes=(float("nan"),) * 2 if alone else axis_rms(1e3 * member.residual, member.weight),
        reduced_chi2=member.reduced_chi2,
        leverage=member.leverage,
        false_match_probability=member.probability,
        remarks=note,
        residuals=None
        if alone
        else Residuals(ids, member.sources, 1e3 * member.residual, member.weight, 1e3 * member.error),
    )


def _sky_sources(frames: Sequence[AlignedFrame], plane: TangentPlane) -> tuple[SkySource, ...]:
    """Sources of all frames, numbered through."""
    out: list[SkySource] = []
    for component, frame in enumerate(frames):
        sky = plane.to_sky(frame.sources.xy)
        listed = zip(
            sky, frame.sources.error, frame.sources.mag, frame.sources.epoch, frame.count, strict=True
        )
        for (ra, dec), error, mag, epoch, count in listed:
            out.append(
                SkySource(
                    number=len(out),
                    ra=float(ra),
                    dec=float(dec),
                    error=1e3 * float(error),
                    mag=float(mag),
                    epoch=float(epoch),
                    component=component,
                    n_exposures=int(count),
                )
            )
    return tuple(out)
