"""Exposures that can't be used: left out with their reasons, or refused."""

from __future__ import annotations

import logging
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from grism_align.values.errors import AssociationError
from grism_align.values.record import LeftOut
from grism_align.values.words import likely

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from grism_align.values.association import Association
    from grism_align.values.errors import InputError
    from grism_align.values.field import ExposureSet


logger = logging.getLogger(__name__)


def leave_out(errors: Collection[InputError], *, refuse: bool = False) -> tuple[LeftOut, ...]:
    """Tell of exposures that can't be used.

    Parameters
    ----------
    errors : collection of InputError
        One each.
    refuse : bool, optional
        Raise the first error when all have been told of.

    Returns
    -------
    tuple of LeftOut
        For the record.

    Raises
    ------
    InputError
        If they are refused.
    """
    if refuse and errors:
        first, *others = errors
        for error in others:
            logger.error("Also unusable: %s", error)
        raise first
    for error in errors:
        logger.warning("Left out: %s", error)
    return tuple(map(LeftOut.of, errors))


def without_unreadable(exposures: ExposureSet, errors: Mapping[str, InputError]) -> ExposureSet:
    """Leave out exposures that turned out to be unusable when they were opened.

    Parameters
    ----------
    exposures : ExposureSet
        The set.
    errors : mapping of str to InputError
        By exposure key.

    Raises
    ------
    InputError
        If the set refuses them, or if no direct exposure would be left.
    """
    kept = exposures.without(list(errors))
    told = leave_out(errors.values(), refuse=not (exposures.leaves_out and kept.direct))
    return replace(kept, left_out=(*exposures.left_out, *told))


def without_named(association: Association, patterns: Sequence[str]) -> Association:
    """Leave out exposures that the user does not want.

    Parameters
    ----------
    association : Association
        All of them.
    patterns : sequence of str
        Root or file names, in any case, with or without wildcards.

    Raises
    ------
    AssociationError
        If one matches nothing, or nothing would be left.
    """
    names = {member.source: (member.root, member.source.name) for member in association.exposures}
    out = set()
    for pattern in patterns:
        found = {one for one, own in names.items() if any(_matches(name, pattern) for name in own)}
        if not found:
            meant = likely(pattern, [root for root, _ in names.values()])
            remedy = f"Perhaps it is {meant}" if meant else "Correct what is excluded"
            raise AssociationError(pattern, "no exposure has that name", remedy)
        out |= found
    if len(out) == len(names) and out:
        raise AssociationError(", ".join(patterns), "no exposure would be left", "Exclude fewer")
    if out:
        roots = ", ".join(names[one][0] for one in names if one in out)
        logger.info("Excluded %d of %d exposures: %s", len(out), len(names), roots)
    return association.without(out)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name.lower(), pattern.lower())
