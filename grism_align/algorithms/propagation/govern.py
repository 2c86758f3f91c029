"""Which direct exposures govern a grism exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.pair import (
    DirectCandidate,
    Relation,
    direct_candidate,
    direct_candidates,
)
from grism_align.algorithms.propagation.propagation_error import (
    claimed_variance,
    offset_covariance,
    propagation_covariance,
    weights_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import GrismSettings


# Pointings that differ by less than this, arcsec, match a grism exposure's equally well.
_AS_CLOSE = 0.05
# An exposure of another pointing brings the error of its dither along, which this weight is worth.
_WORTH_ITS_DITHER = 0.25
_OF_THE_POINTING = (Relation.SIMULTANEOUS, Relation.SAME_POINTING)


@dataclass(frozen=True)
class Choice:
    """The direct exposures that govern a grism exposure together.

    Parameters
    ----------
    rule : str
        Why they: ``association`` (named there); ``simultaneous`` (by other detectors at the same time);
        ``interpolated``; ``paired`` (of the same pointing);
        ``previous``, ``next`` or ``nearest`` in time; ``visit`` (the mean of an acquisition).
    candidates : tuple of DirectCandidate
        In the order of time; empty if there is none.
    """

    rule: str
    candidates: tuple[DirectCandidate, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Their root names."""
        return tuple(each.key for each in self.candidates)

    @property
    def is_solid(self) -> bool:
        """Whether the own sources of all of them gave their corrections."""
        return all(each.is_solid for each in self.candidates)


_NOBODY = Choice("none", ())


def governors(grism: Exposure, exposures: Sequence[Exposure], settings: GrismSettings) -> Choice:
    """Choose the direct exposures that govern a grism exposure if all of them can be aligned.

    Parameters
    ----------
    grism : Exposure
        The dispersed exposure.
    exposures : sequence of Exposure
        Direct and grism exposures of any visit, in any order.
    settings : GrismSettings
        The parameters.
    """
    radius = settings.propagation.pairing_radius
    own = direct_candidates(grism, exposures, radius)
    return choose(named_candidates(grism, exposures, radius), own, settings)


def named_candidates(
    grism: Exposure, exposures: Sequence[Exposure], pairing_radius: float
) -> tuple[DirectCandidate, ...]:
    """Find the direct exposures that the association names for a grism exposure, in its order."""
    known = {exposure.key: exposure for exposure in exposures if exposure.is_direct}
    return tuple(
        direct_candidate(grism, known[key], exposures, pairing_radius)
        for key in dict.fromkeys(grism.governors)
        if key in known
    )


def choose(
    named: Sequence[DirectCandidate],
    own: Sequence[DirectCandidate],
    settings: GrismSettings,
) -> Choice:
    """Choose those that govern: the first measured one that the association names, else what the rule says.

    One whose own sources did not give its correction governs only where no other choice claims less.

    Parameters
    ----------
    named : sequence of DirectCandidate
        Named by the association, best first.
    own : sequence of DirectCandidate
        Of the grism exposure's own guide-star acquisition, in the order of time.
    settings : GrismSettings
        The method; how large drift and dither errors are.
    """
    by_rule = choose_by_rule(own, settings)
    if not by_rule.is_solid:
        measured = choose_by_rule([each for each in own if each.is_solid], settings)
        by_rule = _least_claim([by_rule, measured], settings)
    # Where the association names what the rule chooses anyway, the rule says more.
    names = [each.key for each in named]
    if not names or (names[0] in by_rule.keys and set(names) >= set(by_rule.keys)):
        return by_rule
    by_name = [Choice("association", (each,)) for each in named]
    instead = next((each for each in by_name if each.is_solid), by_rule)
    return instead if by_name[0].is_solid else _least_claim([by_name[0], instead], settings)


def _least_claim(choices: Sequence[Choice], settings: GrismSettings) -> Choice:
    able = [each for each in choices if each.candidates]
    return min(able, key=lambda each: claimed_variance(each.rule, each.candidates, settings))


def choose_by_rule(own: Sequence[DirectCandidate], settings: GrismSettings) -> Choice:
    """Choose those of a grism exposure's own acquisition that govern it.

    Parameters
    ----------
    own : sequence of DirectCandidate
        In the order of time.
    settings : GrismSettings
        As for `choose`.

    Notes
    -----
    The error of an offset of the telescope belongs to the pointing, and drift to time. So an exposure of
    the same pointing has what another, however near in time, has not; and between two of the same pointing
    drift can be interpolated. Between others it is where drift is the larger of the two. Exposures that other
    detectors took at the same time have all that the grism exposure has.
    """
    method = settings.propagation.method
    if not own:
        return _NOBODY
    if method == "visit":
        return Choice("visit", _of_one_frame(own))
    together = tuple(each for each in own if each.relation is Relation.SIMULTANEOUS and each.is_solid)
    if together:
        return Choice("simultaneous", together)
    if method == "previous":
        return _in_turn(*_two_sides(own))
    # guide stars are acquired again after an occultation
    without = [each for each in own if each.relation < Relation.OCCULTED] or own
    before, after = _two_sides(without)
    return (
        (_interpolated(before, after, settings) if method != "nearest" else None)
        or _of_the_pointing(before, after, method)
        or (Choice("nearest", (_nearest(without),)) if method == "nearest" else _in_turn(before, after))
    )


def _two_sides(own: Sequence[DirectCandidate]) -> tuple[list[DirectCandidate], list[DirectCandidate]]:
    """Part those before, the latest first, from those after."""
    return [each for each in reversed(own) if each.came_first], [each for each in own if not each.came_first]


def _interpolated(
    before: Sequence[DirectCandidate],
    after: Sequence[DirectCandidate],
    settings: GrismSettings,
) -> Choice | None:
    """Choose the neighbours in time where, of several pointings, they yet tell more together than alone."""
    pair = _around([each for each in before if each.is_solid], [each for each in after if each.is_solid])
    relations = {each.relation for each in pair}
    if not pair or max(relations) >= Relation.OCCULTED or relations <= {*_OF_THE_POINTING}:
        return None
    if relations == {Relation.OFFSET}:
        partners = sum(each.mismatch <= _AS_CLOSE for each in pair)
        always = partners == 2 or (partners == 0 and settings.propagation.method == "interpolate")
        pays = always or _drifts_more(pair, settings)
    else:
        pays = weights_of("interpolated", pair, settings).min() >= _WORTH_ITS_DITHER
    return Choice("interpolated", pair) if pays else None


def _drifts_more(pair: Sequence[DirectCandidate], settings: GrismSettings) -> bool:
    """Tell whether drift parts a grism exposure from both more than offsets do."""
    offsets = np.diag(offset_covariance(pair, settings.pointing))
    return bool((np.diag(propagation_covariance(pair, settings)) > 2 * offsets).all())


def _of_the_pointing(
    before: Sequence[DirectCandidate], after: Sequence[DirectCandidate], method: str
) -> Choice | None:
    """Choose among exposures of the grism exposure's own pointing."""
    there = [each for each in (*before, *after) if each.relation in _OF_THE_POINTING]
    # Next best, the neighbours in time that look where it looks, though the telescope has moved in between.
    closest = _closest(there) or _closest(
        [each for each in (*before[:1], *after[:1]) if each.mismatch < float("inf")]
    )
    if not closest:
        return None
    between = _around(
        [each for each in closest if each.came_first], [each for each in closest if not each.came_first]
    )
    if there and between and method != "nearest":
        return Choice("interpolated", between)
    return Choice("paired", (_nearest(closest),))


def _closest(candidates: Sequence[DirectCandidate]) -> list[DirectCandidate]:
    """Choose those whose own sources were aligned, if any, and of them those that match the pointing best."""
    pool = [each for each in candidates if each.is_solid] or candidates
    best = min((each.mismatch for each in pool), default=0.0)
    return [each for each in pool if each.mismatch <= best + _AS_CLOSE]


def _around(
    before: Sequence[DirectCandidate], after: Sequence[DirectCandidate]
) -> tuple[DirectCandidate, ...]:
    """Choose the nearest on each side, if they are solid and tied to each other."""
    if not before or not after:
        return ()
    first, second = _nearest(before), _nearest(after)
    is_tied = first.is_solid and second.is_solid and first.frame == second.frame
    return (first, second) if is_tied else ()


def _nearest(candidates: Sequence[DirectCandidate]) -> DirectCandidate:
    # To the millisecond, so that rounding of MJD breaks no tie. Of one pointing, the one by the grism
    # exposure's own detector wins, whose place in the field it shares; then the earlier one.
    return min(
        candidates,
        key=lambda each: (
            round(abs(each.idle_time), 3),
            not each.is_same_detector,
            each.exposure.start,
            each.key,
        ),
    )


def _in_turn(before: Sequence[DirectCandidate], after: Sequence[DirectCandidate]) -> Choice:
    """Let a correction hold until the next direct exposure; before the first, that of the first does."""
    return Choice("previous", (before[0],)) if before else Choice("next", (after[0],))


def _of_one_frame(own: Sequence[DirectCandidate]) -> tuple[DirectCandidate, ...]:
    """Choose those whose own sources were aligned, if any, in the first of their frames."""
    pool = [each for each in own if each.is_solid] or own
    main = min(each.frame for each in pool)
    return tuple(each for each in pool if each.frame == main)


def choose_elsewhere(others: Sequence[DirectCandidate]) -> Choice:
    """Choose the acquisition of the same guide stars at the same roll that is nearest in time.

    Parameters
    ----------
    others : sequence of DirectCandidate
        Direct exposures of other acquisitions, in any order.
    """
    alike = [each for each in others if each.relation is Relation.REACQUIRED]
    if not alike:
        return _NOBODY
    nearest = min(alike, key=lambda each: (round(abs(each.hours), 6), each.exposure.start, each.key)).exposure
    acquisition = [
        each for each in alike if (each.exposure.visit, each.exposure.group) == (nearest.visit, nearest.group)
    ]
    ordered = sorted(acquisition, key=lambda each: (each.exposure.start, each.key))
    return Choice("visit", _of_one_frame(ordered))
