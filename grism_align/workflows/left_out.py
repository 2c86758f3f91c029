"""Exposures that can't be used: left out with their reasons, or refused."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from grism_align.values.record import LeftOut

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

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
