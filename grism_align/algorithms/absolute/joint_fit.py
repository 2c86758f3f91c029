"""Solve the exposures of a frame anew, with the reference catalog as one more set of measurements."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.epoch import covariance_at
from grism_align.algorithms.absolute.identify import identified, on_catalog
from grism_align.algorithms.absolute.judgement import Verdict
from grism_align.algorithms.absolute.measurements import (
    IdentifiedSources,
    Solved,
    TiedFrame,
    tie_frame,
    turns,
)
from grism_align.algorithms.fitting.corrections import followed, pointing_prior, with_errors
from grism_align.algorithms.fitting.joint import N_TERMS_OF, Start, solve_joint
from grism_align.algorithms.fitting.prior import GENERATORS
from grism_align.algorithms.relative.model import with_rolls
from grism_align.algorithms.relative.pointing import roll_groups
from grism_align.values.errors import AlignmentError
from grism_align.values.failure import NoStarInPlace
from grism_align.values.solution import ExposureFit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.absolute.frame_tie import FrameTie
    from grism_align.algorithms.absolute.measured import MeasuredSources
    from grism_align.algorithms.fitting.corrections import FollowedPlaces
    from grism_align.algorithms.fitting.places import PlaceEquations
    from grism_align.algorithms.relative.placement import Places
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.settings import AbsoluteSettings
    from grism_align.values.transform import LinearTransform


# A catalog overstates its errors if the scatter of as many pairs tells it, to so many of its own errors.
_FEWEST_FOR_SCATTER, _CERTAIN = 20, 3.0
# Error of the mean of N squared residuals of one axis as a share, times root N.
_SQUARE_ERROR = np.sqrt(2.0)
# Stars of less than this share of the typical variance are others, of which the scatter tells nothing.
_OTHERS = 0.25


@dataclass(frozen=True, eq=False)
class JointFits:
    """What a joint solution of neighbouring frames gives.

    Parameters
    ----------
    fits : list of dict of str to ExposureFit
        Of each frame, by exposure key, with detectors where the solution takes them to be.
    followed : dict of str to FollowedPlaces
        How corrections follow the places of detectors, by exposure key.
    equations : PlaceEquations or None
        Of the places; None where all are known.
    """

    fits: list[dict[str, ExposureFit]]
    followed: dict[str, FollowedPlaces] = field(default_factory=dict)
    equations: PlaceEquations | None = None


def joint_fits(
    frames: Sequence[TiedFrame], catalog: ReferenceCatalog, settings: AbsoluteSettings, places: Places
) -> JointFits:
    """Find corrections of the exposures of neighbouring frames, each its own, that follow the relative ones.

    Every measurement is brought to the epoch of its source by the reference's proper motion and parallax.
    Sources that several frames saw are one.

    Parameters
    ----------
    frames : sequence of TiedFrame
        The frames, all in one plane.
    catalog : ReferenceCatalog
        The reference.
    settings : AbsoluteSettings
        Weights; how well the a priori WCSs are known.
    places : Places
        Where the detectors were put.

    Returns
    -------
    JointFits
        Covariances are those of the total corrections but for the places of detectors. A pointing without
        matches has the correction of another of its guide-star acquisition, or of the frame. All of a frame
        are FAILED if too few reference sources keep their weight, or if their residuals are those of a wrong
        epoch: what it did to other frames is not undone here.
    """
    plane = frames[0].tie.transform.plane
    sources = on_catalog([frame.sources for frame in frames], [frame.tie.transform for frame in frames])
    rows = identified(sources, catalog, plane, max(frame.tie.radius for frame in frames))
    if not any((row >= 0).any() for row in rows):
        # The whole was near the catalog at one epoch, and no exposure is at its own.
        failed = ExposureFit.failed(NoStarInPlace())
        return JointFits(
            [dict.fromkeys((one.exposure.key for one in frame.sources), failed) for frame in frames]
        )
    home = [number for number, frame in enumerate(frames) for _ in frame.sources]
    found = [IdentifiedSources(*one) for one in zip(sources, rows, home, strict=True)]
    solved = _solved(frames, found, catalog, settings, places)
    verdict = Verdict(solved, catalog, plane, settings.match)
    fits = [
        _fits_of(frame, [one.measured for one in found if one.frame == number], solved, verdict)
        for number, frame in enumerate(frames)
    ]
    followed = {
        one.exposure.key: own
        for one in sources
        if (own := solved.followed(one.exposure.pointing)) is not None
    }
    border = solved.solution.border
    return JointFits(fits, followed, None if border is None else border.equations)


def _solved(
    frames: Sequence[TiedFrame],
    found: Sequence[IdentifiedSources],
    catalog: ReferenceCatalog,
    settings: AbsoluteSettings,
    places: Places,
) -> Solved:
    """Solve for the corrections of all pointings that have measurements of sources that others have."""
    plane, exposures = frames[0].tie.transform.plane, [one.measured.exposure for one in found]
    groups = {e.pointing: group for e, group in zip(exposures, roll_groups(exposures, plane), strict=True)}
    # A pointing that its own sources could not align stays with its acquisition.
    useful = [one for one in found if (one.rows >= 0).any() or one.measured.matched.any()]
    first: dict[str, IdentifiedSources] = {}
    for one in useful:
        first.setdefault(one.measured.exposure.pointing, one)
    pointings = {name: place for place, name in enumerate(first)}
    stated = _as_the_scatter_tells(catalog, [frame.tie for frame in frames])
    tied = tie_frame(
        useful, stated, [groups[name] for name in first], settings.selection.unknown_motion, places
    )
    turns = np.zeros(int(tied.measured.group.max()) + 1, dtype=bool)
    turns[tied.measured.group] = [one.measured.turns for one in first.values()]
    tied = replace(tied, measured=with_rolls(tied.measured, turns))
    # The catalog may be worse than it says; how much of the frames' scatter is its own, the residuals tell.
    tied.scatter[-1] = np.median([frame.tie.fit.scatter for frame in frames])
    geometry = max((frame.geometry for frame in frames), key=N_TERMS_OF.__getitem__)
    before = [one.measured.transform for one in first.values()]
    prior = pointing_prior(settings.pointing, tied.measured, before)
    solution = solve_joint(tied.measured, geometry, settings.match.clip, prior, Start(tied.scatter))
    steps = {}
    found_steps = with_errors(followed(tied.measured, solution, plane), tied.measured, solution)
    for (name, one), group, step in zip(first.items(), tied.measured.group, found_steps, strict=True):
        kept = _frame_terms(frames[one.frame].tie, solution.center[group], N_TERMS_OF[geometry])
        steps[name] = replace(step, covariance=step.covariance + kept)
    return Solved(tied, solution, pointings, steps, groups, geometry)


def _fits_of(
    frame: TiedFrame, members: Sequence[MeasuredSources], solved: Solved, verdict: Verdict
) -> dict[str, ExposureFit]:
    """Return the fits of a frame's exposures; all of them FAILED if the frame has."""
    names = dict.fromkeys(one.exposure.pointing for one in members)
    places = [solved.pointings[name] for name in names if name in solved.pointings]
    try:
        probability = verdict.require(places, frame, members)
    except AlignmentError as error:
        return dict.fromkeys((one.exposure.key for one in members), ExposureFit.failed(error.remark))
    geometry = max(solved.geometry, frame.tie.fit.geometry, key=N_TERMS_OF.__getitem__)
    fits = {}
    for one in members:
        judged = verdict.fit(one.exposure.key)
        judged = replace(
            judged,
            geometry=geometry,
            roll="exposure" if one.turns else "acquisition",
            systematic_error=1e3 * solved.solution.systematic,
            false_match_probability=probability,
        )
        fit = _followed(judged, frame, solved.step(one.exposure.pointing))
        fits[one.exposure.key] = replace(fit, includes_earlier=one.exposure.pointing in solved.steps)
    return fits


def _as_the_scatter_tells(catalog: ReferenceCatalog, ties: Sequence[FrameTie]) -> ReferenceCatalog:
    """Shrink the catalog's errors of each axis on which its sources scatter clearly less than it states.

    What scatters more, the solution itself finds.
    """
    used = [tie.fit.weight > 0 for tie in ties]
    number = sum(int(mine.sum()) for mine in used)
    if number < _FEWEST_FOR_SCATTER:
        return catalog
    rows = np.concatenate([tie.pairs[mine, 1] for tie, mine in zip(ties, used, strict=True)])
    own = np.concatenate([tie.own_error[mine] for tie, mine in zip(ties, used, strict=True)]) ** 2
    years = np.concatenate([tie.epoch[mine] for tie, mine in zip(ties, used, strict=True)])
    residual = np.concatenate(
        [_to_sky_axes(tie, catalog)[mine] for tie, mine in zip(ties, used, strict=True)]
    )
    stated = 1e-6 * np.diagonal(covariance_at(catalog[rows], years), axis1=1, axis2=2)
    everywhere = 1e-6 * np.diagonal(covariance_at(catalog, float(years.mean())), axis1=1, axis2=2)
    scale = np.ones((len(catalog), 5))
    for axis in (0, 1):
        total = stated[:, axis] + own
        share = float((residual[:, axis] ** 2 / total).mean())
        if share > 1.0 - _CERTAIN * _SQUARE_ERROR / np.sqrt(number):
            continue
        theirs = float(np.median(stated[:, axis]))
        left = max(share * float(np.median(total)) - float(np.median(own)), 0.01 * theirs)
        alike = everywhere[:, axis] > _OTHERS * theirs
        scale[:, [axis, 3 + axis]] = np.where(alike, np.sqrt(left / theirs), 1.0)[:, None]
    return replace(catalog, covariance=scale[:, :, None] * catalog.covariance * scale[:, None, :])


def _to_sky_axes(tie: FrameTie, catalog: ReferenceCatalog) -> NDArray[np.float64]:
    """Turn residuals of a tie to the east and north of each star, which near a pole aren't the plane's."""
    turn = turns(catalog.sky[tie.pairs[:, 1]], tie.transform.plane)
    return np.asarray(np.einsum("nki,nk->ni", turn, tie.fit.residual))


def _followed(judged: ExposureFit, frame: TiedFrame, step: LinearTransform | None) -> ExposureFit:
    """Complete the fit of one exposure: its frame's tie and then a step, with the covariance of the step."""
    tie = frame.tie.transform
    if step is None:
        return replace(judged, transform=tie)
    return replace(judged, transform=replace(tie.then(step), covariance=step.covariance))


def _frame_terms(tie: FrameTie, center: NDArray[np.float64], n_terms: int) -> NDArray[np.float64]:
    """Return the covariance (6, 6) of terms that only the frame as a whole was fitted for, about a point."""
    out = np.zeros((6, 6))
    for matrix in GENERATORS[n_terms : N_TERMS_OF[tie.fit.geometry]]:
        along = 0.5 * matrix.ravel()
        derivative = np.concatenate([-matrix @ center, matrix.ravel()])
        out += (along @ tie.transform.covariance[2:, 2:] @ along) * np.outer(derivative, derivative)
    return out
