"""Which direct exposures govern a grism exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grism_align.algorithms.pair import Lender, Relation, lender, lenders, same_pointing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import PropagationSettings

__all__ = ["Choice", "choose", "choose_by_rule", "choose_elsewhere", "governors", "named_lenders"]

# Pointings that differ by less than this, arcsec, match a grism exposure's equally well.
_AS_CLOSE = 0.05


@dataclass(frozen=True)
class Choice:
    """The direct exposures that govern a grism exposure together.

    Parameters
    ----------
    rule : str
        Why they: ``association`` (named there); ``interpolated``; ``paired`` (of the same pointing);
        ``previous``, ``next`` or ``nearest`` in time; ``visit`` (the mean of an acquisition).
    lenders : tuple of Lender
        In the order of time; empty if there is none.
    """

    rule: str
    lenders: tuple[Lender, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Their root names."""
        return tuple(each.key for each in self.lenders)


_NOBODY = Choice("none", ())


def governors(grism: Exposure, exposures: Sequence[Exposure], settings: PropagationSettings) -> Choice:
    """Which direct exposures govern a grism exposure if all of them can be aligned.

    Parameters
    ----------
    grism : Exposure
        The dispersed exposure.
    exposures : sequence of Exposure
        Direct and grism exposures of any visit, in any order.
    settings : PropagationSettings
        The parameters.
    """
    own = lenders(grism, exposures, settings.pairing_radius)
    return choose(named_lenders(grism, exposures, settings.pairing_radius), own, settings.method)


def named_lenders(
    grism: Exposure, exposures: Sequence[Exposure], pairing_radius: float
) -> tuple[Lender, ...]:
    """The direct exposures that the association names for a grism exposure, in its order."""
    known = {exposure.key: exposure for exposure in exposures if exposure.is_direct}
    return tuple(
        lender(grism, known[key], exposures, pairing_radius)
        for key in dict.fromkeys(grism.governors)
        if key in known
    )


def choose(named: Sequence[Lender], own: Sequence[Lender], method: str) -> Choice:
    """Those that govern: the first that the association names, else what the rule says.

    Parameters
    ----------
    named : sequence of Lender
        Named by the association, best first.
    own : sequence of Lender
        Of the grism exposure's own guide-star acquisition, in the order of time.
    method : str
        ``auto``, ``previous``, ``nearest``, ``interpolate`` or ``visit``.
    """
    by_rule = choose_by_rule(own, method)
    # Where the association names what the rule chooses anyway, the rule says more.
    names = [each.key for each in named]
    if not names or (names[0] in by_rule.keys and set(names) >= set(by_rule.keys)):
        return by_rule
    return Choice("association", (named[0],))


def choose_by_rule(own: Sequence[Lender], method: str) -> Choice:
    """Those of a grism exposure's own acquisition that govern it.

    Parameters
    ----------
    own : sequence of Lender
        In the order of time.
    method : str
        As for `choose`.

    Notes
    -----
    The error of an offset of the telescope belongs to the pointing, and drift to time. So an exposure of
    the same pointing has what another, however near in time, has not; and between two of the same pointing
    drift can be interpolated.
    """
    if not own:
        return _NOBODY
    if method == "visit":
        return Choice("visit", _of_one_frame(own))
    before = [each for each in reversed(own) if each.came_first]
    after = [each for each in own if not each.came_first]
    if method == "previous":
        return _in_turn(before, after)
    if method == "interpolate":
        between = _around(
            [each for each in before if each.is_solid], [each for each in after if each.is_solid]
        )
        if between:
            return Choice("interpolated", between)
    return _of_the_pointing(before, after, method) or (
        Choice("nearest", (_nearest(own),)) if method == "nearest" else _in_turn(before, after)
    )


def _of_the_pointing(before: Sequence[Lender], after: Sequence[Lender], method: str) -> Choice | None:
    """What exposures of the grism exposure's own pointing give."""
    there = [each for each in (*before, *after) if each.relation is Relation.SAME_POINTING]
    # Next best, the neighbours in time that look where it looks, though the telescope has moved in between.
    closest = _closest(there) or _closest(
        [each for each in (*before[:1], *after[:1]) if each.mismatch < float("inf")]
    )
    if not closest:
        return None
    between = _around(
        [each for each in closest if each.came_first], [each for each in closest if not each.came_first]
    )
    if there and between and method != "nearest" and same_pointing(*(each.exposure for each in between)):
        return Choice("interpolated", between)
    return Choice("paired", (_nearest(closest),))


def _closest(candidates: Sequence[Lender]) -> list[Lender]:
    """Those whose own sources were aligned, if any, and of them those that match the pointing best."""
    pool = [each for each in candidates if each.is_solid] or candidates
    best = min((each.mismatch for each in pool), default=0.0)
    return [each for each in pool if each.mismatch <= best + _AS_CLOSE]


def _around(before: Sequence[Lender], after: Sequence[Lender]) -> tuple[Lender, ...]:
    """The nearest on each side, if they are solid and tied to each other."""
    if not before or not after:
        return ()
    first, second = _nearest(before), _nearest(after)
    is_tied = first.is_solid and second.is_solid and first.frame == second.frame
    return (first, second) if is_tied else ()


def _nearest(candidates: Sequence[Lender]) -> Lender:
    # To the millisecond, so that rounding of MJD breaks no tie; the earlier one wins.
    return min(candidates, key=lambda each: (round(abs(each.gap), 3), each.exposure.start, each.key))


def _in_turn(before: Sequence[Lender], after: Sequence[Lender]) -> Choice:
    """A correction holds until the next direct exposure; before the first, that of the first does."""
    return Choice("previous", (before[0],)) if before else Choice("next", (after[0],))


def _of_one_frame(own: Sequence[Lender]) -> tuple[Lender, ...]:
    """Those whose own sources were aligned, if any, in the first of their frames."""
    pool = [each for each in own if each.is_solid] or own
    main = min(each.frame for each in pool)
    return tuple(each for each in pool if each.frame == main)


def choose_elsewhere(others: Sequence[Lender]) -> Choice:
    """The acquisition of the same guide stars at the same roll that is nearest in time.

    Parameters
    ----------
    others : sequence of Lender
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
